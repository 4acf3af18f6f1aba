package ledger

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"
)

// outcome is what an operation came to.
type outcome struct {
	result   any    // a …Result
	replayed []byte // or the stored result of an earlier run, as JSON
	err      error
}

// perform runs a batch against the books: pure, no I/O, no clock. It returns one
// outcome per operation; what is to be written is in b.changes.
func (b *books) perform(ops []operation, now time.Time) []outcome {
	outcomes := make([]outcome, len(ops))
	for i, op := range ops {
		outcomes[i] = b.performOne(op, now)
	}
	return outcomes
}

func (b *books) performOne(op operation, now time.Time) outcome {
	h := op.header()
	hash := hashRequest(op)
	if s, ok := b.stored[h.key]; ok && !h.unrecorded() {
		if s.requestHash != hash {
			return outcome{err: fmt.Errorf("%w: use a new key instead of %q", ErrKeyReused, h.key)}
		}
		return outcome{replayed: s.result}
	}
	now = micro(now)
	if now.Before(b.at) {
		now = b.at
	}
	if r, ok := op.(Renew); ok {
		now = r.when(b.at, now)
		// What expires with the period is written off by the entry that ends it.
		b.expire(op.touches(b), now, now.Add(-time.Microsecond), r.missed())
	} else {
		b.expire(op.touches(b), now, now, time.Time{})
	}
	e := entry{kind: h.kind, key: h.key, requestHash: hash, at: now, memo: h.memo}
	result, err := op.run(b, &e)
	switch {
	case err != nil:
		return outcome{err: err}
	case h.unrecorded():
		return outcome{result: result}
	}
	if e.result, err = json.Marshal(result); err != nil {
		return outcome{err: fmt.Errorf("the result of %s cannot be stored: %w", h.kind, err)}
	}
	b.post(&e)
	b.stored[h.key] = stored{hash, e.result}
	return outcome{result: result}
}

// post adds an entry to the journal.
func (b *books) post(e *entry) {
	b.seq++
	b.at = e.at
	e.seq = b.seq
	b.watch(e)
	e.seal(b.owner, b.head)
	b.head = e.hash
	b.changes.entries = append(b.changes.entries, *e)
	b.announce(e)
}

// expire brings some accounts up to the time before anything is done with them:
// credits whose grant has started are there, and what has expired by a second
// time is written off. What happened together is an entry, which bears the time
// when it happened as far as the journal's order allows. Lots of a period wait
// for its end to be booked, unless that was missed: they expired by a third time.
func (b *books) expire(ids []accountID, started, ended, missed time.Time) {
	var accounts []*account
	var turns []turn
	for _, id := range ids {
		a := b.accounts[id]
		if a == nil || slices.Contains(accounts, a) || missed.IsZero() && (a.nextExpiry.IsZero() || started.Before(a.nextExpiry)) {
			continue
		}
		accounts = append(accounts, a)
		for _, l := range a.lots {
			starts := l.bucket[waiting] > 0 && l.startedAt(started)
			if starts {
				turns = append(turns, turn{l, l.startsAt, waiting, moveStart})
			}
			if (starts || l.bucket[available] > 0) && l.expiredAt(ended) && (!l.ofPeriod() || l.expiredAt(missed)) {
				turns = append(turns, turn{l, l.expiresAt, available, moveExpire})
			}
		}
	}
	slices.SortStableFunc(turns, func(t, o turn) int { return t.at.Compare(o.at) })
	for len(turns) > 0 {
		e := entry{kind: kindExpired, at: turns[0].at}
		if e.at.Before(b.at) {
			e.at = b.at
		}
		n := 0
		for n < len(turns) && turns[n].at.Equal(turns[0].at) {
			t := turns[n]
			b.move(&e, t.move, t.lot, t.lot.bucket[t.from])
			n++
		}
		turns = turns[n:]
		b.post(&e)
	}
	for _, a := range accounts {
		a.lookAhead(ended)
	}
}

// turn is what time does to a lot.
type turn struct {
	lot  *lot
	at   time.Time
	from bucket
	move move
}

func (op Hold) touches(*books) (ids []accountID) {
	for _, l := range op.Lines {
		for _, p := range l.Pools {
			ids = append(ids, accountID{p, l.Type})
		}
	}
	return ids
}

