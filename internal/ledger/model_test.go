package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// model is the ledger written as naively as possible: every single credit of a
// hold is an object of its own, nothing is indexed, nothing is cached, time is
// compared in all that matters. It knows none of the engine's data structures.
type model struct {
	grants  []*modelGrant
	holds   map[string]*modelHold
	order   []string // of holds
	facts   map[factID]*modelFact
	carries map[accountID]*modelCarry
	alerts  map[accountID][]int64
	events  []string // about credits that the last operation moved
}

type modelGrant struct {
	id        accountID
	source    Source
	priority  int32
	expires   time.Time
	starts    time.Time // of what waits
	waiting   int64
	burnBy    time.Time
	available int64
	expired   int64
	renewed   bool
}

// waits says whether the grant has not started.
func (g *modelGrant) waits(now time.Time) bool { return g.waiting > 0 && g.starts.After(now) }

// ofPeriod says whether the end of a period decides what becomes of the grant.
func (g *modelGrant) ofPeriod() bool {
	return !g.renewed && (g.source == SourceAllotment || g.source == SourceRollover)
}

func (g *modelGrant) over(now time.Time) bool {
	return g.renewed || !g.expires.IsZero() && !g.expires.After(now)
}

type modelHold struct {
	credits []*modelCredit // in the order they were taken
	types   []string
	closed  bool
}

// modelCredit is one credit of a hold.
type modelCredit struct {
	from   *modelGrant
	budget string
	state  string // held, captured, released, reversed
}

type modelFact struct {
	late  bool // recorded after its hold was closed
	hold  string
	cost  int64
	owned bool
}

type modelCarry struct {
	left     int64 // < 0 = no cap
	priority int32
	until    time.Time
	burnBy   time.Time
}

func newModel() *model {
	return &model{holds: map[string]*modelHold{}, facts: map[factID]*modelFact{}, carries: map[accountID]*modelCarry{}, alerts: map[accountID][]int64{}}
}

// spendable are the grants of an account that can be spent, in burn order.
func (m *model) spendable(id accountID, now time.Time) (grants []*modelGrant) {
	for _, g := range m.grants {
		if g.id == id && !g.waits(now) && g.waiting+g.available > 0 && (g.expires.IsZero() || g.expires.After(now)) {
			grants = append(grants, g)
		}
	}
	return burnOrder(grants)
}

// burnOrder sorts grants of one account as they are spent.
func burnOrder(grants []*modelGrant) []*modelGrant {
	lost := func(g *modelGrant) time.Time {
		first := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		for _, at := range []time.Time{g.expires, g.burnBy} {
			if !at.IsZero() && at.Before(first) {
				first = at
			}
		}
		return first
	}
	slices.SortStableFunc(grants, func(a, b *modelGrant) int { // stable: oldest first
		return cmp.Or(cmp.Compare(a.priority, b.priority), lost(a).Compare(lost(b)))
	})
	return grants
}

func (m *model) balance(id accountID, now time.Time) (n int64) {
	for _, g := range m.spendable(id, now) {
		n += g.waiting + g.available
	}
	return n
}

// overdue are credits of a period whose time is over: they wait for its end.
func (m *model) overdue(id accountID, now time.Time) (n int64) {
	for _, g := range m.grants {
		switch {
		case g.id != id || !g.ofPeriod() || !g.over(now):
		case g.waits(now):
			n += g.available
		default:
			n += g.available + g.waiting
		}
	}
	return n
}

// credits are what an account has, whether anybody noticed that some have expired or not.
func (m *model) credits(id accountID) (n int64) {
	for _, g := range m.grants {
		if g.id == id {
			n += g.available
		}
	}
	return n
}

// accounts are the credits of all accounts.
func (m *model) accounts() map[accountID]int64 {
	all := map[accountID]int64{}
	for _, pool := range testPools {
		for _, kind := range testTypes {
			all[accountID{pool, kind}] = m.credits(accountID{pool, kind})
		}
	}
	return all
}

