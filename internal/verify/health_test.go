package verify_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// answers asks and requires an answer for each address, which it returns.
func (l *lab) answers(t *testing.T, emails []string) []verify.Result {
	t.Helper()
	results, answered := make([]verify.Result, len(emails)), make([]int, len(emails))
	require.NoError(t, l.engine.Verify(t.Context(), emails, func(i int, r verify.Result) {
		results[i] = r
		answered[i]++
	}))
	for i, n := range answered {
		require.Equal(t, 1, n, "answers for %s", emails[i])
	}
	return results
}

// deadAndAlive is a lab, its addresses at hosts that cannot be reached, and those
// at others. The first domain of either is kept for canaries.
func deadAndAlive(t *testing.T, domains int, adjust func(c *verify.Config, dead, alive string)) (l *lab, dead, alive []string) {
	t.Helper()
	config := maillab.Config{Domains: domains, Only: []maillab.Kind{maillab.Unreachable, maillab.Ordinary}, Seed: 11}
	world := maillab.NewWorld(config)
	canary := make(map[maillab.Kind]string)
	for _, d := range world.Domains() {
		kind := world.KindOf(d)
		switch {
		case canary[kind] == "":
			canary[kind] = d
		case kind == maillab.Unreachable:
			dead = append(dead, world.Mailboxes(d, 1)...)
		default:
			alive = append(alive, world.Mailboxes(d, 1)...)
		}
	}
	require.Greater(t, len(dead), 12)
	return newLab(t, config, func(c *verify.Config) {
		c.ConnectTimeout = time.Second
		if adjust != nil {
			adjust(c, canary[maillab.Unreachable], canary[maillab.Ordinary])
		}
	}), dead, alive
}

func requireUnreachable(t *testing.T, results []verify.Result) {
	t.Helper()
	for _, r := range results {
		require.Equal(t, verify.Unknown, r.Verdict, r.Email)
		require.Equal(t, verify.ConnectFailed, r.Reason, r.Email)
	}
}

