package verify_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// TestOutage_V9: when nobody can be reached, the call ends with an OutageError
// instead of thousands of unknowns.
func TestOutage_V9(t *testing.T) {
	l := newLab(t, maillab.Config{Domains: 40, Only: []maillab.Kind{maillab.Unreachable}}, func(c *verify.Config) {
		c.ConnectTimeout = 5 * time.Millisecond
	})
	var emails []string
	for _, d := range l.World().Domains() {
		emails = append(emails, l.World().Mailboxes(d, 20)...)
	}
	reported := 0
	err := l.engine.Verify(t.Context(), emails, func(int, verify.Result) { reported++ })
	var outage *verify.OutageError
	require.ErrorAs(t, err, &outage)
	require.Equal(t, verify.ConnectFailed, outage.Reason)
	require.LessOrEqual(t, reported, 2*20, "answers of the first hosts, before there was doubt")

	err = l.engine.Verify(t.Context(), emails[:1], func(int, verify.Result) {})
	require.ErrorAs(t, err, &outage, "calls that follow are refused at once")
	require.ErrorAs(t, l.engine.Health(), &outage)
	require.ErrorAs(t, l.engine.Preflight(t.Context()), &outage)
}

// TestOutage_few: a few dead hosts are no outage, whatever else is verified.
func TestOutage_few(t *testing.T) {
	l := newLab(t, maillab.Config{Domains: 8, Only: []maillab.Kind{maillab.Unreachable}}, func(c *verify.Config) {
		c.ConnectTimeout = 5 * time.Millisecond
	})
	var emails []string
	for _, d := range l.World().Domains() {
		emails = append(emails, l.World().Mailboxes(d, 3)...)
	}
	l.check(t, emails, l.ask(t, emails), true)
	require.NoError(t, l.engine.Health())
}

// TestOutage_dns: DNS servers that do not answer are an outage as well.
func TestOutage_dns(t *testing.T) {
	e, err := verify.New(verify.Config{
		DNSServers: []string{"127.0.0.1:1"}, SMTPPort: 2525, DNSTimeout: 5 * time.Millisecond, Helo: "verifier.test",
	})
	require.NoError(t, err)
	defer e.Close()
	var outage *verify.OutageError
	require.ErrorAs(t, e.Preflight(t.Context()), &outage)
	emails := make([]string, 500)
	for i := range emails {
		emails[i] = fmt.Sprintf("a@d%d.test", i)
	}
	err = e.Verify(t.Context(), emails, func(int, verify.Result) {})
	require.ErrorAs(t, err, &outage)
	require.Equal(t, verify.DNSError, outage.Reason)
}

// TestStream_V8: results come in input order, each once, and no more than the
// window is drawn ahead.
func TestStream_V8(t *testing.T) {
	const window = 300
	l := newLab(t, maillab.Config{Domains: 200}, func(c *verify.Config) { c.Window = window })
	emails := l.World().Emails(3000, 0.5)
	drawn, next := 0, 0
	results := make([]verify.Result, 0, len(emails))
	err := l.engine.Stream(t.Context(), func(yield func(string) bool) {
		for _, email := range emails {
			drawn++
			if !yield(email) {
				return
			}
		}
	}, func(i int, r verify.Result) {
		require.Equal(t, next, i)
		require.Equal(t, emails[i], r.Email)
		next++
		results = append(results, r)
	})
	require.NoError(t, err)
	require.Len(t, results, len(emails))
	require.Equal(t, len(emails), drawn)
	l.check(t, emails, results, false)
}
