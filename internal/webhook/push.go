package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/errcode"
)

// ErrDisabled says that an endpoint is not tried any more.
var ErrDisabled = errcode.Narrow(errcode.WebhookDisabled, "the webhook is disabled; enable it, or use another one")

// Message is what an endpoint is sent outside of its events.
type Message struct {
	ID   string // the webhook-id header; a receiver that has seen it knows the message
	Type string // such as export.batch
	Data any    // written as JSON
}

// Send sends a message to an endpoint of an organization, no matter which events that
// subscribes to, and returns when the endpoint has taken it: a status from 200
// to 299. It is signed and guarded as every event is, and follows no redirects.
// There is one attempt: when and how often to try again is the caller's.
//
// Errors: ErrNotFound; ErrDisabled, also where the endpoint answers 410 and is
// disabled by it. Any other says in a sentence why the message was not taken.
func (w *Webhooks) Send(ctx context.Context, org, endpoint string, m Message) error {
	to, err := w.target(ctx, org, endpoint)
	switch {
	case err != nil:
		return err
	case to.Disabled:
		return ErrDisabled
	case to.Paused:
		return errors.New("the webhook is paused; resume it")
	}
	data, err := json.Marshal(m.Data)
	if err != nil {
		return fmt.Errorf("the message cannot be written: %w", err)
	}
	body, err := json.Marshal(message{Type: m.Type, Timestamp: time.Now().UTC(), Data: data})
	if err != nil {
		return fmt.Errorf("the message cannot be written: %w", err)
	}
	a := w.attempt(ctx, to.URL, m.ID, [][]byte{to.Secret, to.OldSecret}, body)
	if a.problem != "" && ctx.Err() != nil {
		return ctx.Err() // cut off by us, not by the endpoint
	}
	_, err = w.pool.Exec(ctx, `
		UPDATE webhook_endpoint SET failing_since = CASE WHEN $2 THEN NULL ELSE coalesce(failing_since, now()) END
		WHERE id = $1 AND $2 = (failing_since IS NOT NULL)`, endpoint, a.problem == "")
	if err != nil {
		return fmt.Errorf("the attempt was not noted: %w", err)
	}
	if a.code == http.StatusGone {
		if _, err := w.disable(ctx, endpoint, "The endpoint answered 410 Gone.", 0); err != nil {
			return err
		}
		return ErrDisabled
	}
	if a.problem != "" {
		return errors.New(a.problem)
	}
	return nil
}

// target is where an endpoint's messages go and what signs them.
type target struct {
	URL       string
	Secret    []byte
	OldSecret []byte // nil where it is not in force any more
	Disabled  bool
	Paused    bool
}

func (w *Webhooks) target(ctx context.Context, org, endpoint string) (target, error) {
	rows, _ := w.pool.Query(ctx, `
		SELECT url, secret, CASE WHEN old_secret_until > now() THEN old_secret END AS old_secret,
			disabled_at IS NOT NULL AS disabled, paused_at IS NOT NULL AS paused
		FROM webhook_endpoint WHERE org = $1 AND id = $2 AND deleted_at IS NULL`, org, endpoint)
	to, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[target])
	if errors.Is(err, pgx.ErrNoRows) {
		return to, ErrNotFound
	}
	if err != nil {
		return to, fmt.Errorf("the webhook cannot be read: %w", err)
	}
	return to, nil
}
