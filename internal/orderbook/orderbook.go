// Package orderbook keeps orders and their items as rows in PostgreSQL. See
// README.md for the state machine and the invariants.
package orderbook

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/clock"
	"holdfast/internal/commit"
	"holdfast/internal/database"
	"holdfast/internal/errcode"
	"holdfast/internal/metadata"
	"holdfast/internal/order"
	"holdfast/internal/outbox"
)

// Errors of the order book; test with errors.Is.
var (
	ErrNotFound       = errcode.New(errcode.NotFound, "there is no such order")
	ErrRequestDiffers = errcode.New(errcode.KeyReused, "an order with this idempotency key exists and asks for something else; use a new key")
	ErrOver           = errcode.Narrow(errcode.OrderOver, "the order cannot be moved from its status any more")
	ErrInvalid        = errcode.New(errcode.Invalid, "the order book cannot take this")
)

// Book gives access to the orders. It is safe for concurrent use.
type Book struct {
	pool  *pgxpool.Pool
	ended *prometheus.CounterVec
	reads *commit.Group[string, string, *order.Order]
}

// readTogether is how many orders are read with one statement at most.
const readTogether = 100

// New returns the order book stored in the database behind pool.
func New(pool *pgxpool.Pool) *Book {
	b := &Book{pool: pool, ended: newEnded()}
	b.reads = commit.NewGroup(readTogether, b.read)
	return b
}

// Once lets all that a step writes reach the disk together, see commit.Once.
func (b *Book) Once(ctx context.Context, step func(ctx context.Context) error) error {
	return commit.Once(ctx, b.pool, step)
}

// NewOrder is an order to be entered.
type NewOrder struct {
	ID          string
	Org         string
	Member      string
	Request     order.Request // its Kind and Count become the order's
	PlanID      string
	PlanVersion int
	Status      order.Status   // Reserved or Rejected
	Held        []order.Amount // what the hold took, one entry per credit type
	Failure     *order.Failure // why it was rejected; nil when it was not
}

// Create enters an order. It is idempotent by ID: where the order exists, it
// returns it as it stands now, or ErrRequestDiffers when that one asks for
// something else.
func (b *Book) Create(ctx context.Context, n NewOrder) (order.Order, error) {
	entered, err := b.CreateAll(ctx, []NewOrder{n})
	if err != nil {
		return order.Order{}, err
	}
	return entered[0].Order, entered[0].Err
}

// Entered is what became of an order that is entered with others.
type Entered struct {
	Order order.Order
	Err   error // ErrRequestDiffers
}

// CreateAll enters orders, each as Create does, by a few statements.
func (b *Book) CreateAll(ctx context.Context, orders []NewOrder) ([]Entered, error) {
	var c orderColumnsOf
	for _, n := range orders {
		if rejected := n.Status == order.Rejected; !rejected && n.Status != order.Reserved || rejected != (n.Failure != nil) {
			return nil, fmt.Errorf("%w: order %s is to begin as %q; an order begins as reserved, or as rejected with a failure", ErrInvalid, n.ID, n.Status)
		}
		if err := c.add(n); err != nil {
			return nil, fmt.Errorf("entering order %s: %w", n.ID, err)
		}
	}
	entered := make([]Entered, len(orders))
	var fresh []order.Order
	err := commit.Begin(ctx, b.pool, func(tx pgx.Tx) error {
		rows, err := c.insert(ctx, tx)
		if err != nil {
			return err
		}
		var known map[string]orderRow
		if len(rows) < len(orders) {
			if known, err = readRows(ctx, tx, c.id); err != nil {
				return err
			}
		}
		for i, n := range orders {
			row, isNew := rows[n.ID]
			if !isNew {
				row = known[n.ID]
			}
			switch {
			case row.ID == "":
				return ErrNotFound
			case isNew:
				fresh = append(fresh, row.order())
			case row.Org != n.Org || row.RequestHash != n.Request.Hash():
				entered[i].Err = ErrRequestDiffers
				continue
			}
			entered[i].Order = row.order()
		}
		return announceAll(ctx, tx, fresh)
	}, commit.PlannedOnce...)
	if err != nil {
		return nil, fmt.Errorf("entering %d orders, such as %s: %w", len(orders), orders[0].ID, err)
	}
	for _, o := range fresh {
		b.count(o)
	}
	return entered, nil
}

