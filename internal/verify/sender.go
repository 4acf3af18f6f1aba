package verify

import (
	"cmp"
	"context"
	"hash/fnv"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// How long an identity that is refused leaves a host alone, and rests.
const (
	refusedFor  = time.Hour // a host that refused it is asked by others
	blamedAfter = 3         // hosts that refuse this identity and answer another one, and it rests
	blamedFor   = 10 * time.Minute
	outageRest  = time.Minute      // after an outage of the identity, doubled each time
	blamedRest  = 15 * time.Minute // the same after blame
	longestRest = 12 * time.Hour
)

// sender is an identity at work.
type sender struct {
	id Identity
	e  *Engine

	mu        sync.Mutex
	refusedBy map[string]refusal // hosts
	until     time.Time          // it rests
	rests     int                // in a row
	why       *OutageError       // of the last rest; nil once it works again
}

type refusal struct {
	until  time.Time // the host is asked by others
	blamed time.Time // when it answered another identity all the same
}

// resting reports whether the identity rests, and why.
func (s *sender) resting(now time.Time) (bool, *OutageError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.until), s.why
}

// recovering reports whether the identity has rested and not worked since.
func (s *sender) recovering() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why != nil
}

// rest lets the identity rest, longer each time.
func (s *sender) rest(why *OutageError, first time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.until) {
		return
	}
	if now.Sub(s.until) > longestRest {
		s.rests = 0
	}
	s.until = now.Add(min(first<<min(s.rests, 12), longestRest))
	s.rests++
	s.why = why
}

// works notes that the identity can be used again.
func (s *sender) works() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.why = nil
}

// refusedAt notes that a host refused the identity.
func (s *sender) refusedAt(host string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, r := range s.refusedBy { // none is kept for long
		if now.After(r.until) {
			delete(s.refusedBy, key)
		}
	}
	r := s.refusedBy[host]
	r.until = now.Add(refusedFor)
	s.refusedBy[host] = r
}

// avoids reports whether a host has refused the identity lately.
func (s *sender) avoids(host string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return now.Before(s.refusedBy[host].until)
}

// blamed notes that a host that refused the identity has answered another one:
// it is about the identity. After several such hosts it rests.
func (s *sender) blamed(host string, said *Result, now time.Time) {
	s.mu.Lock()
	r, ok := s.refusedBy[host]
	if !ok || now.Before(s.until) {
		s.mu.Unlock()
		return
	}
	r.blamed = now
	s.refusedBy[host] = r
	n := 0
	for _, r := range s.refusedBy {
		if !r.blamed.IsZero() && now.Sub(r.blamed) < blamedFor {
			n++
		}
	}
	s.mu.Unlock()
	if n >= blamedAfter {
		s.rest(&OutageError{Reason: said.Reason, Hosts: n, Since: now, Example: said.MXHost + ": " + said.SMTPText}, blamedRest, now)
		s.mu.Lock()
		for key, r := range s.refusedBy {
			r.blamed = time.Time{}
			s.refusedBy[key] = r
		}
		s.mu.Unlock()
	}
}

// item is an address on its way through a pool.
type item struct {
	index    int
	email    string
	host     string // that takes its mail; empty where DNS gives the verdict
	provider string // who runs it
	order    []*sender

	tried      []*sender
	overBudget bool
	said       *Result // what a host said to the first identity that it refused
}

// counts reports whether asking for it costs a budget.
func (it *item) counts() bool { return it.host != "" }

// items finds out where the mail of addresses goes, and who is to ask for them.
func (p *Pool) items(ctx context.Context, emails []string) []*item {
	first := p.senders[0].e
	all := make([]*item, len(emails))
	byDomain := map[string][]*item{}
	for i, email := range emails {
		all[i] = &item{index: i, email: email, order: p.senders}
		if a, _, err := ReadAddress(email); err == nil && !first.lists.isDisposable(a.Domain) {
			byDomain[a.Domain] = append(byDomain[a.Domain], all[i])
		}
	}
	domains := make(chan string)
	var lookers sync.WaitGroup
	for range min(first.cfg.MaxLookups, len(byDomain)) {
		lookers.Go(func() {
			for name := range domains {
				p.place(ctx, name, byDomain[name])
			}
		})
	}
	for name := range byDomain {
		domains <- name
	}
	close(domains)
	lookers.Wait()
	return all
}

