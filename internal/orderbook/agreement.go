package orderbook

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Agreement is what an order was accepted under.
type Agreement struct {
	PlanID      string
	PlanVersion int
	RequestHash string
}

// Agreement returns what an order was accepted under, or ErrNotFound.
func (b *Book) Agreement(ctx context.Context, id string) (Agreement, error) {
	rows, err := b.pool.Query(ctx, `SELECT plan_id, plan_version, request_hash FROM orders WHERE id = $1`, id)
	if err != nil {
		return Agreement{}, fmt.Errorf("read agreement: %w", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Agreement])
	if errors.Is(err, pgx.ErrNoRows) {
		return Agreement{}, ErrNotFound
	}
	return a, err
}
