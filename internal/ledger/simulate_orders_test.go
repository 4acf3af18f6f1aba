package ledger_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	ordering "holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/reconcile"
)

// TestSimulateOrders runs orders in worlds without I/O: the product's order of
// statuses (order.Move), its reconciler and its ledger's engine. What the activities
// of an order read and write stands here as they do it, one step after the other,
// and another process may come between any two. Workers die between any two steps,
// or are cut off and go on while another attempt runs; servers die before and after
// a commit; answers and cancellations are lost or come twice; workflows are
// terminated; Temporal's list of what runs is old; clocks are hours apart; up to
// three reconcilers run at the same time and die, too. In the end the faults stop,
// and the books must be exact: see orderWorld.verify.
func TestSimulateOrders(t *testing.T) {
	ledger.SimulateWorlds(t, func(seed uint64) (int, map[string]int) {
		w := simulateOrders(t, seed)
		return w.steps, w.faults
	},
		"worker died", "worker cut off", "before a commit of the ledger", "after a commit of the ledger", "workflow terminated", "cancelled",
		"cancellation lost", "submitted twice", "customer gave up", "clock stepped", "reconciler died", "verification failed",
		"taken up again", "hold without an order released", "cancellation passed on again", "insufficient",
	)
}

// A seed is all there is to a world.
func TestSimulationsOfOrdersRepeat(t *testing.T) {
	one, other := simulateOrders(t, 7), simulateOrders(t, 7)
	require.Equal(t, one.steps, other.steps)
	require.Equal(t, one.faults, other.faults)
	require.Equal(t, one.statuses(), other.statuses())
	require.NotEqual(t, one.statuses(), simulateOrders(t, 8).statuses())
}

const (
	bookedOrgs   = 3
	bookedOrders = 40
	creditType   = "email"
)

// orderWorld is the order book, Temporal, the workers, and a ledger for each
// organization.
type orderWorld struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand
	now    time.Time
	skew   [2]time.Duration // of the database's clock, of the workers'
	calm   bool             // no more faults
	steps  int
	faults map[string]int

	orgs        map[string]*ledger.SimLedger
	rows        map[string]*bookRow // the book
	seq         []string            // orders as they were entered
	flows       map[string]*flow
	ids         []string // of all orders that may come
	loose       []*attempt
	reconcilers int // at work
	reconciler  *reconcile.Reconciler
}

// bookRow is an order in the book.
type bookRow struct {
	orderbook.OpenOrder
	items    []bookItem
	statuses []ordering.Status
}

type bookItem struct {
	subject   [16]byte
	verdict   string
	delivered bool
}

// flow is an order's workflow: what Temporal keeps of it.
type flow struct {
	in        ordering.Input
	subjects  [][16]byte
	running   bool
	closed    time.Time // when it ended
	began     time.Time
	stage     int
	batch     int
	ending    ordering.Status // how the order is to end early
	cancel    bool
	wakes     time.Time
	attempt   *attempt
	submitted bool // the customer has an answer
	gone      bool // the customer does not ask any more
	wanted    bool // the customer has asked to cancel
}

const (
	reserving = iota
	selecting
	checking
	charging
	delivering
	refunding
	settling
)

// attempt is an activity that a worker carries out. One that was cut off may go on
// after Temporal has begun another.
type attempt struct {
	f    *flow
	next func() (struct{}, bool)
	stop func()
}

