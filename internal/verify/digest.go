package verify

import (
	"errors"
	"slices"
	"time"
)

// digest takes in what a batch brought: answers go out, the rest goes back into
// the queue, and the host's limits learn. again is false when the session has
// to end.
func (h *host) digest(s *session, batch []*transaction, f *failure, pipelined bool) (out []answer, again bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	again = f == nil && now.Before(s.ends)
	if now.Sub(h.learned) > lockstepFor {
		h.bearings, h.perSession, h.complaints, h.openings, h.learned = newMemory[remark, bearing](128), 0, 0, 0, now
	}
	h.returned(batch)
	h.remember(s, batch)
	complained := h.weigh(batch)
	again = again && !complained && !h.spent(s)
	if f != nil {
		s.broken = f.kind != noReset
		h.blame(s, batch, f, pipelined, now)
	}
	progress := false
	for _, t := range batch {
		progress = progress || t.heard > 0 || t.refused
		again = again && !t.sessionSpent
		h.plain = h.plain && !t.wantsTLS
		if t.full {
			h.limit = min(h.limit, max(t.limit, 1))
		}
		out = append(out, h.sort(s, t, now)...)
	}
	h.report(s, batch, out)
	r := s.route
	orderly := f == nil && !complained && !s.complaint
	if h.learnPace(s, f != nil && f.kind != noReset, now) {
		again = false
	}
	switch {
	case f == nil:
		r.failures, h.gaveUp = 0, 0
		if orderly {
			h.grow()
		}
		if pipelined {
			h.trusted = true
			h.chunk = min(2*h.chunk, fullChunk)
		}
		if !again {
			h.chunk = min(h.chunk, max(s.heard, leastChunk)) // it may have had enough of so many
			if orderly && !h.overdone(s) {
				h.hurry()
			}
		}
	case f.kind == noReset:
		h.single = true
		h.hurry()
	case progress || s.heard > 0:
		r.failures, h.gaveUp = 0, 0
	case s.rested:
		// It had left while we rested: nothing has been learned.
	case pipelined && f.kind != turnedAway:
		// It could not take the commands together; the next session goes step by step.
	default:
		out = append(out, h.trouble(r, f, now)...)
	}
	s.rested = false
	out = append(out, h.timeWasted(s, now)...)
	return out, again && f == nil
}

// timeWasted counts the time that sessions spend with a host that answers
// slowly, and gives it up when that has gone on for too long. A single quick
// batch makes good for all.
func (h *host) timeWasted(s *session, now time.Time) []answer {
	if s.slowest <= h.e.cfg.SlowReply {
		h.wasted = 0
		return nil
	}
	s.slowest = 0
	h.wasted += now.Sub(s.batchBegan) / time.Duration(max(1, h.runners-len(h.idlers)))
	if h.wasted <= h.e.cfg.Patience {
		return nil
	}
	h.wasted = 0
	return h.giveUp(s.route, &failure{reason: Tarpit, kind: timedOut, host: s.at.name, err: errTooSlow}, now)
}

var errTooSlow = errors.New("it answers too slowly")

// report tells the engine's health what the batch has shown.
func (h *host) report(s *session, batch []*transaction, out []answer) {
	for _, t := range batch {
		if t.heard > 0 {
			h.e.noteAnswer(h, s.at)
			return
		}
	}
	for i := range out {
		out[i].doubt = h.e.noteHost(h.key, out[i].finding.reason, out[i].reply.text)
	}
}

// blame finds what ended the session. Without pipelining it is the recipient
// that was being asked for; with it that is unknown, and the next sessions go
// step by step to find out.
func (h *host) blame(s *session, batch []*transaction, f *failure, pipelined bool, now time.Time) {
	if f.kind == turnedAway || f.kind == noReset {
		return
	}
	if pipelined {
		h.lockstep = now.Add(lockstepFor)
		return
	}
	for _, t := range batch {
		for i := range t.asks {
			if a := &t.asks[i]; a.sent && !a.given {
				if s.heard > 0 {
					return // it may be the session that was too long
				}
				if a.task.tries++; a.task.tries >= maxTries {
					a.give(finding{Unknown, f.reason, settle}, f.reply)
				}
				return
			}
		}
	}
}

