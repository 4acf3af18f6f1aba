package verify

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// How an outage is told from a few bad hosts: so many different ones in a row
// have failed, and none has answered for a while. From the third in a row on
// the answers are held back until it is clear whose fault it is.
const (
	doubtAfter   = 3
	outageAfter  = 10
	outagePause  = 30 * time.Second // how long calls are refused after an outage was found
	outageWindow = 3                // connect timeouts without any success
)

// OutageError says that nothing can be verified just now, whoever is asked: our
// port 25 is closed, our address is listed, or DNS is down. It is not about the
// addresses: they are left unanswered, and should be verified again later.
type OutageError struct {
	Reason  Reason    // connect_failed, blocked, sender_refused, dns_error, …
	Hosts   int       // different hosts that failed in a row
	Since   time.Time // the first of them
	Example string    // what one of them said
}

func (e *OutageError) Error() string {
	what := map[Reason]string{
		ConnectFailed: "no mail host can be reached; check that outgoing connections to the SMTP port are allowed",
		Blocked:       "every mail host refuses us; check whether our IP address is on a blocklist",
		SenderRefused: "every mail host refuses our sender; check the From and Helo settings",
		DNSError:      "DNS gives no answers; check the DNS servers",

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
	window time.Duration

	mu      sync.Mutex
	ok      time.Time // the last success; the start of the engine before that
	failing map[string]bool
	since   time.Time
	outage  *OutageError
	until   time.Time // calls are refused before
}

// worked notes a success. It returns true when there had been doubt.
func (h *health) worked(now time.Time) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	doubt := len(h.failing) >= doubtAfter
	h.ok, h.failing, h.outage = now, nil, nil
	return doubt
}

// failed notes that a host gave nothing, and reports whether answers are to be
// held back. A returned outage has just been found.
func (h *health) failed(key string, reason Reason, example string, now time.Time) (doubt bool, found *OutageError) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.failing) == 0 {
		h.failing, h.since = make(map[string]bool), now
	}
	h.failing[key] = true
	if len(h.failing) >= outageAfter && now.Sub(h.ok) > h.window && now.After(h.until) {
		h.outage = &OutageError{Reason: reason, Hosts: len(h.failing), Since: h.since, Example: example}
		h.until = now.Add(outagePause)
		found = h.outage
	}
	return len(h.failing) >= doubtAfter, found
}

// state returns the outage while it lasts. After a pause a call may try again.
func (h *health) state(now time.Time) *OutageError {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.outage == nil || now.After(h.until) {
		return nil
	}
	return h.outage
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
// work: a DNS server answers, and one of the canary domains' mail hosts greets
// us. It returns an *OutageError when not.
func (e *Engine) Preflight(ctx context.Context) error {
	if err := e.Health(); err != nil {
		return err
	}
	if a := e.dns.lookup(ctx, ".", dns.TypeNS); a.status == dnsFailed {
		if err := ctx.Err(); err != nil {
			return err
		}
		if a.silent {
			return &OutageError{Reason: DNSError, Hosts: len(e.cfg.DNSServers), Since: time.Now(), Example: a.why}
		}
	}
	var last error
	for _, domain := range e.cfg.Canaries {
		p := e.dns.pathTo(ctx, domain)
		for _, at := range p.top {
			s, f := e.dial(ctx, at, providerOf(at.name), false, false)
			if f == nil {
				s.quit()
				return nil
			}
			last = f
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if last == nil {
		return nil
	}
	var f *failure
	errors.As(last, &f)
	return &OutageError{Reason: f.reason, Hosts: len(e.cfg.Canaries), Since: time.Now(), Example: f.Error()}
}

// noteHost tells the mail hosts' health what a batch or a lost host has shown,
// and returns whether the answers are in doubt.
func (e *Engine) noteHost(key string, reason Reason, example string) (doubt bool) {
	switch reason {
	case ConnectFailed, Blocked, SenderRefused, ConnectionLost:
	default:
		return false
	}
	doubt, found := e.smtpHealth.failed(key, reason, example, time.Now())
	if found != nil {
		e.abort(found)
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
	doubt, found := e.dnsHealth.failed(name, DNSError, p.why, time.Now())
	if found != nil {
		e.abort(found)
	}
	return doubt
}

// noteAnswer tells it that a host spoke about a mailbox.
func (e *Engine) noteAnswer() {
	if e.smtpHealth.worked(time.Now()) {
		e.release()
	}
}

// abort ends all calls under way: what they still wait for is not to be had.
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
