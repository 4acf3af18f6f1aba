package orderbook

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/errcode"
	"holdfast/internal/order"
)

// ErrResultsRemoved is returned for results that are not kept any more.
var ErrResultsRemoved = errcode.New(errcode.Gone, "The results of this order are not kept any more; its counts and credits are.")

// EndedOrder is an order that is over and still has its results.
type EndedOrder struct {
	ID   string
	Kind order.Kind
	PlanVersion
	SettledAt time.Time
}

// LongOver lists orders of some kinds that were over before a time and still have
// their results, the oldest first, behind one of a page before.
func (b *Book) LongOver(ctx context.Context, kinds []order.Kind, before time.Time, after EndedOrder, limit int) ([]EndedOrder, error) {
	rows, _ := b.pool.Query(ctx, `
		SELECT id, kind, plan_id, plan_version, settled_at FROM orders
		WHERE results_removed_at IS NULL AND settled_at < $1 AND (settled_at, id) > ($2, $3) AND kind = ANY ($5) AND status <> 'rejected'
		ORDER BY settled_at, id LIMIT $4`, before, after.SettledAt, after.ID, limit, kinds)
	over, err := pgx.CollectRows(rows, pgx.RowToStructByName[EndedOrder])
	if err != nil {
		return nil, fmt.Errorf("listing the orders that were over before %s: %w", before.Format(time.DateOnly), err)
	}
	return over, nil
}

// RemoveResults deletes the items of an order that is over and notes it: of an
// order of leads those that were not delivered, because what was delivered is
// owned and shown for ever; else all. Counts, charges and the tally stay. It
// returns how many items went; an order whose results are removed loses no more.
func (b *Book) RemoveResults(ctx context.Context, orderID string) (removed int64, err error) {
	err = pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		noted, err := tx.Exec(ctx, `
			UPDATE orders SET results_removed_at = now()
			WHERE id = $1 AND settled_at IS NOT NULL AND results_removed_at IS NULL`, orderID)
		if err != nil || noted.RowsAffected() == 0 {
			return err
		}
		deleted, err := tx.Exec(ctx, `
			DELETE FROM order_item WHERE order_id = $1 AND (lead_no = 0 OR delivered_at IS NULL)`, orderID)
		removed = deleted.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("removing the results of order %s: %w", orderID, err)
	}
	return removed, nil
}
