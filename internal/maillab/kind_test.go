package maillab

import (
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"
)

// start runs a lab of the given kinds for the length of a test.
func start(t *testing.T, c Config) *Lab {
	t.Helper()
	l, err := Start(c)
	require.NoError(t, err)
	t.Cleanup(l.Close)
	return l
}

// boxes returns addresses at a domain by the state of their mailbox.
func boxes(w *World, domain string) map[mailbox][]string {
	by := map[mailbox][]string{}
	for _, email := range w.Mailboxes(domain, 300) {
		local, _, _ := strings.Cut(email, "@")
		m := w.mailbox(w.domains[domain], []byte(local))
		by[m] = append(by[m], email)
	}
	return by
}

// Every kind of company domain behaves as its truth says, to a client that
// knows only the protocol.
func TestKindsTellTheTruth_M2(t *testing.T) {
	for _, k := range mix {
		t.Run(string(k.kind), func(t *testing.T) {
			t.Parallel()
			l := start(t, Config{Domains: 4, Only: []Kind{k.kind}, GreylistDelay: 50 * time.Millisecond})
			domain := l.World().Domains()[3]
			require.Equal(t, k.kind, l.World().KindOf(domain))
			p := probeOf(l)
			p.patience = 500 * time.Millisecond
			by := boxes(l.World(), domain)
			for _, m := range []mailbox{exists, missing, disabled, full} {
				require.NotEmpty(t, by[m])
				truth := l.Truth(by[m][0])
				said := p.ask(by[m][0])
				if !fits(truth, said) { // on a busy machine
					said = patientProbeOf(l).ask(by[m][0])
				}
				require.True(t, fits(truth, said), "%v is the truth, %v the answer", truth, said)
			}
			impossible := p.ask("qzxj-probe@" + domain)
			require.Equal(t, k.kind == CatchAll, impossible.accepted(), "only a catch-all accepts what cannot exist")
		})
	}
}

func TestDisposableDomainsAcceptAll_M2(t *testing.T) {
	l := start(t, Config{Domains: 4})
	email := "whoever@" + DisposableDomains[0]
	require.Equal(t, "disposable", l.Truth(email).Verdict)
	require.True(t, probeOf(l).ask(email).accepted())
}

// A greylisting host defers (client, sender, recipient) until the delay is
// over, another sender from the beginning.
func TestGreylistingRemembersSenderAndRecipient_M3(t *testing.T) {
	l := start(t, Config{Domains: 1, Only: []Kind{Greylisting}, GreylistDelay: 80 * time.Millisecond})
	domain := l.World().Domains()[0]
	by := boxes(l.World(), domain)
	there, gone := by[exists][0], by[missing][0]
	ask := func(sender string) []int {
		c, err := dial(l, domain)
		require.NoError(t, err)
		defer c.Close()
		_, err = reply(c)
		require.NoError(t, err)
		_, err = talk(c, "HELO t")
		require.NoError(t, err)
		var codes []int
		for _, line := range []string{"MAIL FROM:<" + sender + ">", "RCPT TO:<" + there + ">", "RCPT TO:<" + gone + ">"} {
			got, err := talk(c, line)
			require.NoError(t, err)
			codes = append(codes, got...)
		}
		return codes
	}
	began := time.Now()
	first := ask("a@t.test")
	require.Equal(t, 4, first[1]/100)
	require.Equal(t, 4, first[2]/100)
	require.Eventually(t, func() bool { codes := ask("a@t.test"); return codes[1] == 250 && codes[2] == 550 }, 5*time.Second, 5*time.Millisecond)
	require.GreaterOrEqual(t, time.Since(began), 80*time.Millisecond)
	require.Equal(t, 4, ask("b@t.test")[1]/100, "another sender starts from the beginning")
}

func TestSessionsOfAClientAreLimited_M3(t *testing.T) {
	l := start(t, Config{Domains: 1, Only: []Kind{ConnLimited}})
	domain := l.World().Domains()[0]
	for i := range 11 {
		c, err := dial(l, domain)
		require.NoError(t, err)
		defer c.Close()
		o, err := reply(c)
		require.NoError(t, err)
		require.Equal(t, i < 10, o.code == 220, "session %d: %v", i+1, o)
	}
	require.GreaterOrEqual(t, l.HostStats(domain).PeakSessions, 10)
}

