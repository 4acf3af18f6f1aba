package ledger

import (
	"slices"
	"strconv"
)

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
