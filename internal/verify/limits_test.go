package verify_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// TestSessionLimit_V5: 2,000 addresses at a host that takes ten sessions from
// one client get 2,000 right verdicts.
func TestSessionLimit_V5(t *testing.T) {
	l := newLab(t, maillab.Config{Domains: 1, Only: []maillab.Kind{maillab.ConnLimited}}, (*verify.Config).NeverSlow)
	domain := l.World().Domains()[0]
	emails := l.World().Mailboxes(domain, 2000)
	l.check(t, emails, l.ask(t, emails), true)
	require.LessOrEqual(t, l.HostStats(domain).PeakSessions, 10)
}

// TestSessionRate_V6: a server that bans clients for more than five sessions in
// a second never has a reason to.
func TestSessionRate_V6(t *testing.T) {
	l := newLab(t, maillab.Config{Domains: 1}, nil)
	for _, domain := range []string{"sessions-5-a-second.odd.test", "sessions-5-a-second.odd-plain.test"} {
		emails := l.World().Mailboxes(domain, 2000)
		l.check(t, emails, l.ask(t, emails), true)
		require.Zero(t, l.HostStats(domain).Bans)
	}
}
