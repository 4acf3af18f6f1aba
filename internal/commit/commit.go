// Package commit lets several transactions of one step reach the disk together.
//
// A commit that waits for the disk takes milliseconds, and a step that carries
// something out in seven transactions waits seven times. PostgreSQL writes its
// log in the order of the commits: once one of them is on the disk, so are all
// before it. Only the last one has to wait, as long as nothing outside the
// database has learnt of the others until then.
//
// A [Group] makes one transaction of what many callers want at the same time.
package commit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Off is an expression that keeps the transaction in which it is selected from
// waiting for the disk.
const Off = `set_config('synchronous_commit', 'off', true)`

type deferredKey struct{}

// Deferred reports whether transactions under the context do not wait for the
// disk.
func Deferred(ctx context.Context) bool {
	deferred, _ := ctx.Value(deferredKey{}).(bool)
	return deferred
}

// Losable returns a context whose transactions do not wait for the disk: what they
// write in the last moment before the database server crashes may be lost.
func Losable(ctx context.Context) context.Context {
	return context.WithValue(ctx, deferredKey{}, true)
}

// Once carries a step out whose transactions do not wait for the disk, and waits
// once when it has succeeded. An error says nothing of what was kept: the step is
// to be repeated. Within another step it waits for nothing.
func Once(ctx context.Context, pool *pgxpool.Pool, step func(ctx context.Context) error) error {
	if Deferred(ctx) {
		return step(ctx)
	}
	if err := step(Losable(ctx)); err != nil {
		return err
	}
	// A transaction that writes to the log and to nothing else.
	if _, err := pool.Exec(ctx, `SELECT pg_logical_emit_message(true, $1::text, ''::text)`, "holdfast"); err != nil {
		return fmt.Errorf("waiting until a step is on the disk: %w", err)
	}
	return nil
}

// seenThrough is how long a step goes on that does not end with its caller.
const seenThrough = time.Minute

// Through returns a context for a step on the database that does not end with its
// caller's context. It ends at some time: a server that says nothing any more would
// keep the step, and all that waits for it, for ever.
func Through(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), seenThrough)
}

// PlannedOnce are settings for transactions that find all rows by their keys, be it
// one or a hundred: no other plan will ever be better, and making one takes longer
// than carrying it out. A plan that is made while a table is new must serve when it has
// grown.
var PlannedOnce = []string{`plan_cache_mode = force_generic_plan`, `enable_seqscan = off`}

// Begin carries fn out in a transaction with some settings, as pgx.BeginFunc does.
// Under a context whose transactions are deferred it does not wait for the disk.
func Begin(ctx context.Context, pool *pgxpool.Pool, fn func(pgx.Tx) error, settings ...string) error {
	if Deferred(ctx) {
		settings = slices.Concat(settings, []string{`synchronous_commit = off`})
	}
	var options pgx.TxOptions
	if len(settings) > 0 {
		options.BeginQuery = `BEGIN; SET LOCAL ` + strings.Join(settings, `; SET LOCAL `)
	}
	return pgx.BeginTxFunc(ctx, pool, options, fn)
}
