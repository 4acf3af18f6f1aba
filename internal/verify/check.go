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
	if f := s.ask(t, p); f != nil || !p.given {
		return f
	}
	if p.finding.verdict == Valid && t.refusedAt > 0 {
		return s.checkAcceptance(t, p)
	}
	if !p.finding.open() {
		return nil
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
		case found.verdict == Valid:
			return nil // it gives in to those who ask twice
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

// checkAcceptance tells a host that takes so many recipients a session from one that
// accepts everyone after some unknown users, where the probe was refused before and
// is accepted now: the limit comes again at the same place.
func (s *session) checkAcceptance(t *transaction, p *ask) *failure {
	for range t.refusedAt - 1 {
		if found, _, f := s.hear(t.good); f != nil || found.verdict != Valid {
			return f
		}
	}
	p.finding = finding{Unknown, Policy, settle}
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
