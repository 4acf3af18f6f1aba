package verify

import (
	"errors"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// idler is a session that waits for more work.
type idler struct {
	call    chan bool // true: there is work; false: leave
	claimed atomic.Bool
}

// dismissIdler ends a session that is open and idle.
func (h *host) dismissIdler() {
	for _, i := range h.idlers {
		if i.claimed.CompareAndSwap(false, true) {
			i.call <- false
			return
		}
	}
}

// callIdler gives the work to a session that is open and idle.
func (h *host) callIdler() bool {
	for len(h.idlers) > 0 {
		i := h.idlers[len(h.idlers)-1]
		h.idlers = h.idlers[:len(h.idlers)-1]
		if i.claimed.CompareAndSwap(false, true) {
			i.call <- true
			return true
		}
	}
	return false
}

// run is the life of one session of the host: connect, work while there is
// work, rest a while, leave politely.
func (h *host) run() {
	slot := slot{e: h.e}
	var s *session
	for {
		batch := h.take(s)
		if batch == nil {
			if s == nil || !h.rest(s) {
				break
			}
			continue
		}
		slot.busy()
		if s == nil {
			var f *failure
			if s, f = h.connect(batch[0].d.route); f != nil {
				slot.ready()
				h.e.deliver(h.notConnected(batch, f))
				break
			}
		}
		pipelined, fence := h.manner()
		var f *failure
		if batch[0].check {
			f = s.check(batch[0])
		} else {
			f = s.converse(batch, pipelined, fence)
		}
		if f == nil {
			f = s.confirm(batch, pipelined, fence)
		} else if f.kind != noReset {
			h.leaveOpen(s, batch)
		}
		slot.ready()
		out, again := h.digest(s, batch, f, pipelined && s.pipelining)
		h.e.deliver(out)
		if !again {
			break
		}
	}
	h.leave(s, &slot)
}

func (h *host) manner() (pipelined, fence bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pipelines(time.Now()), !h.trusted
}

// leave ends the session. The host counts it until it is closed, and so do we;
// the engine's slot is free before the farewell.
func (h *host) leave(s *session, slot *slot) {
	slot.release()
	if s != nil {
		if s.broken {
			s.close()
		} else {
			s.quit()
		}
	}
	h.mu.Lock()
	h.runners--
	if s != nil {
		if s.leaving {
			h.leaving--
		}
		s.route.connected--
	}
	h.wake(time.Now())
	h.mu.Unlock()
	h.e.sessions.Done()
}

// rest keeps the session open for a while. It returns true when there is work
// again.
func (h *host) rest(s *session) bool {
	i := &idler{call: make(chan bool, 1)}
	h.mu.Lock()
	if h.e.closing.Load() || time.Now().After(s.ends) || h.single || h.spent(s) || h.fresh > 0 && h.runners >= h.window {
		h.mu.Unlock()
		return false
	}
	if h.hasWorkFor(s) {
		h.mu.Unlock()
		return true
	}
	h.idlers = append(h.idlers, i)
	h.mu.Unlock()
	if !h.e.addIdler(i) {
		i.claimed.Store(true)
		h.dropIdler(i)
		return false
	}
	timer := time.NewTimer(h.e.cfg.IdleTimeout)
	defer timer.Stop()
	select {
	case work := <-i.call:
		if !work {
			h.dropIdler(i)
		}
		s.rested = true
		return work
	case <-timer.C:
		if i.claimed.CompareAndSwap(false, true) {
			h.dropIdler(i)
			return false
		}
		s.rested = true
		work := <-i.call
		if !work {
			h.dropIdler(i)
		}
		return work
	}
}

// hasWorkFor reports whether there is work for the session.
func (h *host) hasWorkFor(s *session) bool {
	for i, r := range h.routes {
		if r.hasWork(s) {
			return true
		}
		if i == maxRouteScan {
			break
		}
	}
	return false
}

func (h *host) dropIdler(i *idler) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for k, x := range h.idlers {
		if x == i {
			h.idlers = append(h.idlers[:k], h.idlers[k+1:]...)
			return
		}
	}
}

