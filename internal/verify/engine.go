package verify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/proxy"
	"golang.org/x/time/rate"
)

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
		return nil, &HeloError{cfg.Helo}
	}
	return e, err
}

// HeloError says that our name in EHLO is one that mail hosts refuse. Nothing can
// be verified until another one is set; all else works.
type HeloError struct{ Helo string }

func (e *HeloError) Error() string {
	return fmt.Sprintf("mail hosts refuse the EHLO name %q, which is not a full host name; set HOLDFAST_SMTP_HELO to one that resolves to your address and back, such as mail.example.com", e.Helo)
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

		classifier: newClassifier(cfg.From),
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

// newDomain begins to know a domain; what was known of its catch-all stays.
func (e *Engine) newDomain(name string, before *domain) *domain {
	d := &domain{
		name:       name,
		disposable: e.lists.isDisposable(name),
		free:       e.lists.isFree(name),
		relay:      isRelay(name),
		meant:      e.lists.meantDomain(name),
	}
	if d.disposable { // no host needs to be asked
		d.resolved = true
		d.path = path{settled: finding{Disposable, DisposableDomain, settle}, expires: time.Now().Add(maxTTL)}
	}
	if before != nil && before.route != nil {
		h := before.route.host
		h.mu.Lock()
		c := &before.catchAll
		d.catchAll = catchAll{state: c.state, until: c.until, probe: c.probe, reason: c.reason, putOff: c.putOff, refusedAt: c.refusedAt, openAt: c.openAt}
		d.catchAll.doubts.takeOver(&c.doubts)
		d.good = before.good
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
			Doubtful:     a.d.isDoubtful(a.finding),
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