func simulateOrders(t *testing.T, seed uint64) *orderWorld {
	w := &orderWorld{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0x0bde5)), now: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), faults: map[string]int{},
		orgs: map[string]*ledger.SimLedger{}, rows: map[string]*bookRow{}, flows: map[string]*flow{},
	}
	w.reconciler = reconcile.New(nil, simBook{w}, simHolds{w}, simWorkflows{w}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	for i := range bookedOrgs {
		org := fmt.Sprintf("org%d", i)
		w.orgs[org] = ledger.NewSimLedger(org)
		g := ledger.Grant{Owner: org, Key: "pack", Type: creditType, Amount: 60 + w.rng.Int64N(300), Source: ledger.SourcePack}
		_, err := ledger.SimPerform[ledger.GrantResult](w.orgs[org], w.rng, g, w.now, func(string) bool { return false })
		require.NoError(t, err)
	}
	for i := range bookedOrders {
		id := fmt.Sprintf("ord%02d", i)
		f := &flow{in: ordering.Input{ID: id, Org: fmt.Sprintf("org%d", w.rng.IntN(bookedOrgs)), Member: "ann"}}
		for range 1 + w.rng.IntN(12) { // organizations order the same things again
			var subject [16]byte
			binary.BigEndian.PutUint64(subject[:], uint64(w.rng.IntN(150)))
			f.subjects = append(f.subjects, subject)
		}
		slices.SortFunc(f.subjects, func(a, b [16]byte) int { return slices.Compare(a[:], b[:]) })
		f.subjects = slices.Compact(f.subjects)
		w.ids, w.flows[id] = append(w.ids, id), f
	}
	for range 4000 {
		w.step()
	}
	w.calm = true
	w.skew = [2]time.Duration{}
	for range 400_000 {
		if w.steps%2000 == 0 && w.over() {
			break
		}
		w.step()
	}
	w.verify()
	return w
}

// fault says whether a fault happens now, and counts it.
func (w *orderWorld) fault(what string, permille int) bool {
	if w.calm || w.rng.IntN(1000) >= permille {
		return false
	}
	w.faults[what]++
	return true
}

// step lets one thing happen.
func (w *orderWorld) step() {
	w.steps++
	w.now = w.now.Add(time.Duration(w.rng.IntN(2000)) * time.Millisecond)
	f := w.flows[w.ids[w.rng.IntN(len(w.ids))]]
	switch n := w.rng.IntN(1000); {
	case n < 700:
		w.carryOn(f)
	case n < 880 && len(w.loose) > 0:
		w.goOnLoose()
	case n < 960:
		w.customer(f)
	case n < 968 || w.calm && n < 980:
		w.reconcile()
	case n < 985 && f.running && w.fault("workflow terminated", 400):
		w.letGo(f, true)
		f.running, f.closed = false, w.now
	case w.fault("clock stepped", 300):
		w.skew[w.rng.IntN(2)] = time.Duration(w.rng.IntN(8*3600)-4*3600) * time.Second
	}
}

// customer orders, asks again, cancels, or gives up.
func (w *orderWorld) customer(f *flow) {
	row := w.rows[f.in.ID]
	switch {
	case !f.submitted && !f.gone:
		if row != nil { // the answer
			f.submitted = !w.fault("answer lost", 200)
			return
		}
		if !f.running { // Temporal starts one workflow of an ID at a time
			w.start(f)
			if w.fault("submitted twice", 100) {
				w.start(f)
			}
		} else if w.fault("customer gave up", 100) {
			f.gone = true
		}
	case row != nil && !row.Status.Over() && w.fault("cancelled", 40):
		f.wanted = true
		if row.CancelRequestedAt == nil {
			at := w.now.Add(w.skew[0])
			row.CancelRequestedAt = &at
		}
		if !w.fault("cancellation lost", 500) {
			f.cancel = f.cancel || f.running
		}
	}
}

func (w *orderWorld) start(f *flow) {
	if f.running {
		return
	}
	f.running, f.began, f.stage, f.batch, f.ending, f.cancel, f.wakes = true, w.now, reserving, 0, "", false, time.Time{}
}

// letGo ends the attempt of a workflow: its worker dies, or goes on unseen.
func (w *orderWorld) letGo(f *flow, cut bool) {
	a := f.attempt
	if a == nil {
		return
	}
	f.attempt = nil
	if cut {
		w.loose = append(w.loose, a)
	} else {
		a.stop()
	}
}

// goOnLoose lets a worker that was cut off do its next step.
func (w *orderWorld) goOnLoose() {
	i := w.rng.IntN(len(w.loose))
	_, more := w.loose[i].next()
	if !more || w.fault("worker died", 250) {
		w.loose[i].stop()
		w.loose = slices.Delete(w.loose, i, i+1)
	}
}

