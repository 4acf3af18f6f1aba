package verify

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/publicsuffix"
)

// throwawayTTL is how long the addresses of throw-away services are relied on.
const throwawayTTL = 24 * time.Hour

// throwaway knows the addresses of the mail hosts of well-known throw-away
// services, which it looks up when it is first asked and once a day.
type throwaway struct {
	mu      sync.Mutex
	hosts   map[netip.Addr]bool
	expires time.Time
}

// isThrowaway reports whether a domain's mail goes to a throw-away service: all
// its first mail hosts have a name of such a service, or one has the address of
// its mail host.
func (e *Engine) isThrowaway(domain string, p *path) bool {
	if len(p.top) == 0 || e.lists.isAllowed(domain) || e.lists.isFree(domain) {
		return false
	}
	if !slices.ContainsFunc(p.levels[p.first], func(mx string) bool { return !e.lists.isDisposable(mx) }) {
		return true
	}
	if providerOf(p.top[0].name) != nil {
		return false
	}
	known := e.throwaway.addresses(e.dns)
	return slices.ContainsFunc(p.top, func(x exchanger) bool {
		return known[x.addr] || slices.ContainsFunc(e.lists.hosts, func(network netip.Prefix) bool { return network.Contains(x.addr) })
	})
}

// addresses are the mail hosts of throw-away services. A call that finds them
// out of date looks them up, all services at once, and gives up after the
// timeout of one query: what was not answered by then is missing for an hour.
func (t *throwaway) addresses(r *resolver) map[netip.Addr]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().Before(t.expires) {
		return t.hosts
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	services := slices.Collect(strings.Lines(throwawayServices))
	found := make(chan []netip.Addr, len(services))
	asked := 0
	for _, name := range services {
		if name = strings.TrimSpace(name); name != "" && name[0] != '#' {
			asked++
			go func() { found <- ownHosts(ctx, r, name) }()
		}
	}
	t.hosts = make(map[netip.Addr]bool)
	for range asked {
		for _, addr := range <-found {
			t.hosts[addr] = true
		}
	}
	t.expires = time.Now().Add(throwawayTTL)
	if ctx.Err() != nil {
		t.expires = time.Now().Add(time.Hour)
	}
	return t.hosts
}

// ownHosts are the addresses of the mail hosts that a service runs itself: under
// its own name. Those of a provider are many others' too.
func ownHosts(ctx context.Context, r *resolver, service string) (addrs []netip.Addr) {
	own, err := publicsuffix.EffectiveTLDPlusOne(service)
	if err != nil {
		return nil
	}
	for _, record := range r.lookup(ctx, service, dns.TypeMX).mx {
		if of, err := publicsuffix.EffectiveTLDPlusOne(record.host); err == nil && of == own {
			addrs = append(addrs, r.addresses(ctx, record.host).addrs...)
		}
	}
	return addrs
}
