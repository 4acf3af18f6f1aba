package verify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/proxy"
	"golang.org/x/time/rate"

	"holdfast/internal/netguard"
)

// TLSMode says when a conversation is encrypted.
type TLSMode string

// The TLS modes.
const (
	TLSOpportunistic TLSMode = ""         // where the host offers it (RFC 7435)
	TLSRequired      TLSMode = "required" // a host that cannot is not asked
	TLSNever         TLSMode = "never"
)

// Config is what an Engine needs to know. The zero value of every field has a
// usable default.
type Config struct {
	DNSServers []string // host:port; default: the servers of /etc/resolv.conf
	SMTPPort   int      // default 25
	Helo       string   // our name in EHLO; default: the machine's name
	From       string   // sender in MAIL FROM; default: verify@ the Helo name
	SourceAddr string   // local IP address to connect from; default: the system's choice
	PublicAddr string   // the address that mail hosts see, where it is not one of this machine's; for CheckIdentity alone
	DNSBLZones []string // lists that CheckIdentity asks about our address; nil: DNSBLZones, empty: none
	Proxy      string   // socks5://[user:password@]host:port for SMTP; default: none
	TLS        TLSMode

	// Allow are networks that mail hosts may be in although they are not public,
	// such as that of a mail lab. To all others nothing is ever dialled.
	Allow netguard.Allow

	// ListFile amends the embedded lists of disposable, free and role names; see
	// the README for its format.
	ListFile string

	// ProbeSecret makes the mailboxes that cannot exist. Workers that share it
	// ask for the same ones, which greylisting hosts reward. Default: a fixed text.
	ProbeSecret string

	GreylistRetry  time.Duration // how long a greylisting host wants us to wait; default 5 min
	DNSTimeout     time.Duration // for one query; default 2 s
	ConnectTimeout time.Duration // for a TCP connection; default 10 s
	CommandTimeout time.Duration // for one reply; default 30 s
	SessionTimeout time.Duration // for one session; default 5 min
	QuitTimeout    time.Duration // for the farewell; default 2 s
	IdleTimeout    time.Duration // how long a session without work is kept; default 3 s
	SlowReply      time.Duration // a reply that takes longer makes a host slow; default 1 s
	Patience       time.Duration // time spent on a slow host before it is given up; default 2 min
	Backoff        time.Duration // first pause after a host turned us away, doubled each time; default 250 ms
	BreakerPause   time.Duration // how long a host that was given up is left alone; default 30 s
	CatchAllTTL    time.Duration // how long a domain's catch-all answer is remembered; default 24 h

	MaxSessions        int // at once; slow hosts get as many again; default 200
	MaxSessionsPerHost int // at once at one host that is slow but content, or less; default 40
	MaxLookups         int // domains looked up at once; default 64
	Window             int // addresses of a Stream under way; default 50,000

	SessionsPerSecond     float64 // sessions begun by the engine; default: no limit
	HostSessionsPerSecond float64 // the most that are ever begun at one host; default 50

	// Canaries are domains whose mail hosts should work. They are asked, besides
	// hosts that worked lately, whether an outage is ours. Default: three big
	// providers where SMTPPort is 25, else none.
	Canaries []string

	// RecentHosts returns the names of more mail hosts that worked lately, such as
	// those of remembered verdicts. It is asked when hosts fail; it may be nil.
	RecentHosts func(ctx context.Context) []string
}

// Stats counts what an Engine has done since it was made.
type Stats struct {
	Connections  int64 `json:"connections"`  // TCP connections dialled, failed ones too
	Queries      int64 `json:"queries"`      // DNS queries sent
	Transactions int64 `json:"transactions"` // MAIL commands sent
	Recipients   int64 `json:"recipients"`   // RCPT commands sent, probes too
}

