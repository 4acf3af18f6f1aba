package ledger

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/plan"
)

var (
	simulateSeed = flag.Uint64("simulate.seed", 0, "the one seed to simulate; 0 = seeds from 1 on")
	simulateFor  = flag.Duration("simulate.for", 10*time.Second, "how long to simulate seed after seed")
)

// TestSimulate runs the product's engine, its journal and its plans in worlds
// without I/O: organizations on different plans, orders that hold, capture and
// release in messages which are lost, doubled and overtaken, two servers whose
// clocks differ and that die before and after every commit, order processes that
// die between any two steps and are taken up again, cancellations, bounces, period
// ends, changes of plan and purchases in between. A world follows from its seed alone. In the end
// the faults stop, and the books must be exact: see simWorld.verify.
func TestSimulate(t *testing.T) {
	SimulateWorlds(t, func(seed uint64) (int, map[string]int) {
		w := simulate(t, seed)
		return w.steps, w.faults
	},
		"lost", "doubled", "late", "answer lost", "died before commit", "died after commit", "order process died", "cancelled", "clock stepped",
		"period ended", "plan changed", "offer outlived its period", "insufficient",
	)
}

// SimulateWorlds simulates worlds by their seeds, for as long as is asked for, or the
// one that is asked for. Each of the faults must have happened in one of them.
func SimulateWorlds(t *testing.T, simulate func(seed uint64) (steps int, faults map[string]int), musts ...string) {
	t.Helper()
	if *simulateSeed != 0 {
		steps, faults := simulate(*simulateSeed)
		t.Logf("seed %d: %d steps, %v", *simulateSeed, steps, faults)
		return
	}
	var steps, worlds int
	faults := map[string]int{}
	began, beganWork := time.Now(), processorTime(t)
	for seed := uint64(1); time.Since(began) < *simulateFor || seed <= 3; seed++ {
		n, happened := simulate(seed)
		worlds++
		steps += n
		for what, n := range happened {
			faults[what] += n
		}
	}
	// Beside other work the clock says little.
	t.Logf("%d worlds, %d steps, %.0f a second, %.0f a second of a processor; faults: %v",
		worlds, steps, float64(steps)/time.Since(began).Seconds(), float64(steps)/(processorTime(t)-beganWork).Seconds(), faults)
	for _, what := range musts {
		require.NotZero(t, faults[what], "%s never happened: the simulation tests less than it says", what)
	}
}

// processorTime is what this process has used so far.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// A seed is all there is to a world.
func TestSimulationsRepeat(t *testing.T) {
	one, other := simulate(t, 7), simulate(t, 7)
	require.Equal(t, one.steps, other.steps)
	for i := range one.orgs {
		require.Equal(t, one.orgs[i].tables.owner.head, other.orgs[i].tables.owner.head)
	}
	require.NotEqual(t, one.orgs[0].tables.owner.head, simulate(t, 8).orgs[0].tables.owner.head)
}

const (
	simOrgs    = 4
	simOrders  = 12 // of each organization
	simServers = 2
)

// simWorld is some organizations, the servers, and what is on its way.
type simWorld struct {
	t      *testing.T
	seed   uint64
	rng    *rand.Rand
	now    time.Time
	skew   [simServers]time.Duration
	orgs   []*simOrg
	queue  []simMessage
	calm   bool // no more faults
	steps  int
	faults map[string]int
}

// simMessage is an operation on its way to a server.
type simMessage struct {
	org   *simOrg
	op    operation
	at    time.Time
	reply func(outcome) // to the sender; may be gone by then
}

// simOrg is an organization: its durable rows, what each server has in memory, its
// orders and what was ever answered.
type simOrg struct {
	id      string
	plan    *plan.Plan
	action  plan.Action
	members []string
	tables  *tables
	books   [simServers]*books
	orders  []*simOrder
	period  map[string]int // by member, the period that was renewed last
	anchor  time.Time
	answers map[string]string // by key, the first answer
	granted int64             // credits that came from outside
	packs   int
	family  []*plan.Plan // that it may change to
	changes simChanges
}

// simChanges are those of plan within a period.
type simChanges struct {
	period   int
	start    int64 // allotment of the plan that the period began with
	switches []plan.Switch
}

var simPlans = []struct{ id, action string }{
	{"verified-leads", "lead_list"},
	{"rollover-boost", "reveal_email"},
	{"licence-monthly", "reveal_phone"},
	{"workspace-paid", "export"},
	{"prepaid-verification", "verify"},
	{"workspace-free", "enrich_phone"},
}

// simPresets are read once for all worlds: reading takes as long as many steps.
var simPresets = sync.OnceValues(plan.Presets)

