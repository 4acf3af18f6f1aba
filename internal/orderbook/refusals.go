package orderbook

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Refusal is a mail host that refused to talk to us.
type Refusal struct {
	Host     string
	Reason   string
	Contacts int64
	Code     int64 // of its reply; 0 = it gave none
}

// Refusals lists the mail hosts that refused us in the latest orders of all
// organizations, those with the most contacts first.
func (b *Book) Refusals(ctx context.Context, limit int) ([]Refusal, error) {
	rows, _ := b.pool.Query(ctx, `
		SELECT mx_host, reason, count(*), coalesce(max(smtp_code), 0)::bigint FROM order_item
		WHERE order_id IN (SELECT id FROM orders ORDER BY seq DESC LIMIT 20)
			AND reason IN ('blocked', 'policy', 'sender_refused') AND mx_host <> ''
		GROUP BY mx_host, reason ORDER BY 3 DESC, 1 LIMIT $1`, limit)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Refusal])
	if err != nil {
		return nil, fmt.Errorf("the mail hosts that refuse us cannot be read: %w", err)
	}
	return list, nil
}