// notice writes off what has expired in the accounts an operation looks at, one
// moment after the other, and lists the thresholds that they fell to.
func (m *model) notice(op operation, now time.Time) (lows []string) {
	looksAt := func(id accountID) bool { return false }
	among := func(lines []Line) func(accountID) bool {
		return func(id accountID) bool {
			return slices.ContainsFunc(lines, func(l Line) bool { return l.Type == id.kind && slices.Contains(l.Pools, id.pool) })
		}
	}
	behind := func(hold string) func(accountID) bool {
		return func(id accountID) bool {
			h := m.holds[hold]
			return h != nil && slices.ContainsFunc(h.credits, func(c *modelCredit) bool { return c.from.id == id })
		}
	}
	switch op := op.(type) {
	case Grant:
		looksAt = func(id accountID) bool { return id == accountID{op.Pool, op.Type} }
	case Grants:
		looksAt = func(id accountID) bool {
			return slices.ContainsFunc(op.Lines, func(l GrantLine) bool { return id == accountID{l.Pool, l.Type} })
		}
	case Alert:
		looksAt = func(id accountID) bool { return id == accountID{op.Pool, op.Type} }
	case Hold:
		looksAt = among(op.Lines)
	case Charge:
		var lines []Line
		for _, l := range op.Lines {
			lines = append(lines, Line{Type: l.Type, Pools: l.Pools})
		}
		looksAt = among(lines)
	case Capture:
		looksAt = behind(op.HoldID)
	case Release:
		looksAt = behind(op.HoldID)
	case End:
		looksAt = func(id accountID) bool { return op.All || id.pool == op.Pool }
	case Reverse:
		looksAt = behind(op.HoldID)
	case Renew:
		looksAt = func(id accountID) bool {
			return id.pool == op.Pool && slices.ContainsFunc(op.Lines, func(l Renewal) bool { return l.Type == id.kind })
		}
	case Void:
		if op.Grant <= int64(len(m.grants)) {
			looksAt = func(id accountID) bool { return id == m.grants[op.Grant-1].id }
		}
	case Expire:
		looksAt = func(accountID) bool { return true }
	}
	ended, kept := now, (*modelGrant).ofPeriod
	if r, ends := op.(Renew); ends {
		ended = now.Add(-time.Microsecond)
		kept = func(g *modelGrant) bool {
			return g.ofPeriod() && (r.At.IsZero() || g.expires.After(r.At.Add(-48*time.Hour)))
		}
	}
	for {
		var next time.Time
		for _, g := range m.grants {
			starts := g.waiting > 0 && !g.starts.After(now)
			ends := g.available > 0 && !kept(g) && !g.expires.IsZero() && !g.expires.After(ended)
			for at, due := range map[time.Time]bool{g.starts: starts, g.expires: ends} {
				if due && looksAt(g.id) && (next.IsZero() || at.Before(next)) {
					next = at
				}
			}
		}
		if next.IsZero() {
			return lows
		}
		before, gone := m.accounts(), map[accountID]int64{}
		for _, g := range m.grants {
			switch {
			case !looksAt(g.id):
			case g.waiting > 0 && g.starts.Equal(next):
				m.tell("credits.granted", map[accountID]int64{g.id: g.waiting}) // each grant by itself
				g.available, g.waiting = g.waiting, 0
			case g.available > 0 && !kept(g) && g.expires.Equal(next):
				gone[g.id] += g.available
				g.expired += g.available
				g.available = 0
			}
		}
		for id, n := range m.accounts() {
			lows = append(lows, m.fell(id, before[id], n)...)
		}
		m.tell("credits.expired", gone)
	}
}

// tell notes the events about credits of some accounts.
func (m *model) tell(topic string, moved map[accountID]int64) {
	for id, n := range moved {
		if n > 0 {
			m.events = append(m.events, fmt.Sprintf("%s %s/%s %d", topic, id.pool, id.kind, n))
		}
	}
}

// fell lists the thresholds that an account's credits fell to.
func (m *model) fell(id accountID, before, after int64) (lows []string) {
	for _, threshold := range m.alerts[id] {
		if before > threshold && after <= threshold {
			lows = append(lows, fmt.Sprintf("%s/%s has %d, %d is low", id.pool, id.kind, after, threshold))
		}
	}
	return lows
}

