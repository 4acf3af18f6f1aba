package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"holdfast/internal/netguard"
)

// dnsStatus tells the four answers apart that a careless client confuses.
type dnsStatus uint8

const (
	dnsFound    dnsStatus = iota
	dnsNoData             // the name exists, without records of this type (RFC 2308 §2.2)
	dnsNXDomain           // the name does not exist (RFC 2308 §2.1)
	dnsFailed             // no server could answer: SERVFAIL, REFUSED, timeout
)

// dnsAnswer is what the name servers said about a name and a type.
type dnsAnswer struct {
	status  dnsStatus
	mx      []mxRecord   // of MX queries: best preference first, then by name
	addrs   []netip.Addr // of A and AAAA queries
	why     string       // of failures, for people
	silent  bool         // no server answered, not even with an error
	expires time.Time
}

type mxRecord struct {
	host       string // lower case, without the final dot; "" is the root (RFC 7505)
	preference uint16
}

// Times that answers are kept where the answer itself does not say or says too
// much: RFC 2308 §5 advises at most three hours for negative answers, §7.1 at
// most five minutes for failures.
const (
	maxTTL         = 24 * time.Hour
	maxNegativeTTL = 3 * time.Hour
	failureTTL     = 5 * time.Second
	maxAliases     = 8  // CNAMEs followed for one name
	socketQueries  = 64 // queries sent from one UDP port before a fresh one is opened
)

// resolver asks recursive name servers and remembers what they said. Questions
// that are asked at the same time are sent once.
type resolver struct {
	servers []string
	timeout time.Duration // for the first try; doubled for each further round
	rounds  int           // how often every server is tried
	queries *atomic.Int64
	allow   netguard.Allow // what is not public and may be a mail host all the same

	mu      sync.Mutex
	cache   memory[dnsQuestion, dnsAnswer]
	flights map[dnsQuestion]*dnsFlight
	sockets map[string][]*udpSocket // idle sockets by server
	slots   chan struct{}           // bounds the queries under way
}

type dnsQuestion struct {
	name  string // lower case, without the final dot
	qtype uint16
}

type dnsFlight struct {
	done   chan struct{}
	answer dnsAnswer
}

type udpSocket struct {
	conn *dns.Conn
	uses int
}

func newResolver(servers []string, timeout time.Duration, queries *atomic.Int64) *resolver {
	return &resolver{
		servers: servers,
		timeout: timeout,
		rounds:  3,
		queries: queries,
		cache:   newMemory[dnsQuestion, dnsAnswer](1 << 15), // a domain remembers its own path
		flights: make(map[dnsQuestion]*dnsFlight),
		sockets: make(map[string][]*udpSocket),
		slots:   make(chan struct{}, 128),
	}
}

// systemServers reads the name servers of /etc/resolv.conf.
func systemServers() ([]string, error) {
	conf, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil, fmt.Errorf("the system's DNS servers are not known, name them in DNSServers: %w", err)
	}
	servers := make([]string, 0, len(conf.Servers))
	for _, s := range conf.Servers {
		servers = append(servers, net.JoinHostPort(s, conf.Port))
	}
	if len(servers) == 0 {
		return nil, errors.New("/etc/resolv.conf names no DNS server: name them in DNSServers")
	}
	return servers, nil
}

// close closes the idle sockets.
func (r *resolver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for server, idle := range r.sockets {
		for _, s := range idle {
			_ = s.conn.Close() // nothing is pending on an idle socket
		}
		delete(r.sockets, server)
	}
}

// lookup answers from memory or asks. A context that ends gives a failed
// answer to this caller; the query goes on for the others.
func (r *resolver) lookup(ctx context.Context, name string, qtype uint16) dnsAnswer {
	q := dnsQuestion{strings.ToLower(name), qtype}
	r.mu.Lock()
	if a, ok := r.cache.get(q); ok && time.Now().Before(a.expires) {
		r.mu.Unlock()
		return a
	}
	flight, flying := r.flights[q]
	if !flying {
		flight = &dnsFlight{done: make(chan struct{})}
		r.flights[q] = flight
	}
	r.mu.Unlock()
	if !flying {
		if ctx.Done() == nil { // this caller stays to the end: no goroutine is needed
			r.fly(q, flight)
		} else {
			go r.fly(q, flight)
		}
	}
	select {
	case <-flight.done:
		return flight.answer
	case <-ctx.Done():
		return dnsAnswer{status: dnsFailed, why: ctx.Err().Error()}
	}
}

