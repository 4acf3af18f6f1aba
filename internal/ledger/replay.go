package ledger

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// replay rebuilds one organization's books from its journal alone and reports
// where the journal contradicts itself. It shares the words with the engine but
// none of its decisions: it only follows the postings.
type replay struct {
	owner  string
	seq    int64
	head   []byte
	at     time.Time
	latest time.Time // entries after it are from the future; zero = not known
	grants int64

	accounts map[accountID]*account
	lots     map[int64]*lot
	holds    map[string]*hold // nil: holds and budgets are not followed
	budgets  map[budgetID]int64
	taken    int64   // credits taken back by voids
	opened   int64   // holds ever
	closed   []*hold // closed by the latest entries; emptied by the code that takes them

	report func(invariant, table, key, problem string)
}

func newReplay(owner string, report func(invariant, table, key, problem string)) *replay {
	return &replay{
		owner: owner, head: []byte{}, report: report,
		accounts: map[accountID]*account{}, lots: map[int64]*lot{},
		holds: map[string]*hold{}, budgets: map[budgetID]int64{},
	}
}

func (r *replay) complain(invariant string, e *entry, format string, args ...any) {
	r.report(invariant, "credit_entry", r.owner+"/"+strconv.FormatInt(e.seq, 10), fmt.Sprintf(format, args...))
}

// follow takes in the next entry.
func (r *replay) follow(e *entry) {
	if e.seq != r.seq+1 {
		r.complain("I6", e, "entry %d should come next: entries in between are missing", r.seq+1)
	}
	if !bytes.Equal(e.prevHash, r.head) {
		r.complain("I6", e, "it is not chained to the entry before it")
	}
	if !bytes.Equal(e.sum(r.owner), e.hash) {
		r.complain("I6", e, "its content does not match its hash: it was changed")
	}
	if e.at.Before(r.at) {
		r.complain("I6", e, "it is older than the entry before it")
	}
	if !r.latest.IsZero() && e.at.After(r.latest) {
		r.complain("I6", e, "it is from the future: %s", e.at.UTC().Format(time.RFC3339))
	}
	r.seq, r.head, r.at = e.seq, e.hash, e.at
	if err := e.parsePostings(); err != nil {
		r.complain("I6", e, "its postings cannot be read: %s", err)
		return
	}
	if e.kind == kindHold && bytes.HasPrefix(e.result, []byte(`{"held":true`)) ||
		e.kind == kindCharge && bytes.HasPrefix(e.result, []byte(`{"charged":true`)) {
		r.open(e)
	}
	r.carryOut(e)
	r.closeHold(e)
}

// carryOut moves the credits of an entry.
func (r *replay) carryOut(e *entry) {
	r.markRenewed(e)
	for i := range e.postings {
		r.post(e, &e.postings[i])
	}
}

func (r *replay) open(e *entry) {
	if _, twice := r.holds[e.holdID]; twice {
		r.complain("I4", e, "the hold %q was opened before", e.holdID)
	}
	r.holds[e.holdID] = &hold{id: e.holdID}
	r.opened++
}

// markRenewed notes whose period ends with this entry: allotments and rollovers
// that are live when their account's carry is set; all that is live where the
// account itself ends.
func (r *replay) markRenewed(e *entry) {
	if e.kind != kindRenew && e.kind != kindEnd {
		return
	}
	for i := range e.postings {
		if e.postings[i].Move != moveCarry {
			continue
		}
		id := accountID{e.postings[i].Pool, e.postings[i].Type}
		for _, l := range r.account(id).lots {
			ofPeriod := l.bucket[waiting] == 0 && (l.source == SourceAllotment || l.source == SourceRollover)
			if l.live() && (ofPeriod || e.kind == kindEnd) {
				l.renewed = true
			}
		}
	}
}

func (r *replay) account(id accountID) *account {
	a := r.accounts[id]
	if a == nil {
		a = &account{accountID: id}
		r.accounts[id] = a
	}
	return a
}

// begin adds a grant to the books.
func (r *replay) begin(e *entry, id accountID, no int64, t *terms) *lot {
	if no != r.grants+1 {
		r.complain("I3", e, "it begins grant %d, number %d should come next", no, r.grants+1)
	}
	r.grants = max(no, r.grants)
	l := &lot{
		accountID: id, no: no, source: t.Source, priority: t.Priority,
		startsAt: t.StartsAt, expiresAt: t.ExpiresAt, burnBy: t.BurnBy, grantedAt: e.at,
	}
	r.lots[no] = l
	return l
}

