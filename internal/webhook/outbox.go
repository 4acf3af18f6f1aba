package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/database"
	"holdfast/internal/errcode"
	"holdfast/internal/outbox"
)

// Lead runs work in one process at a time, when there are new events: see
// outbox.Lead.
func (w *Webhooks) Lead(ctx context.Context, report func(error), work func(ctx context.Context, first bool) error, beside ...func(context.Context)) {
	outbox.Lead(ctx, w.pool, report, work, beside...)
}

// Publish takes up to limit events from the outbox and makes a delivery of each
// for every endpoint that subscribes to it, exactly once: both are one
// transaction. It returns how many events it took and which endpoints have
// something to do now. One process at a time publishes, so that the events of an
// order keep their order; the others find nothing.
func (w *Webhooks) Publish(ctx context.Context, limit int) (events int64, endpoints []string, err error) {
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		var mine bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtext('outbox'))`).Scan(&mine); err != nil || !mine {
			return err
		}
		return tx.QueryRow(ctx, `
			WITH taken AS (
				UPDATE outbox SET published_at = now()
				WHERE id IN (SELECT id FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT $1)
				RETURNING id, org, topic, key, payload, created_at
			), made AS (
				INSERT INTO webhook_delivery (endpoint, event, subject)
				SELECT e.id, t.id, coalesce(CASE WHEN t.topic LIKE 'order.%' THEN t.payload ->> 'id' END, t.key) -- an event without an id stops no others
				FROM taken t JOIN webhook_endpoint e ON e.org = t.org
				WHERE e.deleted_at IS NULL AND e.disabled_at IS NULL AND (e.created_at <= t.created_at OR e.created_at > now()) -- of a clock that was ahead: it may be older than the event
					AND (e.events = '{}' OR t.topic = ANY (e.events))
				ORDER BY t.id
				ON CONFLICT (endpoint, event, again) DO NOTHING
				RETURNING endpoint)
			SELECT (SELECT count(*) FROM taken), coalesce((SELECT array_agg(DISTINCT endpoint) FROM made), '{}')`,
			limit).Scan(&events, &endpoints)
	})
	if err != nil {
		return 0, nil, fmt.Errorf("the outbox was not published: %w", err)
	}
	return events, endpoints, nil
}

// Overdue lists the endpoints that should have been sent something longer than
// late ago: of every subject the earliest pending event counts, for the later
// ones wait for it. What a clock that was ahead has put off is late.
func (w *Webhooks) Overdue(ctx context.Context, late time.Duration) ([]string, error) {
	rows, _ := w.pool.Query(ctx, `
		SELECT DISTINCT endpoint FROM (
			SELECT DISTINCT ON (endpoint, subject) endpoint, next_at, now() + `+longestWait("d", "$2")+` AS latest FROM webhook_delivery d
			WHERE status = 'pending' ORDER BY endpoint, subject, event, id) earliest
		WHERE (next_at <= now() - $1 * interval '1 millisecond' OR next_at > latest)
			AND NOT EXISTS (SELECT FROM webhook_endpoint e WHERE e.id = endpoint AND e.paused_at IS NOT NULL)`, late.Milliseconds(), w.waits())
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("the overdue webhooks cannot be listed: %w", err)
	}
	return list, nil
}

// Delivery is one event for one endpoint.
type Delivery struct {
	ID          int64      `json:"id"`
	EventID     string     `json:"event_id"` // the webhook-id header; the same when it is sent again
	Event       string     `json:"event"`
	Subject     string     `json:"subject"` // the order it is about
	Status      string     `json:"status"`  // pending, delivered or failed
	Attempts    int        `json:"attempts"`
	AttemptedAt *time.Time `json:"attempted_at,omitempty"`
	NextAt      *time.Time `json:"next_at,omitempty"` // of the next attempt, while pending
	Code        *int       `json:"code,omitempty"`    // HTTP status of the last attempt
	Error       string     `json:"error,omitempty"`   // why the last attempt failed
	CreatedAt   time.Time  `json:"created_at"`
}

// Deliveries returns a page of an endpoint's deliveries, newest first, and the
// cursor of the next page, empty on the last one. limit is 1 to 500, status ""
// for all. ErrNotFound where the organization has no such endpoint.
func (w *Webhooks) Deliveries(ctx context.Context, org, endpoint, status, cursor string, limit int) (page []Delivery, next string, err error) {
	below, ok := database.Below(cursor, 36)
	if !ok {
		return nil, "", errCursor
	}
	if err := w.exists(ctx, org, endpoint); err != nil {
		return nil, "", err
	}
	rows, err := w.pool.Query(ctx, `
		SELECT d.id, o.org, o.key, o.topic, d.subject, d.status, d.attempts, d.attempted_at,
			CASE WHEN d.status = 'pending' THEN d.next_at END, d.code, d.error, d.created_at
		FROM webhook_delivery d JOIN outbox o ON o.id = d.event
		WHERE d.endpoint = $1 AND d.id < $2 AND ($3 = '' OR d.status = $3)
		ORDER BY d.id DESC LIMIT $4`, endpoint, below, status, limit+1)
	if err == nil {
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Delivery, error) {
			var d Delivery
			var org, key string
			err := row.Scan(&d.ID, &org, &key, &d.Event, &d.Subject, &d.Status, &d.Attempts, &d.AttemptedAt, &d.NextAt, &d.Code, &d.Error, &d.CreatedAt)
			d.EventID = eventID(org, key)
			return d, err
		})
	}
	if err != nil {
		return nil, "", fmt.Errorf("the deliveries cannot be listed: %w", err)
	}
	page, next = database.Cut(page, limit, 36, func(d Delivery) int64 { return d.ID })
	return page, next, nil
}

func (w *Webhooks) exists(ctx context.Context, org, endpoint string) error {
	var found bool
	err := w.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM webhook_endpoint WHERE org = $1 AND id = $2 AND deleted_at IS NULL)`, org, endpoint).Scan(&found)
	if err != nil {
		return fmt.Errorf("the webhook cannot be read: %w", err)
	}
	if !found {
		return ErrNotFound
	}
	return nil
}

