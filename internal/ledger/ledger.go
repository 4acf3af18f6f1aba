// Package ledger keeps credits: who has how many, which are reserved, what was
// charged for what, and a journal that proves all of it. It knows owners,
// pools, credit types, amounts, keys and facts; it knows no order, plan or lead.
// See README.md for the model and the invariants.
package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Ledger runs operations against the credits of many organizations. It is safe
// for concurrent use, and several may run against one database at once.
type Ledger struct {
	pool      *pgxpool.Pool
	workers   int // transactions at a time
	batchSize int // operations per transaction

	wg      sync.WaitGroup
	mu      sync.Mutex
	closed  bool
	working int
	lanes   map[string]*lane
	ready   []*lane // with calls waiting and no batch under way
}

// Option configures a Ledger.
type Option func(*Ledger)

// WithBatchSize limits how many operations share a transaction. 1 turns
// batching off.
func WithBatchSize(n int) Option { return func(l *Ledger) { l.batchSize = max(1, n) } }

// WithWorkers limits how many transactions run at a time, 4 by default.
func WithWorkers(n int) Option { return func(l *Ledger) { l.workers = max(1, n) } }

// New returns a ledger on a migrated database.
func New(pool *pgxpool.Pool, opts ...Option) *Ledger {
	l := &Ledger{pool: pool, workers: 4, batchSize: batchOperations, lanes: map[string]*lane{}}
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

// Balance is what an account holds at the database's time.
type Balance struct {
	Pool      string
	Type      string
	Available int64     // can be spent now
	Held      int64     // reserved by open holds
	Captured  int64     // charged, less what was reversed, over all time
	Allotment int64     // size of the allotments that are valid now
	Used      int64     // charged or held of those allotments
	ExpiresAt time.Time // soonest expiry of available credits; zero = none
}

// Balances returns the accounts of an organization, by pool and type. An
// organization unknown to the ledger has none.
func (l *Ledger) Balances(ctx context.Context, owner string) ([]Balance, error) {
	return nil, ErrClosed
}

// HoldLine is what became of the credits of one type in a hold.
type HoldLine struct {
	Type     string
	Amount   int64 // reserved at first
	Captured int64 // charged, including what was reversed later
	Released int64
	Reversed int64
}

// HoldState returns the lines of a hold, or ErrUnknownHold.
func (l *Ledger) HoldState(ctx context.Context, owner, holdID string) ([]HoldLine, error) {
	return nil, ErrClosed
}

// HistoryFilter selects lines of the history. Empty fields select everything.
type HistoryFilter struct {
	Owner    string
	From, To time.Time // From ≤ at < To
	Type     string
	Pool     *string
	Kind     string
	Member   string
	OrderID  string
	Cursor   string // NextCursor of the page before
	Limit    int    // lines, 100 by default, at most 1,000
}

// HistoryLine is one movement of credits.
type HistoryLine struct {
	At      time.Time
	Kind    string // grant, hold, capture, release, expire, reverse, rollover
	Type    string
	Pool    string
	Amount  int64 // credits moved, always positive
	Balance int64 // available in this pool and type afterwards
	OrderID string
	Action  string
	Member  string
	Reason  string
	Source  Source   // of the grant the credits belong to or come into
	Facts   int64    // facts charged or reversed by the operation
	Subject [16]byte // the fact's subject where Facts is 1
}

// HistoryPage is a part of the history, newest first.
type HistoryPage struct {
	Lines      []HistoryLine
	NextCursor string // empty at the end
}

// History returns a page of an organization's history, newest first. A cursor
// stays valid while operations go on.
func (l *Ledger) History(ctx context.Context, f HistoryFilter) (HistoryPage, error) {
	return HistoryPage{}, ErrClosed
}

// Usage is what was charged under one member's name.
type Usage struct {
	Member   string
	Type     string
	Captured int64
	Reversed int64
}

// UsageBetween adds up charges by member and type for from ≤ at < to.
func (l *Ledger) UsageBetween(ctx context.Context, owner string, from, to time.Time) ([]Usage, error) {
	return nil, ErrClosed
}
