package ledger

// needs is what a batch reads that the books lack.
type needs struct {
	allPools bool
	pools    map[string]struct{}
	holds    map[string]struct{}
	lots     map[int64]struct{}
	budgets  map[budgetID]struct{}
	facts    map[factID]struct{}
	origins  map[factID]struct{} // facts together with the hold that was charged
	captures map[int64]struct{}  // entries whose facts are asked for
}

func add[K comparable](set *map[K]struct{}, k K) {
	if *set == nil {
		*set = map[K]struct{}{}
	}
	(*set)[k] = struct{}{}
}

func (n *needs) pool(b *books, pool string) {
	if !b.allPools && !b.pools[pool] {
		add(&n.pools, pool)
	}
}

// hold asks for a hold and for the grants and accounts behind it.
func (n *needs) hold(b *books, id string) *hold {
	h, known := b.holds[id]
	if !known {
		add(&n.holds, id)
		return nil
	}
	if h == nil {
		return nil
	}
	for i := range h.lines {
		for _, s := range h.lines[i].Slices {
			n.pool(b, s.Pool)
			if b.lots[s.Grant] == nil {
				add(&n.lots, s.Grant)
			}
		}
		if name := h.lines[i].Budget; name != "" {
			n.budget(b, Budget{Name: name}, h.lines[i].Type)
		}
	}
	return h
}

func (n *needs) budget(b *books, budget Budget, kind string) {
	id := budgetID{budget.Name, kind}
	if budget.Name != "" && b.budgets[id] == nil {
		add(&n.budgets, id)
	}
}

func (n *needs) factsOf(b *books, kind string, facts []Fact) {
	for i := range facts {
		f := &facts[i]
		n.fact(b, factID{kind, f.Scope, f.Subject})
		for _, w := range f.With {
			n.fact(b, factID{kind, f.Scope, w})
		}
	}
}

func (n *needs) fact(b *books, id factID) {
	if _, known := b.facts[id]; !known {
		add(&n.facts, id)
	}
}

// origin asks for a fact together with the hold that paid for it.
func (n *needs) origin(b *books, id factID) {
	f, known := b.facts[id]
	switch {
	case !known || f != nil && f.hold == "":
		add(&n.origins, id)
	case f != nil:
		n.hold(b, f.hold)
	}
}

func (op Hold) need(b *books, n *needs) {
	n.hold(b, op.HoldID)
	for _, l := range op.Lines {
		for _, p := range l.Pools {
			n.pool(b, p)
		}
		n.budget(b, l.Budget, l.Type)
	}
}

func (op Capture) need(b *books, n *needs) {
	n.hold(b, op.HoldID)
	n.factsOf(b, op.Type, op.Facts)
}

func (op Charge) need(b *books, n *needs) {
	n.hold(b, op.holdID())
	for _, l := range op.Lines {
		for _, p := range l.Pools {
			n.pool(b, p)
		}
		n.budget(b, l.Budget, l.Type)
		n.factsOf(b, l.Type, l.Facts)
	}
}

func (op Release) need(b *books, n *needs) { n.hold(b, op.HoldID) }

func (op Reverse) need(b *books, n *needs) {
	for _, f := range op.Facts {
		n.origin(b, factID{op.Type, f.Scope, f.Subject})
		if op.AtMost {
			for _, with := range f.With {
				n.origin(b, factID{op.Type, f.Scope, with})
			}
		}
	}
	if op.HoldID == "" {
		return
	}
	h := n.hold(b, op.HoldID)
	if h == nil || len(op.Facts) > 0 || op.Amount > 0 {
		return
	}
	for _, seq := range h.captures { // the whole hold: its facts, too
		ids, known := b.charged[seq]
		if !known {
			add(&n.captures, seq)
		}
		for _, id := range ids {
			n.origin(b, id)
		}
	}
}

func (op Expire) need(b *books, n *needs) { n.allPools = n.allPools || !b.allPools }

func (op Renew) need(b *books, n *needs) { n.pool(b, op.Pool) }

func (op Alert) need(b *books, n *needs) { n.pool(b, op.Pool) }
