package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrDisabled says that an endpoint is not tried any more.
var ErrDisabled = errors.New("the webhook is disabled; enable it, or use another one")

// Message is what an endpoint is sent outside of its events.
type Message struct {
	ID   string // the webhook-id header; a receiver that has seen it knows the message
	Type string // such as export.batch
	Data any    // written as JSON
}

// Send sends a message to an endpoint of an organization, whatever events that
// subscribes to, and returns when the endpoint has taken it: a status from 200
// to 299. It is signed and guarded as every event is, and follows no redirects.
// There is one attempt: when and how often to try again is the caller's.
//
// Errors: ErrNotFound; ErrDisabled, also where the endpoint answers 410 and is
// disabled by it. Any other says in a sentence why the message was not taken.
func (w *Webhooks) Send(ctx context.Context, org, endpoint string, m Message) error {
	var url string
	var secret []byte
	var disabled bool
	err := w.pool.QueryRow(ctx, `
		SELECT url, secret, disabled_at IS NOT NULL FROM webhook_endpoint
		WHERE org = $1 AND id = $2 AND deleted_at IS NULL`, org, endpoint).Scan(&url, &secret, &disabled)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNotFound
	case err != nil:
		return fmt.Errorf("the webhook cannot be read: %w", err)
	case disabled:
		return ErrDisabled
	}
	data, err := json.Marshal(m.Data)
	if err != nil {
		return fmt.Errorf("the message cannot be written: %w", err)
	}
	body, err := json.Marshal(message{m.Type, time.Now().UTC(), data})
	if err != nil {
		return fmt.Errorf("the message cannot be written: %w", err)
	}
	a := w.attempt(ctx, url, m.ID, secret, body)
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