func TestTooManySessionsASecondEarnABan_M3(t *testing.T) {
	l := start(t, Config{Domains: 1})
	const domain = "sessions-5-a-second.odd.test"
	visit := func() int {
		c, err := dial(l, domain)
		require.NoError(t, err)
		defer c.Close()
		o, err := reply(c)
		require.NoError(t, err)
		return o.code
	}
	require.Eventually(t, func() bool { return visit() == 554 }, 5*time.Second, time.Millisecond)
	require.Equal(t, 1, l.HostStats(domain).Bans)
	require.Equal(t, int64(1), l.Stats().Bans)
	require.Equal(t, 554, visit(), "the ban lasts")
	require.Equal(t, 1, l.HostStats(domain).Bans, "and is one ban")
}

func TestRecipientsOfATransactionAreLimited_M3(t *testing.T) {
	l := start(t, Config{Domains: 1})
	const domain = "rcpt-452-tenth.odd.test"
	c, err := dial(l, domain)
	require.NoError(t, err)
	defer c.Close()
	_, err = reply(c)
	require.NoError(t, err)
	_, err = talk(c, "EHLO t")
	require.NoError(t, err)
	lines := []string{"MAIL FROM:<a@t.test>"}
	for _, email := range l.World().Mailboxes(domain, 12) {
		lines = append(lines, "RCPT TO:<"+email+">")
	}
	for range 2 { // RSET opens a new transaction with a new limit
		codes, err := talk(c, lines...)
		require.NoError(t, err)
		require.NotContains(t, codes[:10], 452)
		require.Equal(t, []int{452, 452, 452}, codes[10:])
		codes, err = talk(c, "RSET")
		require.NoError(t, err)
		require.Equal(t, []int{250}, codes)
	}
}

// A verifier that really sends mail is found out.
func TestMessagesAreCounted(t *testing.T) {
	l := start(t, Config{Domains: 1, Only: []Kind{Ordinary}})
	domain := l.World().Domains()[0]
	c, err := dial(l, domain)
	require.NoError(t, err)
	defer c.Close()
	_, err = reply(c)
	require.NoError(t, err)
	for _, step := range []struct {
		line string
		code int
	}{
		{"RCPT TO:<info@" + domain + ">", 503},
		{"MAIL FROM:<a@t.test>", 503},
		{"EHLO t", 250},
		{"RCPT TO:<info@" + domain + ">", 503},
		{"MAIL FROM:<a@t.test>", 250},
		{"MAIL FROM:<a@t.test>", 503},
		{"DATA", 503},
		{"RCPT TO:<info@elsewhere.test>", 554},
		{"RCPT TO:info", 501},
		{"RCPT TO:<info@" + domain + ">", 250},
		{"DATA", 354},
		{"Subject: hello\r\n\r\nthere\r\n.", 250},
		{"NONSENSE", 500},
		{"VRFY info", 252},
		{"NOOP", 250},
		{"QUIT", 221},
	} {
		codes, err := talk(c, step.line)
		require.NoError(t, err, step.line)
		require.Equal(t, []int{step.code}, codes, step.line)
	}
	require.Equal(t, int64(1), l.Stats().Messages)
}

func TestPipeliningThatWasNotOfferedIsPunished(t *testing.T) {
	l := start(t, Config{Domains: 1})
	c, err := dial(l, "pipelining-punished.odd.test")
	require.NoError(t, err)
	defer c.Close()
	_, err = reply(c)
	require.NoError(t, err)
	_, err = talk(c, "EHLO t")
	require.NoError(t, err)
	codes, err := talk(c, "MAIL FROM:<a@t.test>", "RCPT TO:<user1@pipelining-punished.odd.test>", "NOOP")
	require.Error(t, err)
	require.Equal(t, []int{250, 554}, codes)
	require.Equal(t, int64(1), l.Stats().Improper)
}

// Latency is added once for each round trip, not for each command.
func TestLatencyCountsRoundTrips_M4(t *testing.T) {
	const latency = 60 * time.Millisecond
	l := start(t, Config{Domains: 1, Only: []Kind{Shared}, Latency: latency})
	domain := l.World().Domains()[0]
	// A busy machine makes anything take longer, never shorter: the quickest of a few counts.
	takes := func(want int, what string, work func()) {
		t.Helper()
		got := 0
		for range 10 {
			began := time.Now()
			work()
			if got = int(time.Since(began) / latency); got == want {
				return
			}
			require.Greater(t, got, want, what)
		}
		require.Equal(t, want, got, what)
	}
	takes(1, "a DNS question", func() {
		_, _, err := new(dns.Client).Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(domain), dns.TypeMX), l.DNSAddr())
		require.NoError(t, err)
	})
	var c *textproto.Conn
	takes(2, "handshake and banner", func() {
		var err error
		c, err = dial(l, domain)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		_, err = reply(c)
		require.NoError(t, err)
	})
	_, err := talk(c, "EHLO t")
	require.NoError(t, err)
	lines := []string{"RSET", "MAIL FROM:<a@t.test>"}
	for _, email := range l.World().Mailboxes(domain, 4) {
		lines = append(lines, "RCPT TO:<"+email+">")
	}
	takes(1, "a pipelined group", func() {
		_, err := talk(c, lines...)
		require.NoError(t, err)
	})
	takes(len(lines), "one command at a time", func() {
		for _, line := range lines {
			_, err := talk(c, line)
			require.NoError(t, err)
		}
	})
}