// carryOn lets a workflow, or the worker of its activity, do its next step.
func (w *orderWorld) carryOn(f *flow) {
	if !f.running || w.now.Before(f.wakes) {
		return
	}
	if f.attempt != nil {
		switch {
		case w.fault("worker died", 15):
			w.letGo(f, false)
		case w.fault("worker cut off", 15), f.cancel && f.ending == "" && w.fault("worker cut off", 200):
			w.letGo(f, true)
		default:
			if _, more := f.attempt.next(); !more {
				f.attempt = nil // failed: Temporal tries again
			}
		}
		return
	}
	if f.cancel && f.ending == "" && f.stage > reserving && f.stage < refunding {
		f.ending = ordering.Cancelled
	}
	var do func(*flow, *attempt) iter.Seq[struct{}]
	switch {
	case f.ending != "":
		do = w.release
	case f.stage == reserving:
		do = w.reserve
	case f.stage == selecting:
		do = w.choose
	case f.stage == checking:
		do = w.check
	case f.stage == charging:
		do = w.charge
	case f.stage == delivering:
		do = w.deliver
	case f.stage == refunding:
		f.stage, f.wakes = settling, w.now.Add(5*time.Minute)
		return
	default:
		do = w.release
	}
	a := &attempt{f: f}
	a.next, a.stop = iter.Pull(do(f, a))
	f.attempt = a
}

// report ends an attempt, unless Temporal waits for another one.
func (w *orderWorld) report(a *attempt, then func(f *flow)) {
	if a.f.attempt == a {
		then(a.f)
	}
}

func (w *orderWorld) end(f *flow) { f.running, f.closed = false, w.now }

// stands takes over how the book says that the order stands, as orderRun.run does.
func (w *orderWorld) stands(row *bookRow) func(*flow) {
	status, cancel := row.Status, row.CancelRequestedAt != nil
	return func(f *flow) {
		switch {
		case status.Over():
			w.end(f)
			f.attempt = nil
			return
		case status == ordering.Completed:
			f.stage = refunding
		case cancel:
			f.ending = ordering.Cancelled
		default:
			f.stage = selecting
		}
		f.attempt = nil
	}
}

// reserve is activities.Reserve.
func (w *orderWorld) reserve(f *flow, a *attempt) iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		if row := w.rows[f.in.ID]; row != nil {
			w.report(a, w.stands(row))
			return
		}
		if !yield(struct{}{}) {
			return
		}
		hold := ledger.Hold{Owner: f.in.Org, Key: f.in.ID + "/hold", HoldID: f.in.ID, Lines: []ledger.Line{{Type: creditType, Amount: int64(len(f.subjects)), Pools: []string{""}}}}
		held, err := w.hold(hold)
		if err != nil || !yield(struct{}{}) {
			return
		}
		row := w.rows[f.in.ID]
		if row == nil { // Book.Create takes the first
			row = &bookRow{OpenOrder: orderbook.OpenOrder{Seq: int64(len(w.seq)) + 1, ID: f.in.ID, Org: f.in.Org, Member: f.in.Member, Status: ordering.Reserved}}
			if !held.Held {
				row.Status = ordering.Rejected
				w.faults["insufficient"]++
			}
			row.statuses = []ordering.Status{row.Status}
			w.rows[f.in.ID], w.seq = row, append(w.seq, f.in.ID)
		}
		if yield(struct{}{}) {
			w.report(a, w.stands(row))
		}
	}
}

// dies says whether the server of the ledger dies now.
func (w *orderWorld) dies(when string) bool { return w.fault(when, 15) }

func (w *orderWorld) hold(op ledger.Hold) (ledger.HoldResult, error) {
	return ledger.SimPerform[ledger.HoldResult](w.orgs[op.Owner], w.rng, op, w.now.Add(w.skew[0]), w.dies)
}

func (w *orderWorld) capture(op ledger.Capture) (ledger.CaptureResult, error) {
	return ledger.SimPerform[ledger.CaptureResult](w.orgs[op.Owner], w.rng, op, w.now.Add(w.skew[0]), w.dies)
}

func (w *orderWorld) releaseHold(op ledger.Release) (ledger.ReleaseResult, error) {
	return ledger.SimPerform[ledger.ReleaseResult](w.orgs[op.Owner], w.rng, op, w.now.Add(w.skew[0]), w.dies)
}

// move is Book.change: one transaction.
func (w *orderWorld) move(row *bookRow, to ordering.Status) error {
	next, ok := ordering.Move(row.Status, to)
	if !ok {
		return orderbook.ErrOver
	}
	if next != row.Status {
		row.Status, row.statuses = next, append(row.statuses, next)
	}
	return nil
}