func (m *model) alert(op Alert) (r AlertResult, lows []string) {
	id := accountID{op.Pool, op.Type}
	known := m.alerts[id]
	have := m.credits(id)
	m.alerts[id] = nil
	for _, threshold := range op.Thresholds {
		if slices.Contains(m.alerts[id], threshold) {
			continue
		}
		m.alerts[id] = append(m.alerts[id], threshold)
		if have > threshold {
			continue
		}
		r.Low = true
		if !slices.Contains(known, threshold) && (have > 0 || !op.Begin) {
			lows = append(lows, fmt.Sprintf("%s/%s has %d, %d is low", id.pool, id.kind, have, threshold))
		}
	}
	return r, lows
}

func (m *model) held(id accountID) (n int64) {
	for _, h := range m.holds {
		for _, c := range h.credits {
			if c.from.id == id && c.state == "held" {
				n++
			}
		}
	}
	return n
}

func (m *model) used(budget, kind string) (n int64) {
	for _, h := range m.holds {
		for _, c := range h.credits {
			if c.budget == budget && c.from.id.kind == kind && (c.state == "held" || c.state == "captured") {
				n++
			}
		}
	}
	return n
}

// void takes back what is available of a grant, and counts the rest credit by credit.
func (m *model) void(op Void) (VoidResult, error) {
	if op.Grant > int64(len(m.grants)) {
		return VoidResult{}, ErrUnknownGrant
	}
	g := m.grants[op.Grant-1]
	result := VoidResult{Pool: g.id.pool, Type: g.id.kind, Expired: g.expired}
	for _, rest := range []*int64{&g.waiting, &g.available} {
		for *rest > 0 && (op.Amount == 0 || result.Voided < op.Amount) {
			*rest--
			result.Voided++
		}
	}
	result.Available, result.Waiting = g.available, g.waiting
	for _, h := range m.holds {
		for _, c := range h.credits {
			switch {
			case c.from == g && c.state == "held":
				result.Held++
			case c.from == g && c.state == "captured":
				result.Spent++
			}
		}
	}
	m.tell("credits.voided", map[accountID]int64{g.id: result.Voided})
	return result, nil
}

// end writes off all of some accounts, and lets nothing come back to them.
func (m *model) end(op End) EndResult {
	var result EndResult
	gone := map[accountID]int64{}
	for _, pool := range testPools {
		for _, kind := range testTypes {
			if !op.All && pool != op.Pool {
				continue
			}
			id := accountID{pool, kind}
			m.carries[id] = &modelCarry{}
			for _, g := range m.grants {
				if g.id != id || !m.holding(g) && g.available+g.waiting == 0 {
					continue
				}
				g.renewed = true
				if n := g.available + g.waiting; n > 0 {
					result.Expired = addAmount(result.Expired, kind, n)
				}
				m.tell("credits.voided", map[accountID]int64{id: g.waiting})
				gone[id] += g.available
				g.expired += g.available
				g.available, g.waiting = 0, 0
			}
		}
	}
	m.tell("credits.expired", gone)
	return result
}

func (m *model) grant(op Grant) {
	m.grants = append(m.grants, &modelGrant{
		id: accountID{op.Pool, op.Type}, source: op.Source, priority: op.Priority, expires: op.ExpiresAt, burnBy: op.BurnBy, available: op.Amount,
	})
}

// give is a grant that may start later.
func (m *model) give(l GrantLine, now time.Time) {
	m.grant(Grant{Pool: l.Pool, Type: l.Type, Amount: l.Amount, Source: l.Source, Priority: l.Priority, ExpiresAt: l.ExpiresAt})
	g := m.grants[len(m.grants)-1]
	if l.StartsAt.After(now) {
		g.starts, g.waiting, g.available = l.StartsAt, l.Amount, 0
		return
	}
	m.tell("credits.granted", map[accountID]int64{g.id: l.Amount})
}

// take collects the credits of some lines, or says how many are missing, and what of
// that the budgets withhold.
func (m *model) take(lines []Line, now time.Time) (credits []*modelCredit, missing, withheld []Amount) {
	for _, l := range lines {
		need := l.Amount
		used := m.used(l.Budget.Name, l.Type)
		for _, pool := range l.Pools {
			for _, g := range m.spendable(accountID{pool, l.Type}, now) {
				for left := g.available; left > 0 && need > 0; left-- {
					c := &modelCredit{from: g, state: "held"}
					if pool == "" && l.Budget.Name != "" {
						if used >= l.Budget.Cap {
							break
						}
						used++
						c.budget = l.Budget.Name
					}
					credits = append(credits, c)
					need--
				}
			}
		}
		if need > 0 {
			missing = append(missing, Amount{l.Type, need})
		}
		if slices.Contains(l.Pools, "") {
			shared := m.balance(accountID{"", l.Type}, now)
			for _, c := range credits {
				if c.from.id == (accountID{"", l.Type}) {
					shared--
				}
			}
			if over := min(need, shared); over > 0 {
				withheld = append(withheld, Amount{l.Type, over})
			}
		}
	}
	if missing != nil {
		return nil, missing, withheld
	}
	return credits, nil, nil
}