// sort brings every recipient of a transaction to its place: answered, parked
// until the domain's probe is answered, or back in the queue.
func (h *host) sort(s *session, t *transaction, now time.Time) (out []answer) {
	d := t.d
	c := &d.catchAll
	if t.first {
		d.pending = append(d.again, d.pending...)
		h.work += len(d.again)
		d.again = nil
	}
	var probe *ask
	for i := range t.asks {
		a := &t.asks[i]
		c.note(a, now)
		switch {
		case a.probe:
			probe = a
		case !a.given && a.task.suspect != nil:
			d.again = append(d.again, a.task)
			h.lineFirst(d)
		case !a.given:
			if t.wantsTLS {
				a.task.tries++
			}
			d.pending = append(d.pending, a.task)
			h.work++
		case a.finding.verdict == Valid:
			c.waiting = append(c.waiting, parked{a.task, a.finding, a.reply, s.at, a.when})
		case a.finding.next == perhaps:
			c.vague = append(c.vague, parked{a.task, a.finding, a.reply, s.at, a.when})
		default:
			out = append(out, answer{task: a.task, d: d, finding: a.finding, reply: a.reply, mx: d.nameFor(s.at), when: a.when})
		}
	}
	if probe != nil {
		h.probed(t, probe, s, now)
	}
	if h.provider != nil && h.provider.acceptsAll {
		c.state, c.until = acceptsAll, now.Add(h.e.cfg.CatchAllTTL)
	}
	if len(c.waiting) > 0 && c.known(now) {
		out = append(out, h.settle(d, now)...)
	}
	out = append(out, h.settleVague(d)...)
	if len(d.pending) > 0 || c.wanted(now) {
		h.line(d)
	}
	return out
}

// returned notes that no session has the transactions any more.
func (h *host) returned(batch []*transaction) {
	for _, t := range batch {
		t.d.asking--
	}
}

// settleVague asks again for addresses that were refused in vague words, where the
// host has said more since, see session.confirm. Where nothing else is to come from
// it, the words stand.
func (h *host) settleVague(d *domain) (out []answer) {
	c := &d.catchAll
	switch {
	case h.spoken:
		for _, p := range c.vague {
			if p.task.unproven++; p.task.unproven >= maxTries {
				out = append(out, d.unpark([]parked{p}, &finding{Unknown, Policy, settle})...)
				continue
			}
			d.pending = append(d.pending, p.task)
			h.work++
		}
	case d.asking+len(d.pending)+len(d.again) > 0:
		return nil
	default:
		out = d.unpark(c.vague, nil)
	}
	c.vague = nil
	return out
}

// settle answers for accepted addresses of a domain whose probe has been
// answered. Those that another of its mail hosts accepted are asked for again:
// what the probe got there is not known.
func (h *host) settle(d *domain, now time.Time) (out []answer) {
	c := &d.catchAll
	for _, p := range c.waiting {
		place := h.placeName(d, p.at)
		if !c.knownAt(place, now) && p.task.unproven < maxTries-1 {
			p.task.unproven++
			d.pending = append(d.pending, p.task)
			h.work++
			continue
		}
		out = append(out, answer{task: p.task, d: d, finding: c.verdict(p, place), reply: p.reply, mx: d.nameFor(p.at), when: p.when})
	}
	c.waiting = nil
	return out
}

// unpark answers for addresses with their own finding, or with another one.
func (d *domain) unpark(list []parked, instead *finding) (out []answer) {
	for _, p := range list {
		a := answer{task: p.task, d: d, finding: p.finding, reply: p.reply, mx: d.nameFor(p.at), when: p.when}
		if instead != nil {
			a.finding = *instead
		}
		out = append(out, a)
	}
	return out
}

// placeOf is the mail host of the domain that a session is with. A provider's
// hosts are one.
func (h *host) placeOf(d *domain, s *session) string { return h.placeName(d, s.at) }

func (h *host) placeName(d *domain, at exchanger) string {
	if h.provider != nil {
		return h.provider.name
	}
	return d.nameFor(at)
}

// probed takes in the answer to the probe. One that does not say whether the
// mailbox exists may come from a limit that others have used up: where it
// matters, the probe is asked for again, alone.
func (h *host) probed(t *transaction, a *ask, s *session, now time.Time) {
	c := &t.d.catchAll
	c.asking = false
	if !a.given {
		if t.check {
			h.checkFirst(t.d)
		}
		return
	}
	a.task.tries = 0
	open := a.nth > 0 && !a.finding.aboutMailbox() && a.finding.next != putOff && (a.finding.open() || a.after > 0)
	switch {
	case !open || t.check || c.known(now):
		c.answered(t, a, h.placeOf(t.d, s), &h.e.cfg, now)
		if s.atBackup() && c.state == acceptsAll { // the domain's own host may know better once it can be reached
			c.state, c.until = undecided, now.Add(h.e.cfg.BreakerPause)
		}
	case len(c.waiting) > 0:
		if c.refusedNth = 0; a.reply.class() == 5 {
			c.refusedNth = a.nth
		}
		h.checkFirst(t.d)
	}
}

