package verify

import (
	"iter"
	"strings"
	"time"
)

// evidence is what a session asks again after a batch, to find out what answers of
// the batch mean.
type evidence struct {
	tasks    []*task // in their order
	limit    int     // of tasks in a transaction
	vague    []second
	unproven []*ask // accepted, after others were refused as unknown
	sentinel bool   // the last of the tasks is a mailbox that does not exist
	gaveIn   bool   // the host accepts it now
}

// second is a refusal in vague words. Its address is asked for again between two
// requests for a mailbox that the host has accepted: the tasks with these indexes.
type second struct {
	t                    *transaction
	a                    *ask
	alone                bool // there is no such mailbox
	before, again, after int
}

// confirm asks again, in the same session, for what the host's words or the order
// of its answers leave open.
//
// Words that perhaps speak of the mailbox do so only when the host says them again
// between acceptances of another one. A limit, of the session, of our address or of
// a time, does not go on and off that way. Where the host has said nothing else yet,
// the words alone decide, and the verdict is doubtful.
//
// Some hosts accept everyone after some unknown users. Acceptances after the last
// refusal count only when the host refuses an unknown user after them, too.
func (s *session) confirm(batch []*transaction, pipelined, fence bool) (f *failure) {
	h := s.route.host
	e := h.evidenceFor(s, batch)
	if len(e.vague) == 0 && len(e.unproven) == 0 {
		return nil
	}
	if s.complaint { // it is asked no more
		h.leaveOpen(s, batch)
		return nil
	}
	list := pack(e.tasks, e.limit)
	if len(list) > 0 {
		f = s.converse(list, pipelined, fence)
	}
	var asks []*ask
	for _, t := range list {
		for i := range t.asks {
			asks = append(asks, &t.asks[i])
		}
	}
	h.weighEvidence(s, &e, asks, f)
	if e.gaveIn {
		batch[0].sessionSpent = true
	}
	return f
}

// pack makes transactions of tasks in their order, each for one domain.
func pack(tasks []*task, limit int) (list []*transaction) {
	for i, to := range tasks {
		if last := len(list) - 1; i > 0 && to.addr.Domain == tasks[i-1].addr.Domain && len(list[last].asks) < limit {
			list[last].asks = append(list[last].asks, ask{task: to})
			continue
		}
		list = append(list, &transaction{asks: []ask{{task: to}}})
	}
	return list
}

// evidenceFor finds what of a batch has to be asked again.
func (h *host) evidenceFor(s *session, batch []*transaction) (e evidence) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	e.limit = h.limit
	good, unknown := s.route.good, s.route.unknown
	for t, a := range answers(batch) {
		h.spoken = h.spoken || a.speaksPlainly()
		switch {
		case a.finding.verdict == Valid:
			if !isExempt(a.task.addr) {
				good, t.good = a.task.addr, a.task.addr
			}
			if c := &t.d.catchAll; unknown != (Address{}) && (!c.known(now) || c.state == selective) {
				e.unproven = append(e.unproven, a)
			}
		case a.reply.class() == 5 && (a.finding.isNoSuchUser() || a.finding.open()):
			e.unproven = nil
			if a.finding.isNoSuchUser() || unknown == (Address{}) {
				unknown = a.task.addr
			}
		}
	}
	if h.spoken {
		for _, t := range batch {
			e.addVague(t, good, h.e.probing)
		}
	}
	if h.single || h.perSession == 1 && s.asked == 1 { // the session takes no more
		e.tasks, e.unproven = nil, nil
	}
	if e.sentinel = len(e.unproven) > 0; e.sentinel {
		e.tasks = append(e.tasks, &task{addr: unknown, call: h.e.probing})
	}
	return e
}

// addVague adds the vague refusals of a transaction. good is a mailbox that the host
// has accepted, of another domain perhaps.
func (e *evidence) addVague(t *transaction, good Address, call *call) {
	switch {
	case t.good != (Address{}):
		good = t.good
	case t.d.good != (Address{}):
		good = t.d.good
	}
	control := &task{addr: good, call: call}
	first := len(e.tasks)
	for i := range t.asks {
		a := &t.asks[i]
		if a.probe || !a.given || a.finding.next != perhaps {
			continue
		}
		v := second{t: t, a: a, alone: good == Address{}}
		if !v.alone {
			if len(e.tasks) == first {
				e.tasks = append(e.tasks, control)
			}
			v.before, v.again = first, len(e.tasks)
			e.tasks = append(e.tasks, &task{addr: a.task.addr, call: call})
		}
		e.vague = append(e.vague, v)
	}
	if len(e.tasks) == first {
		return
	}
	for i := range e.vague {
		if v := &e.vague[i]; v.t == t {
			v.after = len(e.tasks)
		}
	}
	e.tasks = append(e.tasks, control)
}