func (m *model) put(id string, credits []*modelCredit, types []string) *modelHold {
	for _, c := range credits {
		c.from.available--
	}
	h := &modelHold{credits: credits, types: types}
	m.holds[id] = h
	m.order = append(m.order, id)
	return h
}

func (m *model) hold(op Hold, now time.Time) HoldResult {
	credits, missing, withheld := m.take(op.Lines, now)
	if missing != nil {
		return HoldResult{Missing: missing, OverBudget: withheld}
	}
	var types []string
	for _, l := range op.Lines {
		types = append(types, l.Type)
	}
	m.put(op.HoldID, credits, types)
	return HoldResult{Held: true}
}

// news are the facts that a list makes owned, with what each costs. paid of them
// are paid for, the others come with one that is; known is how many of the list
// were owned before.
func (m *model) news(kind string, facts []Fact, cost int64) (fresh map[factID]int64, paid, known int64) {
	fresh = map[factID]int64{}
	counted := map[factID]bool{}
	owned := func(id factID) bool {
		_, now := fresh[id]
		return now || counted[id] || m.facts[id] != nil && m.facts[id].owned
	}
	for _, f := range facts {
		id := factID{kind, f.Scope, f.Subject}
		lacking := map[factID]bool{}
		for _, w := range f.With {
			if with := (factID{kind, f.Scope, w}); !owned(with) {
				lacking[with] = true
			}
		}
		_, named := fresh[id]
		switch {
		case named || counted[id]:
		case owned(id):
			counted[id] = true
			known++
		case len(f.With) > 0 && len(lacking) == 0:
			known++
		default:
			fresh[id] = cost
			paid++
		}
		for with := range lacking {
			if !owned(with) {
				fresh[with] = 0
			}
		}
	}
	return fresh, paid, known
}

func (m *model) capture(op Capture) (CaptureResult, error) {
	h := m.holds[op.HoldID]
	if h == nil {
		return CaptureResult{}, ErrUnknownHold
	}
	if h.closed && (op.UnitCost > 0 || op.Amount > 0) {
		return CaptureResult{}, ErrHoldClosed
	}
	fresh, paid, known := m.news(op.Type, op.Facts, op.UnitCost)
	cost := op.Amount + paid*op.UnitCost
	var left []*modelCredit
	for _, c := range h.credits {
		if c.from.id.kind == op.Type && c.state == "held" {
			left = append(left, c)
		}
	}
	if int64(len(left)) < cost {
		return CaptureResult{}, ErrHoldExhausted
	}
	for _, c := range left[:cost] {
		c.state = "captured"
	}
	for id, cost := range fresh {
		m.facts[id] = &modelFact{hold: op.HoldID, cost: cost, owned: true, late: h.closed}
	}
	return CaptureResult{Charged: cost, NewFacts: paid, KnownFacts: known}, nil
}

func (m *model) charge(op Charge, now time.Time) ChargeResult {
	var lines []Line
	var result ChargeResult
	var types []string
	fresh := map[factID]int64{}
	for _, l := range op.Lines {
		news, paid, known := m.news(l.Type, l.Facts, l.UnitCost)
		cost := l.Amount + paid*l.UnitCost
		maps.Copy(fresh, news)
		lines = append(lines, Line{Type: l.Type, Amount: cost, Pools: l.Pools, Budget: l.Budget})
		types = append(types, l.Type)
		result.Lines = append(result.Lines, CaptureResult{Charged: cost, NewFacts: paid, KnownFacts: known})
	}
	credits, missing, withheld := m.take(lines, now)
	if missing != nil {
		return ChargeResult{Missing: missing, OverBudget: withheld}
	}
	h := m.put(op.HoldID, credits, types)
	h.closed = true
	for _, c := range credits {
		c.state = "captured"
	}
	for id, cost := range fresh {
		m.facts[id] = &modelFact{hold: op.HoldID, cost: cost, owned: true}
	}
	result.Charged = true
	return result
}