// checkFirst has the domain's probe asked for as the first of a session.
func (h *host) checkFirst(d *domain) {
	d.catchAll.alone = true
	h.lineFirst(d)
}

// grow allows one session more after a window's worth of batches.
func (h *host) grow() {
	if h.good++; h.good < h.window {
		return
	}
	h.good = 0
	most := h.usual()
	if h.ceiling > 0 {
		most = min(most, h.ceiling)
	}
	h.window = max(h.window, min(h.window+1, most))
}

// notConnected puts the work of a session that could not begin back, and
// decides whether the host has too many of us or is in trouble.
func (h *host) notConnected(batch []*transaction, f *failure) (out []answer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.returned(batch)
	r := batch[0].d.route
	for _, t := range batch {
		for i := range t.asks {
			if a := &t.asks[i]; t.check {
				t.d.catchAll.asking = false
				h.checkFirst(t.d)
			} else if a.probe {
				t.d.catchAll.asking = false
			} else if a.task.suspect != nil {
				t.d.again = append(t.d.again, a.task)
				h.lineFirst(t.d)
			} else {
				t.d.pending = append(t.d.pending, a.task)
				h.work++
			}
		}
		if len(t.d.pending) > 0 || t.d.catchAll.wanted(now) {
			h.line(t.d)
		}
	}
	if r.connected > 0 || f.complaint {
		h.slower(now)
	}
	if r.connected > 0 {
		r.failure = f
		return nil
	}
	return h.trouble(r, f, now)
}

// trouble counts a session that came to nothing, and lets the host rest or
// gives it up.
func (h *host) trouble(r *route, f *failure, now time.Time) []answer {
	r.failures++
	r.failure = f
	patience := 3
	switch {
	case r.met:
		patience = 6 // it has talked to us: the fault may pass
	case f.kind == turnedAway && f.reply.class() == 5 && f.next == settle, f.reason == NeedsTLS:
		patience = 1 // it said no, for good
	case f.kind == timedOut || isTimeout(f.err):
		patience = 1
	case f.kind == unreachable:
		patience = 2
	}
	if r.failures < patience {
		h.e.noteHost(h.key, f.reason, f.Error()) // the fault of this host may pass; that of all hosts is ours
		wait := h.e.cfg.Backoff << (r.failures - 1)
		if now.Add(wait).After(h.paused) {
			h.paused = now.Add(wait)
		}
		if r.met {
			h.starts.SetLimit(max(h.starts.Limit()/2, h.e.cfg.rate(minStartRate)))
			h.starts.SetBurst(1)
			h.window, h.ceiling = 1, max(1, h.ceiling)
		}
		return nil
	}
	return h.giveUp(r, f, now)
}

// giveUp answers for everybody who waits for the route, and for those who come
// while its breaker is open.
func (h *host) giveUp(r *route, f *failure, now time.Time) (out []answer) {
	r.failures = max(0, r.failures-1) // half open afterwards: one more failure opens it again
	r.openUntil = now.Add(h.e.cfg.BreakerPause)
	r.failure = f
	h.gaveUp++
	for _, d := range r.drain() {
		h.work -= len(d.pending)
		for _, t := range slices.Concat(d.pending, d.again) {
			if !t.call.over.Load() {
				out = append(out, h.failedAnswer(d, t, f, now))
			}
		}
		d.pending, d.again = nil, nil
		if d.catchAll.alone = false; d.newcomer {
			d.newcomer = false
			h.fresh--
		}
		out = append(out, d.unpark(d.catchAll.waiting, &finding{Unknown, CatchAllUnknown, settle})...)
		out = append(out, d.unpark(d.catchAll.vague, &finding{Unknown, f.reason, settle})...)
		d.catchAll.waiting, d.catchAll.vague = nil, nil
	}
	if doubt := h.e.noteHost(h.key, f.reason, f.Error()); doubt {
		for i := range out {
			out[i].doubt = true
		}
	}
	return out
}
