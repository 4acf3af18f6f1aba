// Package ledger keeps credits: who has how many, which are reserved, what was
// charged for what, and a journal that proves all of it. It knows owners,
// pools, credit types, amounts, keys and facts; it knows no order, plan or lead.
// See README.md for the model and the invariants.
package ledger

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Ledger runs operations against the credits of many organizations. It is safe
// for concurrent use, and several may run against one database at once.
type Ledger struct {
	pool      *pgxpool.Pool
	batchSize int // operations per transaction
	log       *slog.Logger
	sums      sums
	marks     marks

	wg     sync.WaitGroup
	mu     sync.Mutex
	closed bool
	lanes  map[string]*lane
	common pending // lanes that share transactions
	apart  pending // lanes whose last batch failed: each has its own transactions
	stats  Stats

	batches    batchMetrics
	clockWrong bool // operations are refused because of the time

	past func() time.Time // what operations are booked at; nil = the database's time
}

// Option configures a Ledger.
type Option func(*Ledger)

// WithBatchSize limits how many operations share a transaction. 1 turns
// batching off.
func WithBatchSize(n int) Option { return func(l *Ledger) { l.batchSize = max(1, n) } }

// WithWorkers limits how many transactions run at a time, 4 by default. Lanes
// that fail have workers of their own.
func WithWorkers(n int) Option { return func(l *Ledger) { l.common.workers = max(1, n) } }

// WithLog names the log for damaged books and a wrong clock; without it they
// are only returned as errors and counted.
func WithLog(log *slog.Logger) Option { return func(l *Ledger) { l.log = log } }

// WithPast books operations at the times that past returns, for the history of
// sample data. An organization's time never runs backwards: these operations
// come before any of the present.
func WithPast(past func() time.Time) Option { return func(l *Ledger) { l.past = past } }

// New returns a ledger on a migrated database.
func New(pool *pgxpool.Pool, opts ...Option) *Ledger {
	l := &Ledger{
		pool: pool, batchSize: batchOperations, log: slog.New(slog.DiscardHandler), lanes: map[string]*lane{}, batches: newBatchMetrics(),
		common: pending{workers: 4}, apart: pending{workers: workersApart},
	}
	for _, opt := range opts {
		opt(l)
	}
	return l
}

// Close waits for the operations under way and refuses new ones.
func (l *Ledger) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wg.Wait()
}

// Grant gives credits to a pool of an organization.
func (l *Ledger) Grant(ctx context.Context, op Grant) (GrantResult, error) {
	return do[GrantResult](ctx, l, op)
}

// Grants gives several grants at once, all or none.
func (l *Ledger) Grants(ctx context.Context, op Grants) (GrantsResult, error) {
	return do[GrantsResult](ctx, l, op)
}

// Hold reserves credits.
func (l *Ledger) Hold(ctx context.Context, op Hold) (HoldResult, error) {
	return do[HoldResult](ctx, l, op)
}

// Capture charges a hold.
func (l *Ledger) Capture(ctx context.Context, op Capture) (CaptureResult, error) {
	return do[CaptureResult](ctx, l, op)
}

// Charge takes credits without a hold before.
func (l *Ledger) Charge(ctx context.Context, op Charge) (ChargeResult, error) {
	return do[ChargeResult](ctx, l, op)
}

// Release gives back what is left of a hold and closes it.
func (l *Ledger) Release(ctx context.Context, op Release) (ReleaseResult, error) {
	return do[ReleaseResult](ctx, l, op)
}

// Reverse credits back captured credits.
func (l *Ledger) Reverse(ctx context.Context, op Reverse) (ReverseResult, error) {
	return do[ReverseResult](ctx, l, op)
}

// Void takes credits of a grant back that are still available.
func (l *Ledger) Void(ctx context.Context, op Void) (VoidResult, error) {
	return do[VoidResult](ctx, l, op)
}

// End writes off all that a member's pool has, or all pools.
func (l *Ledger) End(ctx context.Context, op End) (EndResult, error) {
	return do[EndResult](ctx, l, op)
}

// Expire writes off every credit whose time is over.
func (l *Ledger) Expire(ctx context.Context, op Expire) (ExpireResult, error) {
	return do[ExpireResult](ctx, l, op)
}

// Renew ends a period of one pool and begins the next.
func (l *Ledger) Renew(ctx context.Context, op Renew) (RenewResult, error) {
	return do[RenewResult](ctx, l, op)
}

// Alert sets or ends the watch over one account.
func (l *Ledger) Alert(ctx context.Context, op Alert) (AlertResult, error) {
	return do[AlertResult](ctx, l, op)
}