// orderColumnsOf are new orders turned on their side, as unnest wants them.
type orderColumnsOf struct {
	id, org, member, kind, request, hash, plan, status, credits []string
	version, requested                                          []int64
	failure                                                     []*string
}

func (c *orderColumnsOf) add(n NewOrder) error {
	credits := make([]order.Credit, len(n.Held))
	for i, held := range n.Held {
		credits[i] = order.Credit{Type: held.Type, Held: held.Amount}
	}
	var texts [3]string
	for i, value := range []any{n.Request, credits, n.Failure} {
		body, err := json.Marshal(value)
		if err != nil {
			return err
		}
		texts[i] = string(body)
	}
	var failure *string
	if n.Failure != nil {
		failure = &texts[2]
	}
	c.id, c.org, c.member = append(c.id, n.ID), append(c.org, n.Org), append(c.member, n.Member)
	c.kind, c.request, c.hash = append(c.kind, string(n.Request.Kind)), append(c.request, texts[0]), append(c.hash, n.Request.Hash())
	c.plan, c.version = append(c.plan, n.PlanID), append(c.version, int64(n.PlanVersion))
	c.status, c.requested = append(c.status, string(n.Status)), append(c.requested, n.Request.Count)
	c.credits, c.failure = append(c.credits, texts[1]), append(c.failure, failure)
	return nil
}

// insert enters those orders that are not there, and returns them.
func (c *orderColumnsOf) insert(ctx context.Context, tx pgx.Tx) (map[string]orderRow, error) {
	return rowsOf(tx.Query(ctx, `
		WITH fresh AS (INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version,
			status, requested, credits, failure, created_at, settled_at)
		SELECT n.id, n.org, n.member, n.kind, n.request::jsonb, n.hash, n.plan, n.version,
			n.status, n.requested, n.credits::jsonb, n.failure::jsonb, n.now, CASE WHEN n.status = 'rejected' THEN n.now END
		FROM (SELECT o.*, `+orgNow+` AS now
			FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
				$9::text[], $10::bigint[], $11::text[], $12::text[]) WITH ORDINALITY
				AS o (id, org, member, kind, request, hash, plan, version, status, requested, credits, failure, place) OFFSET 0) n
		ORDER BY n.place
		ON CONFLICT (id) DO NOTHING
		RETURNING *)
		SELECT `+orderColumns+` FROM fresh AS orders`,
		c.id, c.org, c.member, c.kind, c.request, c.hash, c.plan, c.version, c.status, c.requested, c.credits, c.failure))
}

// Get returns an order of an organization; org "" means any. While the order
// runs it says how far it is, from tallies that are kept with the verdicts. The
// error is ErrNotFound when the organization has no such order. Orders of an
// organization that are asked for at the same time are read together.
func (b *Book) Get(ctx context.Context, org, id string) (order.Order, error) {
	o, err := b.reads.Call(ctx, org, id)
	switch {
	case err != nil:
		return order.Order{}, err
	case o == nil:
		return order.Order{}, ErrNotFound
	}
	return *o, nil
}

// read returns orders by their IDs; nil for one that the organization does not have.
func (b *Book) read(ctx context.Context, org string, ids []string) ([]*order.Order, error) {
	found, err := b.GetAll(ctx, org, ids)
	orders := make([]*order.Order, len(ids))
	for i, id := range ids {
		if o, there := found[id]; there {
			orders[i] = &o
		}
	}
	return orders, err
}

// NoteMetadata keeps the metadata of an order that is about to be made, and
// returns what is kept: what it came with where it is there already.
func (b *Book) NoteMetadata(ctx context.Context, org, id string, data metadata.Data) (metadata.Data, error) {
	if len(data) == 0 {
		return nil, nil //nolint:nilnil // there is none
	}
	kept, err := metadata.KeepOfOrder(ctx, b.pool, org, id, data)
	if err != nil {
		return nil, fmt.Errorf("the metadata of order %s was not kept: %w", id, err)
	}
	return kept, nil
}

