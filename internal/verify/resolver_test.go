package verify

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"holdfast/internal/netguard"
)

// samePort finds a port that is free for UDP and for TCP: one that is free for
// the one may be taken for the other.
func samePort(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	var taken error
	for range 20 {
		packets, err := net.ListenPacket("udp", "127.0.0.1:0")
		require.NoError(t, err)
		listener, err := net.Listen("tcp", packets.LocalAddr().String())
		if err == nil {
			return packets, listener
		}
		taken = err
		require.NoError(t, packets.Close())
	}
	require.NoError(t, taken, "no port is free for both")
	return nil, nil
}

// nameServer answers over UDP and TCP on loopback.
func nameServer(t *testing.T, answer func(q *dns.Msg, tcp bool) *dns.Msg) string {
	t.Helper()
	packets, listener := samePort(t)
	handler := func(tcp bool) dns.Handler {
		return dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			if a := answer(q, tcp); a != nil {
				_ = w.WriteMsg(a) // the client may have given up
			}
		})
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handler(false)}, {Listener: listener, Handler: handler(true)}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		go func() { _ = s.ActivateAndServe() }()
		<-up
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	return packets.LocalAddr().String()
}

func record(t *testing.T, text string) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(text)
	require.NoError(t, err)
	return rr
}

// zone answers from records; a name that owns none does not exist.
func zone(t *testing.T, lines ...string) func(q *dns.Msg, tcp bool) *dns.Msg {
	var records []dns.RR
	for _, line := range lines {
		records = append(records, record(t, line))
	}
	soa := record(t, "test. 60 IN SOA ns.test. admin.test. 1 2 3 4 30")
	return func(q *dns.Msg, _ bool) *dns.Msg {
		a := new(dns.Msg).SetReply(q)
		a.RecursionAvailable = true
		exists := false
		for _, rr := range records {
			if sameName(rr.Header().Name, q.Question[0].Name) {
				exists = true
				if rr.Header().Rrtype == q.Question[0].Qtype || rr.Header().Rrtype == dns.TypeCNAME {
					a.Answer = append(a.Answer, rr)
				}
			}
		}
		if len(a.Answer) == 0 {
			a.Ns = []dns.RR{soa}
			if !exists {
				a.Rcode = dns.RcodeNameError
			}
		}
		return a
	}
}

