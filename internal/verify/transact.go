package verify

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// converse asks for every recipient of the transactions, as far as the host
// lets it. It returns nil when the session can go on, or why it ended; what
// was answered until then stays in the transactions.
func (s *session) converse(batch []*transaction, pipelined, fence bool) *failure {
	s.batchBegan, s.slowest, s.separate, s.waited = time.Now(), 0, 0, 0
	if pipelined && s.pipelining {
		return s.pipeline(batch, fence)
	}
	for _, t := range batch {
		if f := s.lockstep(t); f != nil {
			return f
		}
	}
	return nil
}

// lockstep sends a command only after the reply to the one before. Every answer
// counts as soon as it is there.
func (s *session) lockstep(t *transaction) *failure {
	if ok, f := s.begin(t); !ok {
		return f
	}
	for i := range t.asks {
		a := &t.asks[i]
		if a.probe && !t.anyAccepted && !t.probeWanted && !t.anyPutOff {
			continue // no address was accepted, so the domain's answer for impossible mailboxes is not needed
		}
		if a.given || !s.canSend(a) {
			continue
		}
		if t.full || s.complaint || time.Since(s.batchBegan) > lockstepTurn {
			return nil
		}
		if f := s.ask(t, a); f != nil {
			return f
		}
	}
	return nil
}

// begin says MAIL, and RSET before it where there was one already. It reports
// whether recipients can be asked for.
func (s *session) begin(t *transaction) (ok bool, f *failure) {
	if s.inTransaction {
		r, f := s.command("RSET")
		if f != nil {
			return false, f
		}
		if r.code == 421 {
			return false, s.refused(atMail, r)
		}
		if r.class() != 2 {
			return false, s.noReset(r)
		}
		s.inTransaction = false
	}
	r, f := s.oneReply(s.mailCommand(t))
	if f != nil {
		return false, f
	}
	if r.code == 421 {
		return false, s.refused(atMail, r)
	}
	return s.mailAnswered(t, r), nil
}

// ask says RCPT for one recipient and notes the reply.
func (s *session) ask(t *transaction, a *ask) *failure {
	r, f := s.rcpt(a.task.addr)
	if f != nil {
		return f
	}
	return s.rcptAnswered(t, a, r)
}

func (s *session) rcpt(to Address) (reply, *failure) {
	s.e.stats.recipients.Add(1)
	return s.oneReply("RCPT TO:<" + to.String() + ">")
}

// oneReply sends a command whose reply has to be the only one.
func (s *session) oneReply(line string) (reply, *failure) {
	r, f := s.command(line)
	if f == nil {
		f = s.onlyOne()
	}
	return r, f
}

// onlyOne fails when more than the one reply that was due has come: then it is
// unknown which of them belongs to the command.
func (s *session) onlyOne() *failure {
	if s.in.Buffered() == 0 {
		return nil
	}
	if next, err := s.in.Peek(min(4, s.in.Buffered())); err == nil && strings.HasPrefix(string(next), "421") {
		return nil
	}
	return s.failed(desynced, errors.New("it sent more replies than it got commands"))
}

// pipeline sends all commands of the batch at once (RFC 2920). The answers count
// only when every reply has come and nothing more: a host that loses or adds
// one shifts all the others.
//
// With a fence the batch ends in an EHLO, which resets the session like RSET
// (RFC 5321 §4.1.4) and whose reply cannot be taken for another's: the first
// batch on a host shows this way whether it keeps count.
func (s *session) pipeline(batch []*transaction, fence bool) *failure {
	var replies []reply
	want := 0
	for _, t := range batch {
		if t.afterReset = s.inTransaction; t.afterReset {
			s.queue("RSET")
			want++
		}
		s.queue(s.mailCommand(t))
		want++
		s.inTransaction = true
		for i := range t.asks {
			if a := &t.asks[i]; !a.given && s.canSend(a) {
				s.queue("RCPT TO:<" + a.task.addr.String() + ">")
				s.e.stats.recipients.Add(1)
				want++
			}
		}
	}
	if fence {
		s.queue("EHLO " + s.e.cfg.Helo)
		want++
	}
	if f := s.flush(); f != nil {
		return f
	}
	for len(replies) < want {
		r, f := s.read()
		if f != nil {
			return f
		}
		replies = append(replies, r)
		if r.code == 421 { // the last word; what came before it was in order
			break
		}
	}
	if f := s.onlyOne(); f != nil {
		return f
	}
	hungUp := replies[len(replies)-1].code == 421
	if fence && !hungUp {
		last := replies[len(replies)-1]
		if !slices.Equal(last.lines, s.hello.lines) && last.code != 503 {
			return s.failed(desynced, errors.New("its replies to pipelined commands do not match them"))
		}
		defer func() { s.inTransaction = false }()
	}
	return s.deal(batch, replies)
}

