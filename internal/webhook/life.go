package webhook

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/errcode"
	"holdfast/internal/idempotency"
	"holdfast/internal/outbox"
)

// BothSecretsFor is how long events are signed with the old secret, too, after a
// new one was made.
const BothSecretsFor = 24 * time.Hour

// Edit is what is changed of an endpoint; nil stays.
type Edit struct {
	URL    *string
	Events *[]string
	Paused *bool
}

// Change edits an endpoint. While it is paused its events wait.
//
// Errors: ErrNotFound, ErrInvalid.
func (w *Webhooks) Change(ctx context.Context, org, id string, e Edit) (Endpoint, error) {
	if e.URL != nil {
		if err := w.checkURL(*e.URL); err != nil {
			return Endpoint{}, err
		}
	}
	var events []string
	if e.Events != nil {
		if err := checkEvents(*e.Events); err != nil {
			return Endpoint{}, err
		}
		events = append([]string{}, *e.Events...)
	}
	tag, err := w.pool.Exec(ctx, `
		UPDATE webhook_endpoint SET url = coalesce($3, url), events = coalesce($4::text[], events),
			paused_at = CASE WHEN $5::boolean IS NULL THEN paused_at WHEN $5 THEN coalesce(paused_at, now()) END
		WHERE org = $1 AND id = $2 AND deleted_at IS NULL`, org, id, e.URL, events, e.Paused)
	if err != nil {
		return Endpoint{}, fmt.Errorf("the webhook %s was not changed: %w", id, err)
	}
	if tag.RowsAffected() == 0 {
		return Endpoint{}, ErrNotFound
	}
	return w.Endpoint(ctx, org, id)
}

// Rotate gives an endpoint a new secret. The old one signs beside it for a day,
// so that the receiver can change over without missing anything.
func (w *Webhooks) Rotate(ctx context.Context, org, id string) (Endpoint, string, error) {
	secret := newSecret()
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		_, again, err := idempotency.Claim(ctx, tx, org, "secret", idempotency.Made{ID: id})
		if err != nil {
			return err
		}
		if again {
			secret = nil
		}
		return tx.QueryRow(ctx, `
			UPDATE webhook_endpoint SET secret = coalesce($3, secret),
				old_secret = CASE WHEN $3::bytea IS NULL THEN old_secret ELSE secret END,
				old_secret_until = CASE WHEN $3::bytea IS NULL THEN old_secret_until ELSE now() + $4 * interval '1 second' END
			WHERE org = $1 AND id = $2 AND deleted_at IS NULL RETURNING secret`,
			org, id, secret, int64(BothSecretsFor.Seconds())).Scan(&secret)
	})
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Endpoint{}, "", ErrNotFound
	case errors.Is(err, idempotency.ErrReused):
		return Endpoint{}, "", err
	case err != nil:
		return Endpoint{}, "", fmt.Errorf("the secret of the webhook %s was not changed: %w", id, err)
	}
	e, err := w.Endpoint(ctx, org, id)
	return e, secretText(secret), err
}

// Tested is what came of a test event.
type Tested struct {
	EventID   string `json:"event_id" doc:"The webhook-id header that was sent." example:"evt_test_5n2m6yf4w3vqk7ea"`
	Event     string `json:"event" doc:"The event." example:"order.settled"`
	Delivered bool   `json:"delivered" doc:"The endpoint took it: a status from 200 to 299." example:"true"`
	Code      int    `json:"code,omitempty" doc:"HTTP status that it answered; absent where there was no answer." example:"200"`
	Error     string `json:"error,omitempty" doc:"Why it was not taken." example:"The endpoint refused the connection."`
}

// Test sends the example of an event to an endpoint, once and at once, also
// while it is paused or disabled. The message says test: true; nothing is kept
// of it.
func (w *Webhooks) Test(ctx context.Context, org, id, topic string) (Tested, error) {
	to, err := w.target(ctx, org, id)
	if err != nil {
		return Tested{}, err
	}
	data, err := outbox.Example(topic)
	if err != nil {
		return Tested{}, errcode.Say(ErrInvalid, "There is no event %q; use one of %s.", topic, strings.Join(outbox.Names(), ", "))
	}
	body, err := json.Marshal(message{Type: topic, Timestamp: time.Now().UTC(), Data: data, Test: true})
	if err != nil {
		return Tested{}, fmt.Errorf("the test event cannot be written: %w", err)
	}
	random := make([]byte, 10)
	_, _ = rand.Read(random) // never fails: it ends the program rather than return less
	event := "evt_test_" + strings.ToLower(base32.StdEncoding.EncodeToString(random))
	a := w.attempt(ctx, to.URL, event, [][]byte{to.Secret, to.OldSecret}, body)
	return Tested{EventID: event, Event: topic, Delivered: a.problem == "", Code: a.code, Error: a.problem}, nil
}
