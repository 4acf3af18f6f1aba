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

// Errors of Send besides ErrNotFound: they would come again.
var (
	ErrDisabled = errcode.Narrow(errcode.WebhookDisabled, "the webhook is disabled; enable it, or use another one")
	ErrGivenUp  = errcode.Narrow(errcode.WebhookFailed, "the webhook did not take a message in any of its attempts")
)

// NotTakenError says why an endpoint did not take a message, and how long to wait
// before the next attempt.
type NotTakenError struct {
	Reason  string // one sentence
	Again   time.Duration
	Counted bool // as an attempt; not while the endpoint is paused
}

func (e *NotTakenError) Error() string { return e.Reason }

// pausedAgain is when a message for a paused endpoint is tried again.
const pausedAgain = 30 * time.Second

// Message is what an endpoint is sent outside of its events.
type Message struct {
	ID   string // the webhook-id header; a receiver that has seen it knows the message
	Type string // such as export.batch
	Data any    // written as JSON
}

// Send sends a message to an endpoint of an organization, no matter which events that
// subscribes to, and returns when the endpoint has taken it: a status from 200
// to 299. It is signed, guarded and given up as every event is. There is one
// attempt; tried is how many there were before. Waiting is the caller's.
//
// Errors: *NotTakenError says when to call again. ErrNotFound, ErrDisabled (also
// where this disables the endpoint) and ErrGivenUp are for good.
func (w *Webhooks) Send(ctx context.Context, org, endpoint string, m Message, tried int) error {
	to, err := w.target(ctx, org, endpoint)
	switch {
	case err != nil:
		return err
	case to.Disabled:
		return ErrDisabled
	case to.Paused:
		return &NotTakenError{Reason: "The webhook is paused; resume it.", Again: pausedAgain}
	}
	data, err := json.Marshal(m.Data)
	if err != nil {
		return fmt.Errorf("the message cannot be written: %w", err)
	}
	body, err := json.Marshal(message{Type: m.Type, Timestamp: time.Now().UTC(), Data: data})
	if err != nil {
		return fmt.Errorf("the message cannot be written: %w", err)
	}
	o := w.judge(w.attempt(ctx, to.URL, m.ID, [][]byte{to.Secret, to.OldSecret}, body), tried)
	if err := w.note(ctx, endpoint, 0, o); err != nil {
		return err
	}
	switch o.status {
	case delivered:
		return nil
	case pending:
		return &NotTakenError{Reason: o.problem, Again: o.wait, Counted: true}
	}
	ended, err := w.giveUpOn(ctx, endpoint, o.answer)
	switch {
	case err != nil:
		return err
	case ended != "" || o.code == http.StatusGone:
		return ErrDisabled
	default:
		return errcode.Say(ErrGivenUp, "The webhook did not take the message in %d attempts. %s", tried+1, o.problem)
	}
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