// deal gives the replies of a pipelined batch to the commands they answer.
func (s *session) deal(batch []*transaction, replies []reply) *failure {
	take := func() (r reply, f *failure) {
		r, replies = replies[0], replies[1:]
		if r.code == 421 {
			return r, s.refused(atRcpt, r)
		}
		return r, nil
	}
	for _, t := range batch {
		if t.afterReset {
			r, f := take()
			if f != nil {
				return f
			}
			if r.class() != 2 {
				return s.noReset(r)
			}
		}
		r, f := take()
		if f != nil {
			return f
		}
		ok := s.mailAnswered(t, r)
		for i := range t.asks {
			a := &t.asks[i]
			if !a.sent {
				continue
			}
			r, f := take()
			if f != nil {
				return f
			}
			if !ok || a.given {
				continue // refused together with MAIL
			}
			if f := s.rcptAnswered(t, a, r); f != nil {
				return f
			}
		}
	}
	return nil
}

// mailCommand begins a transaction. The null sender would be refused by many,
// so it is a real one.
func (s *session) mailCommand(t *transaction) string {
	s.e.stats.transactions.Add(1)
	line := "MAIL FROM:<" + s.e.cfg.From + ">"
	if s.utf8 && slices.ContainsFunc(t.asks, func(a ask) bool { return a.task.addr.EAI() }) {
		line += " SMTPUTF8" // RFC 6531 §3.4
	}
	return line
}

// canSend reports whether the host can be asked for the recipient at all, and
// settles it when not.
func (s *session) canSend(a *ask) bool {
	if a.task.addr.EAI() && !s.utf8 {
		a.give(finding{Unknown, NeedsSMTPUTF8, settle}, reply{})
		return false
	}
	a.sent = true
	return true
}

// mailAnswered notes the reply to MAIL and reports whether it was a yes.
func (s *session) mailAnswered(t *transaction, r reply) bool {
	found := s.e.classifier.classify(atMail, r, s.provider, Address{})
	s.heed(atMail, found, r, Address{})
	if found.verdict == Valid {
		s.inTransaction = true
		s.transactions++
		return true
	}
	t.refused = true
	if found.next == nextSession && s.transactions > 0 {
		t.sessionSpent = true // it took MAIL before: this session has had its fill
		return false
	}
	if found.reason == NeedsTLS && s.couldEncrypt() && t.asks[0].task.tries < maxTries {
		t.sessionSpent, t.wantsTLS = true, true
		return false
	}
	for i := range t.asks {
		if !t.asks[i].given {
			t.asks[i].give(found, r)
		}
	}
	return false
}

// rcptAnswered notes the reply to RCPT. A failure means that the session ended
// with this reply.
func (s *session) rcptAnswered(t *transaction, a *ask, r reply) *failure {
	found := s.e.classifier.classify(atRcpt, r, s.provider, a.task.addr)
	if found.next != hangUp { // else refused does
		s.heed(atRcpt, found, r, a.task.addr)
	}
	earlier := t.heard
	s.asked++
	a.nth, a.after = s.asked, s.spoke
	if found.aboutMailbox() {
		s.spoke++
	}
	if found.reason == NeedsTLS && s.couldEncrypt() && a.task.tries < maxTries {
		t.sessionSpent, t.wantsTLS = true, true
		return nil
	}
	switch found.next {
	case hangUp:
		if s.heard == 0 { // it has no other cause yet than this recipient
			if a.task.tries++; a.task.tries >= maxTries {
				a.give(found, r)
			}
		}
		return s.refused(atRcpt, r)
	case nextTransaction:
		if earlier > 0 {
			if !t.full {
				t.full, t.limit = true, earlier
			}
			return nil
		}
		if s.transactions > 1 && s.heard > 0 && a.task.tries < maxTries {
			t.sessionSpent = true
			return nil
		}
	case nextSession:
		if s.heard > 0 && a.task.tries < maxTries {
			t.sessionSpent = true
			return nil
		}
	case settle, unclear, perhaps, softUnknown, putOff:
		if found.verdict != Unknown || found.reason == Greylisted || found.reason == Temporary {
			t.heard++
			s.heard++
			if found.next != perhaps {
				a.task.tries = 0
			}
		}
	}
	if found.verdict == Valid {
		t.anyAccepted = true
	}
	if found.reason == Greylisted || found.reason == Temporary {
		t.anyPutOff = true
	}
	a.give(found, r)
	return nil
}

// noReset ends a session whose host does not take RSET: what would follow would
// still belong to the old transaction.
func (s *session) noReset(r reply) *failure {
	return &failure{reason: ProtocolError, kind: noReset, reply: r, host: s.at.name}
}
