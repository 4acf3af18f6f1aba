package orderbook

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/commit"
	"holdfast/internal/database"
	"holdfast/internal/order"
)

// What is here does for many small orders by a few statements what its namesake
// does for one. The orders of a call are locked in the order of their IDs.

// StartAll moves reserved orders to verifying; selected is the number of items of
// each, by ID. It says which orders cannot be moved, and why, see Start.
func (b *Book) StartAll(ctx context.Context, selected map[string]int64) (refused map[string]error, err error) {
	updates := make(map[string]update, len(selected))
	for id, n := range selected {
		updates[id] = update{selected: &n}
	}
	err = commit.Begin(ctx, b.pool, func(tx pgx.Tx) error {
		_, refused, err = changeAll(ctx, tx, order.Verifying, updates)
		return err
	}, commit.PlannedOnce...)
	if err != nil {
		return nil, fmt.Errorf("starting %d orders: %w", len(selected), err)
	}
	return refused, nil
}

// PendingAll returns the items of orders that want to be verified at the time
// now, see Pending.
func (b *Book) PendingAll(ctx context.Context, orderIDs []string, now time.Time) ([]Item, error) {
	are, these := database.In("order_id", orderIDs)
	rows, _ := b.pool.Query(ctx, `
		SELECT order_id, n, field, value, keys, already_owned
		FROM order_item
		WHERE `+are+` AND (verdict IS NULL OR retry_at <= $2)
		ORDER BY order_id, n`, these, now)
	items, err := pgx.CollectRows(rows, pgx.RowToStructByName[Item])
	if err != nil {
		return nil, fmt.Errorf("reading the pending items of %d orders: %w", len(orderIDs), err)
	}
	return items, nil
}

// Undecided are those of some orders that have items without a final verdict.
func (b *Book) Undecided(ctx context.Context, orderIDs []string) (map[string]bool, error) {
	are, these := database.In("order_id", orderIDs)
	rows, _ := b.pool.Query(ctx, `
		SELECT DISTINCT order_id FROM order_item
		WHERE `+are+` AND (verdict IS NULL OR retry_at IS NOT NULL)`, these)
	return idSet(rows, "looking for items without a verdict")
}

// BillableAll returns the items of orders of one organization that are billable,
// see Billable, by order. verdicts are those that are delivered.
func (b *Book) BillableAll(ctx context.Context, orderIDs, verdicts []string) (map[string][]Fact, error) {
	if err := b.withholdAll(ctx, orderIDs, verdicts); err != nil {
		return nil, err
	}
	are, these := database.In("i.order_id", orderIDs)
	rows, _ := b.pool.Query(ctx, `
		SELECT order_id, n, field, fingerprint, keys, lead_no, CASE WHEN keys IS NULL THEN value ELSE '' END AS value, already_owned, verdict, reason
		FROM order_item i
		WHERE `+are+` AND i.n BETWEEN $2 AND $3 AND `+goesOut+`
		ORDER BY order_id, n`, these, 1, int64(1)<<62, verdicts, order.ReasonSuppressed)
	type fact struct {
		OrderID string
		Fact
	}
	facts, err := pgx.CollectRows(rows, pgx.RowToStructByName[fact])
	if err != nil {
		return nil, fmt.Errorf("reading the billable items of %d orders: %w", len(orderIDs), err)
	}
	found := make(map[string][]Fact, len(orderIDs))
	for _, f := range facts {
		f.wasOwned = f.AlreadyOwned
		found[f.OrderID] = append(found[f.OrderID], f.Fact)
	}
	return found, nil
}

// withholdAll is Withhold for whole orders.
func (b *Book) withholdAll(ctx context.Context, orderIDs, verdicts []string) error {
	are, these := database.In("o.id", orderIDs)
	rows, _ := b.pool.Query(ctx, `
		SELECT o.id FROM orders o WHERE `+are+` AND `+suppressedSince, these)
	changed, err := idSet(rows, "looking for who was suppressed since orders began")
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(changed)) {
		if err := b.Withhold(ctx, id, 1, 1<<62, verdicts); err != nil {
			return err
		}
	}
	return nil
}

// Completion is an order whose items have their verdicts, with what Billable
// returned of it and was charged.
type Completion struct {
	OrderID    string
	Selected   int64 // items, all of which have their verdicts
	Items      []Fact
	Duplicates int64 // rows of its list that say again what an earlier one says
	Credits    []order.Credit
	Refund     time.Duration // after which the rest of the hold is given back
}

