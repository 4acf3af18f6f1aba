package commit_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/commit"
	"holdfast/internal/postgres/pgtest"
)

// emitted counts how often a step was waited for.
type emitted struct{ atomic.Int64 }

func (e *emitted) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.Contains(data.SQL, "pg_logical_emit_message") {
		e.Add(1)
	}
	return ctx
}

func (e *emitted) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Transactions of a step do not wait for the disk; when the step has succeeded
// all of them are there.
func TestAStepIsOnTheDiskWhenItHasSucceeded(t *testing.T) {
	ctx := t.Context()
	config, err := pgxpool.ParseConfig(pgtest.NewURL(t))
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "on" // which tests do without
	var waits emitted
	config.ConnConfig.Tracer = &waits
	pool, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	setting := func(ctx context.Context) (is string) {
		require.NoError(t, commit.Begin(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS written (n int)`); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `INSERT INTO written VALUES (1)`); err != nil {
				return err
			}
			return tx.QueryRow(ctx, `SHOW synchronous_commit`).Scan(&is)
		}))
		return is
	}
	require.Equal(t, "on", setting(ctx))

	var written string // place in the log behind the last transaction of the step
	require.NoError(t, commit.Once(ctx, pool, func(ctx context.Context) error {
		require.True(t, commit.Deferred(ctx))
		require.Equal(t, "off", setting(ctx))
		require.NoError(t, commit.Once(ctx, pool, func(ctx context.Context) error { // a step within it
			require.Equal(t, "off", setting(ctx))
			return nil
		}))
		return pool.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(&written)
	}))
	var there bool
	require.NoError(t, pool.QueryRow(ctx, `SELECT pg_current_wal_flush_lsn() >= $1::pg_lsn`, written).Scan(&there))
	require.True(t, there)
	require.Equal(t, "on", setting(ctx), "it holds for the transaction alone")

	require.EqualValues(t, 1, waits.Load(), "the step within waits for nothing")

	failed := errors.New("failed")
	require.ErrorIs(t, commit.Once(ctx, pool, func(context.Context) error { return failed }), failed)
}
