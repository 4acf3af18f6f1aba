package verify

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// How a host's limits move. Sessions grow by one for each round in which all
// went well and are halved when the host turns one away. No more than
// burst + rate sessions begin in any second until the host itself has been
// ending them without complaint.
const (
	firstWindow   = 2
	startBurst    = 3
	startRate     = 2.0 // sessions a second
	minStartRate  = 0.2
	firstChunk    = runMost // recipients in the first pipelined batch
	fullChunk     = 100     // and later (RFC 5321 §4.5.3.1.8 lets every host take that many)
	leastChunk    = 5       // for any host
	lockstepChunk = 20
	maxTries      = 3
	maxRouteScan  = 32
	lockstepFor   = 10 * time.Minute
	lockstepTurn  = 5 * time.Second // a batch without pipelining takes no longer
	avoidFor      = time.Minute     // an address that could not be connected to
)

// host is where limits are kept: one mail server, or one provider with all of
// its servers. It hands out the work of its routes to sessions.
type host struct {
	e        *Engine
	key      string
	provider *provider

	mu       sync.Mutex
	byKey    map[string]*route
	routes   []*route // with work, in turn
	work     int      // pending tasks
	fresh    int      // domains with a recipient that has to be the first of a session
	runners  int      // sessions, also those about to begin
	idlers   []*idler
	window   int // sessions allowed now
	ceiling  int // sessions that were too many, once; 0 = not known
	good     int // batches since the window moved
	starts   *rate.Limiter
	paused   time.Time // no session begins before
	armed    bool      // a timer will call wake
	gaveUp   int       // routes given up in a row
	met      bool      // a session has begun
	spoken   bool      // it has mailboxes, or other words for missing ones than vague ones
	trusted  bool      // its replies to pipelined commands match them
	lockstep time.Time // no pipelining before
	chunk    int       // recipients in a pipelined batch
	limit    int       // recipients in a transaction
	single   bool      // one transaction a session
	heloOnly bool
	plain    bool                     // STARTTLS is offered and broken
	avoid    map[netip.Addr]time.Time // addresses that could not be connected to, and until when to dial others first
	wasted   time.Duration            // spent on slow replies, without a quick batch between

	bearings   memory[remark, bearing]
	perSession int       // recipients that a session takes; 0 = not known
	complaints int       // sessions in a row that began with such a refusal
	opening    remark    // what the first recipients of sessions got, in spite of waits
	openings   int       // how many of them, in a row
	learned    time.Time // when the last of these was

	complained   time.Time     // when it last did
	waits        int           // complaints that lengthen the next wait
	cuts         int           // sessions that it ended before their work was done
	unknownUsers int           // that a session may meet; 0 = not known
	runs         int           // sessions in a row that met unknown users only
	leaving      int           // sessions that end because there are too many
	perReply     time.Duration // what a command takes at a host where each takes time; 0 = it does not
	earned       int           // sessions that may begin at any rate
}

func newHost(e *Engine, key string, p *provider) *host {
	return &host{
		e: e, key: key, provider: p,
		byKey:  make(map[string]*route, 1),
		window: firstWindow,
		starts: rate.NewLimiter(e.cfg.rate(p.startRate()), startBurst),
		chunk:  firstChunk,
		limit:  fullChunk,

		bearings: newMemory[remark, bearing](128),
	}
}

// transaction is one MAIL with the recipients of one domain.
type transaction struct {
	d    *domain
	asks []ask

	probeWanted  bool    // an address accepted earlier waits for the probe
	afterReset   bool    // RSET was sent before MAIL
	refused      bool    // MAIL was
	full         bool    // the host takes no more recipients in it
	limit        int     // how many it took, when full
	heard        int     // recipients answered about themselves
	sessionSpent bool    // the host wants no more of this session
	first        bool    // it begins its session
	check        bool    // the probe is asked for alone, see session.check
	good         Address // a mailbox that the host accepts, for the check
	refusedAt    int     // where the probe stood in the session that refused it for good, for the check
	confirmed    bool    // the host refused the probe, and only it, every time
	wantsTLS     bool    // it insists on STARTTLS
	anyAccepted  bool
	anyPutOff    bool // asked to come back: a probe that is asked so as well now is known when the others do
}

