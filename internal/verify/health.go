package verify

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// How the engine distinguishes an outage of ours from bad hosts. Answers are held back
// from the third failing host in a row on. After ten in a row canaries are asked:
// only when a host that should work fails us too, it is an outage.
const (
	doubtAfter  = 3
	outageAfter = 10
	failureAge  = 2 * time.Minute  // a failure counts no longer
	vouchedFor  = 15 * time.Second // failures are the hosts' own after a canary worked
	outagePause = 30 * time.Second // calls are refused after an outage was found
)

// OutageError says that nothing can be verified now at any host: our
// port 25 is closed, our address is listed, or DNS is down. It is not about the
// addresses: they are left unanswered, and should be verified again later.
type OutageError struct {
	Reason  Reason    // connect_failed, blocked, sender_refused, dns_error, …
	Hosts   int       // different hosts that failed in a row
	Since   time.Time // the first of them
	Example string    // what one of them said

	Sentence string // instead of all that, where no mail host was needed to find out
}

func (e *OutageError) Error() string {
	if e.Sentence != "" {
		return e.Sentence
	}
	what := map[Reason]string{
		ConnectFailed: "no mail host can be reached; check that outgoing connections to the SMTP port are allowed",
		Blocked:       "every mail host refuses us; check whether our IP address is on a blocklist",
		SenderRefused: "every mail host refuses our sender; check the From and Helo settings",
		DNSError:      "DNS gives no answers; check the DNS servers",

		BudgetSpent:    "the budgets of all identities are spent; wait for the next hour or day, or raise them in HOLDFAST_SMTP_IDENTITIES",
		ProviderFailed: "no verification service can be asked; wait until it works again, or raise its spend cap",
	}[e.Reason]
	if what == "" {
		what = fmt.Sprintf("no mail host gives answers (%s)", e.Reason)
	}
	return fmt.Sprintf("%s: %d in a row since %s, the last: %s", what, e.Hosts, e.Since.UTC().Format(time.RFC3339), e.Example)
}

// health watches whether anything works at all. There is one for DNS and one
// for mail hosts.
type health struct {
	mu      sync.Mutex
	ok      time.Time // the last success
	failing map[string]failing
	judging bool      // canaries are being asked
	vouched time.Time // a canary has worked: failures are not in doubt before
	outage  *OutageError
	until   time.Time // calls are refused before
}

// failing is a host that gave nothing when it was last asked.
type failing struct {
	at      time.Time
	reason  Reason
	example string
}

// worked notes a success. It returns true when there had been doubt.
func (h *health) worked(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	doubt := len(h.failing) >= doubtAfter
	h.ok, h.failing, h.outage = now, nil, nil
	return doubt
}

// failed notes that a host gave nothing. It reports whether to hold answers
// back, and whether the caller has to ask the canaries now.
func (h *health) failed(key string, f failing) (doubt, judge bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.at.Before(h.vouched) {
		return false, false
	}
	if h.failing == nil {
		h.failing = make(map[string]failing)
	}
	h.failing[key] = f
	if len(h.failing) >= doubtAfter {
		for key, old := range h.failing {
			if f.at.Sub(old.at) > failureAge {
				delete(h.failing, key)
			}
		}
	}
	if len(h.failing) >= outageAfter && !h.judging && f.at.After(h.until) {
		h.judging, judge = true, true
	}
	return len(h.failing) >= doubtAfter, judge
}

// doubtful reports whether answers are held back.
func (h *health) doubtful(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.failing) >= doubtAfter && !now.Before(h.vouched)
}

// vouch notes that a canary works: what failed has a problem of its own.
func (h *health) vouch(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ok, h.failing, h.outage, h.judging = now, nil, nil, false
	h.until, h.vouched = time.Time{}, now.Add(vouchedFor)
}

// condemn notes that canaries fail too, and returns the outage. why is what one
// of them said, for an outage that no other host has shown.
func (h *health) condemn(why failing) *OutageError {
	h.mu.Lock()
	defer h.mu.Unlock()
	o := &OutageError{Reason: why.reason, Hosts: max(1, len(h.failing)), Since: why.at, Example: why.example}
	count := make(map[Reason]int)
	for _, f := range h.failing {
		if f.at.Before(o.Since) {
			o.Since = f.at
		}
		if count[f.reason]++; count[f.reason] > count[o.Reason] {
			o.Reason, o.Example = f.reason, f.example
		}
	}
	if h.outage != nil {
		o.Since = h.outage.Since
	}
	h.outage, h.until = o, why.at.Add(outagePause)
	return o
}

