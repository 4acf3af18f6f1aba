package orderbook

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/database"
	"holdfast/internal/order"
)

// liveWait is what an order waits for while it verifies, as it is stored.
type liveWait struct {
	For    string    `json:"for"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Until  time.Time `json:"until,omitzero"`
}

// keptTally is what order_tally says about an order.
type keptTally struct {
	tally   order.Tally
	reasons []order.Reason
	waiting int64
}

// verdicts is the number of items that have one.
func (k keptTally) verdicts() (n int64) {
	for _, r := range k.reasons {
		n += r.Count
	}
	return n
}

// kept reads the running tallies of orders: a few rows for each, however many
// items it has.
func kept(ctx context.Context, db database.Reader, ids []string) (map[string]*keptTally, error) {
	found := map[string]*keptTally{}
	are, these := database.In("order_id", ids)
	rows, err := db.Query(ctx, `
		SELECT order_id, verdict, reason, items, owned, waiting
		FROM order_tally
		WHERE `+are+` AND items > 0
		ORDER BY order_id, items DESC, verdict, reason`, these)
	if err != nil {
		return nil, fmt.Errorf("reading the tallies of orders: %w", err)
	}
	var id string
	var r order.Reason
	var owned, waiting int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &r.Verdict, &r.Reason, &r.Count, &owned, &waiting}, func() error {
		k := found[id]
		if k == nil {
			k = &keptTally{}
			found[id] = k
		}
		k.reasons = append(k.reasons, r)
		k.waiting += waiting
		k.tally.Count(r.Verdict, r.Reason, r.Count)
		if r.Verdict == "valid" {
			k.tally.AlreadyOwned += owned
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("reading the tallies of orders: %w", err)
	}
	return found, nil
}

// live completes orders that are not over with what is shown while they run.
func (b *Book) live(ctx context.Context, rows []orderRow) ([]order.Order, error) {
	orders := make([]order.Order, len(rows))
	var verifying []string
	for i, row := range rows {
		orders[i] = row.order()
		if row.Status == order.Verifying {
			verifying = append(verifying, row.ID)
		}
	}
	tallies := map[string]*keptTally{}
	if len(verifying) > 0 {
		var err error
		if tallies, err = kept(ctx, b.pool, verifying); err != nil {
			return nil, err
		}
	}
	for i, row := range rows {
		row.show(&orders[i], tallies[row.ID])
	}
	return orders, nil
}

// show says of an order that is not over how far it is, and what it waits for.
func (r orderRow) show(o *order.Order, kept *keptTally) {
	if o.Status.Over() {
		return
	}
	pace := order.Pace{Done: o.Tally.Done(o.Selected), Total: o.Selected}
	if kept != nil {
		o.Tally, o.Reasons = kept.tally, kept.reasons
		pace.Done = o.Tally.Done(o.Selected) - kept.waiting
	}
	o.Progress = &pace
	if o.Status == order.Completed {
		if r.RefundWaits && r.unspent() {
			o.Waiting = &order.Wait{For: order.WaitRefund, Reason: "The rest of the hold is released after the plan's refund delay.", Until: utc(r.RefundAt)}
		}
		return
	}
	o.Paused = r.PausedAt != nil
	since, until := r.VerifyingSince, r.Now
	if w := r.Waiting; w != nil && w.Until.After(r.Now) {
		o.Waiting = &order.Wait{For: w.For, Reason: w.Reason, Until: utc(&w.Until)}
		if since != nil {
			begun := since.Add(w.At.Sub(w.Until))
			since, until = &begun, w.At
		}
	} else if o.Paused {
		o.Waiting = &order.Wait{For: order.WaitResume, Reason: "The order is paused; resume it to continue."}
		until = *r.PausedAt
	}
	if since != nil {
		pace.Estimate(*since, until, o.Waiting)
	}
}

// unspent reports whether the hold still has anything to release.
func (r orderRow) unspent() bool {
	for _, c := range r.Credits {
		if c.Held > c.Captured+c.Released {
			return true
		}
	}
	return false
}

// NoteCharged notes what an open order has been charged so far. What a late
// attempt says takes nothing back.
func (b *Book) NoteCharged(ctx context.Context, id string, credits []order.Credit) error {
	var captured int64
	for _, c := range credits {
		captured += c.Captured
	}
	_, err := b.pool.Exec(ctx, `
		UPDATE orders SET credits = $2
		WHERE id = $1 AND status = 'verifying'
			AND $3 > (SELECT coalesce(sum((c ->> 'captured')::bigint), 0) FROM jsonb_array_elements(credits) c)`, id, credits, captured)
	if err != nil {
		return fmt.Errorf("noting the charges of order %s: %w", id, err)
	}
	return nil
}

// recount counts the items of orders and keeps their tallies, where items come or
// change in large numbers or rarely. The other writers keep it up to date.
func recount(ctx context.Context, tx pgx.Tx, orderIDs ...string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM order_tally WHERE order_id = ANY ($1)`, orderIDs); err != nil {
		return err
	}
	return countItems(ctx, tx, orderIDs)
}

// countItems keeps the tallies of orders that have none.
func countItems(ctx context.Context, tx pgx.Tx, orderIDs []string) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO order_tally (order_id, verdict, reason, items, owned, waiting)
		SELECT order_id, verdict, reason, count(*), count(*) FILTER (WHERE already_owned), count(retry_at)
		FROM order_item
		WHERE order_id = ANY ($1) AND verdict IS NOT NULL
		GROUP BY 1, 2, 3
		ORDER BY 1, 2, 3
		ON CONFLICT (order_id, verdict, reason) DO UPDATE SET
			items = excluded.items, owned = excluded.owned, waiting = excluded.waiting`, orderIDs)
	return err
}
