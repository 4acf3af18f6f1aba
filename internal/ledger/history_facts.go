package ledger

// paidFacts are the facts of one type that an entry charged, with their costs in
// the order in which its postings paid for them.
type paidFacts struct {
	costs    []int64
	subjects [][16]byte // as the costs
	only     [16]byte   // where it is one
	last     [16]byte   // the fact before
	ahead    int64      // credits of it that are still to be paid
}

// chargedFacts are the facts of an entry that cost something, by type.
func chargedFacts(groups []factGroup) map[string]*paidFacts {
	charged := map[string]*paidFacts{}
	for _, g := range groups {
		if g.cost == 0 || len(g.subjects) == 0 {
			continue
		}
		paid := charged[g.kind]
		if paid == nil {
			paid = &paidFacts{only: g.subjects[0]}
			charged[g.kind] = paid
		}
		for range g.subjects {
			paid.costs = append(paid.costs, g.cost)
		}
		paid.subjects = append(paid.subjects, g.subjects...)
		if len(paid.costs) > 1 {
			paid.only = [16]byte{}
		}
	}
	return charged
}

// take counts the facts whose first credit is among the next n: one that several
// grants paid for counts once. The parts are what the n credits paid of each.
func (p *paidFacts) take(n int64) (facts int64, parts []ChargedFact) {
	used := min(n, p.ahead)
	if used > 0 {
		parts = append(parts, ChargedFact{p.last, used})
	}
	p.ahead -= used
	for n -= used; n > 0 && len(p.costs) > 0; {
		facts++
		used := min(n, p.costs[0])
		n, p.ahead, p.last = n-used, p.costs[0]-used, p.subjects[0]
		parts = append(parts, ChargedFact{p.last, used})
		p.costs, p.subjects = p.costs[1:], p.subjects[1:]
	}
	return facts, parts
}