// ask is one recipient of a transaction.
type ask struct {
	task    *task
	probe   bool
	sent    bool
	given   bool // an answer that stands
	nth     int  // of the session's recipients; 0 = the host did not answer
	after   int  // answers about a mailbox that came before it in the session
	finding finding
	reply   reply
	when    time.Time
}

func (a *ask) give(f finding, r reply) {
	a.given, a.finding, a.reply, a.when = true, f, r, time.Now()
}

// answer is a verdict on its way to the caller, outside of any lock.
type answer struct {
	task    *task
	d       *domain
	finding finding
	reply   reply
	mx      string
	when    time.Time
	doubt   bool // it may be about us; see health
}

// enqueue takes in addresses of one domain.
func (h *host) enqueue(d *domain, tasks []*task) {
	var out []answer
	now := time.Now()
	h.mu.Lock()
	if r := d.route; now.Before(r.openUntil) {
		doubt := h.e.smtpHealth.doubtful(now) // what is remembered of it is no new failure
		for _, t := range tasks {
			a := h.failedAnswer(d, t, r.failure, now)
			a.doubt = doubt
			out = append(out, a)
		}
	} else {
		d.pending = append(d.pending, tasks...)
		h.work += len(tasks)
		h.line(d)
		h.wake(now)
	}
	h.mu.Unlock()
	h.e.deliver(out)
}

// line puts a domain with work in its route's queue, and the route in ours.
func (h *host) line(d *domain) {
	r := d.route
	if !d.queued {
		d.queued = true
		r.queue = append(r.queue, d)
	}
	if !r.queued {
		r.queued = true
		h.routes = append(h.routes, r)
	}
}

// lineFirst makes the domain one for which a session is to begin.
func (h *host) lineFirst(d *domain) {
	r := d.route
	if !d.newcomer {
		d.newcomer = true
		r.fresh = append(r.fresh, d)
		h.fresh++
	}
	if !r.queued {
		r.queued = true
		h.routes = append(h.routes, r)
	}
}

// wake begins as many sessions as the work wants and the limits allow.
func (h *host) wake(now time.Time) {
	for len(h.routes) > 0 && h.runners-len(h.idlers) < h.wanted() {
		if h.fresh == 0 && h.callIdler() {
			continue
		}
		if h.runners >= h.window {
			if h.fresh > 0 {
				h.dismissIdler() // a new session is wanted in its place
			}
			return
		}
		if wait := h.startDelay(now); wait > 0 {
			if !h.armed {
				h.armed = true
				time.AfterFunc(wait, h.rewake)
			}
			return
		}
		if !h.e.start(h) {
			return // the engine is closing
		}
		h.runners++
	}
}

func (h *host) rewake() {
	h.mu.Lock()
	h.armed = false
	h.wake(time.Now())
	h.mu.Unlock()
}

// wanted is how many sessions the work can use.
func (h *host) wanted() int {
	if !h.met {
		return 1 // the first session learns what the host is like
	}
	chunk := lockstepChunk
	if h.trusted {
		chunk = h.chunk
	}
	chunk = h.slice(chunk)
	return min(max((h.work+chunk-1)/chunk+h.fresh, 1), h.window)
}

// startDelay is how long the next session has to wait; 0 takes the permission.
func (h *host) startDelay(now time.Time) time.Duration {
	if wait := h.paused.Sub(now); wait > 0 {
		return wait
	}
	h.forgive(now)
	if h.e.cfg.SessionsPerSecond <= 0 && h.mayStart() {
		return 0
	}
	ours := h.starts.ReserveN(now, 1)
	all := h.e.starts.ReserveN(now, 1)
	wait := max(ours.DelayFrom(now), all.DelayFrom(now))
	if wait > 0 {
		ours.CancelAt(now)
		all.CancelAt(now)
	}
	return wait
}

// take hands out the next batch of work that the session can do; a nil session
// can do any. Addresses whose callers have left are dropped on the way.
func (h *host) take(s *session) (batch []*transaction) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.e.closing.Load() {
		return nil
	}
	r := h.pick(s)
	if r == nil {
		return nil
	}
	now := time.Now()
	if s == nil && len(r.fresh) > 0 {
		batch = h.takeFirst(r)
	}
	budget := h.budget(s, now)
	if len(batch) > 0 {
		budget = 0
	}
	for turns := len(r.queue); turns > 0 && budget > 0; turns-- {
		d := r.queue[0]
		r.queue = r.queue[1:]
		d.queued = false
		t := h.fill(d, s, min(budget, h.limit), now)
		if t != nil {
			batch = append(batch, t)
			budget -= len(t.asks)
		}
		if len(d.pending) > 0 || d.catchAll.wanted(now) {
			h.line(d)
		}
		if t != nil && h.single {
			break
		}
	}
	if r.hasWork(nil) && !r.queued {
		h.routes = append(h.routes, r)
		r.queued = true
	}
	h.wake(now)
	for _, t := range batch {
		t.d.asking++
	}
	return batch
}