func simulate(t *testing.T, seed uint64) *simWorld {
	w := &simWorld{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0x5eed)), now: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC), faults: map[string]int{},
	}
	presets, err := simPresets()
	require.NoError(t, err)
	for i := range simOrgs {
		chosen := simPlans[w.rng.IntN(len(simPlans))]
		o := &simOrg{
			id: fmt.Sprintf("org%d", i), tables: newTables(fmt.Sprintf("org%d", i)), members: []string{"", "ann", "bob"}[w.rng.IntN(2):],
			anchor: w.now.AddDate(0, 0, -w.rng.IntN(28)), period: map[string]int{}, answers: map[string]string{},
		}
		for _, p := range presets {
			if p.ID == chosen.id {
				o.plan, o.action = p, p.Actions[chosen.action]
			}
			if strings.HasPrefix(p.ID, "rollover-") && strings.HasPrefix(chosen.id, "rollover-") {
				o.family = append(o.family, p)
			}
		}
		for _, owner := range append([]string{""}, "ann", "bob") {
			o.period[owner] = -1
		}
		for n := range simOrders {
			o.orders = append(o.orders, newSimOrder(w, o, n))
		}
		w.orgs = append(w.orgs, o)
	}
	for range 4000 {
		w.step()
	}
	w.calm = true
	for _, o := range w.orgs { // credits that were missing before are there now
		w.buy(o, 1_000_000)
	}
	for range 200_000 {
		if w.over() {
			break
		}
		w.step()
	}
	w.verify()
	return w
}

func (w *simWorld) chance(percent int) bool { return w.rng.IntN(100) < percent }

// fault says whether a fault happens now, and counts it.
func (w *simWorld) fault(what string, permille int) bool {
	if w.calm || w.rng.IntN(1000) >= permille {
		return false
	}
	w.faults[what]++
	return true
}

func (w *simWorld) over() bool {
	for _, o := range w.orgs {
		for _, order := range o.orders {
			if !order.over {
				return false
			}
		}
	}
	return len(w.queue) == 0
}

// step lets one thing happen.
func (w *simWorld) step() {
	w.steps++
	w.now = w.now.Add(time.Duration(w.rng.IntN(600)) * time.Second)
	o := w.orgs[w.rng.IntN(len(w.orgs))]
	switch n := w.rng.IntN(100); {
	case n < 55 && len(w.queue) > 0:
		w.serve()
	case n < 97:
		o.orders[w.rng.IntN(len(o.orders))].act(w)
	case n < 98 && !w.calm:
		w.buy(o, 1+w.rng.Int64N(60))
	case n < 99:
		w.renew(o, o.members[w.rng.IntN(len(o.members))])
	case n < 100 && len(o.family) > 0 && w.chance(50):
		w.change(o)
	case w.fault("clock stepped", 300):
		w.skew[w.rng.IntN(simServers)] = time.Duration(w.rng.IntN(3600)-1800) * time.Second
	}
}

// send puts an operation on its way. It may be lost, doubled, or be late.
func (w *simWorld) send(o *simOrg, op operation, reply func(outcome)) {
	require.NoError(w.t, validate(op), "seed %d", w.seed)
	copies := 1
	if w.fault("lost", 60) {
		copies = 0
	} else if w.fault("doubled", 80) {
		copies = 2
	}
	for range copies {
		m := simMessage{org: o, op: op, at: w.now, reply: reply}
		if w.fault("late", 80) {
			m.at = w.now.Add(time.Duration(w.rng.IntN(72)) * time.Hour)
		}
		w.queue = append(w.queue, m)
	}
}

// serve lets a server carry out a batch: some messages of one organization.
func (w *simWorld) serve() {
	first := w.rng.IntN(len(w.queue))
	o := w.queue[first].org
	var batch, rest []simMessage
	most := 1 + w.rng.IntN(4)
	for i, m := range w.queue {
		if m.org == o && len(batch) < most && i >= first && (w.calm || !m.at.After(w.now)) {
			batch = append(batch, m)
		} else {
			rest = append(rest, m)
		}
	}
	w.queue = rest
	if len(batch) == 0 {
		return
	}
	s := w.rng.IntN(simServers)
	b := o.books[s]
	if b == nil || !bytes.Equal(b.head, o.tables.owner.head) || w.chance(3) { // as load.go does
		b = o.tables.open()
	}
	o.books[s] = nil
	ops := make([]operation, len(batch))
	for i, m := range batch {
		ops[i] = m.op
	}
	o.tables.load(b, ops)
	outcomes := b.perform(ops, w.now.Add(w.skew[s]))
	if w.fault("died before commit", 30) {
		return // the transaction is gone, and no caller gets an answer
	}
	require.NoError(w.t, o.tables.save(b), "seed %d", w.seed)
	for i, out := range outcomes {
		w.remember(o, ops[i], out)
	}
	b.settle([]int{0, 3, 1000}[w.rng.IntN(3)])
	if w.fault("died after commit", 30) {
		return
	}
	if b.seq > 0 {
		o.books[s] = b
	}
	for i, m := range batch {
		if !w.fault("answer lost", 60) {
			m.reply(outcomes[i])
		}
	}
}

