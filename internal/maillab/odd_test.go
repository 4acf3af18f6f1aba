package maillab

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The table is data for people too: every entry says what it does, once.
func TestOddHostsAreDescribed(t *testing.T) {
	table := OddHosts()
	require.GreaterOrEqual(t, len(table), 60)
	seen := map[string]bool{}
	for _, o := range table {
		require.NotEmpty(t, o.Behaviour, o.Name)
		require.False(t, seen[o.Domain()], "two entries for %s", o.Domain())
		seen[o.Domain()] = true
	}
}

// asking is what is asked of an odd host, and what it said about an existing, a
// missing and an impossible mailbox.
type asking struct {
	domain, there, gone string
	a, b, impossible    outcome
}

func (q *asking) ask(p *probe) {
	// One after the other: some hosts take one session at a time.
	q.a, q.b, q.impossible = p.ask(q.there), p.ask(q.gone), p.ask("no-such-thing-at-all@"+q.domain)
}

// What the table says is true is what a patient client can find out: where the
// truth about existing and missing mailboxes differs, so do the host's answers;
// where it is the same, the answers give nothing away. And the answers have the
// class that the truth claims. Where they do not, they are asked for once more
// with deadlines that a busy machine keeps.
func TestOddHostsTellTheTruth_M2(t *testing.T) {
	l, err := Start(Config{Domains: 10, GreylistDelay: 100 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	var questions []*asking
	var all sync.WaitGroup
	for _, o := range OddHosts() {
		if takesSeveral(o) {
			continue
		}
		for _, domain := range []string{o.Domain(), o.PlainDomain()} {
			if domain == "" {
				continue
			}
			q := &asking{domain: domain}
			for _, email := range l.World().Mailboxes(domain, 16) {
				if stateOf(l, email) == exists {
					q.there = email
				} else {
					q.gone = email
				}
			}
			questions = append(questions, q)
			all.Go(func() { q.ask(probeOf(l)) })
		}
	}
	all.Wait()
	for _, q := range questions {
		t.Run(q.domain, func(t *testing.T) {
			require.NotEmpty(t, q.there)
			require.NotEmpty(t, q.gone)
			if q.untrue(l) != "" {
				q.ask(patientProbeOf(l))
			}
			require.Empty(t, q.untrue(l))
		})
	}
}

// takesSeveral says whether one conversation cannot tell the truth of a host: its
// sessions are not alike, or its mail hosts do not agree.
func takesSeveral(o OddHost) bool {
	for _, kind := range []string{"turn-session-", "turn-host-", "turn-minute-", "give-in-"} {
		if strings.HasPrefix(o.Name, kind) {
			return true
		}
	}
	return slices.Contains([]string{"mx-backup-after", "turn-mx-equal-refuses", "turn-mx-first-defers"}, o.Name)
}

// untrue says how the answers contradict the truth.
func (q *asking) untrue(l *Lab) string {
	there, gone := l.Truth(q.there), l.Truth(q.gone)
	same := there.Verdict == gone.Verdict && there.Reason == gone.Reason
	switch {
	case same && q.a != q.b:
		return fmt.Sprintf("the truth is the same, so must be the answers: %v, %v", q.a, q.b)
	case !same && q.a == q.b:
		return fmt.Sprintf("the truth differs, so must the answers: %v", q.a)
	case !fits(there, q.a):
		return fmt.Sprintf("%v is the truth, %v the answer", there, q.a)
	case !fits(gone, q.b):
		return fmt.Sprintf("%v is the truth, %v the answer", gone, q.b)
	case there.Verdict == "valid" && q.impossible.accepted(): // an impossible mailbox tells a catch-all apart
		return fmt.Sprintf("an impossible mailbox is accepted: %v", q.impossible)
	}
	return ""
}

func stateOf(l *Lab, email string) mailbox {
	i := len(email) - 1
	for email[i] != '@' {
		i--
	}
	return l.world.mailbox(l.world.domains[asciiDomain(email[i+1:])], []byte(email[:i]))
}

// fits reports whether a truth could be read from an outcome.
func fits(truth Truth, o outcome) bool {
	switch truth.Reason {
	case "accepted", "domain_accepts_all", "catch_all_unknown":
		return o.code/100 == 2
	case "no_such_user", "mailbox_disabled", "blocked", "policy", "sender_refused", "needs_tls", "needs_smtputf8", "restricted":
		return o.code/100 == 5
	case "mailbox_full":
		return o.code == 452 || o.code == 552
	case "no_domain":
		return o.text == "NXDOMAIN"
	case "no_mail_host":
		return o.text == "no mail host" || o.code == 521 || o.code == 556
	case "null_mx":
		return o.text == "null MX"
	case "dns_error":
		return slices.Contains([]string{"SERVFAIL", "REFUSED", "referral", "no answer"}, o.text)
	case "connect_failed":
		return o.text == "cannot connect"
	case "connection_lost":
		return o.code == 421 || o.text == "lost" || o.text == "lost at EHLO"
	case "tarpit":
		return o.text == "timeout"
	case "greylisted", "temporary":
		return o.code/100 == 4
	case "protocol_error":
		return true
	default:
		return false
	}
}
