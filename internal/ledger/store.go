package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Sizes of batches and of what is kept in memory between them.
const (
	batchOperations = 1024
	batchLanes      = 128
	keptPerLane     = 8192  // open holds, budgets, grants
	keptLanes       = 10000 // organizations
	attempts        = 6
	batchTimeout    = 60 * time.Second
)

// lane is the queue of one organization. At most one batch at a time has it.
type lane struct {
	owner string
	queue []*call
	busy  bool // a batch has it, or it is in the ready list
	books *books
}

// call is an operation that waits for its outcome.
type call struct {
	ctx  context.Context
	op   operation
	done chan outcome
}

// batch is what one transaction carries out: the waiting operations of one or
// several lanes.
type batch struct {
	lanes   []*laneWork // by owner
	byOwner map[string]*laneWork
	now     time.Time // the database's
}

type laneWork struct {
	lane     *lane
	books    *books
	calls    []*call
	ops      []operation
	outcomes []outcome
}

// do queues an operation and waits for its result.
func do[R any](ctx context.Context, l *Ledger, op operation) (R, error) {
	var result R
	if err := validate(op); err != nil {
		return result, err
	}
	c := &call{ctx: ctx, op: op, done: make(chan outcome, 1)}
	if err := l.enqueue(c); err != nil {
		return result, err
	}
	select {
	case o := <-c.done:
		return decode[R](o)
	case <-ctx.Done():
		return result, fmt.Errorf("the ledger operation %q may or may not have happened, repeat it with the same key: %w",
			op.header().key, ctx.Err())
	}
}

// decode gives an outcome its type.
func decode[R any](o outcome) (result R, err error) {
	switch {
	case o.err != nil:
		return result, o.err
	case o.replayed != nil:
		if err := json.Unmarshal(o.replayed, &result); err != nil {
			return result, fmt.Errorf("a stored result of the ledger cannot be read, run the audit: %w", err)
		}
		return result, nil
	}
	result, ok := o.result.(R)
	if !ok {
		return result, fmt.Errorf("the ledger made a %T of an operation that results in a %T", o.result, result)
	}
	return result, nil
}

// enqueue puts a call into its lane and sees to it that a worker takes it up.
func (l *Ledger) enqueue(c *call) error {
	owner := c.op.header().owner
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	ln := l.lanes[owner]
	if ln == nil {
		ln = &lane{owner: owner, books: newBooks(owner)}
		l.lanes[owner] = ln
	}
	ln.queue = append(ln.queue, c)
	if !ln.busy {
		ln.busy = true
		l.ready = append(l.ready, ln)
		if l.working < l.workers {
			l.working++
			l.wg.Add(1)
			go l.work()
		}
	}
	return nil
}

// work carries out batches until no lane is ready. While a batch commits, its
// lanes gather their next one.
func (l *Ledger) work() {
	defer l.wg.Done()
	for {
		t := l.next()
		if t == nil {
			return
		}
		l.carryOut(t)
		l.finish(t)
	}
}

// next gathers a batch from the lanes that are ready, or nil where none is.
func (l *Ledger) next() *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ready) == 0 {
		l.working--
		return nil
	}
	t := &batch{}
	room := l.batchSize
	taken := 0
	for _, ln := range l.ready {
		if room == 0 || taken == batchLanes {
			break
		}
		taken++
		n := min(room, len(ln.queue))
		t.lanes = append(t.lanes, &laneWork{lane: ln, calls: ln.queue[:n:n]})
		ln.queue = ln.queue[n:]
		room -= n
	}
	l.ready = slices.Delete(l.ready, 0, taken)
	return t
}

// finish gives the lanes of a batch back.
func (l *Ledger) finish(t *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range t.lanes {
		switch {
		case len(w.lane.queue) > 0:
			l.ready = append(l.ready, w.lane)
		case len(l.lanes) > keptLanes:
			delete(l.lanes, w.lane.owner)
		default:
			w.lane.busy = false
			w.lane.queue = nil
		}
	}
}

// carryOut runs a batch and answers its calls. A lost connection is no reason to
// give up: keys make it safe to run the batch again, also when the commit went
// through and only its answer was lost. Any other failure is narrowed down by
// running the operations one by one, so that one cannot spoil its neighbours.
func (l *Ledger) carryOut(t *batch) {
	t.prepare()
	if t.size() == 0 {
		return
	}
	err := l.try(t)
	if errors.Is(err, errNewOwner) {
		if err = l.welcome(t); err == nil {
			err = l.try(t)
		}
	}
	for i := 1; err != nil && transient(err) && i < attempts; i++ {
		time.Sleep(time.Duration(i*i) * 10 * time.Millisecond)
		err = l.try(t)
	}
	if err != nil && t.size() > 1 && !transient(err) {
		for _, w := range t.lanes {
			for _, c := range w.calls {
				l.carryOut(&batch{lanes: []*laneWork{{lane: w.lane, calls: []*call{c}}}})
			}
		}
		return
	}
	for _, w := range t.lanes {
		for i, c := range w.calls {
			if err != nil {
				c.done <- outcome{err: fmt.Errorf("the ledger could not carry out %q: %w", c.op.header().key, err)}
			} else {
				c.done <- w.outcomes[i]
			}
		}
	}
}

// prepare drops calls nobody waits for and puts the lanes in locking order.
func (t *batch) prepare() {
	t.byOwner = make(map[string]*laneWork, len(t.lanes))
	slices.SortFunc(t.lanes, func(a, b *laneWork) int { return strings.Compare(a.lane.owner, b.lane.owner) })
	for _, w := range t.lanes {
		w.calls = slices.DeleteFunc(w.calls, func(c *call) bool { return c.ctx.Err() != nil })
		w.ops = make([]operation, len(w.calls))
		for i, c := range w.calls {
			w.ops[i] = c.op
		}
		t.byOwner[w.lane.owner] = w
	}
}

func (t *batch) size() (n int) {
	for _, w := range t.lanes {
		n += len(w.calls)
	}
	return n
}

// try runs a batch in one transaction: lock and read, perform, write and commit.
func (l *Ledger) try(t *batch) error {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	conn, err := l.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // a connection left within a transaction is thrown away
	for _, w := range t.lanes {
		w.books = w.lane.books
		w.lane.books = newBooks(w.lane.owner) // back in place once all is well
	}
	if err := t.begin(ctx, conn); err != nil {
		return err
	}
	for _, w := range t.lanes {
		w.outcomes = w.books.perform(w.ops, t.now)
	}
	if err := t.commit(ctx, conn, t.queueWrites()); err != nil {
		return err
	}
	for _, w := range t.lanes {
		w.books.settle(keptPerLane)
		w.lane.books = w.books
	}
	return nil
}

// welcome opens lanes for organizations the ledger has not seen.
func (l *Ledger) welcome(t *batch) error {
	ctx, cancel := context.WithTimeout(context.Background(), batchTimeout)
	defer cancel()
	owners := make([]string, 0, len(t.lanes))
	for _, w := range t.lanes {
		owners = append(owners, w.lane.owner)
	}
	_, err := l.pool.Exec(ctx, `INSERT INTO credit_owner (owner) SELECT unnest($1::text[]) ORDER BY 1
		ON CONFLICT DO NOTHING`, owners)
	return err
}

// transient reports whether a failure lies with the connection or with others'
// transactions, so that running the batch again may help.
func transient(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return !errors.Is(err, context.DeadlineExceeded)
	}
	switch pg.Code[:2] {
	case "08", "40", "53", "57": // connection, rollback, resources, operator intervention
		return true
	}
	return false
}
