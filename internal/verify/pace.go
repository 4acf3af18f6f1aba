package verify

import (
	"time"

	"golang.org/x/time/rate"
)

// How much a host is asked at once, and what makes that less or more.
const (
	usualSessions = 10                     // at once, at a host that is neither slow nor known
	separateReply = 8 * time.Millisecond   // a reply that took longer came by itself
	worthOne      = 12                     // recipients waiting for each session, for one session more
	slowReplies   = 4                      // so many of them in a batch: each command takes time
	lateReplies   = 3                      // so many in a row after refusals: the host slows us down
	sliceOfWork   = 400 * time.Millisecond // what a session does at a time where each command takes time

	runMost   = 19 // unknown users in a row that a session may meet; Postfix closes at 20
	runBudget = 15 // after which it ends

	complaintWait  = 4    // times Backoff, doubled with each complaint
	mostComplaints = 6    // that lengthen the wait
	slowRecovery   = 0.25 // by which an orderly end raises the rate after a complaint
	politeRate     = 5.0  // sessions a second at the most, after one, and at providers with a pace of their own
	forgiveAfter   = time.Hour
)

// pace is how a provider wants to be asked, where that is known. It holds for
// all of its hosts together.
type pace struct {
	sessions  int     // at once
	perSecond float64 // sessions begun, at first
}

// usual is how many sessions the host may have at once without being slow.
func (h *host) usual() int {
	most := usualSessions
	if h.provider != nil && h.provider.pace.sessions > 0 {
		most = h.provider.pace.sessions
	}
	return min(most, h.e.cfg.MaxSessionsPerHost)
}

// heed notes what a reply says about how we ask, besides what it says about the
// recipient.
func (s *session) heed(at stage, found finding, r reply, about Address) {
	switch {
	case r.class() == 2 && at == atRcpt:
		s.accepted++
		s.run = 0
	case r.class() == 2:
	case at == atRcpt && found.verdict == Invalid:
		s.unknownUsers++
		s.run++
	default:
		s.heedComplaint(at, found, r, about)
	}
}

func (s *session) heedComplaint(at stage, found finding, r reply, to Address) {
	about := found.reason == Blocked || found.reason == Temporary && found.next != settle
	if !about || r.class() != 4 && r.class() != 5 {
		return
	}
	said := theLexicon.read(newPhrases(r.text, Address{}))
	switch {
	case said&errorLimit != 0:
		s.errorLimit, s.complaint = true, true
	case said&thisSession != 0:
		s.filled = true
	case found.reason == Blocked, said&(tooFast|limitPerhaps) != 0:
		s.complaint = s.complaint || at != atRcpt || !s.route.host.saysAnyway(r, to)
	}
}

// timed notes how long a reply was waited for. Several that came one by one show
// that each command takes time; several that are late after many refusals show
// how many the host takes before it slows us down. A single late one is chance.
func (s *session) timed(waited time.Duration) {
	slow := s.e.cfg.SlowReply / 2
	switch {
	case waited < slow:
		s.slowRun = 0
	case s.noes >= 3 && s.quick:
		if s.slowRun++; s.slowRun == 1 {
			s.slowSince = s.noes
		}
		if s.slowRun == lateReplies && s.slowAfter == 0 {
			s.slowAfter = s.slowSince
		}
	}
	s.quick = s.quick || waited < slow/4
	if waited < s.e.cfg.separate || s.route == nil {
		return
	}
	s.separate++
	s.waited += waited
	if s.separate == slowReplies {
		s.route.host.content(s.complaint, s.waited/slowReplies)
	}
}

// content lets a host that is slow but content have one session more for each
// that works at its usual pace, up to the configured limit.
func (h *host) content(complaint bool, perReply time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.work < h.window*worthOne {
		return // a session more would have nothing to do
	}
	if complaint || h.ceiling > 0 || h.single || h.provider != nil && h.provider.pace.sessions > 0 {
		return
	}
	if h.perReply == 0 || perReply < h.perReply {
		h.perReply = perReply
	}
	if perReply > 2*h.perReply || h.window >= h.e.cfg.MaxSessionsPerHost {
		return
	}
	h.window++
	h.earned++
	h.wake(time.Now())
}

// slice is how many recipients a session is asked for at a time, of n, so that
// many sessions share what is left at a host where each command takes time.
func (h *host) slice(n int) int {
	if h.perReply == 0 {
		return n
	}
	share := max(leastChunk, h.work/max(1, h.window))
	return min(n, share, max(leastChunk, int(sliceOfWork/h.perReply)))
}