// lookupAgain asks even if an answer is remembered.
func (r *resolver) lookupAgain(ctx context.Context, name string, qtype uint16) dnsAnswer {
	r.mu.Lock()
	r.cache.forget(dnsQuestion{strings.ToLower(name), qtype})
	r.mu.Unlock()
	return r.lookup(ctx, name, qtype)
}

func (r *resolver) fly(q dnsQuestion, flight *dnsFlight) {
	r.slots <- struct{}{}
	a := r.resolve(q)
	<-r.slots
	r.mu.Lock()
	r.cache.put(q, a)
	delete(r.flights, q)
	r.mu.Unlock()
	flight.answer = a
	close(flight.done)
}

// resolve asks until there is an answer, following aliases that the server did
// not follow itself (RFC 1034 §3.6.2).
func (r *resolver) resolve(q dnsQuestion) dnsAnswer {
	ttl := maxTTL
	seen := map[string]bool{}
	for range maxAliases {
		a, alias := r.ask(q)
		ttl = min(ttl, time.Until(a.expires))
		if alias == "" {
			a.expires = time.Now().Add(ttl)
			return a
		}
		if seen[alias] {
			break
		}
		seen[alias] = true
		q.name = alias
	}
	return failedAnswer("%s is an alias that leads nowhere", q.name)
}

func failedAnswer(format string, args ...any) dnsAnswer {
	return dnsAnswer{status: dnsFailed, why: fmt.Sprintf(format, args...), expires: time.Now().Add(failureTTL)}
}

// ask sends one question to one server after the other, the whole round again
// with more patience, until one of them knows.
func (r *resolver) ask(q dnsQuestion) (a dnsAnswer, alias string) {
	failed := failedAnswer("no DNS server is configured")
	timeout, answered := r.timeout, 0
	for round := range r.rounds {
		silent := 0
		for _, server := range r.servers {
			reply, err := r.exchange(server, q, timeout)
			if err != nil {
				failed = failedAnswer("%s: %v", server, err)
				failed.silent = answered == 0
				silent++
				continue
			}
			a, alias, err := read(q, reply)
			if err != nil {
				failed = failedAnswer("%s: %v", server, err)
				answered++
				continue
			}
			return a, alias
		}
		if silent == 0 && round > 0 {
			break // they all answer, and none of them knows: asking more changes nothing
		}
		timeout *= 2
	}
	return failed, ""
}

// read makes an answer of a reply. An error means that this server cannot tell.
func read(q dnsQuestion, reply *dns.Msg) (a dnsAnswer, alias string, err error) {
	switch reply.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
	default:
		return a, "", fmt.Errorf("%s for %s", dns.RcodeToString[reply.Rcode], q.name)
	}
	ttl := maxTTL
	name := q.name
	for range maxAliases { // RFC 1034 §4.3.2: the chain of aliases comes with the answer
		target, t := aliasOf(reply, name)
		if target == "" {
			break
		}
		name, ttl = target, min(ttl, t)
	}
	for _, rr := range reply.Answer {
		if !sameName(rr.Header().Name, name) || rr.Header().Rrtype != q.qtype {
			continue
		}
		ttl = min(ttl, seconds(rr.Header().Ttl))
		switch rr := rr.(type) {
		case *dns.MX:
			a.mx = append(a.mx, mxRecord{host: bare(rr.Mx), preference: rr.Preference})
		case *dns.A:
			if addr, ok := netip.AddrFromSlice(rr.A.To4()); ok {
				a.addrs = append(a.addrs, addr)
			}
		case *dns.AAAA:
			if addr, ok := netip.AddrFromSlice(rr.AAAA.To16()); ok {
				a.addrs = append(a.addrs, addr)
			}
		}
	}
	if len(a.mx)+len(a.addrs) > 0 {
		slices.SortFunc(a.mx, func(x, y mxRecord) int {
			return cmp.Or(cmp.Compare(x.preference, y.preference), cmp.Compare(x.host, y.host))
		})
		slices.SortFunc(a.addrs, netip.Addr.Compare)
		a.addrs = slices.Compact(a.addrs)
		a.expires = time.Now().Add(ttl)
		return a, "", nil
	}
	negative, soa, referral := authority(reply)
	switch {
	case reply.Rcode == dns.RcodeNameError:
		a.status = dnsNXDomain
	case name != q.name && !soa:
		a.expires = time.Now().Add(ttl)
		return a, name, nil
	case referral:
		return a, "", fmt.Errorf("it refers to other servers for %s, it is not a recursive server", q.name)
	default:
		a.status = dnsNoData
	}
	a.expires = time.Now().Add(min(ttl, negative))
	return a, "", nil
}