func (op Charge) touches(*books) (ids []accountID) {
	for _, l := range op.Lines {
		for _, p := range l.Pools {
			ids = append(ids, accountID{p, l.Type})
		}
	}
	return ids
}

// A capture takes held credits, which do not expire.
func (op Capture) touches(*books) []accountID { return nil }

func (op Release) touches(b *books) (ids []accountID) {
	h := b.holds[op.HoldID]
	if h == nil {
		return nil
	}
	for i := range h.lines {
		for _, s := range h.lines[i].Slices {
			if id := (accountID{s.Pool, h.lines[i].Type}); !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

func (op Reverse) touches(b *books) []accountID { return Release{HoldID: op.HoldID}.touches(b) }

// An Expire writes its expiries into its own entry.
func (op Expire) touches(*books) []accountID { return nil }

func (op Renew) touches(*books) (ids []accountID) {
	for _, l := range op.Lines {
		ids = append(ids, accountID{op.Pool, l.Type})
	}
	return ids
}

func (op Alert) touches(*books) []accountID { return []accountID{{op.Pool, op.Type}} }

// draw is a part of a lot that a line takes.
type draw struct {
	lot *lot
	n   int64
}

// plan finds credits for a line in burn order and says how many are missing, and
// how many of them the budget withholds.
func (b *books) plan(l Line, now time.Time) (draws []draw, missing, withheld int64) {
	missing = l.Amount
	capped := int64(math.MaxInt64)
	if l.Budget.Name != "" {
		capped = max(0, l.Budget.Cap-b.budget(budgetID{l.Budget.Name, l.Type}).used)
	}
	for _, p := range l.Pools {
		a := b.accounts[accountID{p, l.Type}]
		if a == nil {
			continue
		}
		for _, lot := range a.lots {
			if missing == 0 {
				return draws, 0, 0
			}
			if lot.expiredAt(now) { // and waits for the end of its period
				continue
			}
			n := min(lot.bucket[available], missing)
			if p == "" {
				withheld += n - min(n, capped)
				n = min(n, capped)
				capped -= n
			}
			if n > 0 {
				draws = append(draws, draw{lot, n})
				missing -= n
			}
		}
	}
	return draws, missing, min(missing, withheld)
}

// reserve draws all lines into a new hold by the given move, or reports what is
// missing and changes nothing.
func (b *books) reserve(e *entry, m move, id string, lines []Line) (h *hold, missing, withheld []Amount) {
	plans := make([][]draw, len(lines))
	for i, l := range lines {
		var lack, over int64
		if plans[i], lack, over = b.plan(l, e.at); lack > 0 {
			missing = append(missing, Amount{l.Type, lack})
		}
		if over > 0 {
			withheld = append(withheld, Amount{l.Type, over})
		}
	}
	if missing != nil {
		return nil, missing, withheld
	}
	h = &hold{id: id, isNew: true, lines: make([]holdLine, len(lines))}
	for i, l := range lines {
		hl := &h.lines[i]
		hl.Type, hl.Budget = l.Type, l.Budget.Name
		if !tells(plans[i], hl.Budget) {
			e.postings = append(e.postings, posting{Move: moveLine, Type: l.Type, Budget: hl.Budget})
		}
		hl.Slices = make([]slice, len(plans[i]))
		for j, d := range plans[i] {
			hl.Slices[j] = slice{Grant: d.lot.no, Pool: d.lot.pool, Amount: d.n}
			p := b.move(e, m, d.lot, d.n)
			p.Budget = hl.budgetOf(&hl.Slices[j])
			b.use(p.Budget, l.Type, d.n)
		}
	}
	b.holds[id] = h
	b.changedHold(h)
	return h, nil, nil
}

// tells reports whether the postings of a line's draws will say all that the
// line says: that it exists, and its budget, which counts the shared pool only.
func tells(draws []draw, budget string) bool {
	return len(draws) > 0 && (budget == "" || slices.ContainsFunc(draws, func(d draw) bool { return d.lot.pool == "" }))
}

func (op Hold) run(b *books, e *entry) (any, error) {
	if b.holds[op.HoldID] != nil {
		return nil, invalid("the hold id %q is already in use", op.HoldID)
	}
	if !op.Before.IsZero() && !e.at.Before(op.Before) {
		return nil, ErrPeriodOver
	}
	e.holdID = op.HoldID
	h, missing, withheld := b.reserve(e, moveHold, op.HoldID, op.Lines)
	return HoldResult{Held: h != nil, Missing: missing, OverBudget: withheld}, nil
}

// unpaid sorts facts into those new to the organization, each once, grouped as
// the journal keeps them, and the number of those it owns already. What comes
// with a fact is in the groups, too, and costs nothing.
func (b *books) unpaid(kind string, facts []Fact, cost int64) (groups []factGroup, fresh, known int64) {
	seen := make(map[factID]struct{}, len(facts))
	owned := func(id factID) bool {
		if _, now := seen[id]; now {
			return true
		}
		f := b.facts[id]
		return f != nil && !f.reversed
	}
	take := func(id factID, cost int64) {
		seen[id] = struct{}{}
		groups = addFact(groups, id, cost)
	}
	for i := range facts {
		f := &facts[i]
		id := factID{kind, f.Scope, f.Subject}
		_, twice := seen[id]
		missing := make([]factID, 0, len(f.With))
		for _, w := range f.With {
			if with := (factID{kind, f.Scope, w}); !owned(with) {
				missing = append(missing, with)
			}
		}
		switch {
		case twice:
		case owned(id):
			known++
			seen[id] = struct{}{}
		case len(f.With) > 0 && len(missing) == 0:
			known++
		default:
			fresh++
			take(id, cost)
		}
		for _, with := range missing {
			if !owned(with) { // it may be named twice
				take(with, 0)
			}
		}
	}
	return groups, fresh, known
}

func addFact(groups []factGroup, id factID, cost int64) []factGroup {
	for i := len(groups) - 1; i >= 0; i-- {
		g := &groups[i]
		if g.kind == id.kind && g.scope == id.scope && g.cost == cost {
			g.subjects = append(g.subjects, id.subject)
			return groups
		}
	}
	return append(groups, factGroup{kind: id.kind, scope: id.scope, cost: cost, subjects: [][16]byte{id.subject}})
}

// own records facts as paid for by the entry about to be posted. The hold lists
// the entry unless it was closed before: what it has is settled then.
func (b *books) own(e *entry, h *hold, groups []factGroup, listed bool) {
	if len(groups) == 0 {
		return
	}
	seq := b.seq + 1
	e.groups = append(e.groups, groups...)
	for _, g := range groups {
		for _, s := range g.subjects {
			id := factID{g.kind, g.scope, s}
			f := b.facts[id]
			if f == nil {
				f = &fact{factID: id, isNew: true}
				b.facts[id] = f
			}
			f.seq, f.cost, f.reversed, f.hold = seq, g.cost, false, h.id
			b.changedFact(f)
			b.charged[seq] = append(b.charged[seq], id)
		}
	}
	if listed && !slices.Contains(h.captures, seq) {
		h.captures = append(h.captures, seq)
		b.changedHold(h)
	}
}

func (op Capture) run(b *books, e *entry) (any, error) {
	h := b.holds[op.HoldID]
	switch {
	case h == nil:
		return nil, fmt.Errorf("%w: %q", ErrUnknownHold, op.HoldID)
	case h.closed && (op.UnitCost > 0 || op.Amount > 0):
		return nil, fmt.Errorf("%w: %q", ErrHoldClosed, op.HoldID)
	}
	e.holdID = op.HoldID
	groups, fresh, known := b.unpaid(op.Type, op.Facts, op.UnitCost)
	cost := op.Amount + fresh*op.UnitCost
	hl := h.line(op.Type)
	if cost > 0 && (hl == nil || hl.left() < cost) {
		var left int64
		if hl != nil {
			left = hl.left()
		}
		return nil, fmt.Errorf("%w: %q has %d %s credits left, the capture needs %d",
			ErrHoldExhausted, op.HoldID, left, op.Type, cost)
	}
	if cost > 0 {
		b.changedHold(h)
		rest := cost
		for i := range hl.Slices {
			s := &hl.Slices[i]
			n := min(rest, s.left())
			if n == 0 {
				continue
			}
			rest -= n
			s.Captured += n
			b.move(e, moveCapture, b.lots[s.Grant], n)
		}
	}
	b.own(e, h, groups, !h.closed)
	return CaptureResult{Charged: cost, NewFacts: fresh, KnownFacts: known}, nil
}

func (op Charge) run(b *books, e *entry) (any, error) {
	id := op.holdID()
	if b.holds[id] != nil {
		return nil, invalid("the hold id %q is already in use", id)
	}
	if !op.Before.IsZero() && !e.at.Before(op.Before) {
		return nil, ErrPeriodOver
	}
	e.holdID = id
	lines := make([]Line, len(op.Lines))
	groups := make([][]factGroup, len(op.Lines))
	results := make([]CaptureResult, len(op.Lines))
	for i, l := range op.Lines {
		r := &results[i]
		groups[i], r.NewFacts, r.KnownFacts = b.unpaid(l.Type, l.Facts, l.UnitCost)
		r.Charged = l.Amount + r.NewFacts*l.UnitCost
		lines[i] = Line{Type: l.Type, Amount: r.Charged, Pools: l.Pools, Budget: l.Budget}
	}
	h, missing, withheld := b.reserve(e, moveCharge, id, lines)
	if missing != nil {
		return ChargeResult{Missing: missing, OverBudget: withheld}, nil
	}
	h.closed = true
	for i := range h.lines {
		for j := range h.lines[i].Slices {
			s := &h.lines[i].Slices[j]
			s.Captured = s.Amount
		}
		b.own(e, h, groups[i], true)
	}
	return ChargeResult{Charged: true, Lines: results}, nil
}

func (op Release) run(b *books, e *entry) (any, error) {
	h := b.holds[op.HoldID]
	switch {
	case h == nil:
		return nil, fmt.Errorf("%w: %q", ErrUnknownHold, op.HoldID)
	case h.closed:
		return nil, fmt.Errorf("%w: %q", ErrHoldClosed, op.HoldID)
	}
	e.holdID = op.HoldID
	h.closed = true
	b.changedHold(h)
	var result ReleaseResult
	fresh := newLots{}
	for i := range h.lines {
		hl := &h.lines[i]
		if n := hl.left(); n > 0 {
			result.Released = append(result.Released, Amount{hl.Type, n})
		}
		for j := len(hl.Slices) - 1; j >= 0; j-- {
			s := &hl.Slices[j]
			n := s.left()
			if n == 0 {
				continue
			}
			s.Released += n
			first := len(e.postings)
			b.giveBack(e, op, b.lots[s.Grant], n, fresh)
			for k := range e.postings[first:] {
				e.postings[first+k].Budget = hl.budgetOf(s)
			}
			b.use(hl.budgetOf(s), hl.Type, -n)
		}
	}
	return result, nil
}

// newLots are the grants that one operation opens for returning credits.
type newLots map[newLot]*lot

type newLot struct {
	accountID
	source   Source
	priority int32
}

// reissue is the grant for credits that cannot go back to their own.
func (b *books) reissue(fresh newLots, e *entry, id accountID, t terms) *lot {
	like := newLot{id, t.Source, t.Priority}
	l := fresh[like]
	if l == nil {
		l = b.issue(id, t, e.at)
		fresh[like] = l
	}
	return l
}

// rolled are the terms of credits that roll over.
func (c *carry) rolled() terms {
	return terms{Source: SourceRollover, Priority: c.Priority, ExpiresAt: c.Until, BurnBy: c.BurnBy}
}

// reinstated are the terms of credits that come back when their lot is over.
func (l *lot) reinstated(u Until) terms {
	return terms{Source: SourceReinstated, Priority: l.priority, ExpiresAt: u.of(l.pool)}
}

// giveBack returns n held credits: to their grant; where its period is over, to
// what is left of the rollover cap; where it has expired, as the plan says.
func (b *books) giveBack(e *entry, op Release, l *lot, n int64, fresh newLots) {
	a := b.account(l.accountID)
	switch {
	case l.renewed && a.carry != nil:
		if r := a.carry.take(n); r > 0 {
			into := b.reissue(fresh, e, l.accountID, a.carry.rolled())
			left := *a.carry
			b.moveInto(e, moveReinstate, l, into, r).Carry = &left
			n -= r
		}
		if n > 0 {
			b.move(e, moveLapse, l, n)
		}
	case !l.renewed && !l.expiredAt(e.at):
		b.move(e, moveRelease, l, n)
	case op.Late == LateExpire:
		b.move(e, moveLapse, l, n)
	default:
		into := b.reissue(fresh, e, l.accountID, l.reinstated(op.ReinstateUntil))
		b.moveInto(e, moveReinstate, l, into, n)
	}
}
