package ledger

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"holdfast/internal/outbox"
)

// books are one organization's credits as far as they are loaded: what the
// engine works on. Everything in them follows from the journal, so the hash of
// the last entry (head) identifies their content exactly: books kept in memory
// are good as long as the locked credit_owner row still names that head.
type books struct {
	owner  string
	seq    int64
	head   []byte
	at     time.Time // of the last entry
	grants int64     // number of the last grant

	accounts map[accountID]*account
	lots     map[int64]*lot
	holds    map[string]*hold // nil = known not to exist
	budgets  map[budgetID]*budget
	pools    map[string]bool // whose accounts and live grants are loaded
	allPools bool

	// These hold for one batch only.
	stored  map[string]stored // results by key
	facts   map[factID]*fact  // nil = known not to be owned
	charged map[int64][]factID
	changes changes
}

// changes are the parts of the books that a batch has touched and the rows it adds.
type changes struct {
	entries  []entry
	accounts []*account
	lots     []*lot
	holds    []*hold
	budgets  []*budget
	facts    []*fact
	events   []outbox.Event
}

type accountID struct{ pool, kind string }

// account is the credits of one type in one pool.
type account struct {
	accountID
	available, held int64
	carry           *carry
	alertAt         []int64   // credits.low thresholds, highest first
	seen            int64     // available when the alert was last looked at
	lots            []*lot    // live, in burn order
	nextExpiry      time.Time // no available credits expire and no waiting ones start before; zero = never
	changed         bool
}

