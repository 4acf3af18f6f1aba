package verify

import (
	"slices"
	"sync/atomic"
)

// doubtfulAfter is how many addresses of a domain have to be refused, and none
// taken, before the refusals are doubtful.
const doubtfulAfter = 3

// doubts tell a domain some of whose mailboxes are gone from one whose host
// knows none: a host that lost its directory, or that refuses us in these words.
// It belongs to the host's mutex, except doubtful.
type doubts struct {
	taken    bool     // the host took or knew a recipient of the domain, the probe perhaps
	locals   []string // those that do not exist, no more than doubtfulAfter
	doubtful atomic.Bool
}

// note takes in an answer to a recipient or the probe.
func (r *doubts) note(a *ask) {
	switch local := a.task.addr.Local; {
	case a.finding.verdict == Valid || a.finding.verdict == Risky:
		r.taken, r.locals = true, nil
	case a.probe || r.taken || a.finding.reason != NoSuchUser || len(r.locals) == doubtfulAfter || slices.Contains(r.locals, local):
		return
	default:
		r.locals = append(r.locals, local)
	}
	r.doubtful.Store(len(r.locals) == doubtfulAfter)
}

// takeOver continues what was known before a domain was looked up again.
func (r *doubts) takeOver(before *doubts) {
	r.taken, r.locals = before.taken, slices.Clone(before.locals)
	r.doubtful.Store(before.doubtful.Load())
}

// isDoubtful reports whether a finding about a mailbox of the domain is doubtful: so
// are vague words that nothing has confirmed. A public mailbox provider knows its
// mailboxes.
func (d *domain) isDoubtful(f finding) bool {
	return f.verdict == Invalid && (f.reason == NoSuchUser || f.reason == MailboxDisabled) &&
		!d.free && (f.next == perhaps || d.catchAll.doubts.doubtful.Load())
}