// fails ends the order early, after an error that does not pass.
func fails(f *flow) { f.ending, f.attempt = ordering.Failed, nil }

// choose is activities.SelectLeads.
func (w *orderWorld) choose(f *flow, a *attempt) iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		row := w.rows[f.in.ID]
		if row.items == nil {
			for _, subject := range f.subjects {
				row.items = append(row.items, bookItem{subject: subject})
			}
		}
		if !yield(struct{}{}) {
			return
		}
		if err := w.move(row, ordering.Verifying); err != nil {
			w.report(a, fails)
			return
		}
		if yield(struct{}{}) {
			w.report(a, func(f *flow) { f.stage, f.attempt = checking, nil })
		}
	}
}

// batch is the next items of an order that are verified and charged together.
const batch = 4

func (f *flow) items(row *bookRow) []bookItem {
	return row.items[min(f.batch, len(row.items)):min(f.batch+batch, len(row.items))]
}

// check is activities.VerifyBatch.
func (w *orderWorld) check(f *flow, a *attempt) iter.Seq[struct{}] {
	items := f.items(w.rows[f.in.ID])
	return func(yield func(struct{}) bool) {
		for i := range items {
			if items[i].verdict == "" {
				items[i].verdict = []string{"valid", "valid", "invalid"}[items[i].subject[7]%3]
			}
			if !yield(struct{}{}) {
				return
			}
		}
		if w.fault("verification failed", 3) {
			w.report(a, fails)
			return
		}
		w.report(a, func(f *flow) { f.stage, f.attempt = charging, nil })
	}
}

// billable is Book.Billable: numbers of items.
func billable(items []bookItem) (list []int) {
	for i, item := range items {
		if item.verdict == "valid" && !item.delivered {
			list = append(list, i)
		}
	}
	return list
}

// charge is activities.CaptureCredits. It is seen through where the order is cancelled.
func (w *orderWorld) charge(f *flow, a *attempt) iter.Seq[struct{}] {
	items := f.items(w.rows[f.in.ID])
	return func(yield func(struct{}) bool) {
		due := billable(items)
		if len(due) > 0 {
			if !yield(struct{}{}) {
				return
			}
			op := ledger.Capture{Owner: f.in.Org, HoldID: f.in.ID, Type: creditType, UnitCost: 1}
			key := sha256.New()
			for _, i := range due {
				op.Facts = append(op.Facts, ledger.Fact{Subject: items[i].subject})
				key.Write(items[i].subject[:])
			}
			op.Key = fmt.Sprintf("%s/capture/%x", f.in.ID, key.Sum(nil)[:8])
			_, err := w.capture(op)
			if errors.Is(err, ledger.ErrHoldClosed) || errors.Is(err, ledger.ErrUnknownHold) {
				w.report(a, fails)
				return
			}
			if err != nil || !yield(struct{}{}) {
				return
			}
			for _, i := range due {
				items[i].delivered = true
			}
			if !yield(struct{}{}) {
				return
			}
		}
		w.report(a, func(f *flow) {
			f.attempt = nil
			if f.batch += batch; f.batch < len(w.rows[f.in.ID].items) {
				f.stage = checking
			} else {
				f.stage = delivering
			}
		})
	}
}

// deliver is activities.DeliverOrder.
func (w *orderWorld) deliver(f *flow, a *attempt) iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		if !yield(struct{}{}) {
			return
		}
		if err := w.move(w.rows[f.in.ID], ordering.Completed); err != nil {
			w.report(a, fails)
			return
		}
		if yield(struct{}{}) {
			w.report(a, func(f *flow) { f.stage, f.attempt = refunding, nil })
		}
	}
}