func testResolver(t *testing.T, servers ...string) (*resolver, *atomic.Int64) {
	t.Helper()
	var queries atomic.Int64
	r := newResolver(servers, 50*time.Millisecond, &queries)
	r.allow = netguard.Allow{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	t.Cleanup(r.close)
	return r, &queries
}

func TestResolver_pathTo(t *testing.T) {
	r, _ := testResolver(t, nameServer(t, zone(t,
		"two.test. 60 IN MX 20 b.test.", "two.test. 60 IN MX 10 a.test.", "two.test. 60 IN MX 10 A2.test.",
		"a.test. 60 IN A 127.0.0.1", "a2.test. 60 IN A 127.0.0.2", "b.test. 60 IN A 127.0.0.3",
		"null.test. 60 IN MX 0 .",
		"implicit.test. 60 IN A 127.0.0.4",
		"six.test. 60 IN AAAA ::1",
		"nothing.test. 60 IN TXT x",
		"gone.test. 60 IN MX 10 nowhere.test.",
		"half.test. 60 IN MX 10 nowhere.test.", "half.test. 60 IN MX 20 b.test.",
		"literal.test. 60 IN MX 10 9.9.9.9.",
		"alias.test. 60 IN CNAME two.test.",
		"loop.test. 60 IN CNAME loop2.test.", "loop2.test. 60 IN CNAME loop.test.",
		"aliasedhost.test. 60 IN MX 10 c.test.", "c.test. 60 IN CNAME b.test.",
	)))
	for name, want := range map[string]struct {
		reason Reason
		addrs  []string
		levels int
	}{
		"two.test":         {"", []string{"127.0.0.1", "127.0.0.2"}, 2},
		"TWO.test":         {"", []string{"127.0.0.1", "127.0.0.2"}, 2},
		"null.test":        {NullMX, nil, 0},
		"implicit.test":    {"", []string{"127.0.0.4"}, 1},
		"six.test":         {"", []string{"::1"}, 1},
		"nothing.test":     {NoMailHost, nil, 0},
		"absent.test":      {NoDomain, nil, 0},
		"gone.test":        {NoMailHost, nil, 0},
		"half.test":        {"", []string{"127.0.0.3"}, 2},
		"literal.test":     {DNSError, nil, 0},
		"alias.test":       {"", []string{"127.0.0.1", "127.0.0.2"}, 2},
		"loop.test":        {DNSError, nil, 0},
		"aliasedhost.test": {"", []string{"127.0.0.3"}, 1},
	} {
		p := r.pathTo(t.Context(), name)
		require.Equal(t, want.reason, p.settled.reason, "%s: %s", name, p.why)
		var addrs []string
		for _, x := range p.top {
			addrs = append(addrs, x.addr.String())
		}
		require.Equal(t, want.addrs, addrs, name)
		require.Len(t, p.levels, want.levels, name)
	}
}

// TestResolver_cache_V10: answers are kept as long as they say, negative ones
// as long as the SOA says, and one question is asked once however many want it.
func TestResolver_cache_V10(t *testing.T) {
	answer := zone(t, "long.test. 60 IN A 127.0.0.1", "short.test. 0 IN A 127.0.0.1")
	r, queries := testResolver(t, nameServer(t, func(q *dns.Msg, tcp bool) *dns.Msg {
		time.Sleep(5 * time.Millisecond) // long enough for the others to come along
		return answer(q, tcp)
	}))
	ask := func(name string, n int) int64 {
		before := queries.Load()
		var all sync.WaitGroup
		for range n {
			all.Go(func() { r.lookup(t.Context(), name, dns.TypeA) })
		}
		all.Wait()
		return queries.Load() - before
	}
	require.EqualValues(t, 1, ask("long.test", 50))
	require.EqualValues(t, 0, ask("long.test", 1))
	require.EqualValues(t, 1, ask("absent.test", 50))
	require.EqualValues(t, 0, ask("absent.test", 1))
	require.EqualValues(t, 1, ask("short.test", 1))
	require.EqualValues(t, 1, ask("short.test", 1))
}

// TestResolver_failures: a failing server is no answer, and another one is asked.
func TestResolver_failures(t *testing.T) {
	good := nameServer(t, zone(t, "a.test. 60 IN A 127.0.0.1"))
	rcode := func(code int) string {
		return nameServer(t, func(q *dns.Msg, _ bool) *dns.Msg { return new(dns.Msg).SetRcode(q, code) })
	}
	mute := nameServer(t, func(*dns.Msg, bool) *dns.Msg { return nil })
	liar := nameServer(t, func(q *dns.Msg, _ bool) *dns.Msg {
		a := new(dns.Msg).SetReply(q)
		a.Question[0].Name = "other.test."
		a.Rcode = dns.RcodeNameError
		return a
	})
	referring := nameServer(t, func(q *dns.Msg, _ bool) *dns.Msg {
		a := new(dns.Msg).SetReply(q)
		a.Ns = []dns.RR{record(t, "test. 60 IN NS ns.test.")}
		return a
	})
	for name, bad := range map[string]string{
		"servfail": rcode(dns.RcodeServerFailure), "refused": rcode(dns.RcodeRefused), "mute": mute, "liar": liar, "referral": referring,
		"closed": "127.0.0.1:1",
	} {
		alone, _ := testResolver(t, bad)
		a := alone.lookup(t.Context(), "a.test", dns.TypeA)
		require.Equal(t, dnsFailed, a.status, name)
		require.NotEmpty(t, a.why, name)
		require.Equal(t, name == "mute" || name == "closed" || name == "liar", a.silent, name)

		both, _ := testResolver(t, bad, good)
		require.Equal(t, dnsFound, both.lookup(t.Context(), "a.test", dns.TypeA).status, name)
	}
}

// TestResolver_tcp: a truncated reply is asked for again over TCP (RFC 7766 §5).
func TestResolver_tcp(t *testing.T) {
	answer := zone(t, "big.test. 60 IN MX 10 a.test.")
	r, _ := testResolver(t, nameServer(t, func(q *dns.Msg, tcp bool) *dns.Msg {
		a := answer(q, tcp)
		if !tcp {
			a.Truncated, a.Answer = true, nil
		}
		return a
	}))
	a := r.lookup(t.Context(), "big.test", dns.TypeMX)
	require.Equal(t, dnsFound, a.status)
	require.Equal(t, []mxRecord{{"a.test", 10}}, a.mx)
}

// TestResolver_edns: servers from before EDNS are asked without it (RFC 6891 §7).
func TestResolver_edns(t *testing.T) {
	answer := zone(t, "a.test. 60 IN A 127.0.0.1")
	r, _ := testResolver(t, nameServer(t, func(q *dns.Msg, tcp bool) *dns.Msg {
		if q.IsEdns0() != nil {
			return new(dns.Msg).SetRcode(q, dns.RcodeFormatError)
		}
		return answer(q, tcp)
	}))
	require.Equal(t, dnsFound, r.lookup(t.Context(), "a.test", dns.TypeA).status)
}

func TestMemory_V10(t *testing.T) {
	m := newMemory[int, int](100)
	for i := range 10_000 {
		m.put(i, i)
		_, ok := m.get(0) // what is asked for stays
		require.True(t, ok)
	}
	require.LessOrEqual(t, len(m.young)+len(m.old), 100)
	_, ok := m.get(5000)
	require.False(t, ok)
	_, ok = m.get(9999)
	require.True(t, ok)
	m.forget(9999)
	_, ok = m.get(9999)
	require.False(t, ok)
}

// TestProbe_V7: the mailbox that cannot exist is always the same one, differs
// from domain to domain, and is an address.
func TestProbe_V7(t *testing.T) {
	a := probeLocal("secret", "a.test")
	require.Equal(t, a, probeLocal("secret", "a.test"))
	require.NotEqual(t, a, probeLocal("secret", "b.test"))
	require.NotEqual(t, a, probeLocal("other", "a.test"))
	_, err := ParseAddress(a + "@a.test")
	require.NoError(t, err)
}
