package verify

import (
	"strings"
	"time"
)

// remark is what a host says to a recipient, as far as it can say the same to
// another one: reply identifiers, addresses and numbers are left out.
type remark struct {
	code     int
	enhanced enhanced
	text     phrases
}

func remarkOf(r reply, about Address) remark {
	var b strings.Builder
	for word := range strings.FieldsSeq(string(newPhrases(r.text, about))) {
		if !strings.ContainsAny(word, "0123456789") {
			b.WriteByte(' ')
			b.WriteString(word)
		}
	}
	return remark{r.code, r.enhanced, phrases(b.String())}
}

// bearing is what a remark that is not about a mailbox turned out to depend on.
type bearing uint8

const (
	notKnown bearing = iota
	constant         // the first recipient of a session gets it, too
	aLimit           // it is said to those who come after so many others
)

// suspicion is that a remark was a limit of the session: those who got it at
// the end of one are asked again, first in another.
type suspicion struct {
	remark remark
	after  int // recipients of the session that came before it
}

// weigh finds out which refusals of a batch depend on the session and not on
// the recipient, without regard to their words. One that is not about the mailbox and
// comes after answers that are, with none of these following in its transaction,
// may be the host's way to end the session. It counts only where the first
// recipient of a session gets it as well; until that is known, the recipients
// are asked again. It reports whether the session is of no more use.
func (h *host) weigh(batch []*transaction) (spent bool) {
	for _, t := range batch {
		for i := range t.asks {
			if a := &t.asks[i]; a.nth == 1 && a.given {
				spent = h.weighFirst(a) || spent
			}
		}
	}
	for _, t := range batch {
		spent = h.weighTail(t) || spent
	}
	return spent
}

// weighFirst learns from the first recipient of a session.
func (h *host) weighFirst(a *ask) (spent bool) {
	before := a.task.suspect
	a.task.suspect = nil
	if a.finding.aboutMailbox() {
		if before != nil {
			h.learnLimit(before.remark, before.after)
		}
		h.complaints = 0
		return false
	}
	said := remarkOf(a.reply, a.task.addr)
	h.countOpening(said)
	if known, _ := h.bearings.get(said); known != aLimit {
		h.bearings.put(said, constant)
		return false
	}
	// The limit is wider than a session. Asking more slowly may help, but not for ever.
	if h.complaints++; h.complaints >= maxTries {
		h.bearings.put(said, constant)
		return true
	}
	h.slower(time.Now())
	if !a.probe {
		a.given = false
	}
	return true
}

// countOpening counts the sessions, each begun after a wait that the host had
// asked for, that got the same words at their first recipient all the same.
func (h *host) countOpening(said remark) {
	switch {
	case time.Now().Before(h.paused) || h.openings >= maxTries && said != h.opening:
	case said == h.opening:
		h.openings++
	default:
		h.opening, h.openings = said, 1
	}
}

// saysAnyway reports whether a reply is what the host says to those who have
// waited too. It is no complaint about our pace then: some hosts that greylist
// call themselves busy to each recipient that they do not know, and waiting
// longer for every one of them would not end.
func (h *host) saysAnyway(r reply, about Address) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.openings >= maxTries && remarkOf(r, about) == h.opening
}

// weighTail takes back the answers at the end of a transaction that may be a
// limit of the session.
func (h *host) weighTail(t *transaction) (spent bool) {
	begins := len(t.asks)
	for i := begins - 1; i >= 0; i-- {
		a := &t.asks[i]
		if a.nth == 0 || !a.given {
			continue
		}
		if a.after == 0 || a.finding.aboutMailbox() || a.finding.next == putOff {
			break
		}
		begins = i
	}
	if begins == len(t.asks) {
		return false
	}
	after := t.asks[begins].nth - 1
	for i := begins; i < len(t.asks); i++ {
		a := &t.asks[i]
		if a.nth == 0 || !a.given {
			continue
		}
		said := remarkOf(a.reply, a.task.addr)
		switch known, _ := h.bearings.get(said); {
		case known == constant:
			continue
		case known == aLimit:
			h.learnLimit(said, after)
		case a.task.tries < maxTries:
			a.task.tries++
			a.task.suspect = &suspicion{said, after}
		default:
			continue
		}
		spent = true
		a.given = a.probe // its refusal is weighed on its own, see probed
	}
	return spent
}

// learnLimit notes how many recipients a session takes.
func (h *host) learnLimit(said remark, after int) {
	h.bearings.put(said, aLimit)
	if after = max(after, 1); h.perSession == 0 || after < h.perSession {
		h.perSession = after
	}
}

// spent reports whether the session has asked for as many recipients as the
// host takes in one, but for the one that session.confirm may need.
func (h *host) spent(s *session) bool { return h.perSession > 0 && s.asked >= h.workPerSession() }

// workPerSession is how many recipients of our lists a session is asked for.
func (h *host) workPerSession() int { return max(1, h.perSession-1) }
