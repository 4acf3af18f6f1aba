package ledger

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/errcode"
)

// ErrDamaged says that the rows of an organization contradict each other or
// cannot be read. Its operations are refused until they are repaired; other
// organizations are not concerned.
var ErrDamaged = errcode.New(errcode.Damaged, "the credits of this organization are damaged")

// errLocked says that another transaction keeps an organization's row locked.
var errLocked = errors.New("another transaction keeps the organization's credits locked; try again")

// damaged is the one error about damage: it names the organization and the audit.
func damaged(owner string, cause error) error {
	if errors.Is(cause, ErrDamaged) {
		return cause
	}
	return fmt.Errorf("%w: run \"holdfast audit --org %s\": %w", ErrDamaged, owner, cause)
}

// Stats count what happened to lanes since the ledger was opened.
type Stats struct {
	Refused    int64 // operations refused because their organization's rows are damaged
	Damaged    int64 // organizations whose latest batch met damage
	WrongClock int64 // operations refused because the clocks of database and process differ
}

// Stats returns what the ledger has counted.
func (l *Ledger) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// carryOut runs a batch and answers its calls. A lost connection is no reason to
// give up: keys make it safe to run the batch again, also when the commit went
// through and only its answer was lost. A failure that may lie in one lane or
// one operation is narrowed down by halving the batch, so that it cannot spoil
// the others.
func (l *Ledger) carryOut(t *batch) {
	t.prepare()
	if t.size() == 0 {
		return
	}
	err := l.persist(t)
	if err != nil {
		l.fail(t, err)
		return
	}
	for _, w := range t.lanes {
		switch {
		case w.locked:
			l.putBack(w)
		case w.damage != nil && len(w.calls) == 1:
			l.refuse(w, damaged(w.lane.owner, w.damage))
		case w.damage != nil:
			w.lane.failed = damaged(w.lane.owner, w.damage)
			for _, half := range w.halves() {
				l.carryOut(&batch{lanes: []*laneWork{half}})
			}
		default:
			for i, c := range w.calls {
				c.done <- w.outcomes[i]
			}
		}
	}
}

// fail deals with a batch that was not committed.
func (l *Ledger) fail(t *batch, err error) {
	alone := len(t.lanes) == 1
	switch {
	case alone && lockTimeout(err) && !t.lanes[0].lane.apart:
		l.putBack(t.lanes[0])
	case alone && lockTimeout(err):
		l.refuse(t.lanes[0], errLocked)
	case everyLane(err):
		for _, w := range t.lanes {
			l.refuse(w, err)
		}
	case t.size() > 1:
		for _, half := range t.halves() {
			l.carryOut(half)
		}
	default:
		for _, w := range t.lanes {
			l.refuse(w, lyingInRows(w.lane.owner, err))
		}
	}
}

// halves splits a batch: its lanes or, where it has one only, its operations.
func (t *batch) halves() []*batch {
	lanes := t.lanes
	if len(lanes) == 1 {
		lanes = lanes[0].halves()
	}
	middle := len(lanes) / 2
	return []*batch{{lanes: lanes[:middle]}, {lanes: lanes[middle:]}}
}

// halves splits the work on a lane that has several operations, in their order.
func (w *laneWork) halves() []*laneWork {
	middle := len(w.calls) / 2
	return []*laneWork{{lane: w.lane, calls: w.calls[:middle:middle]}, {lane: w.lane, calls: w.calls[middle:]}}
}

// refuse answers all calls of a lane with an error.
func (l *Ledger) refuse(w *laneWork, err error) {
	w.lane.failed = err
	l.mu.Lock()
	switch {
	case errors.Is(err, ErrDamaged):
		l.stats.Refused += int64(len(w.calls))
	case errors.Is(err, ErrClock):
		if l.stats.WrongClock += int64(len(w.calls)); !l.clockWrong {
			l.log.Error("The ledger refuses to write.", "error", err)
		}
		l.clockWrong = true
	}
	l.mu.Unlock()
	for _, c := range w.calls {
		c.done <- outcome{err: fmt.Errorf("the ledger could not carry out %q: %w", c.op.header().key, err)}
	}
}

// putBack returns the calls of a lane that is locked elsewhere to its queue. It
// waits for the lock apart from the others.
func (l *Ledger) putBack(w *laneWork) {
	w.lane.failed = errLocked
	l.mu.Lock()
	defer l.mu.Unlock()
	w.lane.queue = append(w.calls, w.lane.queue...)
}

// judge notes what a batch has found out about a lane. It is called with the
// ledger locked, and logs damage once, not for every operation.
func (l *Ledger) judge(ln *lane) {
	damage := errors.Is(ln.failed, ErrDamaged)
	if l.clockWrong && ln.failed == nil {
		l.clockWrong = false
		l.log.Info("The ledger writes again.")
	}
	switch {
	case damage && !ln.damage:
		l.stats.Damaged++
		l.log.Error("The credits of an organization are damaged; its operations are refused until they are repaired.",
			"org", ln.owner, "error", ln.failed)
	case !damage && ln.damage:
		l.stats.Damaged--
		l.log.Info("The credits of an organization can be used again.", "org", ln.owner)
	}
	ln.damage, ln.apart, ln.failed = damage, ln.failed != nil && !everyLane(ln.failed), nil
}

