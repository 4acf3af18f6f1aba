package verify_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// TestDoubtful_V13: refusals are doubtful from the third address of a domain
// that its host takes no recipient of, and no more once it takes one.
func TestDoubtful_V13(t *testing.T) {
	l := newLab(t, maillab.Config{Domains: 1}, nil)
	const domain = "words-customer.odd.test"
	var missing []string
	existing := ""
	for _, email := range l.World().Mailboxes(domain, 60) {
		if l.Truth(email).Verdict == "invalid" {
			missing = append(missing, email)
		} else if existing == "" {
			existing = email
		}
	}
	require.NotEmpty(t, existing)
	require.Greater(t, len(missing), 4)
	doubtful := func(email string) bool {
		r := l.ask(t, []string{email})[0]
		require.Equal(t, verify.NoSuchUser, r.Reason)
		return r.Doubtful
	}
	require.False(t, doubtful(missing[0]))
	require.False(t, doubtful(missing[1]))
	require.False(t, doubtful(missing[1]), "the same address says nothing new")
	require.True(t, doubtful(missing[2]))
	require.True(t, doubtful(missing[0]))

	r := l.ask(t, []string{existing})[0]
	require.Equal(t, verify.Valid, r.Verdict)
	require.False(t, r.Doubtful)
	for _, email := range missing[:4] {
		require.False(t, doubtful(email), "the host knows its mailboxes")
	}
}