// GetAll returns those of some orders that an organization has, by ID, each as
// Get does; org "" means any.
func (b *Book) GetAll(ctx context.Context, org string, ids []string) (map[string]order.Order, error) {
	found, err := readRows(ctx, b.pool, ids)
	if err != nil {
		return nil, fmt.Errorf("reading %d orders: %w", len(ids), err)
	}
	rows := make([]orderRow, 0, len(found))
	for _, row := range found {
		if org == "" || row.Org == org {
			rows = append(rows, row)
		}
	}
	live, err := b.live(ctx, rows)
	orders := make(map[string]order.Order, len(live))
	for _, o := range live {
		orders[o.ID] = o
	}
	return orders, err
}

// Request returns what an order asked for.
func (b *Book) Request(ctx context.Context, id string) (order.Request, error) {
	var request order.Request
	err := b.pool.QueryRow(ctx, `SELECT request FROM orders WHERE id = $1`, id).Scan(&request)
	if errors.Is(err, pgx.ErrNoRows) {
		return order.Request{}, ErrNotFound
	}
	if err != nil {
		return order.Request{}, fmt.Errorf("reading the request of order %s: %w", id, err)
	}
	return request, nil
}

// Filter chooses orders; zero fields do not restrict.
type Filter struct {
	Org    string
	Member string
	Status order.Status
	Kind   order.Kind
	Since  time.Time         // created at this time or after it
	Before time.Time         // created before it
	Data   map[string]string // metadata: all of these entries
	Cursor string            // from the previous page
	Limit  int               // orders a page, 1..500; 0 means 50
}

// listQuery has the conditions of a filter that restrict, and no others: the
// database chooses how to read by what is asked, not by what may be.
func listQuery(f Filter, before int64) (sql string, args []any) {
	args = []any{before, cmp.Or(f.Limit, 50) + 1}
	sql = `SELECT ` + orderColumns + ` FROM orders WHERE seq < $1`
	when := func(asked bool, condition string, value any) {
		if asked {
			args = append(args, value)
			sql += ` AND ` + fmt.Sprintf(condition, len(args))
		}
	}
	when(f.Org != "", `org = $%d`, f.Org)
	when(f.Member != "", `member = $%d`, f.Member)
	when(f.Status != "", `status = $%d`, string(f.Status))
	when(f.Kind != "", `kind = $%d`, string(f.Kind))
	when(!f.Since.IsZero(), `created_at >= $%d`, f.Since)
	when(!f.Before.IsZero(), `created_at < $%d`, f.Before)
	when(len(f.Data) > 0, `(org, id) IN (SELECT org, id FROM metadata WHERE thing = 'order' AND data @> $%d::text::jsonb)`, metadata.Data(f.Data).Text())
	return sql + ` ORDER BY seq DESC LIMIT $2`, args
}

