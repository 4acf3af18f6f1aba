package maillab

import (
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

// What the table says is true is what a patient client can find out: where the
// truth about existing and missing mailboxes differs, so do the host's answers;
// where it is the same, the answers give nothing away. And the answers have the
// class that the truth claims.
func TestOddHostsTellTheTruth_M2(t *testing.T) {
	l, err := Start(Config{Domains: 10, GreylistDelay: 100 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	type question struct {
		domain, there, gone string
		// What the hosts said about an existing, a missing and an impossible mailbox.
		a, b, impossible outcome
	}
	var questions []*question
	var asking sync.WaitGroup
	for _, o := range OddHosts() {
		if o.Name == "mx-backup-after" {
			continue // the host that knows turns away all sessions but the first; its backup lies
		}
		for _, domain := range []string{o.Domain(), o.PlainDomain()} {
			if domain == "" {
				continue
			}
			q := &question{domain: domain}
			for _, email := range l.World().Mailboxes(domain, 16) {
				if stateOf(l, email) == exists {
					q.there = email
				} else {
					q.gone = email
				}
			}
			questions = append(questions, q)
			// One after the other: some hosts take one session at a time.
			asking.Go(func() {
				p := probeOf(l)
				q.a, q.b, q.impossible = p.ask(q.there), p.ask(q.gone), p.ask("no-such-thing-at-all@"+domain)
			})
		}
	}
	asking.Wait()
	for _, q := range questions {
		t.Run(q.domain, func(t *testing.T) {
			require.NotEmpty(t, q.there)
			require.NotEmpty(t, q.gone)
			there, gone := l.Truth(q.there), l.Truth(q.gone)
			if there.Verdict == gone.Verdict && there.Reason == gone.Reason {
				require.Equal(t, q.a, q.b, "the truth is the same, so must be the answers")
			} else {
				require.NotEqual(t, q.a, q.b, "the truth differs, so must the answers")
			}
			requireClass(t, there, q.a)
			requireClass(t, gone, q.b)
			if there.Verdict == "valid" { // an impossible mailbox tells a catch-all apart
				require.False(t, q.impossible.accepted())
			}
		})
	}
}

func stateOf(l *Lab, email string) mailbox {
	i := len(email) - 1
	for email[i] != '@' {
		i--
	}
	return l.world.mailbox(l.world.domains[asciiDomain(email[i+1:])], []byte(email[:i]))
}

// requireClass checks that a truth could be read from an outcome.
func requireClass(t *testing.T, truth Truth, o outcome) {
	t.Helper()
	switch truth.Reason {
	case "accepted", "domain_accepts_all", "catch_all_unknown":
		require.Equal(t, 2, o.code/100, "%v", o)
	case "no_such_user", "mailbox_disabled":
		require.Equal(t, 5, o.code/100, "%v", o)
	case "mailbox_full":
		require.Contains(t, []int{452, 552}, o.code, "%v", o)
	case "no_domain":
		require.Equal(t, "NXDOMAIN", o.text)
	case "no_mail_host":
		require.True(t, o.text == "no mail host" || o.code == 521 || o.code == 556, "%v", o)
	case "null_mx":
		require.Equal(t, "null MX", o.text)
	case "dns_error":
		require.Contains(t, []string{"SERVFAIL", "REFUSED", "no answer"}, o.text)
	case "connect_failed":
		require.Equal(t, "cannot connect", o.text)
	case "connection_lost":
		require.True(t, o.code == 421 || o.text == "lost" || o.text == "lost at EHLO", "%v", o)
	case "tarpit":
		require.Equal(t, "timeout", o.text)
	case "greylisted", "temporary":
		require.Equal(t, 4, o.code/100, "%v", o)
	case "blocked", "policy", "sender_refused", "needs_tls", "needs_smtputf8", "restricted":
		require.Equal(t, 5, o.code/100, "%v", o)
	case "protocol_error":
	default:
		t.Fatalf("no outcome is known for the reason %q", truth.Reason)
	}
}