// Engine verifies addresses. It is safe for concurrent use; concurrent calls
// share DNS answers, catch-all memory and SMTP sessions.
type Engine struct {
	cfg   Config
	lists *lists

	classifier *classifier
	dns        *resolver
	throwaway  throwaway
	dialer     proxy.ContextDialer
	starts     *rate.Limiter // of sessions, of the whole engine
	tls        *tls.Config
	stats      struct{ connections, queries, transactions, recipients atomic.Int64 }
	turn       atomic.Uint32 // among hosts of equal preference

	mu      sync.Mutex
	domains memory[string, *domain]
	hosts   memory[string, *host]
	lookups []*domain // to be resolved
	lookers int       // goroutines that do

	ctx                   context.Context // ends at Close
	cancel                context.CancelFunc
	smtpHealth, dnsHealth health
	canaries              canaries
	preflight             chan struct{} // taken by the one that asks
	callsMu               sync.Mutex
	calls                 map[*call]struct{}
	probing               *call // whose the probes are

	slots    slots
	sessions sync.WaitGroup
	closing  atomic.Bool
}

// New returns an engine. It fails in one sentence when the configuration cannot
// be used. Close it after use.
func New(cfg Config) (*Engine, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	e, err := newEngine(cfg)
	if err == nil && cfg.SMTPPort == 25 && !isFullName(cfg.Helo) {
		e.Close()
		return nil, fmt.Errorf("mail hosts refuse the EHLO name %q, which is not a full host name; set HOLDFAST_SMTP_HELO to one that resolves to your address and back, such as mail.example.com", cfg.Helo)
	}
	return e, err
}