// release is activities.ReleaseHold.
func (w *orderWorld) release(f *flow, a *attempt) iter.Seq[struct{}] {
	to := f.ending
	return func(yield func(struct{}) bool) {
		over := func(f *flow) { w.end(f); f.attempt = nil }
		row := w.rows[f.in.ID]
		if to == "" || row != nil && (row.Status == ordering.Completed || row.Status == ordering.Settled) {
			to = ordering.Settled
		}
		if !yield(struct{}{}) {
			return
		}
		_, err := w.releaseHold(ledger.Release{Owner: f.in.Org, Key: f.in.ID + "/release", HoldID: f.in.ID})
		if err != nil && !errors.Is(err, ledger.ErrHoldClosed) && !errors.Is(err, ledger.ErrUnknownHold) || !yield(struct{}{}) {
			return
		}
		if row == nil || errors.Is(err, ledger.ErrUnknownHold) {
			w.report(a, over)
			return
		}
		w.deliverCharged(row)
		if !yield(struct{}{}) || w.move(row, to) != nil || !yield(struct{}{}) {
			return
		}
		w.report(a, over)
	}
}

// deliverCharged delivers what was charged by an attempt that got no further.
func (w *orderWorld) deliverCharged(row *bookRow) {
	for _, i := range billable(row.items) {
		if w.orgs[row.Org].PaidUnder(row.ID, row.items[i].subject) {
			row.items[i].delivered = true
		}
	}
}

// reconcile runs the product's reconciler. Other things happen between any two of
// its questions, and other reconcilers run.
func (w *orderWorld) reconcile() {
	if w.reconcilers == 3 {
		return
	}
	w.reconcilers++
	res, err := w.reconciler.Repair(context.Background(), w.now.Add(w.skew[1]))
	w.reconcilers--
	if err != nil && !errors.Is(err, errReconcilerDied) && !errors.Is(err, ledger.ErrSimDied) {
		require.NoError(w.t, err, "seed %d", w.seed)
	}
	w.faults["taken up again"] += int(res.Recovered)
	w.faults["hold without an order released"] += int(res.Released)
}

var errReconcilerDied = errors.New("the reconciler died")

// others lets other things happen while a reconciler waits for an answer.
func (w *orderWorld) others() error {
	for range w.rng.IntN(4) {
		w.step()
	}
	if w.fault("reconciler died", 10) {
		return errReconcilerDied
	}
	return nil
}

// simBook, simHolds and simWorkflows are what the reconciler sees of the world.
type (
	simBook      struct{ w *orderWorld }
	simHolds     struct{ w *orderWorld }
	simWorkflows struct{ w *orderWorld }
)

func (b simBook) Open(_ context.Context, after int64, limit int) (open []orderbook.OpenOrder, err error) {
	for _, id := range b.w.seq[after:] {
		if row := b.w.rows[id]; !row.Status.Over() && len(open) < limit {
			open = append(open, row.OpenOrder)
		}
	}
	return open, b.w.others()
}

func (b simBook) OpenOrder(_ context.Context, id string) (orderbook.OpenOrder, error) {
	row := b.w.rows[id]
	switch {
	case row == nil:
		return orderbook.OpenOrder{}, orderbook.ErrNotFound
	case row.Status.Over():
		return orderbook.OpenOrder{}, orderbook.ErrOver
	}
	o := row.OpenOrder
	return o, b.w.others()
}

func (h simHolds) OpenHolds(_ context.Context, known []ledger.HoldRef) (open []ledger.HoldRef, err error) {
	for _, org := range slices.Sorted(maps.Keys(h.w.orgs)) {
		for _, id := range h.w.orgs[org].OpenHolds() {
			if ref := (ledger.HoldRef{Owner: org, ID: id}); !slices.Contains(known, ref) {
				open = append(open, ref)
			}
		}
	}
	return open, h.w.others()
}

func (h simHolds) HoldState(_ context.Context, owner, id string) ([]ledger.HoldLine, error) {
	lines, err := h.w.orgs[owner].HoldState(id)
	return lines, errors.Join(err, h.w.others())
}

func (h simHolds) Release(_ context.Context, r ledger.Release) (ledger.ReleaseResult, error) {
	res, err := h.w.releaseHold(r)
	return res, errors.Join(err, h.w.others())
}

// RunningOrders is some seconds old: it lacks what has begun since, and has what has
// ended since.
func (s simWorkflows) RunningOrders(context.Context) (map[string]bool, error) {
	list := map[string]bool{}
	since := s.w.now.Add(-time.Duration(s.w.rng.IntN(20)) * time.Second)
	for id, f := range s.w.flows {
		if f.running && f.began.Before(since) || !f.running && f.closed.After(since) {
			list[id] = true
		}
	}
	return list, s.w.others()
}