// persist tries a batch until it is committed or trying again would not help.
func (l *Ledger) persist(t *batch) error {
	err := l.try(t)
	if errors.Is(err, errNewOwner) {
		if err = l.welcome(t); err == nil {
			t.opened = true
			err = l.try(t)
		}
	}
	for i := 1; err != nil && transient(err) && i < attempts; i++ {
		time.Sleep(time.Duration(i*i) * 10 * time.Millisecond)
		err = l.try(t)
	}
	return err
}

// try runs a batch in one transaction: lock and read, perform, write and commit.
func (l *Ledger) try(t *batch) (err error) {
	defer func(began time.Time) { l.batches.observe(t.size(), began, err) }(time.Now())
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return unreachable(ctx, err)
	}
	defer conn.Release() // a connection left within a transaction is thrown away
	if err := l.transact(ctx, conn, t); err != nil {
		if conn.Conn().IsClosed() {
			return &connectionError{err, ctx.Err() == nil}
		}
		_, _ = conn.Exec(ctx, "rollback") // the connection stays good, or is thrown away
		return err
	}
	for _, w := range t.lanes {
		if w.damage == nil && !w.locked {
			w.books.settle(keptPerLane)
			w.lane.books = w.books
		}
	}
	return nil
}

func (l *Ledger) transact(ctx context.Context, conn *pgxpool.Conn, t *batch) error {
	for _, w := range t.lanes {
		*w = laneWork{lane: w.lane, calls: w.calls, ops: w.ops, books: w.lane.books}
		w.lane.books = newBooks(w.lane.owner) // back in place once all is well
	}
	if err := t.begin(ctx, conn); err != nil {
		return err
	}
	if l.past != nil {
		t.now = l.past()
	}
	for _, w := range t.lanes {
		if w.usable() {
			l.perform(w, w.time(t.now))
		}
	}
	return t.commit(ctx, conn, t.queueWrites())
}

// usable reports whether the lane is ours and its books make sense.
func (w *laneWork) usable() bool { return w.damage == nil && !w.locked }

// perform runs a lane's operations. Books that no check has found wrong and that
// the engine still cannot work with are damage, too.
func (l *Ledger) perform(w *laneWork, now time.Time) {
	defer func() {
		if fault := recover(); fault != nil {
			w.books = newBooks(w.lane.owner)
			w.damaged("the engine failed on them: %v", fault)
			l.log.Error("The ledger's engine failed.", "org", w.lane.owner, "fault", fault, slog.String("stack", string(debug.Stack())))
		}
	}()
	w.outcomes = w.books.perform(w.ops, now)
}

// damaged notes the first thing found wrong with a lane's rows.
func (w *laneWork) damaged(format string, args ...any) {
	if w.damage == nil {
		w.damage = fmt.Errorf(format, args...)
	}
}

// welcome opens lanes for organizations the ledger has not seen. One that has
// journal entries was seen: its row is missing.
func (l *Ledger) welcome(t *batch) error {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	owners := make([]string, 0, len(t.lanes))
	for _, w := range t.lanes {
		owners = append(owners, w.lane.owner)
	}
	_, err := l.pool.Exec(ctx, `INSERT INTO credit_owner (owner) SELECT k.owner FROM unnest($1::text[]) k (owner)
		WHERE NOT EXISTS (SELECT FROM credit_entry e WHERE e.owner = k.owner) ORDER BY 1
		ON CONFLICT DO NOTHING`, owners)
	return err
}

// connectionError is a failure of the connection, not of what was asked over it.
type connectionError struct {
	error

	lost bool // known to be lost, and not because we took too long
}

func (e *connectionError) Unwrap() error { return e.error }

// unreachable marks the failure to get a connection.
func unreachable(ctx context.Context, err error) error {
	var refused *pgconn.ConnectError
	return &connectionError{err, errors.As(err, &refused) && ctx.Err() == nil}
}

// transient reports whether a failure is known to lie with the connection or
// with others' transactions, so that running the whole batch again may help.
func transient(err error) bool {
	var pg *pgconn.PgError
	var connection *connectionError
	return errors.As(err, &connection) && connection.lost ||
		errors.As(err, &pg) && pg.Code[:2] == "40" // rolled back for others' sake
}

// everyLane reports whether a failure would meet every lane alike, so that there
// is nothing to narrow down: no connection, no time, no rights, no space.
func everyLane(err error) bool {
	var pg *pgconn.PgError
	var connection *connectionError
	switch {
	case errors.As(err, &connection), transient(err), errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrClock):
		return true
	case !errors.As(err, &pg):
		return false
	}
	switch pg.Code[:2] {
	case "25", "28", "42", "53", "58": // transaction state, authorization, schema or rights, resources, system
		return true
	}
	return false
}

func lockTimeout(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}

// lyingInRows makes damage of a failure that a single operation ended in and
// that lies in the rows: they cannot be read, or contradict what is written.
func lyingInRows(owner string, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "22", "23", "XX": // data exception, integrity constraint, corruption
		default:
			return err
		}
	}
	return damaged(owner, err)
}
