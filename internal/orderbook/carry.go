package orderbook

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// OwnershipDue lists the organizations whose facts are still about leads and not
// about values, or only the one that is named.
func (b *Book) OwnershipDue(ctx context.Context, org string) ([]string, error) {
	which, args := ``, []any{}
	if org != "" {
		which, args = ` WHERE org = $1`, append(args, org)
	}
	rows, _ := b.pool.Query(ctx, `SELECT org FROM ownership_due`+which+` ORDER BY org`, args...)
	due, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing the organizations with facts to carry over: %w", err)
	}
	return due, nil
}

// OwnershipCarried notes that the facts of an organization are about values.
func (b *Book) OwnershipCarried(ctx context.Context, org string) error {
	if _, err := b.pool.Exec(ctx, `DELETE FROM ownership_due WHERE org = $1`, org); err != nil {
		return fmt.Errorf("noting that the facts of %s are carried over: %w", org, err)
	}
	return nil
}

// OldOrders lists the orders of an organization that delivered values of leads
// before items had keys.
func (b *Book) OldOrders(ctx context.Context, org string) ([]string, error) {
	rows, _ := b.pool.Query(ctx, `
		SELECT id FROM orders o WHERE org = $1 AND kind <> 'verify'
			AND EXISTS (SELECT FROM order_item i WHERE i.order_id = o.id AND i.keys IS NULL AND i.delivered_at IS NOT NULL)
		ORDER BY seq`, org)
	orders, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("listing the orders of %s with facts to carry over: %w", org, err)
	}
	return orders, nil
}

// OldFact is a value that an order delivered, and the fact that paid for it.
type OldFact struct {
	Type    string
	Scope   string
	Field   order.Field
	Value   string
	Country string
}

// OldFacts returns the values that an order delivered before items had keys and
// that its organization still owns.
func (b *Book) OldFacts(ctx context.Context, orderID string) ([]OldFact, error) {
	rows, _ := b.pool.Query(ctx, `
		SELECT f.type, f.scope, i.field, i.value, coalesce(l.country, '') AS country
		FROM orders o
		JOIN order_item i ON i.order_id = o.id AND i.keys IS NULL AND i.delivered_at IS NOT NULL AND i.value <> '' AND i.lead_no > 0
		CROSS JOIN LATERAL jsonb_array_elements(o.credits) AS c
		JOIN credit_fact f ON f.owner = o.org AND f.type = c ->> 'type' AND f.scope IN ('', o.member) AND f.subject = i.fingerprint AND NOT f.reversed
		JOIN credit_entry e ON e.owner = f.owner AND e.seq = f.seq AND e.hold_id = o.id
		LEFT JOIN lead l ON l.no = i.lead_no
		WHERE o.id = $1
		ORDER BY f.type, f.scope, i.n`, orderID)
	facts, err := pgx.CollectRows(rows, pgx.RowToStructByName[OldFact])
	if err != nil {
		return nil, fmt.Errorf("reading what order %s paid for: %w", orderID, err)
	}
	return facts, nil
}
