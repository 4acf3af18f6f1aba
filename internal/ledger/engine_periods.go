package ledger

import (
	"fmt"
	"slices"
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
		if !l.live() || l.bucket[waiting] > 0 || l.source != SourceAllotment && l.source != SourceRollover {
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
	a.alertAt = op.descending()
	e.postings = append(e.postings, posting{
		Move: moveAlert, Type: op.Type, Pool: op.Pool, Balance: a.available, Alert: a.alertAt,
	})
	return AlertResult{Low: len(a.alertAt) > 0 && a.available <= a.alertAt[0]}, nil
}

// watch looks at the accounts an entry has moved credits in. Falling to a
// threshold is told; being below it already is not, so each fall is told once
// until the account has risen above the threshold again.
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
			if before <= threshold || threshold < a.available {
				continue
			}
			p.Low = append(p.Low, threshold)
			b.changes.events = append(b.changes.events, event{
				topic: topicLow,
				key:   lowKey(e.seq, p, threshold),
				payload: lowPayload{
					Org: b.owner, Pool: p.Pool, Type: p.Type, At: e.at,
					Available: a.available, Threshold: threshold,
				}.json(),
			})
		}
	}
}

const topicLow = "credits.low"

// lowKey is the key of a credits.low event.
func lowKey(seq int64, p *posting, threshold int64) string {
	return fmt.Sprintf("%s/%d/%s/%s/%d", topicLow, seq, p.Pool, p.Type, threshold)
}