// carry is what credits that return to a renewed grant may still roll over.
type carry struct {
	Left     int64     `json:"left"` // -1 = no cap
	Priority int32     `json:"priority,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	BurnBy   time.Time `json:"burn_by,omitzero"`
}

// take uses up to n credits of the cap.
func (c *carry) take(n int64) int64 {
	if c.Left < 0 {
		return n
	}
	n = min(n, c.Left)
	c.Left -= n
	return n
}

// lot is a grant and what became of its credits.
type lot struct {
	accountID
	no        int64
	source    Source
	priority  int32
	startsAt  time.Time // zero = when it was granted
	expiresAt time.Time // zero = never
	burnBy    time.Time // some of it is lost then; zero = with its expiry
	grantedAt time.Time
	amount    int64
	bucket    [buckets]int64
	renewed   bool
	listed    bool // in its account's burn order
	issued    bool // by a moveGrant, not by credits moving in; known to replay only
	changed   bool
}

func (l *lot) live() bool { return l.bucket[waiting]+l.bucket[available]+l.bucket[held] > 0 }

// startedAt says whether credits that wait for the grant's start are there.
func (l *lot) startedAt(now time.Time) bool { return !now.Before(l.startsAt) }

func (l *lot) expiredAt(now time.Time) bool {
	return !l.expiresAt.IsZero() && !now.Before(l.expiresAt)
}

// ofPeriod reports whether the end of a period decides what becomes of the lot:
// when its time is over it is not spent, and waits.
func (l *lot) ofPeriod() bool {
	return !l.renewed && (l.source == SourceAllotment || l.source == SourceRollover)
}

// lostFrom is when the first of its credits may be lost: by its expiry, or by the
// cap on what rolls over.
func (l *lot) lostFrom() time.Time {
	if compareExpiry(l.burnBy, l.expiresAt) < 0 {
		return l.burnBy
	}
	return l.expiresAt
}

// compareBurn orders lots: priority, then what would be lost first, then age.
func (l *lot) compareBurn(o *lot) int {
	return cmp.Or(
		cmp.Compare(l.priority, o.priority),
		compareExpiry(l.lostFrom(), o.lostFrom()),
		cmp.Compare(l.no, o.no),
	)
}

func compareExpiry(a, b time.Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return 1
	case b.IsZero():
		return -1
	}
	return a.Compare(b)
}

type budgetID struct{ name, kind string }

type budget struct {
	budgetID
	used    int64
	changed bool
}

type factID struct {
	kind, scope string
	subject     [16]byte
}

type fact struct {
	factID
	seq      int64 // entry that charged it
	cost     int64
	reversed bool
	hold     string // of that entry; loaded for reversals only
	isNew    bool
	changed  bool
}

// stored is the result of an operation that has been carried out before.
type stored struct {
	requestHash requestHash
	result      []byte
}

func newBooks(owner string) *books {
	return &books{
		owner:    owner,
		head:     []byte{},
		accounts: map[accountID]*account{},
		lots:     map[int64]*lot{},
		holds:    map[string]*hold{},
		budgets:  map[budgetID]*budget{},
		pools:    map[string]bool{},
		stored:   map[string]stored{},
		facts:    map[factID]*fact{},
		charged:  map[int64][]factID{},
	}
}

// account returns an account, opening it where there is none.
func (b *books) account(id accountID) *account {
	a := b.accounts[id]
	if a == nil {
		a = &account{accountID: id}
		b.accounts[id] = a
	}
	return a
}

func (b *books) budget(id budgetID) *budget {
	u := b.budgets[id]
	if u == nil {
		u = &budget{budgetID: id}
		b.budgets[id] = u
	}
	return u
}

// list puts a live lot into its account's burn order.
func (b *books) list(l *lot) {
	if l.listed || !l.live() {
		return
	}
	a := b.account(l.accountID)
	i := sort.Search(len(a.lots), func(i int) bool { return a.lots[i].compareBurn(l) > 0 })
	a.lots = slices.Insert(a.lots, i, l)
	l.listed = true
	a.sooner(l)
}

// sooner lets the account know that a lot has available or waiting credits.
func (a *account) sooner(l *lot) {
	due := l.expiresAt
	if l.bucket[waiting] > 0 {
		due = l.startsAt
	}
	if compareExpiry(due, a.nextExpiry) < 0 {
		a.nextExpiry = due
	}
}

// lookAhead finds when the account's next credits start, or expire after a time.
func (a *account) lookAhead(now time.Time) {
	a.nextExpiry = time.Time{}
	for _, l := range a.lots {
		if l.bucket[waiting] > 0 || l.bucket[available] > 0 && !l.expiredAt(now) {
			a.sooner(l)
		}
	}
}

func (b *books) changedAccount(a *account) {
	if !a.changed {
		a.changed = true
		b.changes.accounts = append(b.changes.accounts, a)
	}
}

func (b *books) changedLot(l *lot) {
	if !l.changed {
		l.changed = true
		b.changes.lots = append(b.changes.lots, l)
	}
}

func (b *books) changedHold(h *hold) {
	if !h.changed {
		h.changed = true
		b.changes.holds = append(b.changes.holds, h)
	}
}

func (b *books) changedFact(f *fact) {
	if !f.changed {
		f.changed = true
		b.changes.facts = append(b.changes.facts, f)
	}
}

// use adds n (or takes it back, n < 0) to what was drawn under a budget.
func (b *books) use(name, kind string, n int64) {
	if name == "" {
		return
	}
	u := b.budget(budgetID{name, kind})
	u.used += n
	if !u.changed {
		u.changed = true
		b.changes.budgets = append(b.changes.budgets, u)
	}
}

// move carries n credits of a lot from one bucket to another and writes it down.
func (b *books) move(e *entry, m move, l *lot, n int64) *posting {
	a := b.account(l.accountID)
	from, to := m.from(), m.to()
	if from != none {
		l.bucket[from] -= n
	}
	l.bucket[to] += n
	a.available += change(available, from, to, n)
	a.held += change(held, from, to, n)
	if to == available {
		a.sooner(l)
	}
	b.list(l)
	b.changedLot(l)
	b.changedAccount(a)
	e.postings = append(e.postings, posting{
		Move: m, Type: l.kind, Pool: l.pool, Grant: l.no, Amount: n, Balance: a.available,
	})
	return &e.postings[len(e.postings)-1]
}

// moveInto carries n credits of a lot into another one of the same account.
func (b *books) moveInto(e *entry, m move, l, into *lot, n int64) *posting {
	p := b.move(e, m, l, n)
	a := b.account(into.accountID)
	into.amount += n
	into.bucket[available] += n
	a.available += n
	b.list(into)
	b.changedLot(into)
	p.Balance = a.available
	p.Into = into.no
	if into.amount == n {
		p.Terms = into.terms()
	}
	return p
}

// issue begins a lot, still empty.
func (b *books) issue(id accountID, t terms, now time.Time) *lot {
	b.grants++
	l := &lot{
		accountID: id, no: b.grants, source: t.Source, priority: t.Priority,
		expiresAt: micro(t.ExpiresAt), burnBy: micro(t.BurnBy), grantedAt: now,
	}
	b.lots[l.no] = l
	return l
}

func (l *lot) terms() *terms {
	return &terms{Source: l.source, Priority: l.priority, StartsAt: l.startsAt, ExpiresAt: l.expiresAt, BurnBy: l.burnBy}
}

// room says whether n credits can be added to an account, now and when what
// waits has started.
func (a *account) room(n int64) bool {
	for _, l := range a.lots {
		n += l.bucket[waiting]
	}
	return n <= maxBalance-a.available-a.held
}

// settle ends a batch: what was changed is written, what is of no further use
// is forgotten. keep limits how many holds, budgets and lots stay in memory.
func (b *books) settle(keep int) {
	for _, a := range b.changes.accounts {
		a.changed = false
		a.lots = slices.DeleteFunc(a.lots, func(l *lot) bool {
			if l.live() {
				return false
			}
			l.listed = false
			return true
		})
	}
	for _, l := range b.changes.lots {
		l.changed = false
		if !l.live() {
			delete(b.lots, l.no)
		}
	}
	for _, h := range b.changes.holds {
		h.changed, h.isNew = false, false
		if h.closed {
			delete(b.holds, h.id)
		}
	}
	for _, u := range b.changes.budgets {
		u.changed = false
	}
	if len(b.holds) > keep {
		clear(b.holds)
	}
	if len(b.budgets) > keep {
		clear(b.budgets)
	}
	clear(b.stored)
	clear(b.facts)
	clear(b.charged)
	b.changes = changes{}
	if len(b.lots) > 8*keep {
		*b = *newBooks(b.owner)
	}
}

func (id accountID) compare(o accountID) int {
	return cmp.Or(cmp.Compare(id.pool, o.pool), cmp.Compare(id.kind, o.kind))
}
