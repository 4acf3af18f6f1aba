package verify_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// TestComplaint_V6: a host that complains of our rate after ten recipients gets
// fewer sessions, not more, and is not made to complain again and again.
func TestComplaint_V6(t *testing.T) {
	t.Parallel()
	for domain, complaints := range map[string]int{
		"rcpt-rate-421.odd.test": 2, "rcpt-rate-421.odd-plain.test": 2, "rcpt-rate-450.odd.test": 2 * 9, "rcpt-rate-450.odd-plain.test": 2,
	} {
		t.Run(domain, func(t *testing.T) {
			t.Parallel()
			// Two sessions, or a busy machine, where each reply takes long, lets a
			// third one start before the first complaint.
			l := newLab(t, maillab.Config{Domains: 1}, func(c *verify.Config) { c.Backoff, c.MaxSessionsPerHost = 0, 2 })
			emails := l.World().Mailboxes(domain, 500)
			ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
			defer cancel()
			err := l.engine.Verify(ctx, emails, func(i int, r verify.Result) {
				require.False(t, l.Truth(emails[i]).Wrong(string(r.Verdict)), "%s: %s %s", r.Email, r.Verdict, r.SMTPText)
			})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.LessOrEqual(t, l.HostStats(domain).Connections, 8)
			require.LessOrEqual(t, l.HostStats(domain).Complaints, complaints, "the first two sessions, side by side")
		})
	}
}

// TestUnknownUsers_V6: a host that closes the session after twenty unknown users
// never has to, though all of a hundred are unknown.
func TestUnknownUsers_V6(t *testing.T) {
	t.Parallel()
	for _, domain := range []string{"rcpt-errors-20.odd.test", "rcpt-errors-20.odd-plain.test"} {
		l := newLab(t, maillab.Config{Domains: 1}, nil)
		var emails []string
		for i := range 100 {
			emails = append(emails, fmt.Sprintf("no.such.name.%d@%s", i, domain))
		}
		for _, r := range l.ask(t, emails) {
			require.Equal(t, verify.NoSuchUser, r.Reason, r.SMTPText)
		}
		require.Zero(t, l.HostStats(domain).Complaints, domain)
	}
}

// TestUnknownUsers_learned_V6: where unknown users stand among others the limit
// is met once, and then kept.
func TestUnknownUsers_learned_V6(t *testing.T) {
	t.Parallel()
	const domain = "rcpt-errors-20.odd.test"
	l := newLab(t, maillab.Config{Domains: 1}, nil)
	emails := l.World().Mailboxes(domain, 200)
	l.check(t, emails, l.ask(t, emails), true)
	require.LessOrEqual(t, l.HostStats(domain).Complaints, 2)
}

// TestUnknownUsers_postfix_V6: where the host slows down after ten unknown users
// of a session and closes after twenty, the first two sessions find that out, at
// the latest when they are closed; the later ones stay below, and none is closed.
func TestUnknownUsers_postfix_V6(t *testing.T) {
	t.Parallel()
	for _, domain := range []string{"unknown-postfix.odd.test", "unknown-postfix.odd-plain.test"} {
		t.Run(domain, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, maillab.Config{Domains: 1}, func(c *verify.Config) {
				c.SlowReply, c.MaxSessionsPerHost = 300*time.Millisecond, 2
				c.DNSTimeout, c.ConnectTimeout, c.CommandTimeout = 10*time.Second, 30*time.Second, 30*time.Second
			})
			first, rest := l.World().Mailboxes(domain, 300)[:100], l.World().Mailboxes(domain, 300)[100:]
			l.check(t, first, l.ask(t, first), true)
			complaints, began := l.HostStats(domain).Complaints, time.Now()
			l.check(t, rest, l.ask(t, rest), true)
			require.LessOrEqual(t, complaints, 2, "those that ran side by side")
			require.Equal(t, complaints, l.HostStats(domain).Complaints)
			t.Log(time.Since(began), l.HostStats(domain))
		})
	}
}

// TestLateOnce_V6: a single late reply after some unknown users does not make
// all later sessions short.
func TestLateOnce_V6(t *testing.T) {
	t.Parallel()
	for _, domain := range []string{"late-once.odd.test", "late-once.odd-plain.test"} {
		l := newLab(t, maillab.Config{Domains: 1}, func(c *verify.Config) { c.SlowReply = time.Second })
		var emails []string
		for i := range 150 {
			emails = append(emails, fmt.Sprintf("no.such.name.%d@%s", i, domain))
		}
		for _, r := range l.ask(t, emails) {
			require.Equal(t, verify.NoSuchUser, r.Reason, r.SMTPText)
		}
		require.LessOrEqual(t, l.HostStats(domain).Connections, 12, domain)
	}
}

// TestSlowButContent_V6: a host where each command takes time, and which does
// not complain, gets more sessions, up to the configured limit.
func TestSlowButContent_V6(t *testing.T) {
	l := newLab(t, maillab.Config{Domains: 100, SharedHosts: 1, Only: []maillab.Kind{maillab.Shared}, SharedPause: 40 * time.Millisecond},
		func(c *verify.Config) { c.MaxSessionsPerHost = 24 })
	var emails []string
	for _, d := range l.World().Domains() {
		emails = append(emails, l.World().Mailboxes(d, 10)...)
	}
	l.check(t, emails, l.ask(t, emails), true)
	peak := l.HostStats(l.World().Domains()[0]).PeakSessions
	require.Greater(t, peak, 10)
	require.LessOrEqual(t, peak, 24)
}

// TestBusyToNewcomers_V6: a host that calls itself busy to every recipient that
// it does not know greylists them. It is not waited for longer and longer, once
// for each of them.
func TestBusyToNewcomers_V6(t *testing.T) {
	t.Parallel()
	l := newLab(t, maillab.Config{Domains: 400, GreylistDelay: 200 * time.Millisecond}, nil)
	const domain = "quartz-capital.test" // says 451 4.7.500 Server busy
	require.Equal(t, maillab.Greylisting, l.World().KindOf(domain))
	emails := l.World().Mailboxes(domain, 40)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	busy := 0
	require.NoError(t, l.engine.Verify(ctx, emails, func(_ int, r verify.Result) {
		if r.Reason == verify.Temporary && !r.RetryAt.IsZero() {
			busy++
		}
	}))
	require.Equal(t, len(emails), busy, "each is put off, and asked again by the caller")
	require.LessOrEqual(t, l.HostStats(domain).Connections, 12)
}
