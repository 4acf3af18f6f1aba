package maillab

import (
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
func TestOddHostsTellTheTruth(t *testing.T) {
	l, err := Start(Config{Domains: 10, GreylistDelay: 100 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(l.Close)
	for _, o := range OddHosts() {
		for _, domain := range []string{o.Domain(), o.PlainDomain()} {
			if domain == "" {
				continue
			}
			t.Run(domain, func(t *testing.T) {
				t.Parallel()
				p := probeOf(l)
				addresses := l.World().Mailboxes(domain, 16)
				there, gone := "", ""
				for _, email := range addresses {
					if o.states(l, email) == exists {
						there = email
					} else {
						gone = email
					}
				}
				require.NotEmpty(t, there)
				require.NotEmpty(t, gone)
				a, b := p.ask(there), p.ask(gone)
				ta, tb := l.Truth(there), l.Truth(gone)
				if ta.Verdict == tb.Verdict && ta.Reason == tb.Reason {
					require.Equal(t, a, b, "the truth is the same, so must be the answers")
				} else {
					require.NotEqual(t, a, b, "the truth differs, so must the answers")
				}
				requireClass(t, ta, a)
				requireClass(t, tb, b)
				if ta.Verdict == "valid" { // an impossible mailbox tells a catch-all apart
					require.False(t, p.ask("no-such-thing-at-all@"+domain).accepted())
				}
			})
		}
	}
}

func (o *OddHost) states(l *Lab, email string) mailbox {
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
	case "accepted", "domain_accepts_all":
		require.Equal(t, 2, o.code/100, "%v", o)
	case "no_such_user", "mailbox_disabled":
		require.Equal(t, 5, o.code/100, "%v", o)
	case "mailbox_full":
		require.Contains(t, []int{452, 552}, o.code, "%v", o)
	case "no_domain":
		require.Equal(t, "NXDOMAIN", o.text)
	case "no_mail_host":
		require.Equal(t, "no mail host", o.text)
	case "null_mx":
		require.Equal(t, "null MX", o.text)
	case "dns_error":
		require.Contains(t, []string{"SERVFAIL", "REFUSED", "no answer"}, o.text)
	case "connect_failed":
		require.Equal(t, "cannot connect", o.text)
	case "connection_lost":
		require.Contains(t, []string{"lost", "lost at EHLO"}, o.text)
	case "tarpit":
		require.Equal(t, "timeout", o.text)
	case "greylisted", "temporary":
		require.Equal(t, 4, o.code/100, "%v", o)
	case "blocked", "policy", "sender_refused", "needs_tls", "needs_smtputf8":
		require.Equal(t, 5, o.code/100, "%v", o)
	case "protocol_error":
	default:
		t.Fatalf("no outcome is known for the reason %q", truth.Reason)
	}
}
