package ledger

import (
	"fmt"
	"slices"
	"strconv"
)

func (op Reverse) run(b *books, e *entry) (any, error) {
	if op.HoldID != "" && b.holds[op.HoldID] == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownHold, op.HoldID)
	}
	e.holdID = op.HoldID
	claims, facts := b.claims(op)
	for _, c := range claims {
		if hl := c.hold.line(c.kind); hl == nil || hl.reversible() < c.n {
			return nil, fmt.Errorf("%w: %q has fewer than %d captured %s credits that are not reversed yet",
				ErrHoldExhausted, c.hold.id, c.n, c.kind)
		}
	}
	var result ReverseResult
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
	}
	result.Facts = int64(len(facts))
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
	into := b.reissue(fresh, e, newLot{l.accountID, SourceReinstated, l.priority}, op.ReinstateUntil)
	return b.moveInto(e, moveRestore, l, into, n)
}

func (op Expire) run(b *books, e *entry) (any, error) {
	ids := make([]accountID, 0, len(b.accounts))
	for id, a := range b.accounts {
		if !a.nextExpiry.IsZero() && !e.at.Before(a.nextExpiry) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, accountID.compare)
	for _, id := range ids {
		b.expireAccount(e, b.accounts[id])
	}
	var result ExpireResult
	for _, p := range e.postings {
		result.Expired = addAmount(result.Expired, p.Type, p.Amount)
	}
	return result, nil
}

func (op Renew) run(b *books, e *entry) (any, error) {
	for _, l := range op.Lines {
		if !b.account(accountID{op.Pool, l.Type}).room(l.Amount) {
			return nil, invalid("the pool has no room for %d more credits", l.Amount)
		}
	}
	var result RenewResult
	for _, l := range op.Lines {
		r := b.endPeriod(e, accountID{op.Pool, l.Type}, l)
		if l.Amount > 0 {
			b.grant(e, accountID{op.Pool, l.Type}, SourceAllotment, l.Priority, l.ExpiresAt, l.Amount)
		}
		result.Lines = append(result.Lines, r)
	}
	return result, nil
}

// endPeriod closes the account's allotment: what is available rolls over as far
// as the cap goes, the rest expires. The cap that is left waits for the credits
// that are still held.
func (b *books) endPeriod(e *entry, id accountID, r Renewal) RenewedLine {
	line := RenewedLine{Type: r.Type, Granted: r.Amount}
	a := b.account(id)
	a.carry = nil
	if r.Rollover {
		a.carry = &carry{Left: max(r.Cap, -1), Priority: r.CarriedPriority, Until: micro(r.CarriedUntil)}
	}
	b.changedAccount(a)
	fresh := newLots{}
	for _, l := range slices.Clone(a.lots) {
		if !l.live() || l.source != SourceAllotment && l.source != SourceRollover {
			continue
		}
		l.renewed = true
		b.changedLot(l)
		n := l.bucket[available]
		if n > 0 && a.carry != nil {
			if rolled := a.carry.take(n); rolled > 0 {
				into := b.reissue(fresh, e, newLot{id, SourceRollover, a.carry.Priority}, a.carry.Until)
				b.moveInto(e, moveRollover, l, into, rolled)
				line.Rolled += rolled
				n -= rolled
			}
		}
		if n > 0 {
			b.move(e, moveExpire, l, n)
			line.Expired += n
		}
	}
	p := posting{Move: moveCarry, Type: id.kind, Pool: id.pool, Balance: a.available}
	if a.carry != nil {
		left := *a.carry
		p.Carry = &left
	}
	e.postings = append(e.postings, p)
	return line
}

func (op Alert) run(b *books, e *entry) (any, error) {
	a := b.account(accountID{op.Pool, op.Type})
	b.changedAccount(a)
	a.alert = nil
	p := posting{Move: moveAlert, Type: op.Type, Pool: op.Pool, Balance: a.available}
	if op.Threshold >= 0 {
		a.alert = &alert{Threshold: op.Threshold, Rearm: max(op.Rearm, op.Threshold+1)}
		a.alert.low = a.available <= op.Threshold
		p.Alert = a.alert
	}
	e.postings = append(e.postings, p)
	return AlertResult{Low: a.alert != nil && a.alert.low}, nil
}

// watch looks at the accounts an entry has moved credits in: when one has fallen
// to its threshold, that is told once, until it has recovered.
func (b *books) watch(e *entry) {
	for i := range e.postings {
		p := &e.postings[i]
		a := b.accounts[accountID{p.Pool, p.Type}]
		if a.alert == nil {
			continue
		}
		switch {
		case a.alert.low && a.available >= a.alert.Rearm:
			a.alert.low = false
			b.changedAccount(a)
		case !a.alert.low && a.available <= a.alert.Threshold:
			a.alert.low = true
			b.changedAccount(a)
			b.changes.events = append(b.changes.events, event{
				topic: "credits.low",
				key:   "credits.low/" + strconv.FormatInt(e.seq, 10) + "/" + p.Pool + "/" + p.Type,
				payload: lowPayload{
					Org: b.owner, Pool: p.Pool, Type: p.Type, At: e.at,
					Available: a.available, Threshold: a.alert.Threshold,
				}.json(),
			})
		}
	}
}