// authority reads from the authority section how long a negative answer may be
// kept (RFC 2308 §5: the lesser of the SOA's TTL and its MINIMUM; without a SOA
// not at all), and whether the reply is a referral (RFC 2308 §2.2).
func authority(reply *dns.Msg) (negative time.Duration, soa, referral bool) {
	for _, rr := range reply.Ns {
		switch rr := rr.(type) {
		case *dns.SOA:
			return min(seconds(rr.Hdr.Ttl), seconds(rr.Minttl), maxNegativeTTL), true, false
		case *dns.NS:
			referral = !reply.Authoritative && !reply.RecursionAvailable
		}
	}
	return 0, false, referral
}

func aliasOf(reply *dns.Msg, name string) (target string, ttl time.Duration) {
	for _, rr := range reply.Answer {
		if c, ok := rr.(*dns.CNAME); ok && sameName(c.Hdr.Name, name) {
			return bare(c.Target), seconds(c.Hdr.Ttl)
		}
	}
	return "", 0
}

// exchange sends the question over UDP, and over TCP when the reply did not fit
// (RFC 7766 §5).
func (r *resolver) exchange(server string, q dnsQuestion, timeout time.Duration) (*dns.Msg, error) {
	query := new(dns.Msg).SetQuestion(dns.Fqdn(q.name), q.qtype)
	query.SetEdns0(1232, false)
	reply, err := r.exchangeUDP(server, query, timeout)
	if err == nil && (reply.Rcode == dns.RcodeFormatError || reply.Rcode == dns.RcodeNotImplemented) && len(reply.Answer) == 0 {
		query.Extra = nil // RFC 6891 §7: a server from before EDNS
		reply, err = r.exchangeUDP(server, query, timeout)
	}
	if err == nil && reply.Truncated {
		r.queries.Add(1)
		tcp := dns.Client{Net: "tcp", Timeout: timeout}
		reply, _, err = tcp.Exchange(query, server)
	}
	if err != nil {
		return nil, err
	}
	if len(reply.Question) != 1 || reply.Question[0].Qtype != q.qtype || !sameName(reply.Question[0].Name, q.name) {
		return nil, errors.New("it answered another question")
	}
	return reply, nil
}

func (r *resolver) exchangeUDP(server string, query *dns.Msg, timeout time.Duration) (*dns.Msg, error) {
	s, err := r.socket(server)
	if err != nil {
		return nil, err
	}
	r.queries.Add(1)
	client := dns.Client{Timeout: timeout, UDPSize: 1232}
	reply, _, err := client.ExchangeWithConn(query, s.conn)
	if s.uses++; err != nil || s.uses >= socketQueries {
		_ = s.conn.Close() // a late reply must not meet the next query
		return reply, err
	}
	r.mu.Lock()
	r.sockets[server] = append(r.sockets[server], s)
	r.mu.Unlock()
	return reply, nil
}

// socket returns an idle socket or opens one on a fresh port. Ports are changed
// every so many queries, as RFC 5452 §9.2 wants them hard to guess.
func (r *resolver) socket(server string) (*udpSocket, error) {
	r.mu.Lock()
	if idle := r.sockets[server]; len(idle) > 0 {
		s := idle[len(idle)-1]
		r.sockets[server] = idle[:len(idle)-1]
		r.mu.Unlock()
		return s, nil
	}
	r.mu.Unlock()
	conn, err := dns.Dial("udp", server)
	if err != nil {
		return nil, err
	}
	return &udpSocket{conn: conn}, nil
}

// addresses returns the host's IPv4 addresses, or its IPv6 addresses when it has
// no others that can be used.
func (r *resolver) addresses(ctx context.Context, host string) dnsAnswer {
	a := r.lookup(ctx, host, dns.TypeA)
	if a.status == dnsNoData {
		return r.lookup(ctx, host, dns.TypeAAAA)
	}
	if a.status == dnsFound && !slices.ContainsFunc(a.addrs, r.allow.Permits) {
		if b := r.lookup(ctx, host, dns.TypeAAAA); b.status == dnsFound {
			return b
		}
	}
	return a
}

// bare is a name as it is kept here: lower case, no final dot.
func bare(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

func seconds(ttl uint32) time.Duration { return time.Duration(ttl) * time.Second }