// list keeps a grant that came to life among those that the end of a period
// concerns, and drops those that are used up.
func (r *replay) list(a *account, l *lot) {
	if l.listed || !l.live() {
		return
	}
	a.lots = slices.DeleteFunc(a.lots, func(o *lot) bool {
		o.listed = o.live()
		return !o.listed
	})
	l.listed = true
	a.lots = append(a.lots, l)
}

// post follows one posting.
func (r *replay) post(e *entry, p *posting) {
	if p.Move == moveLine {
		if r.holds != nil {
			r.line(e, p)
		}
		return
	}
	id := accountID{p.Pool, p.Type}
	a := r.account(id)
	switch p.Move {
	case moveCarry:
		a.carry = p.Carry
	case moveAlert:
		a.alertAt = slices.Clone(p.Alert) // decoding uses its memory again
	case moveGrant, moveHold, moveCapture, moveCharge, moveRelease, moveReinstate, moveLapse,
		moveExpire, moveRollover, moveReverse, moveRestore, moveVoid,
		moveSchedule, moveStart, moveWithdraw:
		if p.Carry != nil {
			a.carry = p.Carry
		}
		r.transfer(e, p, a)
	default:
		r.complain("I6", e, "it has a posting of the unknown kind %q", p.Move)
	}
	if p.Balance != a.available {
		r.complain("I1", e, "it says that %d %s credits are available in pool %q, the journal adds up to %d",
			p.Balance, p.Type, p.Pool, a.available)
	}
}

// transfer moves credits between the buckets of a grant.
func (r *replay) transfer(e *entry, p *posting, a *account) {
	l := r.lots[p.Grant]
	if (p.Move == moveGrant || p.Move == moveSchedule) && p.Terms != nil && l == nil {
		l = r.begin(e, a.accountID, p.Grant, p.Terms)
		l.amount, l.issued = p.Amount, true
	}
	if l == nil || l.accountID != a.accountID {
		r.complain("I3", e, "it moves credits of grant %d, which is not in pool %q", p.Grant, p.Pool)
		return
	}
	from, to := p.Move.from(), p.Move.to()
	if p.Amount <= 0 {
		r.complain("I2", e, "it moves %d credits", p.Amount)
	}
	if from != none {
		l.bucket[from] -= p.Amount
		if l.bucket[from] < 0 {
			r.complain("I2", e, "it takes %d credits more from grant %d than there are", -l.bucket[from], l.no)
		}
	}
	l.bucket[to] += p.Amount
	if from == available && to != expired && to != voided && l.expiredAt(e.at) {
		r.complain("I9", e, "it spends credits of grant %d after they have expired", l.no)
	}
	if p.Move == moveStart && !l.startedAt(e.at) {
		r.complain("I9", e, "it starts grant %d before its time", l.no)
	}
	a.available += change(available, from, to, p.Amount)
	a.held += change(held, from, to, p.Amount)
	r.list(a, l)
	switch {
	case p.Move == moveVoid || p.Move == moveWithdraw:
		r.taken += p.Amount
	case to == voided:
		r.receive(e, p, a)
	}
	if r.holds != nil {
		r.slice(e, p)
	}
}

// receive adds voided credits to the grant they moved into.
func (r *replay) receive(e *entry, p *posting, a *account) {
	into := r.lots[p.Into]
	if into == nil && p.Terms != nil {
		into = r.begin(e, a.accountID, p.Into, p.Terms)
	}
	if into == nil || into.accountID != a.accountID {
		r.complain("I10", e, "it voids %d credits that arrive nowhere", p.Amount)
		return
	}
	into.amount += p.Amount
	into.bucket[available] += p.Amount
	a.available += p.Amount
	r.list(a, into)
}

// line notes what a hold's line says that its slices do not.
func (r *replay) line(e *entry, p *posting) {
	h := r.holds[e.holdID]
	if h == nil || h.line(p.Type) != nil {
		r.complain("I4", e, "it has a line for %q that belongs to no new hold", p.Type)
		return
	}
	h.lines = append(h.lines, holdLine{Type: p.Type, Budget: p.Budget})
}