// bear lowers n to what the host takes of unknown users in a session, and in a
// row.
func (h *host) bear(s *session, n int) int {
	unknown, run, accepted := 0, 0, 0
	if s != nil {
		unknown, run, accepted = s.unknownUsers, s.run, s.accepted
	}
	if h.unknownUsers > 0 {
		n = min(n, h.unknownUsers-unknown)
	}
	if accepted == 0 {
		n = min(n, runMost-run)
	}
	return max(n, 1)
}

// overdone reports whether the session has met as many unknown users as it
// should.
func (h *host) overdone(s *session) bool {
	return s.accepted == 0 && s.run >= runBudget ||
		h.unknownUsers > 0 && h.unknownUsers-s.unknownUsers < max(1, h.unknownUsers/4)
}

// learnPace takes in what a batch has shown about how the host wants to be
// asked. It reports whether the session has to end.
func (h *host) learnPace(s *session, cut bool, now time.Time) (ends bool) {
	if s.slowAfter > 0 && (h.unknownUsers == 0 || s.slowAfter < h.unknownUsers) {
		h.unknownUsers = s.slowAfter
	}
	if s.errorLimit {
		h.unknownUsers = max(1, min(s.unknownUsers/2, max(h.unknownUsers, s.unknownUsers/2)))
	} else if s.heard > 0 && (cut && !s.rested || s.filled || s.complaint) {
		if h.cuts++; h.cuts > 1 || s.filled || s.complaint {
			h.learnPerSession(s.heard)
		}
	}
	if s.complaint {
		h.slower(now)
		return true
	}
	if s.accepted > 0 {
		h.runs = 0
	} else if s.run >= runBudget {
		h.breathe(now)
	}
	return s.filled || h.overdone(s) || h.crowded(s)
}

// learnPerSession notes how many recipients a session takes.
func (h *host) learnPerSession(n int) {
	if n = max(n, 1); h.perSession == 0 || n < h.perSession {
		h.perSession = n
	}
}

// slower obeys a complaint: half the sessions, half the pace, a wait, and never
// a session more. Sessions that ran side by side complain together: that is one.
func (h *host) slower(now time.Time) {
	if now.Before(h.paused) && h.ceiling > 0 {
		return
	}
	wait := h.e.cfg.Backoff * complaintWait << min(h.waits, mostComplaints)
	h.waits++
	h.complained = now
	h.window = max(1, min(h.window, max(1, h.runners))/2)
	h.ceiling, h.good, h.earned = h.window, 0, 0
	h.starts.SetLimit(max(h.starts.Limit()/2, h.e.cfg.rate(minStartRate)))
	h.starts.SetBurst(1)
	if until := now.Add(wait); until.After(h.paused) {
		h.paused = until
	}
}

// forgive lets a host that has not complained for long be asked as before.
func (h *host) forgive(now time.Time) {
	if h.ceiling > 0 && !h.complained.IsZero() && now.Sub(h.complained) > forgiveAfter {
		h.ceiling, h.waits, h.complained = 0, 0, time.Time{}
	}
}

// breathe lets the host rest after a session that met unknown users only.
func (h *host) breathe(now time.Time) {
	wait := h.e.cfg.Backoff << min(h.runs, 2)
	h.runs++
	if until := now.Add(wait); until.After(h.paused) {
		h.paused = until
	}
}

// crowded reports whether the session is one too many since the host complained.
func (h *host) crowded(s *session) bool {
	if s.leaving || h.ceiling == 0 || h.runners-h.leaving <= h.window {
		return false
	}
	s.leaving = true
	h.leaving++
	return true
}

// hurry lets sessions follow each other faster: they end in order, and the host
// has not complained.
func (h *host) hurry() {
	most := rate.Limit(h.e.cfg.HostSessionsPerSecond)
	if h.provider != nil && h.provider.pace.perSecond > 0 {
		most = min(most, h.e.cfg.rate(politeRate))
	}
	if h.ceiling == 0 {
		h.starts.SetLimit(max(h.starts.Limit(), min(h.starts.Limit()+1, most)))
		return
	}
	if limit := min(h.starts.Limit()+h.e.cfg.rate(slowRecovery), h.e.cfg.rate(politeRate), rate.Limit(h.e.cfg.HostSessionsPerSecond)); limit > h.starts.Limit() {
		h.starts.SetLimit(limit)
	}
}

// mayStart takes the permission that a session at work has earned.
func (h *host) mayStart() bool {
	if h.earned == 0 {
		return false
	}
	h.earned--
	return true
}
