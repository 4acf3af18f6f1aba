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
// outcome per operation; what has to be written is in b.changes.
func (b *books) perform(ops []operation, now time.Time) []outcome {
	outcomes := make([]outcome, len(ops))
	b.changes.entries = slices.Grow(b.changes.entries, len(ops))
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

// A capture takes held credits, which do not expire; but its lines say what is
// available beside them.
func (op Capture) touches(b *books) []accountID { return Release{HoldID: op.HoldID}.touches(b) }

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
