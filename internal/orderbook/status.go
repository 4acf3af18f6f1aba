package orderbook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

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
	err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
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
// hold is released at refundAt.
func (b *Book) Complete(ctx context.Context, id string, tally order.Tally, reasons []order.Reason, credits []order.Credit, refundAt time.Time) error {
	return b.change(ctx, id, order.Completed, update{tally: &tally, reasons: reasons, credits: credits, refundAt: &refundAt})
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

// ways says from which status an order may come to another.
var ways = map[order.Status][]order.Status{
	order.Verifying: {order.Reserved},
	order.Completed: {order.Verifying},
	order.Settled:   {order.Completed},
	order.Cancelled: {order.Reserved, order.Verifying},
	order.Failed:    {order.Reserved, order.Verifying},
}

// passed says whether an order that stands at now has been at the status, so
// that the change was made before. Only a finished way proves that: an order
// that was cancelled may have been verifying or not, and is told ErrOver.
func passed(now, status order.Status) bool {
	if now == status {
		return true
	}
	way := []order.Status{order.Reserved, order.Verifying, order.Completed, order.Settled}
	at, wanted := slices.Index(way, now), slices.Index(way, status)
	return at >= 0 && wanted >= 0 && at > wanted
}

// end is how an order that stands at now ends when it is asked to end in
// another status: what is delivered is settled, whatever stopped the order, and
// what has ended stays as it ended. It is decided while the row is locked,
// because a cancellation and the last step of an order can come together.
func end(now, to order.Status, u update) (order.Status, update) {
	switch {
	case !to.Over():
	case now.Over():
		return now, u
	case now == order.Completed:
		return order.Settled, update{credits: u.credits}
	}
	return to, u
}

// update is what changes with a status; nil stays as it was.
type update struct {
	selected *int64
	tally    *order.Tally
	reasons  []order.Reason
	credits  []order.Credit
	failure  *order.Failure
	refundAt *time.Time
}

func (b *Book) change(ctx context.Context, id string, to order.Status, u update) error {
	var changed order.Order
	err := pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		var now order.Status
		err := tx.QueryRow(ctx, `SELECT status FROM orders WHERE id = $1 FOR UPDATE`, id).Scan(&now)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		to, u := end(now, to, u)
		if passed(now, to) {
			return nil
		}
		if !slices.Contains(ways[to], now) {
			return fmt.Errorf("%w: it is %s", ErrOver, now)
		}
		if _, err := tx.Exec(ctx, `
			UPDATE orders SET
				status = $2,
				selected = coalesce($3, selected),
				reasons = coalesce($4, reasons),
				credits = coalesce($5, credits),
				failure = coalesce($6, failure),
				refund_at = coalesce($7, refund_at),
				valid = coalesce(($8::jsonb ->> 'valid')::bigint, valid),
				invalid = coalesce(($8::jsonb ->> 'invalid')::bigint, invalid),
				catch_all = coalesce(($8::jsonb ->> 'catch_all')::bigint, catch_all),
				risky = coalesce(($8::jsonb ->> 'risky')::bigint, risky),
				disposable = coalesce(($8::jsonb ->> 'disposable')::bigint, disposable),
				"unknown" = coalesce(($8::jsonb ->> 'unknown')::bigint, "unknown"),
				already_owned = coalesce(($8::jsonb ->> 'already_owned')::bigint, already_owned),
				duplicate = coalesce(($8::jsonb ->> 'duplicate')::bigint, duplicate),
				verifying_since = CASE WHEN $2 = 'verifying' THEN now() ELSE verifying_since END,
				completed_at = CASE WHEN $2 = 'completed' THEN now() ELSE completed_at END,
				settled_at = CASE WHEN $2 IN ('settled', 'cancelled', 'failed') THEN now() END
			WHERE id = $1`,
			id, string(to), u.selected, u.reasons, u.credits, u.failure, u.refundAt, u.tally); err != nil {
			return err
		}
		if to == order.Verifying { // of no interest outside; some items have their verdict from the start
			return recount(ctx, tx, id)
		}
		o, _, err := read(ctx, tx, "", id)
		if err != nil {
			return err
		}
		changed = o
		return announce(ctx, tx, "order."+string(to), o)
	})
	if err != nil {
		return fmt.Errorf("moving order %s to %s: %w", id, to, err)
	}
	b.count(changed)
	return nil
}