// TestOutage_V9: when the hosts that should work cannot be reached either, the
// call ends with an OutageError instead of thousands of unknowns.
func TestOutage_V9(t *testing.T) {
	l := newLab(t, maillab.Config{Domains: 40, Only: []maillab.Kind{maillab.Unreachable}}, func(c *verify.Config) {
		c.ConnectTimeout = 500 * time.Millisecond
		c.Canaries = []string{"connect-refused.odd.test"}
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

// TestOutage_canary: hosts that fail one after the other are no outage of ours
// while one that should work does. Each address is answered with what its own
// host has shown.
func TestOutage_canary(t *testing.T) {
	l, dead, _ := deadAndAlive(t, 3000, func(c *verify.Config, _, alive string) { c.Canaries = []string{alive} })
	requireUnreachable(t, l.answers(t, dead))
	require.NoError(t, l.engine.Health())
	require.LessOrEqual(t, l.Lab.Stats().Connections, int64(3), "a canary is not asked for each failure")
}

// TestOutage_remembered: hosts whose verdicts are remembered are canaries too,
// though the engine itself has met bad ones alone.
func TestOutage_remembered(t *testing.T) {
	l, dead, _ := deadAndAlive(t, 3000, func(c *verify.Config, dead, alive string) {
		c.Canaries = []string{dead}
		c.RecentHosts = func(context.Context) []string { return []string{"mail." + alive} }
	})
	requireUnreachable(t, l.answers(t, dead))
	require.NoError(t, l.engine.Health())
}

// TestOutage_deadList: a list of dead hosts with some living ones at both ends
// is answered to the end; so is one without.
func TestOutage_deadList(t *testing.T) {
	l, dead, alive := deadAndAlive(t, 3000, nil)
	list := slices.Concat(alive[:5], dead, alive[5:20])
	results := l.answers(t, list)
	l.check(t, list, results, true)

	fresh, dead, _ := deadAndAlive(t, 1000, nil)
	requireUnreachable(t, fresh.answers(t, dead))
}

// silentHosts are n domains, each with a mail host of its own that never answers
// the handshake of a connection through socks5.
func silentHosts(t *testing.T, n int) (zone []dns.RR, emails []string) {
	t.Helper()
	for i := range n {
		for _, text := range []string{
			fmt.Sprintf("silent%d.example. 60 IN MX 10 mx.silent%d.example.", i, i),
			fmt.Sprintf("mx.silent%d.example. 60 IN A 127.127.%d.%d", i, i/250, i%250+1),
		} {
			record, err := dns.NewRR(text)
			require.NoError(t, err, text)
			zone = append(zone, record)
		}
		emails = append(emails, fmt.Sprintf("ann@silent%d.example", i))
	}
	return zone, emails
}

// TestOutage_silentList: a list of 2,000 domains whose hosts never answer, as
// "holdfast verify" streams it, has a line for each address in order, and the
// living ones around them have their verdicts.
func TestOutage_silentList(t *testing.T) {
	zone, silent := silentHosts(t, 2000)
	address, _ := socks5(t)
	l := newLab(t, maillab.Config{Domains: 30, Only: []maillab.Kind{maillab.Ordinary}, Records: zone}, func(c *verify.Config) {
		c.Proxy, c.ConnectTimeout = "socks5://"+address, 3*time.Second // long enough for the living on a busy machine
		c.MaxSessions = 1000
	})
	alive := l.World().Emails(20, 0.5)
	list := slices.Concat(alive[:5], silent, alive[5:])
	var results []verify.Result
	require.NoError(t, l.engine.Stream(t.Context(), slices.Values(list), func(i int, r verify.Result) {
		require.Equal(t, len(results), i)
		results = append(results, r)
	}))
	require.Len(t, results, len(list))
	for i, r := range results {
		if i >= 5 && i < 5+len(silent) {
			require.Equal(t, verify.Unknown, r.Verdict, list[i])
			require.Equal(t, verify.ConnectFailed, r.Reason, list[i])
		} else {
			require.False(t, l.Truth(list[i]).Wrong(string(r.Verdict)), list[i])
		}
	}
	require.NoError(t, l.engine.Health())
}

// TestOutage_begins: hosts that worked a moment ago are canaries. When they
// fail as well it is an outage, and a preflight that succeeds ends it at once.
func TestOutage_begins(t *testing.T) {
	address, closed := closable(t)
	l, _, alive := deadAndAlive(t, 400, func(c *verify.Config, _, _ string) {
		c.Proxy, c.BreakerPause = "socks5://"+address, time.Millisecond
	})
	first, others, rest := alive[:10], alive[10:60], alive[60:110]
	l.check(t, first, l.answers(t, first), true)

	closed.Store(true)
	var outage *verify.OutageError
	require.ErrorAs(t, l.engine.Verify(t.Context(), others, func(int, verify.Result) {}), &outage)
	require.Equal(t, verify.ConnectFailed, outage.Reason)
	require.ErrorAs(t, l.engine.Health(), &outage)
	require.ErrorAs(t, l.engine.Preflight(t.Context()), &outage)

	closed.Store(false)
	require.NoError(t, l.engine.Preflight(t.Context()))
	require.NoError(t, l.engine.Health())
	l.check(t, rest, l.answers(t, rest), true)
}

// TestOutage_senderRefused: hosts that refuse our sender are an outage only when
// one that should work refuses it too.
func TestOutage_senderRefused(t *testing.T) {
	for canary, ours := range map[string]bool{"mail-550.odd.test": true, "banner-lines.odd.test": false} {
		t.Run(canary, func(t *testing.T) {
			l := newLab(t, maillab.Config{Domains: 40, Only: []maillab.Kind{maillab.SenderRefused}}, func(c *verify.Config) { c.Canaries = []string{canary} })
			var emails []string
			for _, d := range l.World().Domains() {
				emails = append(emails, l.World().Mailboxes(d, 2)...)
			}
			var outage *verify.OutageError
			err := l.engine.Verify(t.Context(), emails, func(int, verify.Result) {})
			if ours {
				require.ErrorAs(t, err, &outage)
				require.Equal(t, verify.SenderRefused, outage.Reason)
			} else {
				require.NoError(t, err)
			}
		})
	}
}

// closable is a proxy that can be closed for new connections, as a firewall
// closes a port.
func closable(t *testing.T) (address string, closed *atomic.Bool) {
	t.Helper()
	behind, _ := socks5(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	closed = new(atomic.Bool)
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			if closed.Load() {
				_ = client.Close()
				continue
			}
			go func() {
				defer client.Close()
				proxy, err := net.Dial("tcp", behind)
				if err != nil {
					return
				}
				defer proxy.Close()
				go func() { _, _ = io.Copy(proxy, client); _ = proxy.Close() }()
				_, _ = io.Copy(client, proxy)
			}()
		}
	}()
	return listener.Addr().String(), closed
}

// TestOutage_frozen: connections that are taken and never greeted are an outage when
// hosts that have just worked do not greet either. What is asked is not answered as
// unknown, one host after the other.
func TestOutage_frozen(t *testing.T) {
	address, frozen := freezable(t)
	l, _, alive := deadAndAlive(t, 400, func(c *verify.Config, _, _ string) {
		c.Proxy, c.CommandTimeout = "socks5://"+address, 3*time.Second
	})
	first := alive[:40]
	l.check(t, first, l.answers(t, first), true)

	frozen.Store(true)
	var known []string // others at the same hosts, which have more patience with us
	for _, email := range first {
		_, domain, _ := strings.Cut(email, "@")
		known = append(known, l.World().Mailboxes(domain, 2)[1])
	}
	var outage *verify.OutageError
	require.ErrorAs(t, l.engine.Verify(t.Context(), known, func(int, verify.Result) {}), &outage)
	require.Equal(t, verify.Tarpit, outage.Reason)

	frozen.Store(false)
	require.NoError(t, l.engine.Preflight(t.Context()))
	require.NoError(t, l.engine.Health())
}

// freezable is a proxy that can be frozen: then it connects, and nothing that a host
// says comes through.
func freezable(t *testing.T) (address string, frozen *atomic.Bool) {
	t.Helper()
	const greeting = 12 // bytes of the proxy's own answers
	behind, _ := socks5(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	frozen = new(atomic.Bool)
	t.Cleanup(func() { frozen.Store(false); _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer client.Close()
				proxy, err := net.Dial("tcp", behind)
				if err != nil {
					return
				}
				defer proxy.Close()
				go func() { _, _ = io.Copy(proxy, client); _ = proxy.Close() }()
				if _, err := io.CopyN(client, proxy, greeting); err != nil {
					return
				}
				said := make([]byte, 4096)
				for {
					n, err := proxy.Read(said)
					for frozen.Load() {
						time.Sleep(10 * time.Millisecond)
					}
					if _, lost := client.Write(said[:n]); err != nil || lost != nil {
						return
					}
				}
			}()
		}
	}()
	return listener.Addr().String(), frozen
}

// TestOutage_few: a few dead hosts are no outage, beside any other addresses.
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

// TestStream_V8: results come in input order, without duplicates, and no more than the
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
