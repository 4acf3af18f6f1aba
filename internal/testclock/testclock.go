// Package testclock gives organizations a time of their own, and moves it: so
// that a team can rehearse a year in a minute. See README.md.
package testclock

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/database"
	"holdfast/internal/errcode"
	"holdfast/internal/idempotency"
	"holdfast/internal/ledger"
	"holdfast/internal/orderbook"
)

// Furthest is how far one advance may lead.
const Furthest = 2 * 366 * 24 * time.Hour

// The errors of this package. Their texts are sentences for the caller.
var (
	ErrNotFound  = errcode.New(errcode.NotFound, "there is no such test clock")
	ErrExists    = errcode.New(errcode.Conflict, "the organization has a test clock already; advance it")
	ErrAdvancing = errcode.New(errcode.Conflict, "the test clock is advancing; wait until it is ready")
	ErrOrders    = errcode.New(errcode.Conflict, "orders of the organization are not settled; wait for them, or cancel them")
	ErrBack      = errcode.New(errcode.Invalid, "a test clock runs forward only")
)

// Status says whether a clock is moving.
type Status string

// The statuses of a clock.
const (
	Ready     Status = "ready"
	Advancing Status = "advancing"
)

// Clock is the test clock of an organization. Its time stands still between
// advances.
type Clock struct {
	ID        string     `json:"id" doc:"The clock." example:"clock_k3n5p7q2"`
	Org       string     `json:"org" doc:"The organization that lives by it." example:"acme"`
	At        time.Time  `json:"at" doc:"The organization's time."`
	Status    Status     `json:"status" enum:"ready,advancing" doc:"advancing while what falls due on the way is carried out, moment by moment."`
	Target    *time.Time `json:"to,omitempty" doc:"Where the advance under way leads."`
	CreatedAt time.Time  `json:"created_at" doc:"In everyone's time."`
}

// Clocks is the store of test clocks, and what moves them. It is safe for
// concurrent use.
type Clocks struct {
	pool     *pgxpool.Pool
	accounts *account.Accounts
	billing  *billing.Billing
	ledger   *ledger.Ledger
	book     *orderbook.Book
}

// New returns the test clocks of a database.
func New(pool *pgxpool.Pool, accounts *account.Accounts, b *billing.Billing, l *ledger.Ledger, book *orderbook.Book) *Clocks {
	return &Clocks{pool: pool, accounts: accounts, billing: b, ledger: l, book: book}
}

const selectClock = `
	SELECT c.id, c.org, o.clock AS at, CASE WHEN c.target IS NULL THEN 'ready' ELSE 'advancing' END AS status, c.target, c.created_at
	FROM test_clock c JOIN credit_owner o ON o.owner = c.org AND o.clock IS NOT NULL`

// Get returns a clock, or ErrNotFound.
func (c *Clocks) Get(ctx context.Context, id string) (Clock, error) { return read(ctx, c.pool, id) }

func read(ctx context.Context, db database.Reader, id string) (Clock, error) {
	rows, _ := db.Query(ctx, selectClock+` WHERE c.id = $1`, id)
	clock, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Clock])
	if errors.Is(err, pgx.ErrNoRows) {
		return Clock{}, ErrNotFound
	}
	if err != nil {
		return Clock{}, fmt.Errorf("the test clock %s cannot be read: %w", id, err)
	}
	return clock.utc(), nil
}

// List returns up to limit clocks, newest first, that were made before a time
// and id; the zero time is the beginning.
func (c *Clocks) List(ctx context.Context, before time.Time, id string, limit int) ([]Clock, error) {
	rows, _ := c.pool.Query(ctx, selectClock+`
		WHERE $1 OR (c.created_at, c.id) < ($2, $3) ORDER BY c.created_at DESC, c.id DESC LIMIT $4`, before.IsZero(), before, id, limit)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Clock])
	if err != nil {
		return nil, fmt.Errorf("the test clocks cannot be listed: %w", err)
	}
	for i := range list {
		list[i] = list[i].utc()
	}
	return list, nil
}

func (c Clock) utc() Clock {
	c.At, c.CreatedAt = c.At.UTC(), c.CreatedAt.UTC()
	if c.Target != nil {
		to := c.Target.UTC()
		c.Target = &to
	}
	return c
}

