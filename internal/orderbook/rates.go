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
	order.ReasonDuplicate,
}

// Bounds of what Outcomes reads, so that a quote costs about the same however
// many and however large the earlier orders are.
const (
	outcomeOrders = 100
	outcomeItems  = 4000 // of all these orders together
)

// Outcome is how many items of one earlier order had a verdict for a reason.
type Outcome struct {
	Order   int64 // tells orders apart
	Verdict string
	Reason  string
	Items   int64
}

// Outcomes returns what verification found about a field in the latest orders of
// a kind, of an organization or, where org is empty, of all organizations. Of
// large orders it reads a sample that is spread evenly over their items. Items
// that needed no verification are left out.
func (b *Book) Outcomes(ctx context.Context, org string, kind order.Kind, field order.Field) ([]Outcome, error) {
	rows, _ := b.pool.Query(ctx, `
		WITH past AS (
			SELECT id, seq, selected, least(selected, ceil($5::numeric / count(*) OVER ())::bigint) AS sample
			FROM (SELECT id, seq, selected FROM orders
				WHERE ($1 = '' OR org = $1) AND kind = $2 AND selected > 0
				ORDER BY seq DESC LIMIT $4) o),
		item AS (
			SELECT p.seq, p.id, 1 + s * selected / sample
				+ mod(abs(hashint8extended(s, 0) / 2), greatest(1, (s + 1) * selected / sample - s * selected / sample)) AS n
			FROM past p CROSS JOIN LATERAL generate_series(0, p.sample - 1) s)
		SELECT seq, i.verdict, i.reason, count(*)
		FROM item CROSS JOIN LATERAL (
			SELECT verdict, reason FROM order_item
			WHERE order_id = item.id AND n = item.n AND field = $3 AND verdict IS NOT NULL AND retry_at IS NULL
				AND reason <> ALL ($6)) i
		GROUP BY seq, i.verdict, i.reason
		ORDER BY seq`, org, kind, field, outcomeOrders, outcomeItems, chosen)
	outcomes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Outcome])
	if err != nil {
		return nil, fmt.Errorf("reading what came of earlier orders: %w", err)
	}
	return outcomes, nil
}
