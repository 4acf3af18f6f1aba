package webhook

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/database"
	"holdfast/internal/errcode"
)

// Event is one thing that happened to an organization.
type Event struct {
	Org       string          `json:"org" doc:"The organization." example:"acme"`
	ID        string          `json:"id" doc:"The webhook-id header of its deliveries." example:"evt_5n2m6yf4w3vqk7ea"`
	Type      string          `json:"type" doc:"The event." example:"order.settled"`
	Timestamp time.Time       `json:"timestamp" doc:"When it happened."`
	Data      json.RawMessage `json:"data" doc:"As described under webhooks."`

	no int64
}

// EventFilter chooses events; zero fields do not restrict.
type EventFilter struct {
	Org    string // empty: of all organizations
	Types  []string
	Since  time.Time // at this time or after it
	Before time.Time // before it
	Cursor string    // from the previous page
	Limit  int       // 1 to 500
}

// Events returns a page of what happened, newest first, and
// the cursor of the next page, empty on the last one. Events are kept for Kept.
func (w *Webhooks) Events(ctx context.Context, f EventFilter) (page []Event, next string, err error) {
	below, ok := database.Below(f.Cursor, 36)
	if !ok {
		return nil, "", errCursor
	}
	from := `o.org = $1`
	if f.Org == "" {
		from = `$1 = ''`
	}
	page, err = w.events(ctx, from+` AND o.id < $2 AND ($3::text[] IS NULL OR o.topic = ANY ($3)) AND ($4::timestamptz IS NULL OR o.created_at >= $4)
		AND ($5::timestamptz IS NULL OR o.created_at < $5) ORDER BY o.id DESC LIMIT $6`,
		f.Org, below, f.Types, given(f.Since), given(f.Before), f.Limit+1)
	page, next = database.Cut(page, f.Limit, 36, func(e Event) int64 { return e.no })
	return page, next, err
}

var errCursor = errcode.Say(ErrInvalid, "The cursor is not one of ours; use next_cursor of the page before.")

// Event returns one event, or ErrNotFound. Its id is a hash, so all events of the
// organization that are kept are looked at.
func (w *Webhooks) Event(ctx context.Context, org, id string) (Event, error) {
	rows, _ := w.pool.Query(ctx, `SELECT id, key FROM outbox WHERE org = $1 ORDER BY id DESC`, org)
	var no, found int64
	var key string
	_, err := pgx.ForEachRow(rows, []any{&no, &key}, func() error {
		if found == 0 && eventID(org, key) == id {
			found = no
		}
		return nil
	})
	if err != nil {
		return Event{}, fmt.Errorf("the event cannot be read: %w", err)
	}
	list, err := w.events(ctx, `o.org = $1 AND o.id = $2`, org, found)
	if err == nil && len(list) == 0 {
		err = errcode.Say(ErrNotFound, "There is no such event; they are kept for %d days.", int(Kept.Hours()/24))
	}
	if err != nil {
		return Event{}, err
	}
	return list[0], nil
}

func (w *Webhooks) events(ctx context.Context, condition string, args ...any) ([]Event, error) {
	rows, _ := w.pool.Query(ctx, `SELECT o.id, o.org, o.key, o.topic, o.created_at, o.payload FROM outbox o WHERE `+condition, args...)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Event, error) {
		var e Event
		var key string
		err := row.Scan(&e.no, &e.Org, &key, &e.Type, &e.Timestamp, &e.Data)
		e.ID, e.Timestamp = eventID(e.Org, key), e.Timestamp.UTC()
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("the events cannot be read: %w", err)
	}
	return list, nil
}

func given(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Replay says which events are sent again.
type Replay struct {
	Org      string
	Endpoint string    // "" = all that subscribe to it; for one event alone
	Event    *Event    // this one; nil = those below
	Since    time.Time // that happened then or later; zero = all that are kept
	Before   time.Time // that happened before; zero = until now
	Failed   bool      // only those that the endpoint has not taken although they were tried
}

// Replay makes deliveries of events that happened before, to endpoints that
// subscribe to them, also where they were made after the event. The receiver sees
// the same event id. What is pending is not sent twice. It returns how many
// deliveries were made and the endpoints that have something to do.
//
// Errors: ErrNotFound; ErrInvalid where the endpoint is disabled.
func (w *Webhooks) Replay(ctx context.Context, r Replay) (deliveries int64, endpoints []string, err error) {
	if r.Endpoint != "" {
		e, err := w.Endpoint(ctx, r.Org, r.Endpoint)
		if err != nil {
			return 0, nil, err
		}
		if e.DisabledAt != nil {
			return 0, nil, errcode.Say(ErrInvalid, "The webhook is disabled; enable it first.")
		}
	}
	var event int64
	if r.Event != nil {
		event = r.Event.no
	}
	err = pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		// The events are locked, so that none is removed in between.
		return tx.QueryRow(ctx, `
			WITH chosen AS MATERIALIZED (
				SELECT t.id, t.topic, coalesce(CASE WHEN t.topic LIKE 'order.%' THEN t.payload ->> 'id' END, t.key) AS subject
				FROM outbox t
				WHERE t.org = $1 AND t.published_at IS NOT NULL AND ($3 = 0 OR t.id = $3)
					AND ($4::timestamptz IS NULL OR t.created_at >= $4) AND ($5::timestamptz IS NULL OR t.created_at < $5)
				FOR SHARE
			), made AS (
				INSERT INTO webhook_delivery (endpoint, event, subject, again)
				SELECT e.id, c.id, c.subject, coalesce(1 + (SELECT max(again) FROM webhook_delivery WHERE endpoint = e.id AND event = c.id), 0)
				FROM chosen c JOIN webhook_endpoint e ON e.org = $1
				WHERE ($2 = '' OR e.id = $2) AND e.deleted_at IS NULL AND e.disabled_at IS NULL
					AND (e.events = '{}' OR c.topic = ANY (e.events))
					AND NOT EXISTS (SELECT FROM webhook_delivery d WHERE d.endpoint = e.id AND d.event = c.id AND d.status = 'pending')
					AND (NOT $6 OR EXISTS (SELECT FROM webhook_delivery d WHERE d.endpoint = e.id AND d.event = c.id)
						AND NOT EXISTS (SELECT FROM webhook_delivery d WHERE d.endpoint = e.id AND d.event = c.id AND d.status = 'delivered'))
				ORDER BY c.id
				ON CONFLICT (endpoint, event, again) DO NOTHING
				RETURNING endpoint)
			SELECT count(*), coalesce(array_agg(DISTINCT endpoint), '{}') FROM made`,
			r.Org, r.Endpoint, event, given(r.Since), given(r.Before), r.Failed).Scan(&deliveries, &endpoints)
	})
	if err != nil {
		return 0, nil, fmt.Errorf("the events were not sent again: %w", err)
	}
	return deliveries, endpoints, nil
}
