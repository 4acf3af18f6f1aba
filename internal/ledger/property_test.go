package ledger

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"holdfast/internal/outbox"
	"holdfast/internal/postgres/pgtest"
)

// TestEngineAgainstModel drives the engine with random operations of two members
// and their organization, in batches, with duplicated and reused keys, clocks
// that jump forth and back, batches that are lost and books that are forgotten.
// After every operation its result, and after every batch all balances, must be
// those of a naive model; rows keep the invariants I1–I10.
func TestEngineAgainstModel(t *testing.T) {
	chosen := setRapid(t, 560, 300)
	steps := 0
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld("acme")
		w.repeat(t)
		require.NoError(t, w.tables.replayed())
		steps += w.steps
	})
	if !chosen && !t.Failed() {
		require.GreaterOrEqual(t, steps, 100_000)
	}
	t.Logf("%d operations", steps)
}

// TestStoreAgainstModel is the same on PostgreSQL: what is read and written there
// must be what the engine was meant to see.
func TestStoreAgainstModel(t *testing.T) {
	setRapid(t, 12, 120)
	pool := pgtest.New(t)
	l := New(pool)
	t.Cleanup(l.Close)
	steps, checks := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		checks++
		w := newWorld(fmt.Sprintf("acme-%d", checks))
		w.pool, w.reader = pool, l
		w.repeat(t)
		steps += w.steps
		report, err := Audit(t.Context(), pool, AuditOptions{Owner: w.tables.name})
		require.NoError(t, err)
		require.Empty(t, report.Findings)
		require.EqualValues(t, len(w.tables.journal), report.Entries)
		require.EqualValues(t, len(w.tables.rows.facts), report.Facts)
		var events int
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE org = $1`, w.tables.name).Scan(&events))
		require.Equal(t, w.events, events)
		w.comparePast(t, l)
		w.compareHistory(t, l)
	})
	t.Logf("%d operations", steps)
}

// setRapid chooses how much rapid does where the command line leaves it open,
// and reports whether the command line chose.
func setRapid(t *testing.T, checks, steps int) (chosen bool) {
	chosenFlags.Do(func() { flag.Visit(func(f *flag.Flag) { chosenByUser[f.Name] = true }) })
	for name, n := range map[string]int{"rapid.checks": checks, "rapid.steps": steps} {
		if !chosenByUser[name] {
			require.NoError(t, flag.Set(name, strconv.Itoa(n)))
		}
	}
	return chosenByUser["rapid.checks"] || chosenByUser["rapid.steps"]
}

var (
	chosenFlags  sync.Once
	chosenByUser = map[string]bool{}
)

// world is an engine over tables, and the model beside it.
type world struct {
	tables *tables
	pool   *pgxpool.Pool // where the store is part of the world
	books  *books
	model  *model
	now    time.Time
	sent   []operation // carried out, in order
	ids    int
	steps  int
	events int
	past   map[time.Time]map[accountID]moment // what the model had in its accounts, by time
	reader *Ledger                            // whose balances follow the journal; of the store only
	readAt time.Time                          // when they were read last
}

// moment is what an account has at a time.
type moment struct {
	available, held int64
	over            int64 // credits of a period whose time is over, and whose end is not booked
}

func newWorld(owner string) *world {
	w := &world{tables: newTables(owner), model: newModel(), now: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)}
	w.books = w.tables.open()
	return w
}

func (w *world) repeat(t *rapid.T) {
	t.Repeat(map[string]func(*rapid.T){
		"batch": w.batch,
		"clock": func(t *rapid.T) {
			w.now = w.now.Add(time.Duration(rapid.IntRange(-30, 300).Draw(t, "minutes")) * time.Minute)
		},
		"forget": func(*rapid.T) { w.books = w.tables.open() },
		"lose":   w.loseBatch,
	})
}

// batch runs up to five operations in one transaction.
func (w *world) batch(t *rapid.T) {
	ops := make([]operation, rapid.IntRange(1, 5).Draw(t, "operations"))
	for i := range ops {
		ops[i] = w.draw(t)
		require.NoError(t, validate(ops[i]))
	}
	commit := w.load(t, ops)
	for _, op := range ops {
		before, last := len(w.books.changes.events), w.books.at
		got := w.books.performOne(op, w.now)
		now := w.now
		if r, ok := op.(Renew); ok && !r.At.IsZero() && r.At.Before(now) {
			now = r.At // when the period ended
		}
		if now.Before(last) {
			now = last // a lane's time never runs backwards
		}
		if _, ok := op.(Renew); ok { // one that comes late says what was so from then on, or from a period that was missed on
			maps.DeleteFunc(w.past, func(at time.Time, _ map[accountID]moment) bool { return !at.Before(last) })
		}
		w.compare(t, op, got, w.books.changes.events[before:], now)
	}
	w.events += len(w.books.changes.events)
	require.NoError(t, w.tables.save(w.books))
	commit()
	w.books.settle(rapid.SampledFrom([]int{0, 3, 1000}).Draw(t, "kept"))
	if w.books.seq == 0 && w.tables.owner.seq > 0 {
		w.books = w.tables.open() // forgotten as a whole
	}
	w.balances(t)
	w.steps += len(ops)
}

// load gets the books ready for some operations, from PostgreSQL where there is
// one. The transaction it opens ends with commit, or with the test's context.
func (w *world) load(t *rapid.T, ops []operation) (commit func()) {
	if w.pool == nil {
		w.tables.load(w.books, ops)
		return func() {}
	}
	ctx := t.Context()
	_, err := w.pool.Exec(ctx, `INSERT INTO credit_owner (owner) VALUES ($1) ON CONFLICT DO NOTHING`, w.tables.name)
	require.NoError(t, err)
	conn, err := w.pool.Acquire(ctx)
	require.NoError(t, err)
	t.Cleanup(conn.Release) // where a check fails halfway, and is shrunk
	work := &laneWork{lane: &lane{owner: w.tables.name}, books: w.books, ops: ops}
	b := &batch{lanes: []*laneWork{work}, byOwner: map[string]*laneWork{w.tables.name: work}}
	require.NoError(t, b.begin(ctx, conn))
	w.books = work.books
	return func() {
		defer conn.Release()
		require.NoError(t, b.commit(ctx, conn, b.queueWrites()))
	}
}

// loseBatch runs an operation whose transaction never commits.
func (w *world) loseBatch(t *rapid.T) {
	op := w.draw(t)
	if w.pool == nil {
		w.tables.load(w.books, []operation{op})
		w.books.perform([]operation{op}, w.now)
	}
	w.books = w.tables.open()
}

// compare holds an outcome, and the events that came with it, against the model's.
func (w *world) compare(t *rapid.T, op operation, got outcome, events []outbox.Event, now time.Time) {
	key := op.header().key
	_, unrecorded := op.(Expire)
	for _, old := range w.sent {
		if old.header().key != key {
			continue
		}
		if hashRequest(old) == hashRequest(op) {
			require.NoError(t, got.err, "I7: a repeated request has its result")
			require.NotNil(t, got.replayed, "I7")
		} else {
			require.ErrorIs(t, got.err, ErrKeyReused, "I7")
		}
		require.Empty(t, events)
		return
	}
	var alerts, moved []string
	w.model.events = nil
	lows := w.model.notice(op, now)
	noticed := w.model.accounts()
	var want any
	var err error
	switch op := op.(type) {
	case Grant:
		w.model.give(op.line(), now)
		want = GrantResult{GrantID: int64(len(w.model.grants))}
	case Grants:
		var nos []int64
		for _, l := range op.Lines {
			w.model.give(l, now)
			nos = append(nos, int64(len(w.model.grants)))
		}
		want = GrantsResult{GrantIDs: nos}
	case Hold:
		if err = late(op.Before, now); err == nil {
			want = w.model.hold(op, now)
		}
	case Capture:
		want, err = w.model.capture(op)
	case Charge:
		if err = late(op.Before, now); err == nil {
			want = w.model.charge(op, now)
		}
	case Release:
		want, err = w.model.release(op, now)
	case Reverse:
		want, err = w.model.reverse(op, now)
	case Renew:
		want = w.model.renew(op, now)
	case Void:
		want, err = w.model.void(op)
	case End:
		want = w.model.end(op)
	case Alert:
		var armed []string
		want, armed = w.model.alert(op)
		lows = append(lows, armed...)
	case Expire:
		want = got.result // its effect shows in the balances
	}
	for id, n := range w.model.accounts() {
		lows = append(lows, w.model.fell(id, noticed[id], n)...)
	}
	for _, e := range events {
		require.NoError(t, outbox.Fits(e.Topic, e.Data))
		if e.Topic != "credits.low" {
			var m movedPayload
			require.NoError(t, json.Unmarshal(e.Data, &m))
			moved = append(moved, fmt.Sprintf("%s %s/%s %d", e.Topic, m.Pool, m.Type, m.Amount))
			continue
		}
		var p lowPayload
		require.NoError(t, json.Unmarshal(e.Data, &p))
		alerts = append(alerts, fmt.Sprintf("%s/%s has %d, %d is low", p.Pool, p.Type, p.Available, p.Threshold))
	}
	require.ElementsMatch(t, lows, alerts, "%+v", op)
	require.ElementsMatch(t, w.model.events, moved, "%+v", op)
	if err != nil {
		require.ErrorIs(t, got.err, err, "%+v", op)
		return
	}
	require.NoError(t, got.err, "%+v", op)
	require.Equal(t, want, got.result, "%+v", op)
	if unrecorded {
		return
	}
	w.sent = append(w.sent, op)

	// What is stored says the same.
	back := reflect.New(reflect.TypeOf(got.result))
	require.NoError(t, json.Unmarshal(w.books.stored[key].result, back.Interface()))
	require.Equal(t, got.result, back.Elem().Interface())
}

func late(before, now time.Time) error {
	if !before.IsZero() && !now.Before(before) {
		return ErrPeriodOver
	}
	return nil
}

var (
	testPools = []string{"", "ann", "bob"}
	testTypes = []string{"email", "phone"}
)

// balances compares every account with the model, and the parts with each other.
func (w *world) balances(t *rapid.T) {
	now := w.now
	if now.Before(w.tables.owner.at) {
		now = w.tables.owner.at
	}
	for _, pool := range testPools {
		for _, kind := range testTypes {
			id := accountID{pool, kind}
			var spendable, available_, held_ int64
			for _, l := range w.tables.rows.lots {
				if l.accountID != id {
					continue
				}
				available_ += l.bucket[available]
				held_ += l.bucket[held]
				if !l.expiredAt(now) {
					spendable += l.bucket[available]
					if l.startedAt(now) {
						spendable += l.bucket[waiting]
					}
				}
			}
			row := w.tables.rows.accounts[id]
			require.Equal(t, row.available, available_, "I1: %v", id)
			require.Equal(t, row.held, held_, "I1: %v", id)
			require.Equal(t, w.model.balance(id, now), spendable, "I9: %v", id)
			require.Equal(t, w.model.held(id), held_, "I4: %v", id)
			w.remember(now, id)
		}
	}
	require.Len(t, w.tables.rows.lots, len(w.model.grants))
	w.compareFollowed(t, now)
	for i, g := range w.model.grants {
		l := w.tables.rows.lots[int64(i+1)]
		require.Equal(t, g.id, l.accountID, "grant %d", l.no)
		require.Equal(t, g.available, l.bucket[available], "I3: grant %d", l.no)
		require.Equal(t, g.waiting, l.bucket[waiting], "I3: grant %d", l.no)
		require.Equal(t, g.expired, l.bucket[expired], "I3: grant %d", l.no)
	}
	for id, used := range w.tables.rows.budgets {
		require.Equal(t, w.model.used(id.name, id.kind), used, "I8: %v", id)
	}
	for id, f := range w.tables.rows.facts {
		require.Equal(t, w.model.facts[id].owned, !f.reversed, "I5: %v", id)
	}
}

// remember notes what the model has in an account at a time.
func (w *world) remember(now time.Time, id accountID) {
	if w.past == nil {
		w.past = map[time.Time]map[accountID]moment{}
	}
	for at := range w.past { // the clock went back: what was noted is not yet past
		if at.After(now) {
			delete(w.past, at)
		}
	}
	if w.past[now] == nil {
		w.past[now] = map[accountID]moment{}
	}
	w.past[now][id] = moment{w.model.balance(id, now), w.model.held(id), w.model.overdue(id, now)}
}

// comparePast holds the balances of past times against what the model had then.
func (w *world) comparePast(t *rapid.T, l *Ledger) {
	for at, want := range w.past {
		got, err := l.BalancesAt(t.Context(), w.tables.name, at)
		require.NoError(t, err)
		seen := map[accountID]moment{}
		for _, b := range got {
			id := accountID{b.Pool, b.Type}
			seen[id] = moment{b.Available, b.Held, want[id].over}
		}
		for id, b := range want {
			require.Equal(t, b, seen[id], "%v at %s", id, at)
		}
	}
}

// compareFollowed holds balances that follow the journal against those of a reader
// who adds up everything.
func (w *world) compareFollowed(t *rapid.T, now time.Time) {
	if w.reader == nil || w.tables.owner.seq == 0 {
		return
	}
	if now.After(w.readAt) {
		w.readAt = now
	}
	read := func(l *Ledger) []Balance {
		balances, err := l.balances(t.Context(), w.tables.name, w.tables.owner.seq, w.tables.owner.head, w.readAt)
		require.NoError(t, err)
		return balances
	}
	require.Equal(t, read(New(w.pool)), read(w.reader))
}

// compareHistory adds the lines of the history up: for each account, at every line
// to the balance that the line says, and at every moment to what the model had
// then. A member's history has all lines of their own pool.
func (w *world) compareHistory(t *rapid.T, l *Ledger) {
	owner := w.tables.name
	_, err := l.Expire(t.Context(), Expire{Owner: owner}) // as every reader does
	require.NoError(t, err)
	overdue, err := l.Overdue(t.Context(), owner)
	require.NoError(t, err)
	require.False(t, overdue)
	all := w.history(t, l, HistoryFilter{})
	accounts := map[accountID][]HistoryLine{}
	for _, line := range slices.Backward(all) {
		id := accountID{line.Pool, line.Type}
		accounts[id] = append(accounts[id], line)
	}
	for id, lines := range accounts {
		var sum int64
		var last time.Time
		for _, line := range lines {
			sum += line.Change
			require.Equal(t, line.Balance, sum, "%+v", line)
			require.False(t, line.At.Before(last), "%+v after %s", line, last)
			last = line.At
		}
		for at, want := range w.past {
			sum = 0
			for _, line := range lines {
				if !line.At.After(at) {
					sum += line.Change
				}
			}
			require.Equal(t, want[id].available+want[id].over, sum, "%v at %s", id, at)
		}
	}
	for _, member := range testPools[1:] {
		own := slices.DeleteFunc(slices.Clone(all), func(line HistoryLine) bool { return line.Pool != member && line.Member != member })
		got := w.history(t, l, HistoryFilter{Member: member})
		require.True(t, slices.Equal(own, got), "of %s: %v, not %v", member, got, own)
	}
}

func (w *world) history(t *rapid.T, l *Ledger, f HistoryFilter) (lines []HistoryLine) {
	for f.Owner, f.Limit = w.tables.name, 1000; ; {
		page, err := l.History(t.Context(), f)
		require.NoError(t, err)
		lines = append(lines, page.Lines...)
		if f.Cursor = page.NextCursor; f.Cursor == "" {
			return lines
		}
	}
}

// draw makes up an operation. Now and then it is one that was sent before, or
// one that uses its key for something else.
func (w *world) draw(t *rapid.T) operation {
	if len(w.sent) > 0 && rapid.IntRange(0, 11).Draw(t, "again") == 0 {
		old := w.sent[rapid.IntRange(0, len(w.sent)-1).Draw(t, "which")]
		if rapid.Bool().Draw(t, "changed") {
			return Grant{
				Owner: w.tables.name, Key: old.header().key, Type: "email", Source: SourcePack,
				Amount: rapid.Int64Range(1, 3).Draw(t, "amount"),
			}
		}
		return old
	}
	w.ids++
	key := fmt.Sprintf("k%d", w.ids)
	memo := Memo{Member: rapid.SampledFrom(testPools).Draw(t, "member")}
	switch rapid.SampledFrom([]kind{
		kindGrant, kindGrant, kindGrants, kindHold, kindHold, kindHold, kindCapture, kindCapture, kindCapture,
		kindCharge, kindCharge, kindRelease, kindRelease, kindReverse, kindVoid, kindEnd, kindExpire, kindRenew, kindAlert,
	}).Draw(t, "operation") {
	case kindHold:
		return Hold{Owner: w.tables.name, Key: key, HoldID: "h" + key, Memo: memo, Lines: w.drawLines(t), Before: w.drawBefore(t)}
	case kindCapture:
		c := Capture{Owner: w.tables.name, Key: key, HoldID: w.drawHold(t), Type: w.drawType(t), Memo: memo}
		if c.Facts = w.drawFacts(t); len(c.Facts) > 0 {
			c.UnitCost = rapid.Int64Range(0, 2).Draw(t, "unit cost")
		} else {
			c.Amount = rapid.Int64Range(0, 6).Draw(t, "amount")
		}
		return c
	case kindCharge:
		c := Charge{Owner: w.tables.name, Key: key, HoldID: "h" + key, Memo: memo, Before: w.drawBefore(t)}
		for _, l := range w.drawLines(t) {
			cl := ChargeLine{Type: l.Type, Pools: l.Pools, Budget: l.Budget}
			if cl.Facts = w.drawFacts(t); len(cl.Facts) > 0 {
				cl.UnitCost = rapid.Int64Range(0, 2).Draw(t, "unit cost")
			} else {
				cl.Amount = l.Amount
			}
			c.Lines = append(c.Lines, cl)
		}
		return c
	case kindRelease:
		return Release{
			Owner: w.tables.name, Key: key, HoldID: w.drawHold(t), Memo: memo,
			Late:           rapid.SampledFrom([]LateRelease{"", LateReinstate, LateExpire}).Draw(t, "late"),
			ReinstateUntil: Until{Shared: w.drawExpiry(t), Own: w.drawExpiry(t)},
		}
	case kindReverse:
		return w.drawReverse(t, key, memo)
	case kindVoid:
		return Void{
			Owner: w.tables.name, Key: key, Memo: memo,
			Grant: int64(rapid.IntRange(1, len(w.model.grants)+1).Draw(t, "grant")), Amount: rapid.Int64Range(0, 6).Draw(t, "amount"),
		}
	case kindEnd:
		if rapid.IntRange(0, 5).Draw(t, "all") == 0 {
			return End{Owner: w.tables.name, Key: key, Memo: memo, All: true}
		}
		return End{Owner: w.tables.name, Key: key, Memo: memo, Pool: rapid.SampledFrom(testPools[1:]).Draw(t, "pool")}
	case kindExpire:
		return Expire{Owner: w.tables.name}
	case kindRenew:
		r := Renew{Owner: w.tables.name, Key: key, Memo: memo, Pool: rapid.SampledFrom(testPools).Draw(t, "pool")}
		if rapid.Bool().Draw(t, "late") {
			r.At = w.now.Add(time.Duration(rapid.IntRange(-20, 2).Draw(t, "hours")) * time.Hour)
		}
		for _, kind := range testTypes {
			if rapid.Bool().Draw(t, "renewed") {
				r.Lines = append(r.Lines, Renewal{
					Type: kind, Amount: rapid.Int64Range(0, 20).Draw(t, "allotment"), ExpiresAt: w.drawExpiry(t),
					Rollover: rapid.Bool().Draw(t, "rollover"), Cap: rapid.Int64Range(-1, 10).Draw(t, "cap"),
					BurnBy: w.drawBurnBy(t), CarriedUntil: w.drawExpiry(t), CarriedPriority: int32(rapid.IntRange(0, 2).Draw(t, "priority")),
				})
			}
		}
		return r
	case kindAlert:
		return Alert{
			Owner: w.tables.name, Key: key, Memo: memo,
			Pool: rapid.SampledFrom(testPools).Draw(t, "pool"), Type: w.drawType(t),
			Thresholds: rapid.SliceOfN(rapid.Int64Range(0, 40), 0, 3).Draw(t, "thresholds"), Begin: rapid.Bool().Draw(t, "begin"),
		}
	case kindGrants:
		op := Grants{Owner: w.tables.name, Key: key, Memo: memo}
		for range rapid.IntRange(1, 3).Draw(t, "grants") {
			op.Lines = append(op.Lines, w.drawGrant(t))
		}
		return op
	default:
		l := w.drawGrant(t)
		return Grant{
			Owner: w.tables.name, Key: key, Memo: memo, Pool: l.Pool, Type: l.Type, Amount: l.Amount,
			Source: l.Source, Priority: l.Priority, StartsAt: l.StartsAt, ExpiresAt: l.ExpiresAt,
		}
	}
}

func (w *world) drawGrant(t *rapid.T) GrantLine {
	l := GrantLine{
		Pool: rapid.SampledFrom(testPools).Draw(t, "pool"), Type: w.drawType(t),
		Amount:   rapid.Int64Range(1, 20).Draw(t, "amount"),
		Source:   rapid.SampledFrom([]Source{SourceAllotment, SourcePack, SourcePromotion}).Draw(t, "source"),
		Priority: int32(rapid.IntRange(0, 2).Draw(t, "priority")), ExpiresAt: w.drawExpiry(t),
	}
	if rapid.IntRange(0, 3).Draw(t, "later") == 0 {
		l.StartsAt = w.drawExpiry(t)
	}
	if !l.ExpiresAt.IsZero() && !l.StartsAt.Before(l.ExpiresAt) {
		l.ExpiresAt = l.StartsAt.Add(time.Hour)
	}
	return l
}

func (w *world) drawReverse(t *rapid.T, key string, memo Memo) Reverse {
	r := Reverse{Owner: w.tables.name, Key: key, Memo: memo, HoldID: w.drawHold(t), ReinstateUntil: Until{Shared: w.drawExpiry(t), Own: w.drawExpiry(t)}}
	switch rapid.IntRange(0, 2).Draw(t, "part") {
	case 0:
		r.Type = rapid.SampledFrom([]string{"", "email", "phone"}).Draw(t, "type")
	case 1:
		r.Type, r.Amount = w.drawType(t), rapid.Int64Range(1, 4).Draw(t, "amount")
	default:
		r.Type, r.Facts = w.drawType(t), w.drawFacts(t)
		switch {
		case len(r.Facts) == 0:
		case rapid.Bool().Draw(t, "at most"):
			r.AtMost = true
		case rapid.Bool().Draw(t, "anywhere"):
			r.HoldID = ""
		}
	}
	return r
}

func (w *world) drawLines(t *rapid.T) (lines []Line) {
	types := testTypes[:rapid.IntRange(1, 2).Draw(t, "lines")]
	for _, kind := range types {
		l := Line{Type: kind, Amount: rapid.Int64Range(0, 15).Draw(t, "amount")}
		l.Pools = rapid.SampledFrom([][]string{{""}, {"ann", ""}, {"bob", ""}, {"bob"}, {"", "ann"}}).Draw(t, "pools")
		if rapid.IntRange(0, 3).Draw(t, "budgeted") == 0 {
			l.Budget = Budget{
				Name: rapid.SampledFrom([]string{"ann/1", "bob/1"}).Draw(t, "budget"),
				Cap:  rapid.Int64Range(0, 40).Draw(t, "cap"),
			}
		}
		lines = append(lines, l)
	}
	return lines
}

// drawHold prefers recent holds, among them ones that do not exist.
func (w *world) drawHold(t *rapid.T) string {
	n := len(w.model.order)
	if n == 0 || rapid.IntRange(0, 19).Draw(t, "unknown hold") == 0 {
		return "unknown"
	}
	return w.model.order[max(0, n-1-rapid.IntRange(0, 6).Draw(t, "hold"))]
}

// drawFacts draws from few subjects, so that orders overlap.
func (w *world) drawFacts(t *rapid.T) (facts []Fact) {
	for range rapid.IntRange(0, 6).Draw(t, "facts") {
		facts = append(facts, Fact{
			Scope:   rapid.SampledFrom([]string{"", "", "", "ann", "bob"}).Draw(t, "scope"),
			Subject: [16]byte{byte(rapid.IntRange(0, 60).Draw(t, "subject"))},
		})
		for range max(0, rapid.IntRange(-2, 2).Draw(t, "with")) {
			f := &facts[len(facts)-1]
			f.With = append(f.With, [16]byte{byte(rapid.IntRange(0, 60).Draw(t, "subject"))})
		}
	}
	return facts
}

func (w *world) drawType(t *rapid.T) string { return rapid.SampledFrom(testTypes).Draw(t, "type") }

// drawBefore is now and then the end of a period, near enough to be over.
func (w *world) drawBefore(t *rapid.T) time.Time {
	if rapid.IntRange(0, 9).Draw(t, "before") > 0 {
		return time.Time{}
	}
	return w.now.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "minutes left")) * time.Minute)
}

func (w *world) drawBurnBy(t *rapid.T) time.Time {
	if rapid.Bool().Draw(t, "capped") {
		return w.drawExpiry(t)
	}
	return time.Time{}
}

func (w *world) drawExpiry(t *rapid.T) time.Time {
	if hours := rapid.IntRange(-1, 30).Draw(t, "hours to live"); hours >= 0 {
		return w.now.Add(time.Duration(hours) * time.Hour)
	}
	return time.Time{}
}
