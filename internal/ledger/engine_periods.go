package ledger

import (
	"maps"
	"slices"
	"time"

	"holdfast/internal/outbox"
)

func (op Expire) run(b *books, e *entry) (any, error) {
	before := len(b.changes.entries)
	b.expire(slices.SortedFunc(maps.Keys(b.accounts), accountID.compare), e.at, e.at, time.Time{})
	var result ExpireResult
	for i := range b.changes.entries[before:] {
		for _, p := range b.changes.entries[before+i].postings {
			result.Expired = addAmount(result.Expired, p.Type, p.Amount)
		}
	}
	return result, nil
}

// when is the time of a renewal: that at which the period ended, unless the
// journal is past it or it is still to come.
func (op Renew) when(last, now time.Time) time.Time {
	at := micro(op.At)
	switch {
	case at.IsZero() || at.After(now):
		return now
	case at.Before(last):
		return last
	}
	return at
}

// missed is the time by which lots of a period must have expired to be of an
// earlier one, whose end decided nothing about them. Periods are weeks apart;
// where a period ends may move by the hours between two time zones.
func (op Renew) missed() time.Time {
	if op.At.IsZero() {
		return op.At
	}
	return micro(op.At).Add(-48 * time.Hour)
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
			b.grant(e, accountID{op.Pool, l.Type}, terms{Source: SourceAllotment, Priority: l.Priority, ExpiresAt: l.ExpiresAt, BurnBy: l.BurnBy}, l.Amount)
		}
		result.Lines = append(result.Lines, r)
	}
	return result, nil
}

// endPeriod closes the account's allotment: what is available rolls over as far
// as the cap goes, whether its time is over or not, and the rest expires, as does
// what else expires at that moment. The cap that is left waits for the credits
// that are still held.
func (b *books) endPeriod(e *entry, id accountID, r Renewal) RenewedLine {
	line := RenewedLine{Type: r.Type, Granted: r.Amount}
	a := b.account(id)
	a.carry = nil
	if r.Rollover {
		a.carry = &carry{Left: max(r.Cap, -1), Priority: r.CarriedPriority, Until: micro(r.CarriedUntil), BurnBy: micro(r.BurnBy)}
	}
	b.changedAccount(a)
	fresh := newLots{}
	for _, l := range slices.Clone(a.lots) {
		n := l.bucket[available]
		switch {
		case !l.live() || l.bucket[waiting] > 0:
			continue
		case l.ofPeriod():
			l.renewed = true
			b.changedLot(l)
			rolled := b.rollOver(e, a, l, n, fresh)
			line.Rolled += rolled
			n -= rolled
		case !l.expiredAt(e.at):
			continue
		}
		if n > 0 {
			b.move(e, moveExpire, l, n)
			line.Expired += n
		}
	}
	a.lookAhead(e.at)
	p := posting{Move: moveCarry, Type: id.kind, Pool: id.pool, Balance: a.available}
	if a.carry != nil {
		left := *a.carry
		p.Carry = &left
	}
	e.postings = append(e.postings, p)
	return line
}

// rollOver carries over as many of n credits as the cap lets, and says how many.
func (b *books) rollOver(e *entry, a *account, l *lot, n int64, fresh newLots) int64 {
	if n == 0 || a.carry == nil {
		return 0
	}
	rolled := a.carry.take(n)
	if rolled > 0 {
		b.moveInto(e, moveRollover, l, b.reissue(fresh, e, a.accountID, a.carry.rolled()), rolled)
	}
	return rolled
}

func (op Alert) run(b *books, e *entry) (any, error) {
	a := b.account(accountID{op.Pool, op.Type})
	b.changedAccount(a)
	thresholds := op.descending()
	for _, threshold := range thresholds {
		if a.available <= threshold && !slices.Contains(a.alertAt, threshold) && !(op.Begin && a.available == 0) {
			e.low = append(e.low, threshold)
		}
	}
	a.alertAt = thresholds
	e.postings = append(e.postings, posting{
		Move: moveAlert, Type: op.Type, Pool: op.Pool, Balance: a.available, Alert: a.alertAt,
	})
	return AlertResult{Low: len(a.alertAt) > 0 && a.available <= a.alertAt[0]}, nil
}

// watch looks at the accounts an entry has moved credits in, as they are after
// all of it. Falling to a threshold is an event; being below it already is none
// unless the threshold is new, so each fall is announced once until the account has
// risen above the threshold again.
func (b *books) watch(e *entry) {
	for i := range e.postings {
		p := &e.postings[i]
		if p.Move == moveLine {
			continue
		}
		a := b.accounts[accountID{p.Pool, p.Type}]
		before := a.seen
		a.seen = a.available
		for _, threshold := range a.alertAt {
			if before > threshold && threshold >= a.available {
				b.low(e, p, a, threshold)
			}
		}
		if p.Move == moveAlert {
			for _, threshold := range e.low {
				b.low(e, p, a, threshold)
			}
		}
	}
}

// lowKey is the key of a credits.low event.
func lowKey(seq int64, p *posting, threshold int64) string {
	return outbox.Key(outbox.CreditsLow, seq, p.Pool, p.Type, threshold)
}

// low makes the event that an account is at or below a threshold.
func (b *books) low(e *entry, p *posting, a *account, threshold int64) {
	p.Low = append(p.Low, threshold)
	b.changes.events = append(b.changes.events, outbox.Event{
		Org: b.owner, Topic: outbox.CreditsLow, Key: lowKey(e.seq, p, threshold),
		Data: lowPayload{
			Org: b.owner, Pool: p.Pool, Type: p.Type, At: e.at,
			Available: a.available, Threshold: threshold,
		}.json(),
	})
}
