package ledger

import (
	"fmt"
)

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
