package ledger

import (
	"fmt"
	"slices"
)

func (op Reverse) run(b *books, e *entry) (any, error) {
	if op.HoldID != "" && b.holds[op.HoldID] == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownHold, op.HoldID)
	}
	e.holdID = op.HoldID
	var result ReverseResult
	var claims []claim
	var facts []*fact
	if op.AtMost {
		claims, facts, result.Each = b.claimsAtMost(op)
	} else {
		claims, facts = b.claims(op)
	}
	for _, c := range claims {
		if hl := c.hold.line(c.kind); hl == nil || hl.reversible() < c.n {
			return nil, fmt.Errorf("%w: %q has fewer than %d captured %s credits that are not reversed yet",
				ErrHoldExhausted, c.hold.id, c.n, c.kind)
		}
	}
	if err := b.roomFor(claims); err != nil {
		return nil, err
	}
	fresh := newLots{}
	for _, c := range claims {
		hl := c.hold.line(c.kind)
		b.changedHold(c.hold)
		result.Reversed += c.n
		result.Amounts = addAmount(result.Amounts, c.kind, c.n)
		rest := c.n
		for j := len(hl.Slices) - 1; j >= 0 && rest > 0; j-- {
			s := &hl.Slices[j]
			n := min(rest, s.reversible())
			if n == 0 {
				continue
			}
			rest -= n
			s.Reversed += n
			p := b.creditBack(e, op, b.lots[s.Grant], n, fresh)
			if c.hold.id != op.HoldID {
				p.Hold = c.hold.id
			}
			p.Budget = hl.budgetOf(s)
			b.use(p.Budget, c.kind, -n)
		}
	}
	for _, f := range facts {
		f.reversed = true
		b.changedFact(f)
		e.groups = addFact(e.groups, f.factID, f.cost)
		if f.cost > 0 { // others came with one
			result.Facts++
		}
	}
	return result, nil
}

// claim is what a reversal takes back from one line of one hold.
type claim struct {
	hold *hold
	kind string
	n    int64
}

// claims works out what a reversal credits back, and which facts it ends.
func (b *books) claims(op Reverse) (claims []claim, facts []*fact) {
	h := b.holds[op.HoldID]
	switch {
	case len(op.Facts) > 0:
		seen := make(map[*fact]struct{}, len(op.Facts))
		for _, r := range op.Facts {
			f := b.facts[factID{op.Type, r.Scope, r.Subject}]
			if f == nil || f.reversed || op.HoldID != "" && f.hold != op.HoldID {
				continue
			}
			if _, twice := seen[f]; twice {
				continue
			}
			seen[f] = struct{}{}
			facts = append(facts, f)
			if f.cost > 0 {
				claims = addClaim(claims, b.holds[f.hold], op.Type, f.cost)
			}
		}
	case op.Amount > 0:
		claims = addClaim(claims, h, op.Type, op.Amount)
	default:
		for i := range h.lines {
			hl := &h.lines[i]
			if n := hl.reversible(); n > 0 && (op.Type == "" || op.Type == hl.Type) {
				claims = addClaim(claims, h, hl.Type, n)
			}
		}
		for _, seq := range h.captures {
			for _, id := range b.charged[seq] {
				f := b.facts[id]
				if f != nil && !f.reversed && f.seq == seq && (op.Type == "" || op.Type == id.kind) {
					facts = append(facts, f)
				}
			}
		}
	}
	return claims, facts
}

// roomFor is an error where an account may have no room for what comes back: an
// account counts what it has and holds, not what was spent before.
func (b *books) roomFor(claims []claim) error {
	sums := map[accountID]int64{}
	for _, c := range claims {
		hl := c.hold.line(c.kind)
		for i := range hl.Slices {
			id := b.lots[hl.Slices[i].Grant].accountID
			sums[id] += min(c.n, hl.Slices[i].reversible())
			if !b.account(id).room(sums[id]) {
				return invalid("the pool has no room for %d more credits", sums[id])
			}
		}
	}
	return nil
}

// claimsAtMost does the same for facts that take what their hold still has.
func (b *books) claimsAtMost(op Reverse) (claims []claim, facts []*fact, each []FactReversal) {
	h := b.holds[op.HoldID]
	var left int64
	if hl := h.line(op.Type); hl != nil {
		left = hl.reversible()
	}
	each = make([]FactReversal, len(op.Facts))
	seen := map[*fact]struct{}{}
	for i := range op.Facts {
		live, kept := b.live(op, &op.Facts[i], seen)
		var cost int64
		for _, f := range live {
			cost += f.cost
		}
		n := min(cost, left)
		switch {
		case cost == 0:
			each[i].Kept = kept
		case n == 0:
			each[i].Kept = KeptNoRest
			continue
		default:
			left -= n
			each[i].Reversed = n
			claims = addClaim(claims, h, op.Type, n)
		}
		for _, f := range live {
			seen[f] = struct{}{}
		}
		facts = append(facts, live...)
	}
	return claims, facts, each
}

// live are a fact and what comes with it, as far as the hold of the reversal paid
// for them and they are not reversed, nor about to be; and why they are not more.
func (b *books) live(op Reverse, r *Fact, seen map[*fact]struct{}) (live []*fact, kept KeptFact) {
	kept = KeptUnpaid
	for i := range len(r.With) + 1 {
		subject := r.Subject
		if i > 0 {
			subject = r.With[i-1]
		}
		f := b.facts[factID{op.Type, r.Scope, subject}]
		if f == nil || f.hold != op.HoldID {
			continue
		}
		_, taken := seen[f]
		switch {
		case !f.reversed && !taken:
			if !slices.Contains(live, f) {
				live = append(live, f)
			}
		case f.cost > 0:
			kept = KeptReversed
		}
	}
	return live, kept
}

func addClaim(claims []claim, h *hold, kind string, n int64) []claim {
	for i := range claims {
		if claims[i].hold == h && claims[i].kind == kind {
			claims[i].n += n
			return claims
		}
	}
	return append(claims, claim{h, kind, n})
}

func addAmount(amounts []Amount, kind string, n int64) []Amount {
	for i := range amounts {
		if amounts[i].Type == kind {
			amounts[i].Amount += n
			return amounts
		}
	}
	return append(amounts, Amount{kind, n})
}

// creditBack returns n captured credits: to their grant, or where that is over
// to a new one.
func (b *books) creditBack(e *entry, op Reverse, l *lot, n int64, fresh newLots) *posting {
	if !l.renewed && !l.expiredAt(e.at) {
		return b.move(e, moveReverse, l, n)
	}
	into := b.reissue(fresh, e, l.accountID, l.reinstated(op.ReinstateUntil))
	return b.moveInto(e, moveRestore, l, into, n)
}