// slice follows a posting into the hold and the budget it belongs to.
func (r *replay) slice(e *entry, p *posting) {
	id := e.holdID
	if p.Hold != "" {
		id = p.Hold
	}
	var draw int64
	switch p.Move {
	case moveHold, moveCharge:
		draw = p.Amount
	case moveRelease, moveReinstate, moveLapse, moveReverse, moveRestore:
		draw = -p.Amount
	case moveCapture:
	default:
		return
	}
	if p.Budget != "" {
		r.budgets[budgetID{p.Budget, p.Type}] += draw
	}
	h := r.holds[id]
	if h == nil {
		r.complain("I4", e, "it moves credits of hold %q, which is not open or shows no reversal", id)
		return
	}
	hl := h.line(p.Type)
	if hl == nil {
		h.lines = append(h.lines, holdLine{Type: p.Type})
		hl = &h.lines[len(h.lines)-1]
	}
	var s *slice
	for i := range hl.Slices {
		if hl.Slices[i].Grant == p.Grant {
			s = &hl.Slices[i]
		}
	}
	if draw > 0 && s == nil {
		hl.Slices = append(hl.Slices, slice{Grant: p.Grant, Pool: p.Pool})
		s = &hl.Slices[len(hl.Slices)-1]
		if p.Budget != "" {
			hl.Budget = p.Budget
		}
	}
	if s == nil {
		r.complain("I4", e, "it moves credits of grant %d that hold %q never had", p.Grant, id)
		return
	}
	switch p.Move {
	case moveHold:
		s.Amount += p.Amount
	case moveCharge:
		s.Amount += p.Amount
		s.Captured += p.Amount
	case moveCapture:
		s.Captured += p.Amount
	case moveReverse, moveRestore:
		s.Reversed += p.Amount
	default:
		s.Released += p.Amount
	}
	if s.left() < 0 || s.reversible() < 0 {
		r.complain("I4", e, "it moves more credits of hold %q than it has", id)
	}
}

// closeHold ends the hold of a release or charge, and notes who charged facts to it.
func (r *replay) closeHold(e *entry) {
	h := r.holds[e.holdID]
	if h == nil {
		return
	}
	if (e.kind == kindCapture || e.kind == kindCharge) && len(e.facts) > 0 && !h.closed {
		h.captures = append(h.captures, e.seq)
	}
	if e.kind == kindRelease || e.kind == kindCharge {
		if sum := h.sums(); sum.left() != 0 {
			r.complain("I4", e, "it closes hold %q with %d credits left in it", h.id, sum.left())
		}
		h.closed = true
		r.closed = append(r.closed, h)
	}
}

// conclude checks what must hold between the rebuilt parts.
func (r *replay) conclude() {
	type sums struct{ available, held int64 }
	perAccount := map[accountID]sums{}
	perGrant := map[int64]int64{}
	for _, h := range r.holds {
		for i := range h.lines {
			for _, s := range h.lines[i].Slices {
				perGrant[s.Grant] += s.left()
			}
		}
	}
	var voidedSum, movedSum int64
	for no, l := range r.lots {
		key := r.owner + "/" + strconv.FormatInt(no, 10)
		var sum int64
		for _, n := range l.bucket {
			sum += n
		}
		if sum != l.amount {
			r.report("I3", "credit_grant", key, fmt.Sprintf("its parts add up to %d of %d credits", sum, l.amount))
		}
		if perGrant[no] != l.bucket[held] {
			r.report("I4", "credit_grant", key, fmt.Sprintf("%d of its credits are held, holds have %d", l.bucket[held], perGrant[no]))
		}
		s := perAccount[l.accountID]
		perAccount[l.accountID] = sums{s.available + l.bucket[available], s.held + l.bucket[held]}
		voidedSum += l.bucket[voided]
		if !l.issued {
			movedSum += l.amount
		}
	}
	if voidedSum != movedSum+r.taken {
		r.report("I10", "credit_grant", r.owner, fmt.Sprintf("%d credits left their grants, %d went into others and %d were taken back",
			voidedSum, movedSum, r.taken))
	}
	for id, a := range r.accounts {
		if s := perAccount[id]; s.available != a.available || s.held != a.held {
			r.report("I1", "credit_account", r.owner+"/"+id.pool+"/"+id.kind, fmt.Sprintf(
				"%d available and %d held, its grants add up to %d and %d", a.available, a.held, s.available, s.held))
		}
	}
}
