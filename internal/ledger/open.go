package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// HoldRef names a hold.
type HoldRef struct {
	Owner string
	ID    string
}

// OpenHolds returns the open holds that are not among those that are known. It
// compares what each owner has held with what the known holds have left, and
// looks through the holds of the owners alone that have more: an index on open
// holds would cost every hold.
func (l *Ledger) OpenHolds(ctx context.Context, known []HoldRef) ([]HoldRef, error) {
	owners, ids := make([]string, len(known)), make([]string, len(known))
	for i, h := range known {
		owners[i], ids[i] = h.Owner, h.ID
	}
	rows, _ := l.pool.Query(ctx, `
		WITH known AS MATERIALIZED (
			SELECT h.owner, h.id, h.amount - h.captured - h.released AS held
			FROM unnest($1::text[], $2::text[]) AS k (owner, id) JOIN credit_hold h ON h.owner = k.owner AND h.id = k.id
		), has AS MATERIALIZED (
			SELECT owner, sum(held) AS held FROM credit_account WHERE held > 0 GROUP BY owner
		), more AS MATERIALIZED (
			SELECT a.owner FROM has a LEFT JOIN (SELECT owner, sum(held) AS held FROM known GROUP BY owner) k USING (owner)
			WHERE a.held <> coalesce(k.held, 0)
		)
		SELECT h.owner, h.id
		FROM more CROSS JOIN LATERAL (SELECT * FROM credit_hold h WHERE h.owner = more.owner AND NOT h.closed OFFSET 0) h
		WHERE NOT EXISTS (SELECT FROM known k WHERE k.owner = h.owner AND k.id = h.id)
		ORDER BY 1, 2`, owners, ids)
	open, err := pgx.CollectRows(rows, pgx.RowToStructByName[HoldRef])
	if err != nil {
		return nil, fmt.Errorf("looking for open holds: %w", err)
	}
	return open, nil
}
