package verify

// check asks for the probe alone and first in a session. Where the host refuses
// it in words that do not say why, they may be about us, or about how much we
// ask. They mean that there is no such mailbox only when the host refuses the
// probe with the same words again, and accepts a mailbox that it has accepted
// before, in turns: a limit, of the session or of a time, does not go on and off
// that way.
//
// The probe's answer stands in any case; a session that ends before that leaves it
// unconfirmed.
func (s *session) check(t *transaction) *failure {
	if ok, f := s.begin(t); !ok {
		return f
	}
	p := &t.asks[0]
	p.sent = true
	if f := s.ask(t, p); f != nil || !p.given || !p.finding.open() {
		return f
	}
	if t.good.EAI() && !s.utf8 {
		return nil
	}
	first := p.reply
	for round := range 2 {
		found, _, f := s.hear(t.good)
		if f != nil || found.verdict != Valid {
			return f
		}
		if round == 1 {
			break
		}
		found, r, f := s.hear(p.task.addr)
		switch {
		case f != nil:
			return f
		case found.aboutMailbox():
			p.give(found, r)
			return nil
		case remarkOf(r, p.task.addr) != remarkOf(first, p.task.addr):
			return nil
		}
	}
	t.confirmed = true
	return nil
}

// hear asks for a recipient again and returns what the reply means.
func (s *session) hear(to Address) (found finding, r reply, f *failure) {
	r, f = s.rcpt(to)
	if f != nil {
		return found, r, f
	}
	s.asked++
	if found = s.e.classifier.classify(atRcpt, r, s.provider, to); found.next == hangUp {
		return found, r, s.refused(atRcpt, r)
	}
	return found, r, nil
}