// judged ends a judgement.
func (h *health) judged() {
	h.mu.Lock()
	h.judging = false
	h.mu.Unlock()
}

// judging reports whether canaries are being asked about answers that are held
// back.
func (e *Engine) judging() bool {
	for _, h := range []*health{&e.dnsHealth, &e.smtpHealth} {
		h.mu.Lock()
		judging := h.judging
		h.mu.Unlock()
		if judging {
			return true
		}
	}
	return false
}

// state returns the outage while calls are refused.
func (h *health) state(now time.Time) *OutageError {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.outage == nil || now.After(h.until) {
		return nil
	}
	return h.outage
}

// standing returns the outage that nothing has ended yet, however old it is.
func (h *health) standing() *OutageError {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.outage
}

// fresh reports whether something worked a moment ago, and nothing is wrong.
func (h *health) fresh(now time.Time, within time.Duration) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.outage == nil && len(h.failing) < doubtAfter && now.Sub(h.ok) < within
}

// Health returns an *OutageError while nothing can be verified, else nil.
func (e *Engine) Health() error {
	now := time.Now()
	if o := e.dnsHealth.state(now); o != nil {
		return o
	}
	if o := e.smtpHealth.state(now); o != nil {
		return o
	}
	return nil
}

// Preflight tells before any address is asked for whether verification can
// work: a DNS server answers, and a mail host that should work greets us and
// takes our sender. It returns an *OutageError when not; when it does not, the
// outage that was known is over.
func (e *Engine) Preflight(ctx context.Context) error {
	select { // those that come together share the answer
	case e.preflight <- struct{}{}:
		defer func() { <-e.preflight }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, h := range []*health{&e.dnsHealth, &e.smtpHealth} {
		if h.fresh(time.Now(), freshFor) {
			continue
		}
		works, why := e.ask(ctx, h)
		if err := ctx.Err(); err != nil {
			return err
		}
		if works == refused {
			o := h.condemn(why)
			e.abort(o)
			return o
		}
		if works == answered || h.standing() != nil {
			h.vouch(time.Now())
			e.release()
		}
	}
	return nil
}

// freshFor is how long after a success no canary is asked before an order.
const freshFor = time.Minute

// judge asks canaries and decides about the answers that are held back.
func (e *Engine) judge(h *health) {
	works, why := e.ask(e.ctx, h)
	if works == refused && e.ctx.Err() == nil {
		e.abort(h.condemn(why))
		h.judged() // not before: what is delivered in between must not be let out
		return
	}
	h.vouch(time.Now()) // what no canary can tell is not ours either; this ends the judgement
	e.release()
}

// noteHost tells the mail hosts' health what a batch, a session that came to nothing
// or a lost host has shown, and returns whether the answers are in doubt.
func (e *Engine) noteHost(key string, reason Reason, example string) (doubt bool) {
	switch reason {
	case ConnectFailed, Blocked, SenderRefused, ConnectionLost, Tarpit:
		return e.noteFailure(&e.smtpHealth, key, reason, example)
	default:
		return false
	}
}

func (e *Engine) noteFailure(h *health, key string, reason Reason, example string) (doubt bool) {
	doubt, judge := h.failed(key, failing{time.Now(), reason, example})
	if judge {
		e.background(func() { e.judge(h) })
	}
	return doubt
}

// noteLookup tells the name servers' health what a lookup has shown.
func (e *Engine) noteLookup(name string, p path) (doubt bool) {
	if p.settled.reason != DNSError || !p.silent {
		if e.dnsHealth.worked(time.Now()) {
			e.release()
		}
		return false
	}
	return e.noteFailure(&e.dnsHealth, name, DNSError, p.why)
}

// noteAnswer tells it that a host spoke about a mailbox.
func (e *Engine) noteAnswer(h *host, at exchanger) {
	now := time.Now()
	e.canaries.worked(h, at, now)
	if e.smtpHealth.worked(now) {
		e.release()
	}
}

// abort ends all calls under way: the answers they still wait for will not come.
func (e *Engine) abort(o *OutageError) {
	e.callsMu.Lock()
	defer e.callsMu.Unlock()
	for c := range e.calls {
		c.abort(o)
	}
}

// release gives the calls the answers that were held back.
func (e *Engine) release() {
	e.callsMu.Lock()
	defer e.callsMu.Unlock()
	for c := range e.calls {
		c.release()
	}
}
