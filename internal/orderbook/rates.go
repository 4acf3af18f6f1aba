package orderbook

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// PastTallies returns what came of the latest orders of a kind, at most n of
// them: of the organization's own, or of everybody's where it has none. Orders
// of a few items say little about the next one and are left out.
func (b *Book) PastTallies(ctx context.Context, org string, kind order.Kind, n int) ([]order.Tally, error) {
	const fewItems = 20
	for _, whose := range []string{org, ""} {
		rows, _ := b.pool.Query(ctx, `
			SELECT valid, invalid, catch_all, risky, disposable, "unknown", already_owned, duplicate
			FROM orders
			WHERE ($1 = '' OR org = $1) AND kind = $2 AND status IN ('completed', 'settled') AND selected >= $3
			ORDER BY seq DESC
			LIMIT $4`, whose, kind, fewItems, n)
		tallies, err := pgx.CollectRows(rows, pgx.RowToStructByPos[order.Tally])
		if err != nil {
			return nil, fmt.Errorf("reading what came of earlier orders: %w", err)
		}
		if len(tallies) > 0 {
			return tallies, nil
		}
	}
	return nil, nil
}