// List returns a page of orders, newest first, and the cursor of the next
// page, empty on the last one. Orders that come in between do not shift the
// pages.
func (b *Book) List(ctx context.Context, f Filter) (orders []order.Order, next string, err error) {
	if f.Limit == 0 {
		f.Limit = 50
	}
	if f.Limit < 1 || f.Limit > 500 {
		return nil, "", fmt.Errorf("%w: a page of orders has 1 to 500 entries, not %d", ErrInvalid, f.Limit)
	}
	below, ok := database.Below(f.Cursor, 36)
	if !ok {
		return nil, "", fmt.Errorf("%w: %q is not a cursor; use next_cursor of the previous page", ErrInvalid, f.Cursor)
	}
	sql, args := listQuery(f, below)
	rows, err := b.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, "", fmt.Errorf("listing orders: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[orderRow])
	if err != nil {
		return nil, "", fmt.Errorf("listing orders: %w", err)
	}
	found, next = database.Cut(found, f.Limit, 36, func(o orderRow) int64 { return o.Seq })
	orders, err = b.live(ctx, found)
	return orders, next, err
}

// orderRow is a row of orders.
type orderRow struct {
	ID           string
	Seq          int64
	Org          string
	Member       string
	Kind         order.Kind
	RequestHash  string
	Status       order.Status
	Requested    int64
	Selected     int64
	Valid        int64
	Invalid      int64
	CatchAll     int64
	Risky        int64
	Disposable   int64
	Unknown      int64
	AlreadyOwned int64
	Duplicate    int64
	Reasons      []order.Reason
	Credits      []order.Credit
	Failure      *order.Failure
	CreatedAt    time.Time
	RefundAt     *time.Time
	CompletedAt  *time.Time
	SettledAt    *time.Time

	ResultsRemovedAt  *time.Time
	CancelRequestedAt *time.Time
	PausedAt          *time.Time
	Waiting           *liveWait
	VerifyingSince    *time.Time
	Now               time.Time // the database's
	RefundWaits       bool      // its time has not come to the organization
	TestClock         bool
	Metadata          map[string]string
}

var orderColumns = `id, seq, org, member, kind, request_hash, status, requested, selected,
	valid, invalid, catch_all, risky, disposable, "unknown", already_owned, duplicate,
	reasons, credits, failure, created_at, refund_at, completed_at, settled_at, results_removed_at, cancel_requested_at,
	paused_at, waiting, verifying_since, now() AS now,
	status = 'completed' AND coalesce(refund_at > ` + clock.SQL("orders.org", "now()") + `, false) AS refund_waits,
	NOT ` + clock.None("orders.org") + ` AS test_clock, ` + metadata.SQL(metadata.Order, "orders.org", "orders.id") + ` AS metadata`

func (r orderRow) order() order.Order {
	return order.Order{
		ID: r.ID, Kind: r.Kind, Org: r.Org, Member: r.Member, Status: r.Status,
		Requested: r.Requested, Selected: r.Selected,
		Tally: order.Tally{
			Valid: r.Valid, Invalid: r.Invalid, CatchAll: r.CatchAll, Risky: r.Risky,
			Disposable: r.Disposable, Unknown: r.Unknown,
			AlreadyOwned: r.AlreadyOwned, Duplicate: r.Duplicate,
		},
		Reasons: r.Reasons, Credits: r.Credits, Failure: r.Failure,
		CreatedAt: r.CreatedAt.UTC(), RefundAt: utc(r.RefundAt),
		CompletedAt: utc(r.CompletedAt), SettledAt: utc(r.SettledAt),
		ResultsRemovedAt:  utc(r.ResultsRemovedAt),
		CancelRequestedAt: utc(r.CancelRequestedAt), TestClock: r.TestClock, Metadata: r.Metadata,
	}
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

func readRow(ctx context.Context, db database.Reader, org, id string) (orderRow, error) {
	rows, err := db.Query(ctx, `SELECT `+orderColumns+` FROM orders WHERE id = $1 AND ($2 = '' OR org = $2)`, id, org)
	if err != nil {
		return orderRow{}, err
	}
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[orderRow])
	if errors.Is(err, pgx.ErrNoRows) {
		return orderRow{}, ErrNotFound
	}
	return row, err
}

// readRows returns those orders that there are, by ID.
func readRows(ctx context.Context, db database.Reader, ids []string) (map[string]orderRow, error) {
	are, these := database.In("id", ids)
	return rowsOf(db.Query(ctx, `SELECT `+orderColumns+` FROM orders WHERE `+are, these))
}

// rowsOf are orders that were read, by ID.
func rowsOf(rows pgx.Rows, err error) (map[string]orderRow, error) {
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[orderRow])
	found := make(map[string]orderRow, len(list))
	for _, row := range list {
		found[row.ID] = row
	}
	return found, err
}

// inOrder are those orders that there are of some, in the order of their ids.
func inOrder(rows map[string]orderRow, ids []string) []order.Order {
	orders := make([]order.Order, 0, len(ids))
	for _, id := range ids {
		if row, ok := rows[id]; ok {
			orders = append(orders, row.order())
		}
	}
	return orders
}

// announceAll writes orders, as they now stand, to the outbox, in the
// transaction that brought them there.
func announceAll(ctx context.Context, tx pgx.Tx, orders []order.Order) error {
	events := make([]outbox.Event, len(orders))
	for i, o := range orders {
		var err error
		topic := "order." + string(o.Status)
		if o.Status == order.Verifying {
			topic = outbox.OrderStarted
		}
		if events[i], err = outbox.New(o.Org, topic, o, o.ID); err != nil {
			return err
		}
	}
	return outbox.Write(ctx, tx, events...)
}