// Create gives an organization a clock. One that is still to be created begins at
// that time. One that exists has lived until now: its clock begins now, and the
// time must not lie before that; where it lies later, the clock is advancing.
//
// Errors: ErrExists, ErrOrders, ErrBack, account.ErrInvalid, account.ErrSuspended.
func (c *Clocks) Create(ctx context.Context, org string, at time.Time) (Clock, error) {
	if made, again, err := idempotency.Find(ctx, c.pool, "", "test_clock"); err != nil || again {
		if err != nil {
			return Clock{}, err
		}
		return c.Get(ctx, made.ID)
	}
	begin, target, err := c.beginning(ctx, org, at.UTC().Truncate(time.Microsecond))
	if err != nil {
		return Clock{}, err
	}
	id := "clock_" + strings.ToLower(rand.Text()[:16])
	err = pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		made, again, err := idempotency.Claim(ctx, tx, "", "test_clock", idempotency.Made{ID: id})
		if err != nil || again {
			id = made.ID
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO test_clock (id, org, target) VALUES ($1, $2, $3)`, id, org, target); err != nil {
			return err
		}
		return ledger.SetClock(ctx, tx, org, begin)
	})
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg) && pg.ConstraintName == "clock_c2_one_for_an_organization":
		return Clock{}, ErrExists
	case errcode.Permanent(err):
		return Clock{}, err
	case err != nil:
		return Clock{}, fmt.Errorf("the test clock of %s was not made: %w", org, err)
	}
	return c.Get(ctx, id)
}

// beginning is where the clock of an organization begins, and where it is led to
// from there.
func (c *Clocks) beginning(ctx context.Context, id string, at time.Time) (begin time.Time, target *time.Time, err error) {
	if err := account.CheckOrgID(id); err != nil {
		return begin, nil, err
	}
	if at.Year() < 2000 || at.Year() > 2200 {
		return begin, nil, errcode.Say(ErrBack, "A test clock tells times from 2000 to 2200.")
	}
	org, err := c.accounts.Org(ctx, id)
	if errors.Is(err, account.ErrNotFound) {
		return at, nil, nil
	}
	if err != nil {
		return begin, nil, err
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	switch {
	case org.TestClock != nil:
		return begin, nil, ErrExists
	case org.Status == account.StatusClosed:
		return begin, nil, org.MayOrder()
	case at.Before(now.Add(-time.Minute)):
		return begin, nil, errcode.Say(ErrBack, "The organization %s exists already and cannot go back; give a time from now on, or an id that is free.", id)
	case at.Sub(now) > Furthest:
		return begin, nil, tooFar()
	}
	open, err := c.book.Unsettled(ctx, id)
	if err != nil {
		return begin, nil, err
	}
	if open > 0 {
		return begin, nil, ErrOrders
	}
	if at.After(now) {
		target = &at
	}
	return now, target, nil
}

func tooFar() error {
	return errcode.Say(ErrBack, "One advance leads at most two years ahead; advance in several steps.")
}

// Advance lets a clock move to a time: Walk then leads it there. Asked again for
// the same time it changes nothing.
//
// Errors: ErrNotFound, ErrAdvancing, ErrBack.
func (c *Clocks) Advance(ctx context.Context, id string, to time.Time) (clock Clock, err error) {
	to = to.UTC().Truncate(time.Microsecond)
	err = pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error {
		// A call that comes twice, or late, decides by how the clock stands now.
		if _, err := tx.Exec(ctx, `SELECT FROM test_clock WHERE id = $1 FOR UPDATE`, id); err != nil {
			return err
		}
		if clock, err = read(ctx, tx, id); err != nil {
			return err
		}
		switch {
		case clock.Target != nil && clock.Target.Equal(to), clock.Target == nil && clock.At.Equal(to):
			return nil
		case clock.Target != nil:
			return ErrAdvancing
		case to.Before(clock.At):
			return errcode.Say(ErrBack, "The clock is at %s and runs forward only; give a later time.", clock.At.Format(time.RFC3339))
		case to.Sub(clock.At) > Furthest:
			return tooFar()
		}
		if _, err := tx.Exec(ctx, `UPDATE test_clock SET target = $2 WHERE id = $1`, id, to); err != nil {
			return err
		}
		clock, err = read(ctx, tx, id)
		return err
	})
	if err != nil && !errcode.Permanent(err) {
		err = fmt.Errorf("the test clock %s was not advanced: %w", id, err)
	}
	if err != nil {
		return Clock{}, err
	}
	return clock, nil
}

// Delete takes a clock away. An organization that was not created yet is as it
// was; any other has lived by a time that nothing else has, so it is closed for
// good, and its time stands still.
//
// Errors: ErrNotFound, ErrAdvancing, billing.ErrOpenOrders.
func (c *Clocks) Delete(ctx context.Context, id string) error {
	clock, err := c.Get(ctx, id)
	if err != nil {
		return err
	}
	if clock.Target != nil {
		return ErrAdvancing
	}
	if _, err = c.billing.CloseOrg(ctx, clock.Org, "its test clock was deleted"); errors.Is(err, account.ErrNotFound) {
		err = c.ledger.DropClock(ctx, clock.Org)
	}
	if err != nil {
		return err
	}
	if _, err := c.pool.Exec(ctx, `DELETE FROM test_clock WHERE id = $1`, id); err != nil {
		return fmt.Errorf("the test clock %s was not deleted: %w", id, err)
	}
	return nil
}
