package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/outbox"
)

// sendsAtOnce is how many events one endpoint gets at a time, each of another
// subject.
const sendsAtOnce = 4

// Round is what came of sending what was due to an endpoint.
type Round struct {
	Delivered int        `json:"delivered"`
	Failed    int        `json:"failed"`          // attempts
	Next      *time.Time `json:"next,omitempty"`  // when the next attempt is due; nil = nothing is pending
	Wait      int64      `json:"wait,omitempty"`  // milliseconds until then, by the database's clock
	Ended     string     `json:"ended,omitempty"` // why the endpoint is not tried any more
}

// due is a delivery whose time has come, with all that is sent.
type due struct {
	ID        int64
	Attempts  int
	Org       string
	Key       string
	Topic     string
	Payload   json.RawMessage
	CreatedAt time.Time
	URL       string
	Secret    []byte
	OldSecret []byte // nil where it is not in force any more
}

// Deliver sends what is due to an endpoint, at most limit events: of every
// subject the earliest pending one, so that the events of an order arrive in
// order. Only one caller at a time may deliver to an endpoint.
func (w *Webhooks) Deliver(ctx context.Context, endpoint string, limit int) (Round, error) {
	var round Round
	rows, err := w.pool.Query(ctx, `
		SELECT d.id, d.attempts, o.org, o.key, o.topic, o.payload, o.created_at, e.url, e.secret,
			CASE WHEN e.old_secret_until > now() THEN e.old_secret END AS old_secret
		FROM webhook_delivery d
		JOIN outbox o ON o.id = d.event
		JOIN webhook_endpoint e ON e.id = d.endpoint
		WHERE d.endpoint = $1 AND d.status = 'pending' AND d.next_at <= now()
			AND e.disabled_at IS NULL AND e.deleted_at IS NULL AND e.paused_at IS NULL
			AND NOT EXISTS (
				SELECT FROM webhook_delivery before
				WHERE before.endpoint = d.endpoint AND before.subject = d.subject AND before.status = 'pending'
					AND (before.event, before.id) < (d.event, d.id))
		ORDER BY d.event LIMIT $2`, endpoint, limit)
	if err != nil {
		return round, fmt.Errorf("the due deliveries cannot be read: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[due])
	if err != nil {
		return round, fmt.Errorf("the due deliveries cannot be read: %w", err)
	}
	answers := make([]answer, len(list))
	var sending errgroup.Group
	sending.SetLimit(sendsAtOnce)
	for i, d := range list {
		sending.Go(func() error {
			body, err := json.Marshal(message{Type: d.Topic, Timestamp: d.CreatedAt.UTC(), Data: d.Payload})
			if err != nil {
				return fmt.Errorf("the event cannot be written: %w", err)
			}
			answers[i] = w.attempt(ctx, d.URL, eventID(d.Org, d.Key), [][]byte{d.Secret, d.OldSecret}, body)
			return w.note(ctx, endpoint, d, answers[i])
		})
	}
	if err := sending.Wait(); err != nil {
		return round, err
	}
	for i, a := range answers {
		if a.problem == "" {
			round.Delivered++
			continue
		}
		round.Failed++
		if a.code == http.StatusGone {
			round.Ended, err = w.disable(ctx, endpoint, "The endpoint answered 410 Gone.", 0)
		} else if list[i].Attempts >= len(w.backoff) {
			round.Ended, err = w.disable(ctx, endpoint, "The endpoint took nothing through all attempts at an event.", w.patience())
		}
		if err != nil {
			return round, err
		}
	}
	err = w.pool.QueryRow(ctx, `
		SELECT min(next_at), greatest(0, extract(epoch FROM min(next_at) - now()) * 1000)::bigint
		FROM (SELECT DISTINCT ON (subject) next_at FROM webhook_delivery
			WHERE endpoint = $1 AND status = 'pending' AND NOT EXISTS (SELECT FROM webhook_endpoint WHERE id = $1 AND paused_at IS NOT NULL)
			ORDER BY subject, event, id) earliest
		HAVING count(*) > 0`, endpoint).Scan(&round.Next, &round.Wait)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return round, fmt.Errorf("the next attempt cannot be read: %w", err)
	}
	return round, nil
}

// note writes down what came of an attempt. It does so even when the caller is
// being stopped: what was delivered is not sent again.
func (w *Webhooks) note(ctx context.Context, endpoint string, d due, a answer) error {
	if a.problem != "" && ctx.Err() != nil {
		return ctx.Err() // cut off by us, not by the endpoint
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var code *int
	if a.code != 0 {
		code = &a.code
	}
	status, wait := "delivered", time.Duration(0)
	switch {
	case a.problem != "" && (d.Attempts >= len(w.backoff) || a.code == http.StatusGone):
		status = "failed"
	case a.problem != "":
		status, wait = "pending", w.backoff[d.Attempts]
	}
	_, err := w.pool.Exec(ctx, `
		WITH noted AS (
			UPDATE webhook_delivery SET status = $3, attempts = attempts + 1, attempted_at = now(),
				next_at = now() + $4 * interval '1 millisecond', code = $5, error = $6
			WHERE id = $2 AND status = 'pending')
		UPDATE webhook_endpoint SET failing_since = CASE WHEN $6 = '' THEN NULL ELSE coalesce(failing_since, now()) END
		WHERE id = $1 AND ($6 <> '' OR failing_since IS NOT NULL)`,
		endpoint, d.ID, status, wait.Milliseconds(), code, a.problem)
	if err != nil {
		return fmt.Errorf("the attempt was not noted: %w", err)
	}
	if status == "pending" {
		status = "retried"
	}
	w.attempts.WithLabelValues(status).Inc()
	return nil
}

// patience is how long an endpoint must have taken nothing at all to be given
// up with an event: nearly as long as the attempts at the event took.
func (w *Webhooks) patience() time.Duration {
	var sum time.Duration
	for _, wait := range w.backoff {
		sum += wait
	}
	return sum * 9 / 10
}

// disable ends the attempts at an endpoint that has taken nothing for so long,
// with a notice to the organization's other endpoints. It returns the reason,
// or "" where the endpoint has taken something in between.
func (w *Webhooks) disable(ctx context.Context, endpoint, reason string, failing time.Duration) (string, error) {
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		var org, url string
		err := tx.QueryRow(ctx, `
			UPDATE webhook_endpoint SET disabled_at = now(), disabled_reason = $2
			WHERE id = $1 AND disabled_at IS NULL AND failing_since <= now() - $3 * interval '1 millisecond'
			RETURNING org, url`, endpoint, reason, failing.Milliseconds()).Scan(&org, &url)
		if errors.Is(err, pgx.ErrNoRows) {
			reason = ""
			return nil
		}
		if err != nil {
			return err
		}
		if err := giveUp(ctx, tx, endpoint, "The webhook was disabled."); err != nil {
			return err
		}
		notice, err := outbox.New(org, outbox.WebhookDisabled,
			outbox.DisabledWebhook{Org: org, ID: endpoint, URL: url, Reason: reason}, endpoint, time.Now().UnixMicro())
		if err != nil {
			return err
		}
		return outbox.Write(ctx, tx, notice)
	})
	if err != nil {
		return "", fmt.Errorf("the webhook %s was not disabled: %w", endpoint, err)
	}
	return reason, nil
}
