package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Pool verifies with several identities. Each has an engine, and so hosts,
// limits and blocks, of its own; what DNS says is shared. Where a mail host
// refuses one identity, another one asks.
type Pool struct {
	senders  []*sender
	spending Spending
	now      func() time.Time
}

// NewPool returns a pool of identities, whose other settings are cfg's. It fails
// in one sentence when they cannot be used. spending may be nil: the budgets are
// then those of this process.
func NewPool(cfg Config, list []Identity, spending Spending) (*Pool, error) {
	if len(list) == 0 {
		return nil, errors.New("there is no identity to send from")
	}
	if err := checkIdentities(list); err != nil {
		return nil, err
	}
	if spending == nil {
		spending = NewSpent(nil)
	}
	p := &Pool{spending: spending, now: time.Now}
	for i, c := range cfg.configs(list) {
		e, err := New(c)
		if err != nil {
			p.Close()
			return nil, fmt.Errorf("identity %s: %w", list[i].Name, err)
		}
		if i > 0 {
			e.dns = p.senders[0].e.dns
		}
		p.senders = append(p.senders, &sender{id: list[i], e: e, refusedBy: make(map[string]refusal)})
	}
	return p, nil
}

// Close ends all sessions politely and waits for them.
func (p *Pool) Close() {
	var all sync.WaitGroup
	for _, s := range p.senders {
		all.Go(s.e.Close)
	}
	all.Wait()
}

// Stats returns the sums of the engines' counters.
func (p *Pool) Stats() (sum Stats) {
	for _, s := range p.senders {
		one := s.e.Stats()
		sum.Connections += one.Connections
		sum.Queries += one.Queries
		sum.Transactions += one.Transactions
		sum.Recipients += one.Recipients
	}
	return sum
}

// Preflight succeeds when any identity can be used; else the error is the first
// one's.
func (p *Pool) Preflight(ctx context.Context) error {
	var first error
	for _, s := range p.senders {
		err := p.ready(ctx, s)
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// ready returns why an identity cannot be used now. One whose rest is over has to
// pass a preflight first.
func (p *Pool) ready(ctx context.Context, s *sender) error {
	resting, why := s.resting(p.now())
	if resting {
		return why
	}
	err := s.e.Preflight(ctx)
	var o *OutageError
	if errors.As(err, &o) {
		s.rest(o, outageRest, p.now())
	} else if err == nil {
		s.works()
	}
	return err
}

// Verify has the contract of Engine.Verify. It returns an *OutageError when
// there are addresses that no identity can ask for: all rest, or their budgets
// are spent.
func (p *Pool) Verify(ctx context.Context, emails []string, each func(i int, r Result)) error {
	if err := p.anyReady(ctx); err != nil {
		return err
	}
	left := p.items(ctx, emails)
	var mu sync.Mutex
	emit := func(i int, r Result) {
		mu.Lock()
		defer mu.Unlock()
		each(i, r)
	}
	for len(left) > 0 {
		work, rest, err := p.assign(ctx, left)
		if err != nil {
			return err
		}
		if len(work) == 0 {
			return p.finish(rest, each)
		}
		again, err := p.ask(ctx, work, emit)
		if err != nil {
			return err
		}
		left = slices.Concat(rest, again)
	}
	return nil
}

// anyReady asks the identities whose rest is over whether they work again.
func (p *Pool) anyReady(ctx context.Context) error {
	var first error
	usable := false
	for _, s := range p.senders {
		var err error
		switch resting, why := s.resting(p.now()); {
		case resting:
			err = why
		case s.recovering():
			err = p.ready(ctx, s)
		}
		if err == nil {
			usable = true
		} else if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if usable {
		return nil
	}
	return first
}

// finish answers for what is left when no identity can ask for it: with what a
// mail host said to one of them, or with an outage.
func (p *Pool) finish(left []*item, each func(i int, r Result)) error {
	var unasked []*item
	for _, it := range left {
		if it.said != nil {
			each(it.index, *it.said)
		} else {
			unasked = append(unasked, it)
		}
	}
	if len(unasked) == 0 {
		return nil
	}
	now := p.now()
	for _, it := range unasked {
		if it.overBudget {
			return &OutageError{
				Reason: BudgetSpent, Hosts: len(p.senders), Since: now,
				Example: fmt.Sprintf("%d addresses wait, such as some of provider %s", len(unasked), it.provider),
			}
		}
	}
	for _, s := range p.senders {
		if resting, why := s.resting(now); resting {
			return why
		}
	}
	return &OutageError{Reason: Blocked, Hosts: len(p.senders), Since: now, Example: "no identity is left to ask with"}
}

// share is what one identity is to ask for.
type share struct {
	s     *sender
	items []*item
	taken time.Time // of the budget
}

// ask lets the identities ask side by side. It returns what another one has to
// ask for.
func (p *Pool) ask(ctx context.Context, work []share, emit func(i int, r Result)) (again []*item, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, w := range work {
		all.Go(func() {
			back, failed := p.askOne(ctx, w, emit)
			mu.Lock()
			defer mu.Unlock()
			again = append(again, back...)
			if failed != nil && err == nil {
				err = failed
				cancel()
			}
		})
	}
	all.Wait()
	return again, err
}

func (p *Pool) askOne(ctx context.Context, w share, emit func(i int, r Result)) (again []*item, err error) {
	emails := make([]string, len(w.items))
	for k, it := range w.items {
		emails[k] = it.email
	}
	answered := make([]bool, len(emails))
	err = w.s.e.Verify(ctx, emails, func(k int, r Result) {
		answered[k] = true
		it := w.items[k]
		it.tried = append(it.tried, w.s)
		if len(p.senders) > 1 {
			r.Identity = w.s.id.Name
		}
		if p.refused(w.s, it, &r) {
			again = append(again, it)
			return
		}
		emit(it.index, r)
	})
	unasked := map[string]int{} // by provider; it costs nothing
	for k, it := range w.items {
		if answered[k] {
			continue
		}
		it.tried = append(it.tried, w.s)
		again = append(again, it)
		if it.counts() {
			unasked[it.provider]++
		}
	}
	for provider, n := range unasked {
		if back := p.giveBack(ctx, w, provider, n); back != nil && err == nil {
			err = back
		}
	}
	var o *OutageError
	if errors.As(err, &o) {
		w.s.rest(o, outageRest, p.now())
		return again, nil
	}
	return again, err
}

// giveBack returns what was taken of a budget and not asked for, also where its caller
// has been stopped; a store that says nothing does not keep it for ever.
func (p *Pool) giveBack(ctx context.Context, w share, provider string, n int) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return p.spending.Return(ctx, w.s.id.Name, provider, w.taken, n)
}

// refused takes in what an answer says about the identity. It reports whether
// another one has to ask.
func (p *Pool) refused(s *sender, it *item, r *Result) bool {
	now := p.now()
	switch {
	case r.Reason == Blocked || r.Reason == SenderRefused:
		s.refusedAt(it.host, now)
	case r.Reason == ConnectFailed && s.id.Proxy != "": // perhaps it was the proxy
	default:
		for _, other := range it.tried[:len(it.tried)-1] {
			if it.said != nil && r.MXHost != "" && r.Reason != ConnectFailed {
				other.blamed(it.host, it.said, now) // the host answers, only not to that one
			}
		}
		return false
	}
	if it.said == nil {
		said := *r
		it.said = &said
	}
	return true
}
