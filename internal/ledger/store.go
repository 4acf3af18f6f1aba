package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/commit"
)

// Sizes of batches and of what is kept in memory between them.
const (
	batchOperations = 1024
	batchLanes      = 128
	keptPerLane     = 8192  // open holds, budgets, grants
	keptLanes       = 10000 // organizations
	workersApart    = 2     // for lanes that failed
	attempts        = 6
	batchTimeout    = 60 * time.Second
)

// lane is the queue of one organization. At most one batch at a time has it.
type lane struct {
	owner  string
	queue  []*call
	busy   bool // a batch has it, or it is in a line
	apart  bool // its last batch failed; it has batches of its own until one succeeds
	books  *books
	failed error // of the batch under way: why the lane could not be carried out
	damage bool  // its last batch found that its books contradict themselves
}

// pending is lanes with calls waiting and no batch under way, and their workers.
type pending struct {
	ready   []*lane
	working int
	workers int
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
	opened  bool      // lanes new to the ledger were opened for it
}

// laneWork is one lane's part of a batch.
type laneWork struct {
	lane     *lane
	books    *books
	calls    []*call
	ops      []operation
	outcomes []outcome

	locked   bool  // another transaction has the lane: it waits for that apart from the others
	damage   error // the lane's rows contradict each other: nothing is written for it
	unproven bool  // the head of its books was not compared with the journal yet
	asked    needs // what the last round trip asked for
	fresh    fresh // what was read by this batch and is not checked yet
	behind   *behind
	clock    *time.Time // the organization's own time, where it has a test clock
}

// time is the time of the lane's organization where the database's is now.
func (w *laneWork) time(now time.Time) time.Time {
	if w.clock != nil {
		return *w.clock
	}
	return now
}

// do queues an operation and waits for its result.
func do[R any](ctx context.Context, l *Ledger, op operation) (result R, err error) {
	if err := validate(op); err != nil {
		return result, err
	}
	c := &call{ctx: ctx, op: op, done: make(chan outcome, 1)}
	if err := l.enqueue(c); err != nil {
		return result, err
	}
	return wait[R](c)
}

// wait returns the result of a call that is in its lane.
func wait[R any](c *call) (result R, err error) {
	h := c.op.header()
	select {
	case o := <-c.done:
		noticeOf(c.ctx, c.op, o)
		return decode[R](h.owner, o)
	case <-c.ctx.Done():
		return result, fmt.Errorf("the ledger operation %q may or may not have happened, repeat it with the same key: %w", h.key, c.ctx.Err())
	}
}

// decode gives an outcome its type.
func decode[R any](owner string, o outcome) (result R, err error) {
	switch {
	case o.err != nil:
		return result, o.err
	case o.replayed != nil:
		if err := json.Unmarshal(o.replayed, &result); err != nil {
			return result, damaged(owner, fmt.Errorf("a stored result cannot be read: %w", err))
		}
		return result, nil
	}
	result, ok := o.result.(R)
	if !ok {
		return result, fmt.Errorf("the ledger made a %T of an operation that results in a %T", o.result, result)
	}
	return result, nil
}

// enqueue puts calls of one owner into their lane, so that they share a batch, and
// sees to it that a worker takes it up.
func (l *Ledger) enqueue(calls ...*call) error {
	if len(calls) == 0 {
		return nil
	}
	owner := calls[0].op.header().owner
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
	ln.queue = append(ln.queue, calls...)
	if !ln.busy {
		l.push(ln)
	}
	return nil
}

// push puts a lane into its line and sees to it that a worker takes it up.
func (l *Ledger) push(ln *lane) {
	ln.busy = true
	q := l.lineOf(ln)
	q.ready = append(q.ready, ln)
	if q.working < q.workers {
		q.working++
		l.wg.Add(1)
		go l.work(q)
	}
}

func (l *Ledger) lineOf(ln *lane) *pending {
	if ln.apart {
		return &l.apart
	}
	return &l.common
}

// work carries out batches until no lane of the line is ready. While a batch
// commits, its lanes gather their next one.
func (l *Ledger) work(q *pending) {
	defer l.wg.Done()
	for {
		t := l.next(q)
		if t == nil {
			return
		}
		l.carryOut(t)
		l.finish(q, t)
	}
}

// next gathers a batch from the lanes that are ready, or nil where none is. A
// lane apart has the batch to itself.
func (l *Ledger) next(q *pending) *batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(q.ready) == 0 {
		q.working--
		return nil
	}
	t := &batch{}
	room := l.batchSize
	taken := 0
	for _, ln := range q.ready {
		if room == 0 || taken == batchLanes || taken > 0 && ln.apart {
			break
		}
		taken++
		n := min(room, len(ln.queue))
		t.lanes = append(t.lanes, &laneWork{lane: ln, calls: ln.queue[:n:n]})
		ln.queue = ln.queue[n:]
		room -= n
	}
	q.ready = slices.Delete(q.ready, 0, taken)
	return t
}

// finish gives the lanes of a batch back, each to the line where it belongs now.
func (l *Ledger) finish(q *pending, t *batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range t.lanes {
		ln := w.lane
		l.judge(ln)
		switch {
		case len(ln.queue) == 0 && len(l.lanes) > keptLanes && !ln.damage:
			delete(l.lanes, ln.owner)
		case len(ln.queue) == 0:
			ln.busy = false
			ln.queue = nil
		case l.lineOf(ln) == q:
			q.ready = append(q.ready, ln) // this worker goes on with it
		default:
			l.push(ln)
		}
	}
}

// prepare drops calls without a waiting caller and puts the lanes in locking order.
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

// deferred reports whether no caller needs the batch on the disk yet.
func (t *batch) deferred() bool {
	for _, w := range t.lanes {
		for _, c := range w.calls {
			if !commit.Deferred(c.ctx) {
				return false
			}
		}
	}
	return true
}

func (t *batch) size() (n int) {
	for _, w := range t.lanes {
		n += len(w.calls)
	}
	return n
}