// remember holds each answer against the first one under its key.
func (w *simWorld) remember(o *simOrg, op operation, out outcome) {
	if out.err != nil {
		return
	}
	key := op.header().key
	answer := string(out.replayed)
	if out.replayed == nil {
		text, err := json.Marshal(out.result)
		require.NoError(w.t, err)
		answer = string(text)
		_, before := o.answers[key]
		require.False(w.t, before, "seed %d: %s was carried out twice", w.seed, key)
		o.answers[key] = answer
		if g, ok := op.(Grant); ok {
			o.granted += g.Amount
		}
		if r, ok := out.result.(RenewResult); ok {
			for _, l := range r.Lines {
				o.granted += l.Granted
			}
		}
	}
	require.Equal(w.t, o.answers[key], answer, "seed %d: another answer under the key %s", w.seed, key)
}

// buy sends a pack until it is there: the seller repeats it.
func (w *simWorld) buy(o *simOrg, n int64) {
	o.packs++
	pool := ""
	if len(o.plan.Pools(o.creditType(), "ann")) == 1 {
		pool = o.plan.Pools(o.creditType(), []string{"ann", "bob"}[o.packs%2])[0]
	}
	g := Grant{Owner: o.id, Key: fmt.Sprint("pack/", o.packs), Pool: pool, Type: o.creditType(), Amount: n, Source: SourcePack}
	if w.chance(30) && !w.calm {
		g.ExpiresAt = w.now.Add(time.Duration(1+w.rng.IntN(2000)) * time.Hour)
	}
	for range 1 + w.rng.IntN(3) {
		w.send(o, g, func(outcome) {})
	}
	if w.calm && pool != "" { // the others' own pools, too
		for _, m := range []string{"ann", "bob"} {
			g.Pool, g.Key = m, "pack/last/"+m
			w.send(o, g, func(outcome) {})
		}
	}
}

// renew begins the next period of a subscription that is due, as billing does.
func (w *simWorld) renew(o *simOrg, pool string) {
	if o.plan.Period != plan.Month {
		return
	}
	p := plan.PeriodN(o.anchor, o.period[pool]+1, time.UTC)
	if p.Start.After(w.now) {
		return
	}
	owner := plan.Organization
	if pool != "" {
		owner = plan.Member
	}
	op := Renew{Owner: o.id, Key: fmt.Sprintf("reset/%s/%d", pool, p.N), Pool: pool, At: p.Start}
	for _, a := range o.plan.Allotments(owner) {
		line := Renewal{Type: a.Type, Amount: a.Amount, ExpiresAt: o.plan.GrantExpiry(a.Type, p), BurnBy: o.plan.BurnBy(a.Type, p)}
		line.Rollover, line.Cap = o.plan.Credits[a.Type].RollsOver()
		op.Lines = append(op.Lines, line)
	}
	if len(op.Lines) == 0 {
		return
	}
	w.send(o, op, func(out outcome) {
		require.NoError(w.t, out.err, "seed %d", w.seed)
		if o.period[pool] < p.N {
			o.period[pool] = p.N
			w.faults["period ended"]++
		}
	})
}

// change moves an organization to another plan of the same prices, as billing does:
// what the rest of the period entitles to is given at once.
func (w *simWorld) change(o *simOrg) {
	p := plan.PeriodN(o.anchor, o.period[""], time.UTC)
	if o.period[""] < 0 || !p.Contains(w.now) {
		return // a period is renewed first
	}
	allotment := func(of *plan.Plan) int64 { return of.Credits[o.creditType()].Allotment }
	if len(o.changes.switches) == 0 || o.changes.period != p.N {
		o.changes = simChanges{period: p.N, start: allotment(o.plan)}
	}
	o.plan = o.family[w.rng.IntN(len(o.family))]
	c := &o.changes
	c.switches = append(c.switches, plan.Switch{At: w.now, Allotment: allotment(o.plan)})
	tops := plan.TopUps(p, c.start, c.switches)
	w.faults["plan changed"]++
	if top := tops[len(tops)-1]; top > 0 {
		g := Grant{
			Owner: o.id, Key: fmt.Sprintf("switch/%d/%d", p.N, len(tops)), Type: o.creditType(), Amount: top, Source: SourceAllotment,
			ExpiresAt: o.plan.GrantExpiry(o.creditType(), p), BurnBy: o.plan.BurnBy(o.creditType(), p),
		}
		for range 1 + w.rng.IntN(3) {
			w.send(o, g, func(outcome) {})
		}
	}
}

func (o *simOrg) creditType() string { return o.action.Charges[0].Type }
