package verify

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// task is one address to be answered for one call.
type task struct {
	call  *call
	index int
	email string // as it was given
	addr  Address

	cleaned bool // the address was taken out of what was given

	tries uint8 // sessions that ended over it, or in which the host sent us to another

	unproven uint8 // answers about it that proved nothing, see host.settle and session.confirm

	suspect *suspicion // what it was refused with may have been a limit of the session
}

// domain is what is known about one mail domain, and its addresses under way.
// Until it is resolved its fields belong to Engine.mu, then to its host's.
type domain struct {
	name       string
	disposable bool
	free       bool
	relay      bool   // it gives out addresses that pass mail on
	provider   string // who runs its mail hosts
	meant      string // the well-known domain that was probably meant

	resolving bool
	resolved  bool
	path      path
	route     *route  // nil where DNS gave the verdict
	waiting   []*task // for DNS

	pending  []*task // to be asked
	again    []*task // to be asked as the first of a session, see host.weigh
	queued   bool    // stands in the route's queue
	newcomer bool    // stands in the route's fresh
	asking   int     // transactions that sessions have under way
	good     Address // a mailbox that its mail hosts have accepted
	catchAll catchAll
}

// route is where mail for a domain goes: its MX levels in order of preference.
// Domains with the same route share sessions.
type route struct {
	host *host
	path path

	queue     []*domain // with pending tasks or a wanted probe
	fresh     []*domain // with a recipient that has to be the first of a session
	queued    bool      // stands in the host's queue
	connected int       // sessions open on it
	good      Address   // a mailbox that was accepted
	unknown   Address   // one that was refused because it does not exist, the probe of a domain if possible
	failures  int       // sessions in a row that came to nothing
	met       bool      // a session has begun here
	failure   *failure  // the last of them
	openUntil time.Time // the breaker: no host is asked before
}

// hasWork reports whether there is work for a session; nil is one that is about
// to begin.
func (r *route) hasWork(s *session) bool {
	return s == nil && len(r.fresh) > 0 || len(r.queue) > 0 && (s == nil || r.serves(s))
}

// drain empties the queues and returns the domains that stood in them.
func (r *route) drain() []*domain {
	list := r.queue
	for _, d := range r.fresh {
		if !d.queued {
			list = append(list, d)
		}
	}
	for _, d := range list {
		d.queued = false
	}
	r.queue, r.fresh = nil, nil
	return list
}

// serves reports whether a session with this address can ask for the domains of
// the route.
func (r *route) serves(s *session) bool {
	return s.route == r || slices.ContainsFunc(r.path.top, func(x exchanger) bool { return x.addr == s.at.addr })
}

// path is what DNS says about a domain's mail.
type path struct {
	levels  [][]string  // MX names by preference
	top     []exchanger // the addresses of the first level that has any
	first   int         // the index of that level
	settled finding     // the verdict for every address, where DNS gives it; top is empty then
	why     string      // in words, where there is no answer
	silent  bool        // no name server answered at all
	partial bool        // not all mail hosts could be looked up
	expires time.Time
}

