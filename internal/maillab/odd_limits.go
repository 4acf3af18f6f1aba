package maillab

import (
	"fmt"
	"time"
)

// limitWordings are refusals after so many recipients, in words that say neither
// that it is a limit nor what it is about, or that many hosts have for a missing
// mailbox. No table can know them all.
var limitWordings = []struct {
	name, say string
	vague     bool
}{
	{"frequency", "550 Ip frequency limited. http://help.mail.test/{host}", false},
	{"french", "550 Service refuse. Veuillez essayer plus tard.", false},
	{"action", "550 Requested action not taken", false},
	{"one", "550 5.5.0 Only 1 RCPT please", false},
	{"count", "554 5.7.1 Message rejected: recipient count", false},
	{"later", "450 4.2.0 Not now", false},
	{"unavailable", vagueWordings[0].say, true},
	{"recipient", vagueWordings[1].say, true},
}

// vagueWordings are what many hosts say of a missing mailbox, and others of much
// else (RFC 5321 section 4.2.3).
var vagueWordings = []struct{ name, say string }{
	{"unavailable", "550 Requested action not taken: mailbox unavailable"},
	{"recipient", "554 5.2.0 Bad recipient"},
	{"address", "553 5.1.0 Invalid address"},
	{"account", "551 Account unavailable"},
}

// LimitHosts returns hosts that answer k recipients as they should, and then
// refuse everyone in the same words: for each k from 0 to 5, counted in a
// session, ever, or in a window of time, at hosts that know their mailboxes, at
// hosts that do but say so in unknown words or in those of the limit, and at
// catch-all hosts.
func LimitHosts(window time.Duration) (list []OddHost) {
	spans := []struct {
		name string
		in   span
	}{{"session", inSession}, {"ever", ofClient}, {"window", inWindow}}
	for _, s := range spans {
		for k := range 6 {
			for _, w := range limitWordings {
				if k == 0 && w.vague {
					continue // to all, and always: these are words for mailboxes that are missing
				}
				limit := manner{window: window, rules: []rule{{at: atRcpt, in: s.in, from: k + 1, say: w.say}}}
				base := OddHost{
					Name:      fmt.Sprintf("limit-%s-%d-%s", s.name, k, w.name),
					Behaviour: fmt.Sprintf("Refuses all recipients after %d (%s): %s.", k, s.name, w.say),
					Patience:  "asking the rest in other sessions, where that helps", twin: true, manner: limit,
				}
				terse, all := base, base
				terse.Name += "-terse"
				terse.manner.voice = missingSays("550 Kein Anschluss unter dieser Nummer").voice
				terse.Missing = unclear
				all.Name += "-all"
				all.everyone = true
				list = append(list, base, terse, all.both(catchAllTruth))
				if w.vague {
					same := base
					same.Name += "-same"
					same.manner.voice = missingSays(w.say).voice
					list = append(list, same)
				}
			}
		}
	}
	return list
}