// returning opens at most one new grant per kind of returned credits.
type returning struct {
	model *model
	open  []*modelGrant
}

func (r *returning) one(like modelGrant) {
	for _, g := range r.open {
		if g.id == like.id && g.source == like.source && g.priority == like.priority {
			g.available++
			return
		}
	}
	like.available = 1
	r.open = append(r.open, &like)
	r.model.grants = append(r.model.grants, &like)
}

func (m *model) release(op Release, now time.Time) (ReleaseResult, error) {
	h := m.holds[op.HoldID]
	if h == nil {
		return ReleaseResult{}, ErrUnknownHold
	}
	if h.closed {
		return ReleaseResult{}, ErrHoldClosed
	}
	h.closed = true
	var result ReleaseResult
	fresh := &returning{model: m}
	late := map[accountID]int64{}
	defer func() { m.tell("credits.expired", late) }()
	for _, kind := range h.types {
		n := int64(0)
		for _, c := range slices.Backward(h.credits) {
			g := c.from
			if g.id.kind != kind || c.state != "held" {
				continue
			}
			n++
			c.state = "released"
			k := m.carries[g.id]
			switch {
			case g.renewed && k != nil && k.left != 0:
				k.left--
				fresh.one(modelGrant{id: g.id, source: SourceRollover, priority: k.priority, expires: k.until, burnBy: k.burnBy})
			case g.renewed && k != nil:
				g.expired++
				late[g.id]++
			case !g.over(now):
				g.available++
			case op.Late != LateExpire:
				fresh.one(modelGrant{id: g.id, source: SourceReinstated, priority: g.priority, expires: expiryIn(op.ReinstateUntil, g.id.pool)})
			default:
				g.expired++
				late[g.id]++
			}
		}
		if n > 0 {
			result.Released = append(result.Released, Amount{kind, n})
		}
	}
	return result, nil
}

// captured are a hold's charged credits of a type, last taken first.
func (h *modelHold) captured(kind string) (credits []*modelCredit) {
	for _, c := range slices.Backward(h.credits) {
		if c.state == "captured" && c.from.id.kind == kind {
			credits = append(credits, c)
		}
	}
	return credits
}