// pathTo asks DNS where a domain's mail goes (RFC 5321 §5.1).
func (r *resolver) pathTo(ctx context.Context, name string) path {
	mx := r.lookup(ctx, name, dns.TypeMX)
	switch mx.status {
	case dnsFailed:
		return noPath(Unknown, DNSError, mx)
	case dnsNXDomain, dnsNoData: // the implicit MX is the domain itself
		a := r.addresses(ctx, name)
		if mx.status == dnsNXDomain {
			// Some name servers say so of types that they do not know. Where there
			// is an address, the domain exists; else it does not.
			if a.status == dnsNXDomain {
				a = r.lookup(ctx, name, dns.TypeAAAA)
			}
			if a.status == dnsNoData || a.status == dnsNXDomain {
				return noPath(Invalid, NoDomain, mx)
			}
		}
		switch a.status {
		case dnsFailed:
			return noPath(Unknown, DNSError, a)
		case dnsNoData, dnsNXDomain:
			return noPath(Invalid, NoMailHost, a)
		case dnsFound:
		}
		top := r.exchangers(name, a.addrs)
		if len(top) == 0 {
			a.why = notPublic(name, a.addrs)
			return noPath(Invalid, NoMailHost, a)
		}
		return path{levels: [][]string{{name}}, top: top, expires: a.expires}
	case dnsFound:
	}
	levels := mxLevels(mx.mx)
	if len(levels) == 0 {
		return noPath(Invalid, NullMX, mx) // RFC 7505 §3
	}
	failed := false
	for i, names := range levels {
		var top []exchanger
		for _, host := range names {
			if ip, err := netip.ParseAddr(host); err == nil {
				if !r.allow.Permits(ip) {
					mx.why = notPublic(host, []netip.Addr{ip})
					continue
				}
				failed = true // against RFC 1035 §3.3.9, and some deliver to it all the same
				mx.why = "its MX is an address, not a name"
				continue
			}
			a := r.addresses(ctx, host)
			if a.status == dnsFailed {
				failed = true
				mx.why = a.why
			}
			use := r.exchangers(host, a.addrs)
			if len(use) == 0 && len(a.addrs) > 0 {
				mx.why = notPublic(host, a.addrs)
			}
			top = append(top, use...)
		}
		if len(top) > 0 {
			return path{levels: levels, top: top, first: i, expires: mx.expires, partial: failed}
		}
	}
	if failed {
		mx.expires = time.Now().Add(failureTTL)
		return noPath(Unknown, DNSError, mx)
	}
	return noPath(Invalid, NoMailHost, mx)
}

func noPath(verdict Verdict, reason Reason, a dnsAnswer) path {
	return path{settled: finding{verdict, reason, settle}, why: a.why, silent: a.silent, expires: a.expires}
}

// mxLevels groups the hosts by preference and leaves out the root, which takes
// no mail.
func mxLevels(records []mxRecord) (levels [][]string) {
	last := -1
	for _, r := range records {
		if r.host == "" {
			continue
		}
		if int(r.preference) != last || len(levels) == 0 {
			levels = append(levels, nil)
			last = int(r.preference)
		}
		levels[len(levels)-1] = append(levels[len(levels)-1], r.host)
	}
	return levels
}

// exchangers are the addresses of a mail host that mail may be sent to. A name
// that means this machine (RFC 6761 §6.3) is no mail host, nor is an address
// that is not on the public internet.
func (r *resolver) exchangers(name string, addrs []netip.Addr) []exchanger {
	if name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return nil
	}
	list := make([]exchanger, 0, len(addrs))
	for _, a := range addrs {
		if r.allow.Permits(a) {
			list = append(list, exchanger{name, a})
		}
	}
	return list
}

func notPublic(host string, addrs []netip.Addr) string {
	return fmt.Sprintf("its mail host %s has the address %s, which is not on the public internet", host, addrs[0])
}

// keys returns the key of the host, where limits and blocks are kept, and of
// the route, where sessions are shared. A host is its lowest address, since
// customers give the same server different names; a provider is one host
// with many addresses.
func (p *path) keys() (hostKey, routeKey string, of *provider) {
	of = providerOf(p.top[0].name)
	addrs := make([]netip.Addr, len(p.top))
	for i, x := range p.top {
		addrs[i] = x.addr
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	var b strings.Builder
	for _, a := range addrs {
		b.WriteString(a.String())
		b.WriteByte(' ')
	}
	for _, level := range p.levels[p.first+1:] {
		b.WriteByte('/')
		b.WriteString(strings.Join(level, " "))
	}
	if of != nil {
		return of.name, b.String(), of
	}
	return addrs[0].String(), b.String(), nil
}

// nameFor is the name under which a domain knows the address that was asked.
func (d *domain) nameFor(at exchanger) string {
	for _, x := range d.path.top {
		if x.addr == at.addr {
			return x.name
		}
	}
	return at.name
}