// weighEvidence gives the answers of the batch the meaning that the evidence has
// shown: asks are the tasks of e, as far as the session could ask for them.
func (h *host) weighEvidence(s *session, e *evidence, asks []*ask, f *failure) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, v := range e.vague {
		a, asked, between := v.a, f == nil && len(asks) > 0, false
		if asked && !v.alone {
			before, again, after := asks[v.before], asks[v.again], asks[v.after]
			h.forgetGood(s, v.t.d, before)
			between = before.finding.verdict == Valid && after.finding.verdict == Valid
			if between && again.saysAgain(a) {
				a.finding.next = settle
				continue
			}
			if between && again.finding.verdict == Valid && s.route.unknown == (Address{}) {
				s.route.unknown = a.task.addr // the host has given in to who asked twice
			}
		}
		said := remarkOf(a.reply, a.task.addr)
		if known, _ := h.bearings.get(said); v.alone || asked && (a.nth == 1 || known == constant) || a.task.tries >= maxTries {
			a.finding = finding{Unknown, Policy, settle}
			continue
		}
		a.task.tries++
		if a.given, v.t.sessionSpent = false, true; !between {
			a.task.suspect = &suspicion{said, a.nth - 1}
		}
	}
	switch last := len(asks) - 1; {
	case !e.sentinel:
	case f != nil:
		e.takeBack(true, false)
	case asks[last].finding.verdict == Valid:
		if s.unknownUsers > 0 { // another session may do better with fewer of them
			h.unknownUsers = s.unknownUsers
		}
		e.gaveIn, s.route.unknown = true, asks[last].task.addr
		e.takeBack(s.unknownUsers > 0, true)
	}
}

// leaveOpen takes acceptances back that the session cannot ask about any more.
func (h *host) leaveOpen(s *session, batch []*transaction) {
	e := h.evidenceFor(s, batch)
	h.mu.Lock()
	defer h.mu.Unlock()
	e.takeBack(true, false)
}

// takeBack has acceptances that nothing has proved asked for in another session, as far
// as there is hope. Where the host has given in, they are unknown in the end.
func (e *evidence) takeBack(again, gaveIn bool) {
	for _, a := range e.unproven {
		a.task.unproven++
		switch {
		case again && a.task.unproven < maxTries:
			a.given = false
		case !gaveIn: // the host ends every session here
		case a.probe:
			a.finding, a.task.unproven = finding{Unknown, Policy, settle}, 0
		default:
			a.finding = finding{Unknown, CatchAllUnknown, settle}
		}
	}
}

// speaksPlainly reports whether the host's words for missing mailboxes are others
// than vague ones, or it has mailboxes.
func (a *ask) speaksPlainly() bool {
	return a.finding.aboutMailbox() || a.finding.next == unclear && a.reply.class() == 5
}

// isExempt reports whether hosts accept an address from everybody, also where they refuse
// others (RFC 5321 §4.5.1, RFC 2142).
func isExempt(to Address) bool {
	return strings.EqualFold(to.Local, "postmaster") || strings.EqualFold(to.Local, "abuse")
}

// saysAgain reports whether the second answer is a refusal as the first one was.
func (a *ask) saysAgain(first *ask) bool {
	return a.given && (a.finding.isNoSuchUser() ||
		a.finding.next == perhaps && remarkOf(a.reply, a.task.addr) == remarkOf(first.reply, first.task.addr))
}

// forgetGood forgets a mailbox that the host does not accept any more.
func (h *host) forgetGood(s *session, d *domain, a *ask) {
	if !a.finding.aboutMailbox() || a.finding.verdict == Valid {
		return
	}
	if d.good == a.task.addr {
		d.good = Address{}
	}
	if s.route.good == a.task.addr {
		s.route.good = Address{}
	}
}

// remember keeps what the host said of mailboxes, to ask for them again.
func (h *host) remember(s *session, batch []*transaction) {
	for t, a := range answers(batch) {
		h.spoken = h.spoken || a.speaksPlainly()
		switch {
		case a.finding.verdict == Valid && !isExempt(a.task.addr):
			t.d.good, s.route.good = a.task.addr, a.task.addr
		case a.reply.class() == 5 && (a.finding.isNoSuchUser() || a.nth == 1 && a.finding.open()):
			if a.probe || s.route.unknown == (Address{}) {
				s.route.unknown = a.task.addr
			}
		}
	}
}

// answers are what the host said of the recipients of a batch, in their order.
func answers(batch []*transaction) iter.Seq2[*transaction, *ask] {
	return func(yield func(*transaction, *ask) bool) {
		for _, t := range batch {
			for i := range t.asks {
				if a := &t.asks[i]; a.given && a.nth > 0 && !yield(t, a) {
					return
				}
			}
		}
	}
}
