package orderbook

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// chosen are the reasons of verdicts that items had from the start: they say
// nothing about what verification finds.
var chosen = []string{
	order.ReasonOwned, order.ReasonOnFile, order.ReasonNotFound, order.ReasonNotNew, order.ReasonNotOwned, order.ReasonSuppressed,
}

// PastTallies returns what verification found in the latest orders of a kind, at
// most n of them: of the organization's own, or of everybody's where it has
// none. Orders in which a few items were verified say little about the next one
// and are left out.
func (b *Book) PastTallies(ctx context.Context, org string, kind order.Kind, n int) ([]order.Tally, error) {
	const fewItems = 20
	for _, whose := range []string{org, ""} {
		rows, _ := b.pool.Query(ctx, `
			SELECT o.valid - c.valid, invalid, catch_all, risky, disposable, "unknown" - c.lacking, already_owned - c.owned, duplicate
			FROM orders o CROSS JOIN LATERAL (
				SELECT coalesce(sum(count) FILTER (WHERE verdict = 'valid'), 0)::bigint AS valid,
					coalesce(sum(count) FILTER (WHERE verdict = 'unknown'), 0)::bigint AS lacking,
					coalesce(sum(count) FILTER (WHERE reason = 'owned'), 0)::bigint AS owned
				FROM jsonb_to_recordset(o.reasons) AS r (verdict text, reason text, count bigint)
				WHERE reason = ANY ($5)) c
			WHERE ($1 = '' OR org = $1) AND kind = $2 AND status IN ('completed', 'settled')
				AND selected - c.valid - c.lacking >= $3
			ORDER BY seq DESC
			LIMIT $4`, whose, kind, fewItems, n, chosen)
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