// Resend makes a new delivery of an event that was delivered or has failed. The
// receiver sees the same event id. ErrNotFound where there is no such delivery,
// or none any more; ErrInvalid where it is pending or the endpoint disabled.
func (w *Webhooks) Resend(ctx context.Context, org, endpoint string, delivery int64) error {
	return pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		var event int64
		var pending, disabled bool
		// Locked, so that the event is not removed in between.
		err := tx.QueryRow(ctx, `
			SELECT o.id, d.status = 'pending', e.disabled_at IS NOT NULL
			FROM webhook_delivery d JOIN webhook_endpoint e ON e.id = d.endpoint JOIN outbox o ON o.id = d.event
			WHERE e.org = $1 AND e.id = $2 AND e.deleted_at IS NULL AND d.id = $3
			FOR UPDATE OF o`, org, endpoint, delivery).Scan(&event, &pending, &disabled)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return errcode.Say(ErrNotFound, "There is no such delivery; they are kept for %d days after the last attempt.", int(Kept.Hours()/24))
		case err != nil:
			return fmt.Errorf("the delivery cannot be read: %w", err)
		case disabled:
			return errcode.Say(ErrInvalid, "The webhook is disabled; enable it first.")
		case pending:
			return errcode.Say(ErrInvalid, "The delivery is still pending; it will be sent.")
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO webhook_delivery (endpoint, event, subject, again)
			SELECT endpoint, event, subject, 1 + (SELECT max(again) FROM webhook_delivery WHERE endpoint = $1 AND event = $3)
			FROM webhook_delivery d WHERE id = $2
				AND NOT EXISTS (SELECT FROM webhook_delivery WHERE endpoint = $1 AND event = $3 AND status = 'pending') -- two clicks are one`,
			endpoint, delivery, event)
		if err != nil {
			return fmt.Errorf("the delivery was not repeated: %w", err)
		}
		return nil
	})
}