// place finds the mail host of a domain, and the order in which identities are
// asked to ask for its addresses. It is the same on every worker and in every
// run, so that a greylisting host knows who comes back. The domains of a
// provider, and the addresses of its own domains, are spread over all.
func (p *Pool) place(ctx context.Context, domain string, list []*item) {
	e := p.senders[0].e
	path := e.dns.pathTo(ctx, domain)
	if len(path.top) == 0 {
		return
	}
	host, _, of := path.keys()
	key, provider := host, otherProvider
	if of != nil {
		key, provider = domain, of.name
	}
	order := p.order(key)
	free := e.lists.isFree(domain)
	for _, it := range list {
		it.host, it.provider, it.order = host, provider, order
		if free {
			it.order = p.order(strings.ToLower(it.email))
		}
	}
}

// order sorts the identities for a key (highest random weight).
func (p *Pool) order(key string) []*sender {
	weigh := func(s *sender) uint64 {
		h := fnv.New64a()
		_, _ = io.WriteString(h, s.id.Name+"\x00"+key) // never fails
		x := h.Sum64()
		x ^= x >> 33 // FNV leaves neighbours alike
		x *= 0xff51afd7ed558ccd
		return x ^ x>>33
	}
	list := slices.Clone(p.senders)
	slices.SortStableFunc(list, func(a, b *sender) int { return cmp.Compare(weigh(b), weigh(a)) })
	return list
}

// assign shares the addresses out, within the budgets. rest is what no identity
// can ask for now.
func (p *Pool) assign(ctx context.Context, list []*item) (work []share, rest []*item, err error) {
	now := p.now()
	shares := map[*sender]*share{}
	skip := make(map[*item]int, len(list)) // candidates that have no room
	for len(list) > 0 {
		groups := map[group][]*item{}
		for _, it := range list {
			s := it.next(skip[it], now)
			if s == nil {
				rest = append(rest, it)
				continue
			}
			key := group{s, it.provider, it.counts()}
			groups[key] = append(groups[key], it)
		}
		list = nil
		for g, items := range groups {
			n := len(items)
			if g.counts {
				claim := Claim{Identity: g.s.id.Name, Provider: g.provider, N: n}
				claim.All, claim.Own = g.s.id.limits(g.provider, now)
				if n, err = p.spending.Take(ctx, claim); err != nil {
					return nil, nil, err
				}
			}
			if n > 0 {
				if shares[g.s] == nil {
					shares[g.s] = &share{s: g.s, taken: now}
				}
				shares[g.s].items = append(shares[g.s].items, items[:n]...)
			}
			for _, it := range items[n:] {
				it.overBudget = true
				skip[it]++
			}
			list = append(list, items[n:]...)
		}
	}
	for _, s := range p.senders {
		if w := shares[s]; w != nil {
			work = append(work, *w)
		}
	}
	return work, rest, nil
}

type group struct {
	s        *sender
	provider string
	counts   bool
}

// next is the identity that asks for the address next, after so many that have
// no room. Those that the host has refused lately come last.
func (it *item) next(skip int, now time.Time) *sender {
	var able, avoided []*sender
	for _, s := range it.order {
		if resting, _ := s.resting(now); resting || slices.Contains(it.tried, s) {
			continue
		}
		if it.host != "" && s.avoids(it.host, now) {
			avoided = append(avoided, s)
		} else {
			able = append(able, s)
		}
	}
	if list := slices.Concat(able, avoided); skip < len(list) {
		return list[skip]
	}
	return nil
}