func (m *model) reverse(op Reverse, now time.Time) (ReverseResult, error) {
	h := m.holds[op.HoldID]
	if op.HoldID != "" && h == nil {
		return ReverseResult{}, ErrUnknownHold
	}
	type part struct {
		hold, kind string
		n          int64
	}
	var parts []part
	want := func(hold, kind string, n int64) {
		for i := range parts {
			if parts[i].hold == hold && parts[i].kind == kind {
				parts[i].n += n
				return
			}
		}
		if n > 0 {
			parts = append(parts, part{hold, kind, n})
		}
	}
	var ended []*modelFact
	var each []FactReversal
	switch {
	case op.AtMost:
		left := len(h.captured(op.Type))
		for _, f := range op.Facts {
			r := FactReversal{Kept: KeptUnpaid}
			var mine []*modelFact
			for _, subject := range append([][16]byte{f.Subject}, f.With...) {
				fact := m.facts[factID{op.Type, f.Scope, subject}]
				if fact == nil || fact.hold != op.HoldID {
					continue
				}
				if fact.owned && !slices.Contains(ended, fact) && !slices.Contains(mine, fact) {
					mine = append(mine, fact)
				} else if fact.cost > 0 && !slices.Contains(mine, fact) {
					r.Kept = KeptReversed
				}
			}
			var cost int64
			for _, fact := range mine {
				cost += fact.cost
			}
			if cost > 0 && left == 0 {
				each = append(each, FactReversal{Kept: KeptNoRest})
				continue
			}
			if cost > 0 {
				r = FactReversal{Reversed: min(cost, int64(left))}
				left -= int(r.Reversed)
				want(op.HoldID, op.Type, r.Reversed)
			}
			each, ended = append(each, r), append(ended, mine...)
		}
	case len(op.Facts) > 0:
		for _, f := range op.Facts {
			owned := m.facts[factID{op.Type, f.Scope, f.Subject}]
			if owned != nil && owned.owned && (op.HoldID == "" || owned.hold == op.HoldID) && !slices.Contains(ended, owned) {
				ended = append(ended, owned)
				want(owned.hold, op.Type, owned.cost)
			}
		}
	case op.Amount > 0:
		want(op.HoldID, op.Type, op.Amount)
	default:
		for _, kind := range h.types {
			if op.Type == "" || op.Type == kind {
				want(op.HoldID, kind, int64(len(h.captured(kind))))
			}
		}
		for id, f := range m.facts {
			if f.owned && !f.late && f.hold == op.HoldID && (op.Type == "" || op.Type == id.kind) {
				ended = append(ended, f)
			}
		}
	}
	for _, p := range parts {
		if int64(len(m.holds[p.hold].captured(p.kind))) < p.n {
			return ReverseResult{}, ErrHoldExhausted
		}
	}
	result := ReverseResult{Each: each}
	fresh := &returning{model: m}
	back := map[accountID]int64{}
	defer func() { m.tell("credits.reversed", back) }()
	for _, p := range parts {
		for _, c := range m.holds[p.hold].captured(p.kind)[:p.n] {
			c.state = "reversed"
			back[c.from.id]++
			result.Reversed++
			if c.from.over(now) {
				fresh.one(modelGrant{id: c.from.id, source: SourceReinstated, priority: c.from.priority, expires: expiryIn(op.ReinstateUntil, c.from.id.pool)})
			} else {
				c.from.available++
			}
		}
		i := slices.IndexFunc(result.Amounts, func(a Amount) bool { return a.Type == p.kind })
		if i < 0 {
			i = len(result.Amounts)
			result.Amounts = append(result.Amounts, Amount{Type: p.kind})
		}
		result.Amounts[i].Amount += p.n
	}
	for _, f := range ended {
		f.owned = false
		if f.cost > 0 {
			result.Facts++
		}
	}
	return result, nil
}

func (m *model) renew(op Renew, now time.Time) RenewResult {
	var result RenewResult
	for _, l := range op.Lines {
		id := accountID{op.Pool, l.Type}
		r := RenewedLine{Type: l.Type, Granted: l.Amount}
		room := int64(0)
		delete(m.carries, id)
		if l.Rollover {
			room = l.Cap
			m.carries[id] = &modelCarry{priority: l.CarriedPriority, until: l.CarriedUntil, burnBy: l.BurnBy}
		}
		for _, g := range burnOrder(slices.Clone(m.grants)) {
			if g.id != id || g.waiting > 0 {
				continue
			}
			expired := !g.expires.IsZero() && !g.expires.After(now)
			ends := g.ofPeriod()
			if ends && (m.holding(g) || g.available > 0) {
				g.renewed = true
			}
			for ; g.available > 0 && (ends || expired); g.available-- {
				if ends && l.Rollover && (l.Cap < 0 || room > 0) {
					room--
					r.Rolled++
				} else {
					g.expired++
					r.Expired++
				}
			}
		}
		if k := m.carries[id]; k != nil {
			k.left = room
			if l.Cap < 0 {
				k.left = -1 << 40
			}
			if r.Rolled > 0 {
				m.grants = append(m.grants, &modelGrant{
					id: id, source: SourceRollover, priority: l.CarriedPriority, expires: l.CarriedUntil, burnBy: l.BurnBy, available: r.Rolled,
				})
			}
		}
		if l.Amount > 0 {
			m.grant(Grant{Pool: op.Pool, Type: l.Type, Amount: l.Amount, Source: SourceAllotment, Priority: l.Priority, ExpiresAt: l.ExpiresAt, BurnBy: l.BurnBy})
		}
		result.Lines = append(result.Lines, r)
	}
	return result
}

// holding says whether credits of a grant are held.
func (m *model) holding(g *modelGrant) bool {
	for _, h := range m.holds {
		for _, c := range h.credits {
			if c.from == g && c.state == "held" {
				return true
			}
		}
	}
	return false
}

// expiryIn is when credits expire that come back to a pool late.
func expiryIn(u Until, pool string) time.Time {
	if pool != "" {
		return u.Own
	}
	return u.Shared
}
