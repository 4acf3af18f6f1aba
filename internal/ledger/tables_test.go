package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
)

// tables stand in for the database in the property test: rows are copies, and
// the books may be thrown away and read again at any time.
type tables struct {
	name    string
	owner   books // seq, head, at, grants
	journal []entry
	keys    map[string]int // entry by key
	rows    struct {
		accounts map[accountID]account
		lots     map[int64]lot
		holds    map[string]string // body
		closed   map[string]bool
		budgets  map[budgetID]int64
		facts    map[factID]fact
	}
}

func newTables(name string) *tables {
	t := &tables{name: name, owner: *newBooks(name), keys: map[string]int{}}
	t.rows.accounts = map[accountID]account{}
	t.rows.lots = map[int64]lot{}
	t.rows.holds = map[string]string{}
	t.rows.closed = map[string]bool{}
	t.rows.budgets = map[budgetID]int64{}
	t.rows.facts = map[factID]fact{}
	return t
}

// open returns books that know nothing yet but where the journal stands.
func (t *tables) open() *books {
	b := newBooks(t.name)
	b.seq, b.head, b.at, b.grants = t.owner.seq, t.owner.head, t.owner.at, t.owner.grants
	return b
}

// save writes what a batch has changed, and checks what the CHECK constraints do.
func (t *tables) save(b *books) error {
	t.owner.seq, t.owner.head, t.owner.at, t.owner.grants = b.seq, b.head, b.at, b.grants
	for _, e := range b.changes.entries {
		t.keys[e.key] = len(t.journal)
		t.journal = append(t.journal, e)
	}
	for _, a := range b.changes.accounts {
		row := *a
		row.lots, row.changed = nil, false
		if a.carry != nil {
			c := *a.carry
			row.carry = &c
		}
		row.alertAt = slices.Clone(a.alertAt)
		if a.available < 0 || a.held < 0 {
			return fmt.Errorf("I1: account %v has %d available, %d held", a.accountID, a.available, a.held)
		}
		t.rows.accounts[a.accountID] = row
	}
	for _, l := range b.changes.lots {
		row := *l
		row.listed, row.changed = false, false
		var sum int64
		for _, n := range l.bucket {
			if n < 0 {
				return fmt.Errorf("I2: grant %d has %v", l.no, l.bucket)
			}
			sum += n
		}
		if sum != l.amount || l.amount <= 0 {
			return fmt.Errorf("I3: grant %d of %d adds up to %d", l.no, l.amount, sum)
		}
		t.rows.lots[l.no] = row
	}
	for _, h := range b.changes.holds {
		sum := h.sums()
		if sum.left() < 0 || sum.reversible() < 0 || h.closed && sum.left() != 0 {
			return fmt.Errorf("I4: hold %s has %+v", h.id, sum)
		}
		if _, exists := t.rows.holds[h.id]; exists == h.isNew {
			return fmt.Errorf("hold %s: new is %t", h.id, h.isNew)
		}
		t.rows.holds[h.id] = string(appendHold(nil, h))
		t.rows.closed[h.id] = h.closed
	}
	for _, u := range b.changes.budgets {
		if u.used < 0 {
			return fmt.Errorf("I8: budget %v has %d", u.budgetID, u.used)
		}
		t.rows.budgets[u.budgetID] = u.used
	}
	for _, f := range b.changes.facts {
		if _, exists := t.rows.facts[f.factID]; exists == f.isNew {
			return fmt.Errorf("fact %v: new is %t", f.factID, f.isNew)
		}
		row := *f
		row.changed, row.isNew, row.hold = false, false, ""
		t.rows.facts[f.factID] = row
	}
	return nil
}

func (n *needs) empty() bool {
	return !n.allPools && len(n.pools)+len(n.holds)+len(n.lots)+len(n.budgets)+
		len(n.facts)+len(n.origins)+len(n.captures) == 0
}

