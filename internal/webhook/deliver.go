package webhook

import (
	"cmp"
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

// longestWait is in SQL how long a pending delivery d may wait after its last
// attempt. waits is an expression for the milliseconds after each attempt.
func longestWait(d, waits string) string {
	return `coalesce((` + waits + `::bigint[])[` + d + `.attempts], 0) * interval '1 millisecond'`
}

// waits are the milliseconds after each attempt.
func (w *Webhooks) waits() []int64 {
	list := make([]int64, len(w.backoff))
	for i, wait := range w.backoff {
		list[i] = wait.Milliseconds()
	}
	return list
}

// setRight lets no delivery of an endpoint wait for longer than it would from now
// on: a clock that was ahead put it off. It does not count as an attempt.
func (w *Webhooks) setRight(ctx context.Context, endpoint string) error {
	_, err := w.pool.Exec(ctx, `
		UPDATE webhook_delivery d SET next_at = now() + `+longestWait("d", "$2")+`
		WHERE endpoint = $1 AND status = 'pending' AND next_at > now() + `+longestWait("d", "$2"), endpoint, w.waits())
	if err != nil {
		return fmt.Errorf("the deliveries of another time cannot be set right: %w", err)
	}
	return nil
}

// Deliver sends what is due to an endpoint, at most limit events: of every
// subject the earliest pending one, so that the events of an order arrive in
// order. Only one caller at a time may deliver to an endpoint.
func (w *Webhooks) Deliver(ctx context.Context, endpoint string, limit int) (Round, error) {
	var round Round
	if err := w.setRight(ctx, endpoint); err != nil {
		return round, err
	}
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
	outcomes := make([]outcome, len(list))
	var sending errgroup.Group
	sending.SetLimit(sendsAtOnce)
	for i, d := range list {
		sending.Go(func() error {
			body, err := json.Marshal(message{Type: d.Topic, Timestamp: d.CreatedAt.UTC(), Data: d.Payload})
			if err != nil {
				return fmt.Errorf("the event cannot be written: %w", err)
			}
			outcomes[i] = w.judge(w.attempt(ctx, d.URL, eventID(d.Org, d.Key), [][]byte{d.Secret, d.OldSecret}, body), d.Attempts)
			return w.note(ctx, endpoint, d.ID, outcomes[i])
		})
	}
	if err := sending.Wait(); err != nil {
		return round, err
	}
	for _, o := range outcomes {
		if o.problem == "" {
			round.Delivered++
			continue
		}
		round.Failed++
		if o.status != failed {
			continue
		}
		ended, err := w.giveUpOn(ctx, endpoint, o.answer)
		if err != nil {
			return round, err
		}
		round.Ended = cmp.Or(round.Ended, ended)
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

// What an attempt means for a delivery.
const (
	delivered = "delivered"
	pending   = "pending" // it is tried again
	failed    = "failed"  // it is not
)

// outcome is an attempt's answer, and what follows from it.
type outcome struct {
	answer
	status string
	wait   time.Duration // until the next attempt
}

// judge is the one rule of when to try again, for events and messages: tried is
// how many attempts at it there were before.
func (w *Webhooks) judge(a answer, tried int) outcome {
	switch {
	case a.problem == "":
		return outcome{a, delivered, 0}
	case a.code == http.StatusGone || tried >= len(w.backoff):
		return outcome{a, failed, 0}
	default:
		return outcome{a, pending, w.backoff[tried]}
	}
}

// failing keeps since when an endpoint takes nothing: $1 is the endpoint, $2 the
// problem of the last attempt.
const failing = `
	UPDATE webhook_endpoint SET failing_since = CASE WHEN $2 <> '' THEN now() END
	WHERE id = $1 AND ($2 = '') = (failing_since IS NOT NULL)`

// note writes down what came of an attempt at an endpoint, and at a delivery
// unless it was a message's (0). It does so even when the caller is being stopped:
// what was delivered is not sent again.
func (w *Webhooks) note(ctx context.Context, endpoint string, delivery int64, o outcome) error {
	if o.problem != "" && ctx.Err() != nil {
		return ctx.Err() // cut off by us, not by the endpoint
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var err error
	if delivery == 0 {
		_, err = w.pool.Exec(ctx, failing, endpoint, o.problem)
	} else {
		var code *int
		if o.code != 0 {
			code = &o.code
		}
		_, err = w.pool.Exec(ctx, `
			WITH noted AS (
				UPDATE webhook_delivery SET status = $4, attempts = attempts + 1, attempted_at = now(),
					next_at = now() + $5 * interval '1 millisecond', code = $6, error = $2
				WHERE id = $3 AND status = 'pending')`+failing,
			endpoint, o.problem, delivery, o.status, o.wait.Milliseconds(), code)
	}
	if err != nil {
		return fmt.Errorf("the attempt was not noted: %w", err)
	}
	result := o.status
	if result == pending {
		result = "retried"
	}
	w.attempts.WithLabelValues(result).Inc()
	return nil
}

// giveUpOn disables an endpoint that is gone, or took nothing through all attempts
// at a delivery. It returns the reason, or "" where it is not disabled by this.
func (w *Webhooks) giveUpOn(ctx context.Context, endpoint string, last answer) (string, error) {
	if last.code == http.StatusGone {
		return w.disable(ctx, endpoint, "The endpoint answered 410 Gone.", 0)
	}
	return w.disable(ctx, endpoint, "The endpoint took nothing through all attempts at an event.", w.patience())
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
