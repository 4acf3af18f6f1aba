package orderbook

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/clock"
)

// CheckLedger compares orders with the ledger's holds and with the outbox, as
// far as the audit does not know of orders: an accepted order has its hold, an
// open hold belongs to an order that is not over, and each stage of an order has
// its event. It runs within the audit's snapshot.
func CheckLedger(ctx context.Context, tx pgx.Tx, org string, found func(invariant, table, key, problem string)) error {
	for _, c := range []struct{ invariant, table, query string }{
		{"I4", "orders", `
			SELECT o.org || '/' || o.id, 'the order is ' || o.status || ', its hold is missing in the ledger'
			FROM orders o WHERE $1 IN ('', o.org) AND o.status <> 'rejected'
				AND NOT EXISTS (SELECT FROM credit_hold h WHERE h.owner = o.org AND h.id = o.id)
			ORDER BY o.seq`},
		// A hold is entered a moment before its order, under the key ID/hold.
		{"I4", "credit_hold", `
			SELECT h.owner || '/' || h.id, CASE WHEN o.id IS NULL THEN 'the hold is open, and there is no such order'
				ELSE 'the hold is open, and its order is ' || o.status END
			FROM credit_hold h LEFT JOIN orders o ON o.org = h.owner AND o.id = h.id
			WHERE $1 IN ('', h.owner) AND NOT h.closed
				AND (o.id IS NULL OR o.status IN ('settled', 'rejected', 'cancelled', 'failed'))
				AND NOT EXISTS (SELECT FROM credit_entry e
					WHERE e.owner = h.owner AND e.key = h.id || '/hold' AND o.id IS NULL AND e.at > ` + clock.SQL("h.owner", "clock_timestamp()") + ` - interval '10 minutes')
			ORDER BY 1`},
		{"I6", "outbox", `
			SELECT o.org || '/order.' || s.stage || '/' || o.id, 'the order was ' || s.stage || ', the event that tells it is missing'
			FROM orders o CROSS JOIN LATERAL (VALUES
				('reserved', o.status <> 'rejected', o.created_at),
				('completed', o.completed_at IS NOT NULL, o.completed_at),
				(o.status, o.settled_at IS NOT NULL, o.settled_at)) s (stage, reached, at)
			WHERE $1 IN ('', o.org) AND s.reached AND s.at > clock_timestamp() - interval '29 days' AND ` + clock.None("o.org") + `
				AND NOT EXISTS (SELECT FROM outbox x WHERE x.org = o.org AND x.key = 'order.' || s.stage || '/' || o.id)
			ORDER BY o.seq`},
	} {
		rows, _ := tx.Query(ctx, c.query, org)
		var key, problem string
		if _, err := pgx.ForEachRow(rows, []any{&key, &problem}, func() error {
			found(c.invariant, c.table, key, problem)
			return nil
		}); err != nil {
			return fmt.Errorf("the orders cannot be compared with the ledger: %w", err)
		}
	}
	return nil
}