// newEngine returns an engine for a complete configuration.
func newEngine(cfg Config) (*Engine, error) {
	var err error
	e := &Engine{
		cfg:     cfg,
		domains: newMemory[string, *domain](1 << 17),
		hosts:   newMemory[string, *host](1 << 16),
		calls:   make(map[*call]struct{}),
		probing: &call{},

		preflight: make(chan struct{}, 1),

		classifier: newClassifier(),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if e.lists, err = newLists(cfg.ListFile); err != nil {
		return nil, err
	}
	e.slots.max = cfg.MaxSessions
	e.tls = &tls.Config{
		InsecureSkipVerify: true,             //nolint:gosec // opportunistic, see session.upgrade
		MinVersion:         tls.VersionTLS10, // weak encryption still hides more than none
		CurvePreferences:   []tls.CurveID{tls.X25519, tls.CurveP256},
		ClientSessionCache: tls.NewLRUClientSessionCache(1024),
	}
	e.dns = newResolver(cfg.DNSServers, cfg.DNSTimeout, &e.stats.queries)
	e.dns.allow = cfg.Allow
	e.starts = rate.NewLimiter(rate.Inf, 1)
	if cfg.SessionsPerSecond > 0 {
		e.starts = rate.NewLimiter(rate.Limit(cfg.SessionsPerSecond), max(1, int(cfg.SessionsPerSecond)))
	}
	direct := &net.Dialer{KeepAlive: -1} // deadlines tell a dead host sooner
	if cfg.Proxy == "" {
		direct.Control = cfg.Allow.Control // else it is the proxy that is connected to; see dial
	}
	if cfg.SourceAddr != "" {
		direct.LocalAddr = &net.TCPAddr{IP: net.ParseIP(cfg.SourceAddr)}
	}
	e.dialer = direct
	if cfg.Proxy != "" {
		if e.dialer, err = throughProxy(cfg.Proxy, direct); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// complete fills in the defaults.
func (c *Config) complete() (err error) {
	if len(c.DNSServers) == 0 {
		if c.DNSServers, err = systemServers(); err != nil {
			return err
		}
	}
	for _, s := range c.DNSServers {
		if _, _, err := net.SplitHostPort(s); err != nil {
			return fmt.Errorf("the DNS server %q is not host:port: %w", s, err)
		}
	}
	if c.SMTPPort == 0 {
		c.SMTPPort = 25
	}
	if c.SMTPPort < 1 || c.SMTPPort > 65535 {
		return fmt.Errorf("the SMTP port %d is not between 1 and 65535", c.SMTPPort)
	}
	if len(c.Canaries) == 0 && c.SMTPPort == 25 {
		c.Canaries = []string{"gmail.com", "outlook.com", "yahoo.com"}
	}
	if c.HostSessionsPerSecond <= 0 {
		c.HostSessionsPerSecond = 50
	}
	if c.Helo == "" {
		if c.Helo, err = os.Hostname(); err != nil {
			return fmt.Errorf("the machine's name is not known, set Helo: %w", err)
		}
	}
	if strings.ContainsAny(c.Helo, " \t\r\n") {
		return fmt.Errorf("the EHLO name %q contains white space", c.Helo)
	}
	if c.From == "" {
		c.From = "verify@" + c.Helo
	}
	if strings.ContainsAny(c.From, " \t\r\n<>") || !strings.Contains(c.From, "@") {
		return fmt.Errorf("the sender %q is not an address", c.From)
	}
	if c.SourceAddr != "" && net.ParseIP(c.SourceAddr) == nil {
		return fmt.Errorf("the source address %q is not an IP address", c.SourceAddr)
	}
	if _, err := netip.ParseAddr(c.PublicAddr); c.PublicAddr != "" && err != nil {
		return fmt.Errorf("the public address %q is not an IP address", c.PublicAddr)
	}
	if c.DNSBLZones == nil {
		c.DNSBLZones = DNSBLZones
	}
	switch c.TLS {
	case TLSOpportunistic, TLSRequired, TLSNever:
	default:
		return fmt.Errorf("the TLS mode %q is none of \"\", \"required\", \"never\"", c.TLS)
	}
	if c.ProbeSecret == "" {
		c.ProbeSecret = "holdfast"
	}
	for _, d := range []struct {
		of       *time.Duration
		standard time.Duration
	}{
		{&c.GreylistRetry, 5 * time.Minute},
		{&c.DNSTimeout, 2 * time.Second},
		{&c.ConnectTimeout, 10 * time.Second},
		{&c.CommandTimeout, 30 * time.Second},
		{&c.SessionTimeout, 5 * time.Minute},
		{&c.QuitTimeout, 2 * time.Second},
		{&c.IdleTimeout, 3 * time.Second},
		{&c.SlowReply, time.Second},
		{&c.Patience, 2 * time.Minute},
		{&c.Backoff, 250 * time.Millisecond},
		{&c.BreakerPause, 30 * time.Second},
		{&c.CatchAllTTL, 24 * time.Hour},
	} {
		if *d.of <= 0 {
			*d.of = d.standard
		}
	}
	for _, n := range []struct {
		of       *int
		standard int
	}{{&c.MaxSessions, 200}, {&c.MaxSessionsPerHost, 40}, {&c.MaxLookups, 64}, {&c.Window, 50_000}} {
		if *n.of <= 0 {
			*n.of = n.standard
		}
	}
	return nil
}

// ErrClosed is returned by calls to an engine that has been closed.
var ErrClosed = errors.New("the verification engine is closed")

// Stats returns the engine's counters.
func (e *Engine) Stats() Stats {
	return Stats{
		Connections:  e.stats.connections.Load(),
		Queries:      e.stats.queries.Load(),
		Transactions: e.stats.transactions.Load(),
		Recipients:   e.stats.recipients.Load(),
	}
}

// Close ends all sessions politely and waits for them. Calls to Verify that
// are under way should have been cancelled before.
func (e *Engine) Close() {
	e.closing.Store(true)
	e.cancel()
	e.slots.dismissIdlers()
	e.sessions.Wait()
	e.dns.close()
}

// submit hands addresses of one domain on: to DNS, or to the mail host where
// the domain has been looked up.
func (e *Engine) submit(name string, tasks []*task) {
	e.mu.Lock()
	d, ok := e.domains.get(name)
	if !ok || d.resolved && time.Now().After(d.path.expires) {
		d = e.newDomain(name, d)
		e.domains.put(name, d)
	}
	if !d.resolved {
		d.waiting = append(d.waiting, tasks...)
		if !d.resolving {
			d.resolving = true
			e.lookups = append(e.lookups, d)
			if e.lookers < e.cfg.MaxLookups {
				e.lookers++
				go e.look()
			}
		}
		e.mu.Unlock()
		return
	}
	e.mu.Unlock()
	e.dispatch(d, tasks, false)
}

// throughProxy returns a dialer that goes through a SOCKS5 proxy (RFC 1928).
func throughProxy(address string, direct *net.Dialer) (proxy.ContextDialer, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "socks5" && u.Scheme != "socks5h") || u.Port() == "" {
		return nil, fmt.Errorf("the proxy %q is not socks5://host:port", address)
	}
	d, err := proxy.FromURL(u, direct)
	if err != nil {
		return nil, fmt.Errorf("the proxy %q cannot be used: %w", address, err)
	}
	through, ok := d.(proxy.ContextDialer)
	if !ok {
		return nil, fmt.Errorf("the proxy %q cannot be used with deadlines", address)
	}
	return through, nil
}

// newDomain begins to know a domain; what was known of its catch-all stays.
func (e *Engine) newDomain(name string, before *domain) *domain {
	d := &domain{
		name:       name,
		disposable: e.lists.isDisposable(name),
		free:       e.lists.isFree(name),
		relay:      isRelay(name),
		meant:      e.lists.meantDomain(name),
	}
	if d.disposable { // nobody needs to be asked
		d.resolved = true
		d.path = path{settled: finding{Disposable, DisposableDomain, settle}, expires: time.Now().Add(maxTTL)}
	}
	if before != nil && before.route != nil {
		h := before.route.host
		h.mu.Lock()
		c := &before.catchAll
		d.catchAll = catchAll{state: c.state, until: c.until, probe: c.probe, reason: c.reason, putOff: c.putOff}
		h.mu.Unlock()
	}
	return d
}

// look resolves domains until none waits.
func (e *Engine) look() {
	for {
		e.mu.Lock()
		if len(e.lookups) == 0 {
			e.lookers--
			e.mu.Unlock()
			return
		}
		d := e.lookups[0]
		e.lookups = e.lookups[1:]
		e.mu.Unlock()

		p := e.dns.pathTo(context.Background(), d.name)
		throwaway, relay := e.isThrowaway(d.name, &p), p.isRelay()
		doubt := e.noteLookup(d.name, p)
		e.mu.Lock()
		d.provider = p.provider()
		d.relay = d.relay || relay
		if throwaway { // its mail host need not be asked
			d.disposable = true
			p = path{settled: finding{Disposable, DisposableDomain, settle}, expires: p.expires}
		}
		d.path = p
		if len(p.top) > 0 {
			d.route = e.routeFor(p)
		}
		d.resolved, d.resolving = true, false
		tasks := d.waiting
		d.waiting = nil
		e.mu.Unlock()
		e.dispatch(d, tasks, doubt)
	}
}

// routeFor returns the route that domains with this path share.
func (e *Engine) routeFor(p path) *route {
	hostKey, routeKey, of := p.keys()
	h, ok := e.hosts.get(hostKey)
	if !ok {
		h = newHost(e, hostKey, of)
		e.hosts.put(hostKey, h)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.byKey[routeKey]
	if r == nil {
		r = &route{host: h, path: p}
		h.byKey[routeKey] = r
	}
	return r
}

// dispatch answers for a domain that DNS has settled, or hands its addresses to
// the mail host.
func (e *Engine) dispatch(d *domain, tasks []*task, doubt bool) {
	if d.route != nil {
		d.route.host.enqueue(d, tasks)
		return
	}
	now := time.Now()
	out := make([]answer, len(tasks))
	for i, t := range tasks {
		out[i] = answer{task: t, d: d, finding: d.path.settled, reply: reply{text: d.path.why}, when: now, doubt: doubt}
	}
	e.deliver(out)
}

// deliver turns answers into results and gives them to their calls.
func (e *Engine) deliver(out []answer) {
	for i := range out {
		a := &out[i]
		r := Result{
			Email:        a.task.email,
			Verdict:      a.finding.verdict,
			Reason:       a.finding.reason,
			MXHost:       a.mx,
			SMTPCode:     a.reply.code,
			SMTPEnhanced: a.reply.enhanced.String(),
			SMTPText:     a.reply.text,
			CheckedAt:    a.when.UTC(),
			Engine:       Version,
			Role:         e.lists.isRole(a.task.addr.Local),
			Disposable:   a.d.disposable,
			Free:         a.d.free,
			Alias:        a.d.relay,
			Provider:     a.d.provider,
		}
		if a.task.cleaned {
			r.Cleaned, r.Address = true, a.task.addr.String()
		}
		if a.d.meant != "" && r.takesNoMail() {
			r.Suggestion = a.task.addr.Local + "@" + a.d.meant
		}
		if r.Reason == Greylisted || r.Reason == Temporary {
			r.RetryAt = r.CheckedAt.Add(e.cfg.GreylistRetry)
		}
		SetScore(&r, r.CheckedAt)
		a.task.call.deliver(a.task.index, r, a.doubt)
	}
}