// connect begins a session with the best host of the route that answers
// (RFC 5321 §5.1): by preference, and by turns among equals. Addresses that
// could not be reached a moment ago are tried only when there are no others.
func (h *host) connect(r *route) (*session, *failure) {
	avoided := h.avoided()
	var later []exchanger
	var last failures
	try := func(list []exchanger) *session {
		for _, at := range list {
			s, f := h.connectTo(r, at)
			if f == nil {
				return s
			}
			last.add(f)
		}
		return nil
	}
	for level := r.path.first; level < len(r.path.levels); level++ {
		var now []exchanger
		list, complete := h.addressesOf(r, level)
		if !complete {
			last.add(&failure{reason: DNSError, kind: unreachable, host: r.path.levels[level][0], err: errNotAllKnown})
		}
		for _, at := range list {
			if avoided[at.addr] {
				later = append(later, at)
			} else {
				now = append(now, at)
			}
		}
		if s := try(now); s != nil {
			return s, nil
		}
	}
	if last.other == nil {
		if s := try(later); s != nil {
			return s, nil
		}
	}
	return nil, last.failure()
}

var errNotAllKnown = errors.New("not all of its mail hosts can be looked up")

// failures are those of the hosts that were tried for one session.
type failures struct{ noMail, other *failure }

// add notes a failure; one of a host that was reached counts more.
func (f *failures) add(next *failure) {
	switch {
	case next.reason == NoMailHost:
		f.noMail = next
	case f.other == nil || next.kind != unreachable:
		f.other = next
	}
}

// failure is what counts of them. That a host takes no mail settles it only
// where there is no other (RFC 7504 §3).
func (f *failures) failure() *failure {
	if f.other != nil {
		return f.other
	}
	return f.noMail
}

// addressesOf returns the addresses of an MX level, another one first each time,
// and whether these are all.
func (h *host) addressesOf(r *route, level int) (list []exchanger, complete bool) {
	list, complete = r.path.top, !r.path.partial
	if level > r.path.first {
		list = nil
		for _, name := range r.path.levels[level] {
			a := h.e.dns.addresses(h.e.ctx, name)
			list = append(list, h.e.dns.exchangers(name, a.addrs)...)
			complete = complete && a.status != dnsFailed
		}
	}
	if len(list) < 2 {
		return list, complete
	}
	turn := int(h.e.turn.Add(1)) % len(list)
	return slices.Concat(list[turn:], list[:turn]), complete
}

// avoided returns the addresses that were unreachable a moment ago.
func (h *host) avoided() map[netip.Addr]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	var list map[netip.Addr]bool
	for addr, until := range h.avoid {
		if now.After(until) {
			delete(h.avoid, addr)
			continue
		}
		if list == nil {
			list = make(map[netip.Addr]bool)
		}
		list[addr] = true
	}
	return list
}

// connectTo tries one address, a second time where the first try showed that
// the host wants HELO or has a broken STARTTLS.
func (h *host) connectTo(r *route, at exchanger) (*session, *failure) {
	for {
		h.mu.Lock()
		heloOnly, useTLS := h.heloOnly, h.e.cfg.TLS != TLSNever && !h.plain
		h.mu.Unlock()
		s, f := h.e.dial(h.e.ctx, at, h.provider, useTLS, heloOnly)
		h.mu.Lock()
		switch {
		case f == nil:
			s.route = r
			r.connected++
			r.met, h.met = true, true
			h.mu.Unlock()
			return s, nil
		case f.atEHLO && f.kind == dropped && !heloOnly:
			h.heloOnly = true
		case f.reason == NeedsTLS && useTLS && h.e.cfg.TLS != TLSRequired:
			h.plain = true
		default:
			if f.kind == unreachable {
				if h.avoid == nil {
					h.avoid = make(map[netip.Addr]time.Time)
				}
				h.avoid[at.addr] = time.Now().Add(avoidFor)
			}
			h.mu.Unlock()
			return nil, f
		}
		h.mu.Unlock()
	}
}
