// Package orderbook keeps orders and their items as rows in PostgreSQL. See
// README.md for the state machine and the invariants.
package orderbook

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/order"
)

// Errors of the order book; test with errors.Is.
var (
	ErrNotFound       = errors.New("there is no such order")
	ErrRequestDiffers = errors.New("an order with this idempotency key exists and asks for something else; use a new key")
	ErrOver           = errors.New("the order is over")
)

// Book gives access to the orders. It is safe for concurrent use.
type Book struct {
	pool *pgxpool.Pool
}

// New returns the order book stored in the database behind pool.
func New(pool *pgxpool.Pool) *Book { return &Book{pool: pool} }

// NewOrder is an order to be entered.
type NewOrder struct {
	ID          string
	Org         string
	Member      string
	Request     order.Request // its Kind and Count become the order's
	PlanID      string
	PlanVersion int
	Status      order.Status   // Reserved or Rejected
	Held        []order.Amount // what the hold took, per credit type
	Failure     *order.Failure // why it was rejected
}

// Filter chooses orders; zero fields do not restrict.
type Filter struct {
	Org    string
	Status order.Status
	Kind   order.Kind
	Cursor string // from the previous page
	Limit  int    // 1..500; 0 means 50
}

// Item is an item that wants a verdict.
type Item struct {
	N     int64
	Email string
}

// Verdict is what verification found about an item.
type Verdict struct {
	N            int64
	Verdict      string // valid, invalid, catch_all, risky, disposable, unknown
	Reason       string // greylisted is the only one that is not final
	MXHost       string
	SMTPCode     int
	SMTPEnhanced string
	SMTPText     string
	CheckedAt    time.Time
	RetryAt      time.Time // when to ask again; zero unless greylisted
}

// Fact is an item that may be charged: the lead behind it, by fingerprint.
type Fact struct {
	N            int64
	Fingerprint  uuid.UUID
	AlreadyOwned bool
}

// Progress says how far a range of items is. Done + Pending + Greylisted is
// the number of items in the range.
type Progress struct {
	Done       int64       // items with a final verdict
	Pending    int64       // items never checked
	Greylisted int64       // items that wait for another try
	Delivered  int64       // items delivered and charged
	RetryAt    time.Time   // latest retry time of the greylisted items; zero when there are none
	Tally      order.Tally // items with a verdict so far; the greylisted ones count as unknown
}

// Create enters an order.
func (b *Book) Create(ctx context.Context, n NewOrder) (order.Order, error) {
	return order.Order{}, errors.New("create is being built")
}

// Get returns an order of an organization; org "" means any.
func (b *Book) Get(ctx context.Context, org, id string) (order.Order, error) {
	return order.Order{}, errors.New("get is being built")
}

// List returns a page of orders, newest first, and the cursor of the next one.
func (b *Book) List(ctx context.Context, f Filter) (orders []order.Order, next string, err error) {
	return nil, "", errors.New("list is being built")
}

// Start moves a reserved order to verifying.
func (b *Book) Start(ctx context.Context, id string, selected int64) error {
	return errors.New("start is being built")
}

// Complete moves a verifying order to completed.
func (b *Book) Complete(ctx context.Context, id string, tally order.Tally, reasons []order.Reason, credits []order.Credit, refundAt time.Time) error {
	return errors.New("complete is being built")
}

// Settle moves a completed order to settled.
func (b *Book) Settle(ctx context.Context, id string, credits []order.Credit) error {
	return errors.New("settle is being built")
}

// Cancel moves a reserved or verifying order to cancelled.
func (b *Book) Cancel(ctx context.Context, id string, tally order.Tally, credits []order.Credit) error {
	return errors.New("cancel is being built")
}

// Fail moves a reserved or verifying order to failed.
func (b *Book) Fail(ctx context.Context, id string, failure order.Failure, tally order.Tally, credits []order.Credit) error {
	return errors.New("fail is being built")
}

// Pending returns the items from..to (inclusive) without a final verdict.
func (b *Book) Pending(ctx context.Context, orderID string, from, to int64, now time.Time) ([]Item, error) {
	return nil, errors.New("pending is being built")
}

// WriteVerdicts records verdicts.
func (b *Book) WriteVerdicts(ctx context.Context, orderID string, verdicts []Verdict) error {
	return errors.New("write verdicts is being built")
}

// FinishUnknown makes the verdict of the greylisted items final.
func (b *Book) FinishUnknown(ctx context.Context, orderID string) error {
	return errors.New("finish unknown is being built")
}

// Billable returns the items from..to with one of the verdicts that are not
// delivered yet.
func (b *Book) Billable(ctx context.Context, orderID string, from, to int64, verdicts []string) ([]Fact, error) {
	return nil, errors.New("billable is being built")
}

// MarkDelivered marks the billable items from..to as delivered.
func (b *Book) MarkDelivered(ctx context.Context, orderID string, from, to int64, verdicts []string) (delivered int64, err error) {
	return 0, errors.New("mark delivered is being built")
}

// Progress says how far the items from..to are.
func (b *Book) Progress(ctx context.Context, orderID string, from, to int64) (Progress, error) {
	return Progress{}, errors.New("progress is being built")
}

// Tally counts the order's items by verdict and by reason.
func (b *Book) Tally(ctx context.Context, orderID string) (order.Tally, []order.Reason, error) {
	return order.Tally{}, nil, errors.New("tally is being built")
}
