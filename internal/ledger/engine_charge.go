package ledger

import (
	"fmt"
	"slices"
)

// unpaid sorts facts into those new to the organization, without duplicates, grouped as
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