func TestDNSRecords(t *testing.T) {
	l := start(t, Config{Domains: 4, Only: []Kind{Ordinary}})
	ask := func(name string, rrtype uint16, network string) *dns.Msg {
		client := dns.Client{Net: network}
		m, _, err := client.Exchange(new(dns.Msg).SetQuestion(dns.Fqdn(name), rrtype), l.DNSAddr())
		require.NoError(t, err)
		return m
	}
	domain := l.World().Domains()[0]
	for _, network := range []string{"udp", "tcp"} {
		m := ask(strings.ToUpper(domain), dns.TypeMX, network)
		require.Len(t, m.Answer, 1)
		require.Equal(t, "mail."+domain+".", m.Answer[0].(*dns.MX).Mx)
		m = ask("mail."+domain, dns.TypeA, network)
		require.Len(t, m.Answer, 1)
		require.True(t, m.Answer[0].(*dns.A).A.IsLoopback())
	}
	m := ask("mail."+domain, dns.TypeAAAA, "udp")
	require.Equal(t, dns.RcodeSuccess, m.Rcode)
	require.Empty(t, m.Answer)
	require.NotEmpty(t, m.Ns, "how long the absence may be kept")
	m = ask("no-such-name.test", dns.TypeMX, "udp")
	require.Equal(t, dns.RcodeNameError, m.Rcode)
	m = ask("dns-large.odd.test", dns.TypeMX, "udp")
	require.True(t, m.Truncated)
	require.Len(t, ask("dns-large.odd.test", dns.TypeMX, "tcp").Answer, 60)
	require.Equal(t, Stats{Queries: 8, QueriesBy: map[string]int64{"MX": 5, "A": 2, "AAAA": 1, "other": 0}}, l.Stats())
}

// The state of a mailbox depends on its name alone, and nothing a verifier
// could make up as a probe exists.
func TestMailboxes_M1(t *testing.T) {
	w := NewWorld(Config{Domains: 20, Only: []Kind{Ordinary}})
	counts := map[string]int{}
	for _, domain := range w.Domains() {
		for i := range 200 {
			email := fmt.Sprintf("james.smith%d@%s", i, domain)
			truth := w.Truth(email)
			counts[truth.Reason]++
			require.Equal(t, truth, w.Truth(strings.ToUpper(email)))
			require.Equal(t, truth, NewWorld(Config{Domains: 20, Only: []Kind{Ordinary}}).Truth(email))
			if i == 2 { // worlds are not that cheap
				break
			}
		}
		for _, local := range []string{"x7k2q9", "holdfast-probe-1", "a.b", "zzz.yyy", "user", "probe.smith"} {
			require.Equal(t, "no_such_user", w.Truth(local+"@"+domain).Reason, local)
		}
		require.Equal(t, "accepted", w.Truth("info@"+domain).Reason)
	}
	for _, email := range []string{"", "@", "a@", "@" + w.Domains()[0], "a b@" + w.Domains()[0], strings.Repeat("a", 65) + "@" + w.Domains()[0]} {
		require.Equal(t, Truth{Verdict: "invalid", Reason: "syntax"}, w.Truth(email), email)
	}
	require.Equal(t, "no_domain", w.Truth("james.smith@nowhere.test").Reason)
}

func TestTruthKnowsHonestFromWrong(t *testing.T) {
	truth := Truth{Verdict: "risky", Reason: "mailbox_full", Also: []string{"invalid"}}
	var wrong []string
	for _, verdict := range []string{"valid", "invalid", "catch_all", "risky", "disposable", "unknown"} {
		if truth.Wrong(verdict) {
			wrong = append(wrong, verdict)
		}
	}
	require.Equal(t, []string{"valid", "catch_all", "disposable"}, wrong)
	require.True(t, slices.ContainsFunc([]string{"risky", "invalid"}, truth.Right))
	require.False(t, truth.Right("unknown"), "honest, but not the answer")
}
