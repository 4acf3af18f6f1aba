package verify

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// What is kept of hosts that worked, to ask them when others fail.
const (
	keptCanaries = 6
	canaryAge    = time.Hour
	hurryCanary  = time.Second // after which the next one is asked too
)

// canaries are the mail hosts that have answered about a mailbox lately.
type canaries struct {
	mu   sync.Mutex
	list []canary // the latest first
}

type canary struct {
	host *host // nil: one that we do not know yet
	at   exchanger
	last time.Time
}

// worked notes that a host has answered.
func (c *canaries) worked(h *host, at exchanger, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.list, func(k canary) bool { return k.host == h })
	switch {
	case i < 0 && len(c.list) < keptCanaries:
		c.list = append(c.list, canary{})
		i = len(c.list) - 1
	case i < 0:
		i = len(c.list) - 1
	}
	copy(c.list[1:i+1], c.list[:i])
	c.list[0] = canary{h, at, now}
}

func (c *canaries) recent(now time.Time) []canary {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(c.list), func(k canary) bool { return now.Sub(k.last) > canaryAge })
}

// canarySays is what came of asking canaries.
type canarySays uint8

const (
	cannotTell canarySays = iota // there are none, or what they say is about something else
	refused                      // they fail us, as the others do
	answered                     // one of them works
)

// ask asks canaries whether DNS, or mail hosts, work for us.
func (e *Engine) ask(ctx context.Context, h *health) (canarySays, failing) {
	if h == &e.dnsHealth {
		return e.askNameServers(ctx)
	}
	return e.askMailHosts(ctx)
}

// askNameServers asks for the root, which every name server knows or refuses
// to tell: either is a sign of life.
func (e *Engine) askNameServers(ctx context.Context) (canarySays, failing) {
	a := e.dns.lookupAgain(ctx, ".", dns.TypeNS)
	if a.status == dnsFailed && a.silent {
		return refused, failing{time.Now(), DNSError, a.why}
	}
	return answered, failing{}
}

// askMailHosts asks hosts that worked lately, those that the configuration
// names, and those that others remember, one after the other; the next without
// waiting where one takes long. One that greets and takes our sender is enough.
func (e *Engine) askMailHosts(ctx context.Context) (canarySays, failing) {
	ctx, cancel := context.WithTimeout(ctx, 2*e.cfg.ConnectTimeout+e.cfg.CommandTimeout)
	defer cancel()
	type answer struct {
		says canarySays
		why  failing
	}
	list := e.canaryList(ctx)
	answers := make(chan answer, len(list))
	asked, open := 0, 0
	next := func() {
		if asked == len(list) {
			return
		}
		k := list[asked]
		asked++
		if e.background(func() {
			says, why := e.greet(ctx, k)
			answers <- answer{says, why}
		}) {
			open++
		}
	}
	tick := time.NewTicker(hurryCanary)
	defer tick.Stop()
	var last answer
	for next(); open > 0; {
		select {
		case a := <-answers:
			open--
			if a.says == answered {
				return answered, failing{}
			}
			if a.says == refused {
				last = a
			}
			next()
		case <-tick.C:
			next()
		case <-ctx.Done():
			return last.says, last.why
		}
	}
	return last.says, last.why
}

// canaryList is which mail hosts to ask, without duplicates.
func (e *Engine) canaryList(ctx context.Context) []canary {
	list := e.canaries.recent(time.Now())
	add := func(at exchanger) {
		if !slices.ContainsFunc(list, func(k canary) bool { return k.at.addr == at.addr }) {
			list = append(list, canary{at: at})
		}
	}
	for _, domain := range e.cfg.Canaries {
		if p := e.dns.pathTo(ctx, domain); len(p.top) > 0 {
			add(p.top[0])
		}
	}
	if e.cfg.RecentHosts != nil {
		for _, name := range e.cfg.RecentHosts(ctx) {
			if at := e.dns.exchangers(name, e.dns.addresses(ctx, name).addrs); len(at) > 0 {
				add(at[0])
			}
		}
	}
	return list
}

// greet begins a session and a transaction with a mail host, and ends them.
func (e *Engine) greet(ctx context.Context, k canary) (canarySays, failing) {
	p, useTLS, heloOnly := providerOf(k.at.name), e.cfg.TLS == TLSRequired, false
	if h := k.host; h != nil {
		h.mu.Lock()
		p, heloOnly = h.provider, h.heloOnly
		useTLS = e.cfg.TLS != TLSNever && !h.plain
		h.mu.Unlock()
	}
	s, f := e.dial(ctx, k.at, p, useTLS, heloOnly)
	if f != nil {
		return e.toCanary(f.reason), failing{time.Now(), f.reason, f.Error()}
	}
	defer s.quit()
	r, f := s.command("MAIL FROM:<" + e.cfg.From + ">")
	if f != nil {
		s.broken = true
		return e.toCanary(f.reason), failing{time.Now(), f.reason, f.Error()}
	}
	found := e.classifier.classify(atMail, r, p, Address{})
	if found.verdict == Valid {
		return answered, failing{}
	}
	return e.toCanary(found.reason), failing{time.Now(), found.reason, k.at.name + ": " + r.text}
}

// toCanary is what a canary's failure says: some are about us, a host that wants
// TLS works, and one that is busy tells nothing.
func (e *Engine) toCanary(reason Reason) canarySays {
	switch reason {
	case ConnectFailed, ConnectionLost, Blocked, SenderRefused, Tarpit:
		return refused
	case NeedsTLS:
		return answered
	default:
		return cannotTell
	}
}