// load reads what the operations need and the books lack, as load.go does.
func (t *tables) load(b *books, ops []operation) {
	for _, op := range ops {
		key := op.header().key
		if i, ok := t.keys[key]; ok {
			b.stored[key] = stored{t.journal[i].requestHash, t.journal[i].result}
		}
	}
	for {
		var n needs
		for _, op := range ops {
			op.need(b, &n)
		}
		if n.empty() {
			return
		}
		t.loadPools(b, &n)
		for no := range n.lots {
			t.loadLot(b, no)
		}
		for id := range n.holds {
			b.holds[id] = nil
			if body, ok := t.rows.holds[id]; ok {
				var read holdBody
				if err := json.Unmarshal([]byte(body), &read); err != nil {
					panic(err)
				}
				b.holds[id] = &hold{id: id, closed: t.rows.closed[id], lines: read.Lines, captures: read.Captures}
			}
		}
		for id := range n.budgets {
			b.budget(id).used = t.rows.budgets[id]
		}
		for id := range n.facts {
			t.loadFact(b, id, false)
		}
		for id := range n.origins {
			t.loadFact(b, id, true)
		}
		for seq := range n.captures {
			groups, err := parseFacts(t.journal[seq-1].facts)
			if err != nil {
				panic(err)
			}
			b.charged[seq] = nil
			for _, g := range groups {
				for _, s := range g.subjects {
					b.charged[seq] = append(b.charged[seq], factID{g.kind, g.scope, s})
				}
			}
		}
	}
}

func (t *tables) loadPools(b *books, n *needs) {
	wanted := func(pool string) bool {
		_, one := n.pools[pool]
		return (one || n.allPools) && !b.pools[pool]
	}
	for id, row := range t.rows.accounts {
		if !wanted(id.pool) {
			continue
		}
		a := b.account(id)
		a.available, a.held, a.seen = row.available, row.held, row.available
		a.alertAt = slices.Clone(row.alertAt)
		if row.carry != nil {
			c := *row.carry
			a.carry = &c
		}
	}
	for no, row := range t.rows.lots {
		if wanted(row.pool) && row.live() {
			t.loadLot(b, no)
		}
	}
	for pool := range n.pools {
		b.pools[pool] = true
	}
	b.allPools = b.allPools || n.allPools
}

func (t *tables) loadLot(b *books, no int64) {
	if b.lots[no] == nil {
		row := t.rows.lots[no]
		b.lots[no] = &row
		b.list(&row)
	}
}

func (t *tables) loadFact(b *books, id factID, origin bool) {
	b.facts[id] = nil
	if row, ok := t.rows.facts[id]; ok {
		if origin {
			row.hold = t.journal[row.seq-1].holdID
		}
		b.facts[id] = &row
	}
}

// replayed compares the rows with what the journal alone comes to.
func (t *tables) replayed() error {
	var problems []string
	r := newReplay(t.name, func(invariant, table, key, problem string) {
		problems = append(problems, invariant+" "+table+" "+key+": "+problem)
	})
	for i := range t.journal {
		e := t.journal[i]
		r.follow(&e)
	}
	r.conclude()
	for id, want := range r.accounts {
		if is := t.rows.accounts[id]; is.available != want.available || is.held != want.held ||
			!slices.Equal(is.alertAt, want.alertAt) {
			problems = append(problems, fmt.Sprintf("account %v differs", id))
		}
	}
	for no, want := range r.lots {
		if is := t.rows.lots[no]; is.bucket != want.bucket || is.amount != want.amount || is.renewed != want.renewed ||
			!is.expiresAt.Equal(want.expiresAt) || !is.burnBy.Equal(want.burnBy) {
			problems = append(problems, fmt.Sprintf("grant %d is %+v, the journal says %+v", no, is, *want))
		}
	}
	for id, want := range r.holds {
		sum := want.sums()
		row := holdRow{
			ID: id, Amount: sum.Amount, Captured: sum.Captured, Released: sum.Released, Reversed: sum.Reversed,
			Closed: t.rows.closed[id], Body: []byte(t.rows.holds[id]),
		}
		if problem := row.differs(want); problem != "" {
			problems = append(problems, "hold "+id+": "+problem)
		}
	}
	for id, used := range r.budgets {
		if t.rows.budgets[id] != used {
			problems = append(problems, fmt.Sprintf("budget %v is %d, the journal says %d", id, t.rows.budgets[id], used))
		}
	}
	if len(r.lots) != len(t.rows.lots) || int(r.opened) != len(t.rows.holds) {
		problems = append(problems, "the journal knows other grants or holds")
	}
	if len(problems) > 0 {
		return fmt.Errorf("the journal contradicts the tables: %s", slices.Compact(problems))
	}
	return nil
}
