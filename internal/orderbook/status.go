package orderbook

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/clock"
	"holdfast/internal/commit"
	"holdfast/internal/order"
)

// Start moves a reserved order to verifying; selected is the number of items
// that were frozen for it.
//
// This and the other changes of status may be called again: an order that is
// at the status already, or beyond it on the same way, stays as it is, and so
// does one that is asked to end and has ended. The error is ErrNotFound, or
// ErrOver when the order has gone another way.
func (b *Book) Start(ctx context.Context, id string, selected int64) error {
	return b.change(ctx, id, order.Verifying, update{selected: &selected})
}

// Extend notes that further items were frozen for a verifying order: selected is
// their number from now on. It may be called again.
func (b *Book) Extend(ctx context.Context, id string, selected int64) error {
	err := commit.Begin(ctx, b.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE orders SET selected = $2 WHERE id = $1 AND status = 'verifying' AND selected < $2`, id, selected)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return recount(ctx, tx, id) // some have their verdict from the start
	})
	if err != nil {
		return fmt.Errorf("extending order %s: %w", id, err)
	}
	return nil
}

// Complete moves a verifying order to completed: all items have their final
// verdict, what is billable was charged and delivered, and the rest of the
// hold is released a while after that.
func (b *Book) Complete(ctx context.Context, id string, tally order.Tally, reasons []order.Reason, credits []order.Credit, refund time.Duration) error {
	return b.change(ctx, id, order.Completed, update{tally: &tally, reasons: reasons, credits: credits, refund: &refund})
}

// NoteCredits notes what has become of the order's credits, for example that
// some were credited back. It may be called again.
func (b *Book) NoteCredits(ctx context.Context, id string, credits []order.Credit) error {
	if _, err := b.pool.Exec(ctx, `UPDATE orders SET credits = $2 WHERE id = $1`, id, credits); err != nil {
		return fmt.Errorf("noting the credits of order %s: %w", id, err)
	}
	return nil
}

// Settle moves a completed order to settled: the rest of the hold has been
// released.
func (b *Book) Settle(ctx context.Context, id string, credits []order.Credit) error {
	return b.change(ctx, id, order.Settled, update{credits: credits})
}

// Cancel moves a reserved or verifying order to cancelled. What was delivered
// stays delivered. A completed order is settled instead: its list was delivered
// before the cancellation came.
func (b *Book) Cancel(ctx context.Context, id string, tally order.Tally, credits []order.Credit) error {
	return b.change(ctx, id, order.Cancelled, update{tally: &tally, credits: credits})
}

// Fail moves a reserved or verifying order to failed. What was delivered stays
// delivered. A completed order is settled instead, as by Cancel.
func (b *Book) Fail(ctx context.Context, id string, failure order.Failure, tally order.Tally, credits []order.Credit) error {
	return b.change(ctx, id, order.Failed, update{tally: &tally, credits: credits, failure: &failure})
}

// update is what changes with a status; nil stays as it was.
type update struct {
	selected  *int64
	delivered int64 // items, besides those before
	tally     *order.Tally
	reasons   []order.Reason
	credits   []order.Credit
	failure   *order.Failure
	refund    *time.Duration // after which the rest is given back
}

// change moves one order.
func (b *Book) change(ctx context.Context, id string, to order.Status, u update) error {
	var refused map[string]error
	var changed []order.Order
	err := commit.Begin(ctx, b.pool, func(tx pgx.Tx) (err error) {
		changed, refused, err = changeAll(ctx, tx, to, map[string]update{id: u})
		return err
	}, commit.PlannedOnce...)
	if err = cmp.Or(err, refused[id]); err != nil {
		return fmt.Errorf("moving order %s to %s: %w", id, to, err)
	}
	for _, o := range changed {
		b.count(o)
	}
	return nil
}

// changeAll moves orders, each as if it were alone, by a few statements. It
// returns those that were moved and are announced, and why others were not.
func changeAll(ctx context.Context, tx pgx.Tx, to order.Status, updates map[string]update) (changed []order.Order, refused map[string]error, err error) {
	now, err := lockStatus(ctx, tx, slices.Sorted(maps.Keys(updates)))
	if err != nil {
		return nil, nil, err
	}
	return moveAll(ctx, tx, now, to, updates)
}

// moveAll is changeAll for orders that are locked and stand at now.
func moveAll(ctx context.Context, tx pgx.Tx, now map[string]order.Status, to order.Status, updates map[string]update) (changed []order.Order, refused map[string]error, err error) {
	refused = map[string]error{}
	var moves moveColumns
	var started, announced []string
	for _, id := range slices.Sorted(maps.Keys(updates)) {
		at, known := now[id]
		if !known {
			refused[id] = ErrNotFound
			continue
		}
		// Decided while the row is locked: a cancellation and the last step of an
		// order can come together.
		next, ok := order.Move(at, to)
		u := updates[id]
		if next != to {
			u = update{credits: u.credits} // it was delivered before it was to end
		}
		switch {
		case !ok:
			refused[id] = fmt.Errorf("%w: it is %s", ErrOver, at)
		case next == at:
		default:
			if err := moves.add(id, next, u); err != nil {
				return nil, nil, err
			}
			if announced = append(announced, id); next == order.Verifying {
				started = append(started, id)
			}
		}
	}
	if len(moves.id) == 0 {
		return nil, refused, nil
	}
	moved, err := moves.write(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	if len(started) > 0 { // some items have their verdict from the start
		if err := countItems(ctx, tx, started); err != nil {
			return nil, nil, err
		}
	}
	changed = inOrder(moved, announced)
	return changed, refused, announceAll(ctx, tx, changed)
}

// lockStatus locks orders, in the order of their IDs as every writer of several
// does, and says how they stand.
func lockStatus(ctx context.Context, tx pgx.Tx, ids []string) (map[string]order.Status, error) {
	rows, err := tx.Query(ctx, `SELECT id, status FROM orders WHERE id = ANY ($1) ORDER BY id FOR UPDATE`, ids)
	if err != nil {
		return nil, err
	}
	now := make(map[string]order.Status, len(ids))
	var id string
	var status order.Status
	_, err = pgx.ForEachRow(rows, []any{&id, &status}, func() error {
		now[id] = status
		return nil
	})
	return now, err
}

// moveColumns are changes of status turned on their side, as unnest wants them.
type moveColumns struct {
	id, status                       []string
	selected                         []*int64
	delivered                        []int64
	reasons, credits, failure, tally []*string // JSON
	refundAfter                      []*int64  // microseconds
}

func (m *moveColumns) add(id string, to order.Status, u update) error {
	for _, c := range []struct {
		column *[]*string
		value  any
		is     bool
	}{
		{&m.reasons, u.reasons, u.reasons != nil},
		{&m.credits, u.credits, u.credits != nil},
		{&m.failure, u.failure, u.failure != nil},
		{&m.tally, u.tally, u.tally != nil},
	} {
		var text *string
		if c.is {
			body, err := json.Marshal(c.value)
			if err != nil {
				return err
			}
			s := string(body)
			text = &s
		}
		*c.column = append(*c.column, text)
	}
	m.id, m.status, m.delivered = append(m.id, id), append(m.status, string(to)), append(m.delivered, u.delivered)
	var after *int64
	if u.refund != nil {
		n := u.refund.Microseconds()
		after = &n
	}
	m.selected, m.refundAfter = append(m.selected, u.selected), append(m.refundAfter, after)
	return nil
}

// orgNow is the time of the organization of an order o.
var orgNow = clock.SQL("o.org", "now()")

// orderNow is the time of the organization of the order with an ID.
func orderNow(id string) string {
	return `(SELECT ` + orgNow + ` FROM orders o WHERE o.id = ` + id + `)`
}

// write writes the changes and returns the orders as they stand then. An order can
// end between the choice of its items and its next status, which says how many they
// are: then they are counted here.
func (m *moveColumns) write(ctx context.Context, tx pgx.Tx) (map[string]orderRow, error) {
	return rowsOf(tx.Query(ctx, `
		WITH moved AS (UPDATE orders o SET
			status = c.status,
			selected = greatest(coalesce(c.selected, o.selected), chosen.items),
			delivered = o.delivered + c.delivered,
			reasons = coalesce(c.reasons::jsonb, o.reasons),
			credits = coalesce(c.credits::jsonb, o.credits),
			failure = coalesce(c.failure::jsonb, o.failure),
			refund_at = coalesce(`+orgNow+` + c.refund_after * interval '1 microsecond', o.refund_at),
			valid = coalesce((c.tally::jsonb ->> 'valid')::bigint, valid),
			invalid = coalesce((c.tally::jsonb ->> 'invalid')::bigint, invalid),
			catch_all = coalesce((c.tally::jsonb ->> 'catch_all')::bigint, catch_all),
			risky = coalesce((c.tally::jsonb ->> 'risky')::bigint, risky),
			disposable = coalesce((c.tally::jsonb ->> 'disposable')::bigint, disposable),
			"unknown" = coalesce((c.tally::jsonb ->> 'unknown')::bigint, "unknown"),
			already_owned = coalesce((c.tally::jsonb ->> 'already_owned')::bigint, already_owned),
			duplicate = coalesce((c.tally::jsonb ->> 'duplicate')::bigint, duplicate),
			verifying_since = CASE WHEN c.status = 'verifying' THEN now() ELSE verifying_since END,
			completed_at = CASE WHEN c.status = 'completed' THEN `+orgNow+` ELSE completed_at END,
			settled_at = CASE WHEN c.status IN ('settled', 'cancelled', 'failed') THEN `+orgNow+` END
		FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[], $9::bigint[])
			AS c (id, status, selected, reasons, credits, failure, tally, refund_after, delivered)
		LEFT JOIN LATERAL (SELECT max(n) AS items FROM order_item i WHERE i.order_id = c.id AND c.status IN ('cancelled', 'failed')) chosen ON true
		WHERE o.id = c.id
		RETURNING o.*)
		SELECT `+orderColumns+` FROM moved AS orders`,
		m.id, m.status, m.selected, m.reasons, m.credits, m.failure, m.tally, m.refundAfter, m.delivered))
}