func (s simWorkflows) Runs(_ context.Context, id string) (bool, error) {
	runs := s.w.flows[id].running
	return runs, s.w.others()
}

func (s simWorkflows) TakeUp(_ context.Context, in ordering.Input) error {
	s.w.start(s.w.flows[in.ID])
	return s.w.others()
}

func (s simWorkflows) EndRunning(context.Context, string) error { return nil }

func (s simWorkflows) PassCancelOn(_ context.Context, id string) error {
	if f := s.w.flows[id]; f.running && !f.cancel {
		f.cancel = true
		s.w.faults["cancellation passed on again"]++
	}
	return s.w.others()
}

// over says whether nothing is on its way any more.
func (w *orderWorld) over() bool {
	if len(w.loose) > 0 {
		return false
	}
	for _, id := range w.ids {
		f, row := w.flows[id], w.rows[id]
		if f.running || row != nil && !row.Status.Over() || row == nil && !f.gone {
			return false
		}
	}
	for _, l := range w.orgs {
		if len(l.OpenHolds()) > 0 {
			return false
		}
	}
	return true
}

func (w *orderWorld) statuses() map[string][]ordering.Status {
	all := map[string][]ordering.Status{}
	for id, row := range w.rows {
		all[id] = row.statuses
	}
	return all
}

// verify proves the end: every order that was asked for is over, and went only ways
// that there are; what it held is what it charged and got back; what is delivered is
// what is charged, fact by fact; no credits are held; all of it follows from the
// journal alone.
func (w *orderWorld) verify() {
	require.True(w.t, w.over(), "seed %d: something does not end", w.seed)
	delivered := map[string]map[[16]byte]bool{}
	charged := map[string]int64{}
	for org := range w.orgs {
		delivered[org] = map[[16]byte]bool{}
	}
	for _, id := range w.ids {
		f, row := w.flows[id], w.rows[id]
		lines, err := w.orgs[f.in.Org].HoldState(id)
		if err == nil {
			require.Equal(w.t, lines[0].Amount, lines[0].Captured+lines[0].Released, "seed %d: the hold of %s", w.seed, id)
			charged[f.in.Org] += lines[0].Captured
		}
		if row == nil {
			require.True(w.t, err != nil || lines[0].Captured == 0, "seed %d: %s is not in the book and was charged", w.seed, id)
			continue
		}
		w.verifyWay(f, row, err == nil)
		for _, item := range row.items {
			owned := w.orgs[row.Org].Owns(creditType, item.subject)
			require.False(w.t, item.delivered && !owned, "seed %d: %s was given something for nothing", w.seed, id)
			require.False(w.t, !item.delivered && w.orgs[row.Org].PaidUnder(id, item.subject), "seed %d: %s paid for something that it has not got", w.seed, id)
			if item.delivered {
				delivered[row.Org][item.subject] = true
			}
		}
	}
	for org, l := range w.orgs {
		require.NoError(w.t, l.Replayed(), "seed %d", w.seed)
		require.Len(w.t, delivered[org], l.Facts(), "seed %d", w.seed)
		require.EqualValues(w.t, l.Facts(), charged[org], "seed %d: charged is not what is owned", w.seed)
	}
}

// verifyWay proves that an order has gone a way that there is.
func (w *orderWorld) verifyWay(f *flow, row *bookRow, held bool) {
	text := fmt.Sprint(row.statuses)
	require.Contains(w.t, []string{
		"[rejected]", "[reserved verifying completed settled]", "[reserved cancelled]", "[reserved verifying cancelled]", "[reserved failed]", "[reserved verifying failed]",
	}, text, "seed %d: %s", w.seed, row.ID)
	switch row.Status {
	case ordering.Rejected:
		require.False(w.t, held, "seed %d: %s is refused and holds credits", w.seed, row.ID)
	case ordering.Cancelled:
		require.True(w.t, f.wanted, "seed %d: %s was not cancelled by a customer", w.seed, row.ID)
	case ordering.Settled:
		for _, item := range row.items {
			require.Equal(w.t, item.verdict == "valid", item.delivered, "seed %d: %s", w.seed, row.ID)
		}
	default: // its way says all
	}
}
