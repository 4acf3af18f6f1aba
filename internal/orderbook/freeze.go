package orderbook

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// NewItems are items of orders as a query chooses them. They go from the tables of
// the catalogue into order_item without a way through this process.
type NewItems struct {
	With    string // statements that the query builds on, as WITH takes them; may write
	Columns string // of order_item, as the query returns them
	Query   string
}

// Freeze writes items, which is how an order's candidates are fixed, and returns
// how many.
func Freeze(ctx context.Context, tx pgx.Tx, items NewItems, args ...any) (int64, error) {
	statement := "INSERT INTO order_item (" + items.Columns + ")\n" + items.Query
	if items.With != "" {
		statement = "WITH " + items.With + "\n" + statement
	}
	tag, err := tx.Exec(ctx, statement, args...)
	return tag.RowsAffected(), err
}
