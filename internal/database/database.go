// Package database has what packages share that read and write PostgreSQL: what a
// pool, a connection and a transaction have in common, so that one function serves
// all of them, and lists that are read page by page.
package database

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Reader answers queries.
type Reader interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// In is the condition that a column has one of some values, which are parameter $1.
// PostgreSQL plans = ANY again in every call, because a list of unknown length looks
// dearer to it than one that it sees; it keeps the plan for one value.
func In(column string, values []string) (condition string, parameter any) {
	if len(values) == 1 {
		return column + ` = $1`, values[0]
	}
	return column + ` = ANY ($1)`, values
}

// Writer carries out statements.
type Writer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}