// budget is how many recipients the session, or a new one, is asked for next.
func (h *host) budget(s *session, now time.Time) int {
	n := lockstepChunk
	if h.pipelines(now) && (s == nil || s.pipelining) {
		n = h.chunk
	}
	if h.perSession > 0 {
		left := h.workPerSession()
		if s != nil {
			left -= s.asked
		}
		n = min(n, left)
	}
	return h.bear(s, h.slice(n))
}

// takeFirst hands out the one recipient that a new session begins with. Others
// of its domain that wait for that wait for its answer: see sort.
func (h *host) takeFirst(r *route) []*transaction {
	for len(r.fresh) > 0 {
		d := r.fresh[0]
		r.fresh = r.fresh[1:]
		d.newcomer = false
		h.fresh--
		c := &d.catchAll
		if c.alone {
			c.alone = false
			if len(c.waiting) > 0 {
				c.asking = true
				return []*transaction{{d: d, first: true, check: true, good: c.waiting[0].task.addr, refusedAt: c.refusedNth, asks: []ask{{task: c.probe, probe: true}}}}
			}
		}
		for len(d.again) > 0 {
			t := d.again[0]
			if d.again = d.again[1:]; !t.call.over.Load() {
				return []*transaction{{d: d, first: true, asks: []ask{{task: t}}}}
			}
		}
	}
	return nil
}

// pick takes the first route that the session serves off the queue.
func (h *host) pick(s *session) *route {
	for i, r := range h.routes {
		if r.hasWork(s) {
			copy(h.routes[1:i+1], h.routes[:i])
			h.routes = h.routes[1:]
			r.queued = false
			return r
		}
		if i == maxRouteScan {
			break
		}
	}
	return nil
}

// fill makes a transaction of up to limit recipients of a domain, for a session or
// a new one.
func (h *host) fill(d *domain, s *session, limit int, now time.Time) *transaction {
	t := &transaction{d: d, probeWanted: len(d.catchAll.waiting) > 0}
	known := d.catchAll.known(now)
	if s != nil && known {
		known = d.catchAll.knownAt(h.placeOf(d, s), now)
	}
	probe := !d.catchAll.asking && !d.catchAll.alone && !known && !(h.provider != nil && h.provider.acceptsAll)
	room := limit
	if probe && (limit > 1 || t.probeWanted) {
		room--
	}
	n := 0
	for _, task := range d.pending {
		if len(t.asks) == room {
			break
		}
		n++
		h.work--
		if !task.call.over.Load() {
			t.asks = append(t.asks, ask{task: task})
		}
	}
	if d.pending = d.pending[n:]; len(d.pending) == 0 {
		d.pending = nil
	}
	if probe && len(t.asks) < limit && (len(t.asks) > 0 || t.probeWanted) {
		d.catchAll.asking = true
		if d.catchAll.probe == nil {
			d.catchAll.probe = &task{addr: Address{probeLocal(h.e.cfg.ProbeSecret, d.name), d.name}, call: h.e.probing}
		}
		at := len(t.asks)
		if t.probeWanted {
			at = 0
		}
		t.asks = slices.Insert(t.asks, at, ask{task: d.catchAll.probe, probe: true})
	}
	if len(t.asks) == 0 {
		return nil
	}
	return t
}

// wanted reports whether addresses wait for a probe that no session is asking.
func (c *catchAll) wanted(now time.Time) bool {
	return len(c.waiting) > 0 && !c.asking && !c.alone && !c.known(now)
}

func (h *host) pipelines(now time.Time) bool { return !now.Before(h.lockstep) }

func (h *host) failedAnswer(d *domain, t *task, f *failure, now time.Time) answer {
	verdict := Unknown
	if f.reason == NoMailHost {
		verdict = Invalid
	}
	return answer{task: t, d: d, finding: finding{verdict, f.reason, settle}, reply: f.reply, mx: f.host, when: now}
}