// CompleteAll delivers the items of orders of one organization and moves the orders
// to completed. It returns those that it moved, and says which cannot be moved, and why; nothing of
// these is delivered.
func (b *Book) CompleteAll(ctx context.Context, completions []Completion) (changed []order.Order, refused map[string]error, err error) {
	err = commit.Begin(ctx, b.pool, func(tx pgx.Tx) error {
		ids := make([]string, len(completions))
		for i, c := range completions {
			ids[i] = c.OrderID
		}
		now, err := lockStatus(ctx, tx, ids)
		if err != nil {
			return err
		}
		open := slices.DeleteFunc(slices.Clone(completions), func(c Completion) bool { return now[c.OrderID] != order.Verifying })
		delivered, err := deliverAll(ctx, tx, open)
		if err != nil {
			return err
		}
		tallies, err := tallyAll(ctx, tx, ids)
		if err != nil {
			return err
		}
		updates := make(map[string]update, len(completions))
		for _, c := range completions {
			t := tallies[c.OrderID]
			if have := t.verdicts(); have < c.Selected { // the database lost some with its server
				return fmt.Errorf("order %s has %d verdicts for %d items", c.OrderID, have, c.Selected)
			}
			t.tally.Duplicate += c.Duplicates
			updates[c.OrderID] = update{delivered: delivered[c.OrderID], tally: &t.tally, reasons: t.reasons, credits: c.Credits, refund: &c.Refund}
		}
		changed, refused, err = moveAll(ctx, tx, now, order.Completed, updates)
		return err
	}, commit.PlannedOnce...)
	if err != nil {
		return nil, nil, fmt.Errorf("completing %d orders: %w", len(completions), err)
	}
	for _, o := range changed {
		b.count(o)
	}
	return changed, refused, nil
}

// deliverAll marks items of several orders as delivered, see Deliver, and returns
// how many of each it marked newly.
func deliverAll(ctx context.Context, tx pgx.Tx, completions []Completion) (delivered map[string]int64, err error) {
	var ids []string
	var numbers []int64
	var owned []bool
	for _, c := range completions {
		for _, item := range c.Items {
			ids, numbers, owned = append(ids, c.OrderID), append(numbers, item.N), append(owned, item.AlreadyOwned)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `
		UPDATE order_item i SET delivered_at = `+orderNow("($1::text[])[1]")+`, already_owned = d.owned
		FROM unnest($1::text[], $2::bigint[], $3::bool[]) AS d (order_id, n, owned)
		WHERE i.order_id = d.order_id AND i.n = d.n AND i.delivered_at IS NULL AND i.retry_at IS NULL AND i.verdict IS NOT NULL
		RETURNING i.order_id`, ids, numbers, owned)
	if err != nil {
		return nil, err
	}
	delivered = map[string]int64{}
	var id string
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { delivered[id]++; return nil }); err != nil {
		return nil, fmt.Errorf("marking items as delivered: %w", err)
	}
	for _, c := range completions {
		if delivered[c.OrderID] > 0 {
			if err := keepOwned(ctx, tx, c.OrderID, c.Items); err != nil {
				return nil, err
			}
		}
	}
	return delivered, nil
}

// tallyAll counts items of orders that have a verdict, see Tally.
func tallyAll(ctx context.Context, tx pgx.Tx, ids []string) (map[string]keptTally, error) {
	rows, err := tx.Query(ctx, `
		SELECT order_id, verdict, reason, count(*), count(*) FILTER (WHERE already_owned)
		FROM order_item
		WHERE order_id = ANY ($1) AND verdict IS NOT NULL
		GROUP BY order_id, verdict, reason
		ORDER BY order_id, 4 DESC, 2, 3`, ids)
	if err != nil {
		return nil, err
	}
	tallies := make(map[string]keptTally, len(ids))
	var id string
	var r order.Reason
	var owned int64
	_, err = pgx.ForEachRow(rows, []any{&id, &r.Verdict, &r.Reason, &r.Count, &owned}, func() error {
		t := tallies[id]
		t.reasons = append(t.reasons, r)
		t.tally.Count(r.Verdict, r.Reason, r.Count)
		if r.Verdict == "valid" {
			t.tally.AlreadyOwned += owned
		}
		tallies[id] = t
		return nil
	})
	return tallies, err
}

// SettleAll moves completed orders to settled, with their credits, see Settle. It
// returns those that it moved, and says which cannot be moved, and why.
func (b *Book) SettleAll(ctx context.Context, credits map[string][]order.Credit) (changed []order.Order, refused map[string]error, err error) {
	updates := make(map[string]update, len(credits))
	for id, c := range credits {
		updates[id] = update{credits: c}
	}
	err = commit.Begin(ctx, b.pool, func(tx pgx.Tx) error {
		changed, refused, err = changeAll(ctx, tx, order.Settled, updates)
		return err
	}, commit.PlannedOnce...)
	if err != nil {
		return nil, nil, fmt.Errorf("settling %d orders: %w", len(credits), err)
	}
	for _, o := range changed {
		b.count(o)
	}
	return changed, refused, nil
}
