package ledger

import (
	"bytes"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// fresh is what a batch has read of a lane and checks before anything
// is built on it.
type fresh struct {
	pools   map[string]struct{}
	all     bool
	holds   []*hold
	origins []*fact
}

func (f *fresh) pool(name string, all bool) {
	add(&f.pools, name)
	f.all = f.all || all
}

// lacking is what the operations of a lane need and its books lack. What was
// asked for the last time and still lacks is not there: asking again would never
// end.
func (w *laneWork) lacking() needs {
	var n needs
	if !w.usable() {
		return n
	}
	for _, op := range w.ops {
		op.need(w.books, &n)
	}
	if what := n.alsoIn(&w.asked); what != "" {
		w.damaged("%s cannot be read", what)
		return needs{}
	}
	w.asked = n
	return n
}

// alsoIn names something that is needed both times.
func (n *needs) alsoIn(before *needs) string {
	switch {
	case n.allPools && before.allPools:
		return "the list of accounts"
	case common(n.lots, before.lots) != nil:
		return fmt.Sprintf("grant %d", *common(n.lots, before.lots))
	case common(n.captures, before.captures) != nil:
		return fmt.Sprintf("entry %d, which charged facts to a hold,", *common(n.captures, before.captures))
	case common(n.origins, before.origins) != nil:
		return fmt.Sprintf("the entry that charged fact %x", common(n.origins, before.origins).subject)
	case common(n.facts, before.facts) != nil:
		return fmt.Sprintf("fact %x", common(n.facts, before.facts).subject)
	case common(n.holds, before.holds) != nil:
		return fmt.Sprintf("hold %q", *common(n.holds, before.holds))
	case common(n.pools, before.pools) != nil:
		return fmt.Sprintf("pool %q", *common(n.pools, before.pools))
	case common(n.budgets, before.budgets) != nil:
		return fmt.Sprintf("budget %q", common(n.budgets, before.budgets).name)
	}
	return ""
}

// common returns an element of both sets, nil where there is none.
func common[K comparable](a, b map[K]struct{}) *K {
	if len(b) == 0 {
		return nil
	}
	for k := range a {
		if _, both := b[k]; both {
			return &k
		}
	}
	return nil
}

// queueHeads asks for the hashes of the entries that books were read as of: a
// chain goes on from an entry that is there.
func (t *batch) queueHeads(b *pgx.Batch, owners []string) {
	b.Queue(`SELECT o.owner, e.hash FROM unnest($1::text[]) k (owner) JOIN credit_owner o USING (owner)
		LEFT JOIN LATERAL (SELECT hash FROM credit_entry e WHERE e.owner = o.owner AND e.seq = o.seq LIMIT 1) e ON true
		WHERE o.seq > 0`, owners).Query(func(rows pgx.Rows) error {
		for _, o := range owners {
			t.byOwner[o].unproven = false
		}
		var owner string
		var hash []byte
		_, err := pgx.ForEachRow(rows, []any{&owner, &hash}, func() error {
			if w := t.byOwner[owner]; !bytes.Equal(hash, w.books.head) {
				w.damaged("entry %d is not the one that the row in credit_owner names", w.books.seq)
			}
			return nil
		})
		return err
	})
}

// check looks whether what was read makes sense together. It is quick, no audit:
// it keeps damage from growing and the engine from things that cannot be.
func (w *laneWork) check() {
	if !w.usable() {
		return
	}
	for id, a := range w.books.accounts {
		if _, read := w.fresh.pools[id.pool]; read || w.fresh.all {
			w.checkAccount(a)
		}
	}
	for _, h := range w.fresh.holds {
		if w.books.holds[h.id] == h { // not forgotten since
			w.checkHold(h)
		}
	}
	for _, f := range w.fresh.origins {
		if w.books.holds[f.hold] == nil {
			w.damaged("entry %d charged fact %x to hold %q, which does not exist", f.seq, f.subject, f.hold)
		}
	}
}

func (w *laneWork) checkAccount(a *account) {
	var sum [buckets]int64
	for _, l := range a.lots {
		sum[available] += l.bucket[available]
		sum[held] += l.bucket[held]
	}
	if sum[available] != a.available || sum[held] != a.held {
		w.damaged("the %s account of pool %q has %d available and %d held, its grants add up to %d and %d",
			a.kind, a.pool, a.available, a.held, sum[available], sum[held])
	}
}

func (w *laneWork) checkHold(h *hold) {
	for i := range h.lines {
		line := &h.lines[i]
		if h.line(line.Type) != line {
			w.damaged("hold %q has two lines for %q", h.id, line.Type)
		}
		for j := range line.Slices {
			s := &line.Slices[j]
			l := w.books.lots[s.Grant]
			if s.Amount <= 0 || s.Captured < 0 || s.Released < 0 || s.Reversed < 0 || s.left() < 0 || s.reversible() < 0 ||
				h.closed && s.left() > 0 {
				w.damaged("hold %q has more or less of grant %d than can be", h.id, s.Grant)
			}
			if l == nil || l.accountID != (accountID{s.Pool, line.Type}) || l.bucket[held] < s.left() || l.bucket[captured] < s.reversible() {
				w.damaged("hold %q and grant %d contradict each other", h.id, s.Grant)
			}
		}
	}
}
