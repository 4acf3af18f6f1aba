package verify

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"holdfast/internal/netguard"
)

// A mail host's name that leads outside at first and to this machine afterwards, or to
// both at once, leads no session to this machine.
func TestNoNameLeadsASessionInside(t *testing.T) {
	const outside, inside = "127.0.0.2", "127.0.0.1" // the first one stands for the internet
	var reached, spied atomic.Int64
	port := 0
	for _, at := range []struct {
		host string
		n    *atomic.Int64
	}{{outside, &reached}, {inside, &spied}} {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP(at.host), Port: port})
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		port = l.Addr().(*net.TCPAddr).Port
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				at.n.Add(1)
				_, _ = conn.Write([]byte("554 5.7.1 go away\r\n"))
				_ = conn.Close()
			}
		}()
	}
	var asked atomic.Int64
	server := nameServer(t, func(q *dns.Msg, _ bool) *dns.Msg {
		a := new(dns.Msg).SetReply(q)
		name := q.Question[0].Name
		switch {
		case q.Question[0].Qtype != dns.TypeA:
		case name == "both.test.":
			a.Answer = []dns.RR{record(t, name+" 0 IN A "+inside), record(t, name+" 0 IN A "+outside)}
		case asked.Add(1) == 1:
			a.Answer = []dns.RR{record(t, name+" 0 IN A "+outside)}
		default:
			a.Answer = []dns.RR{record(t, name+" 0 IN A "+inside)}
		}
		return a
	})
	e, err := New(Config{
		DNSServers: []string{server}, SMTPPort: port, Helo: "mail.ours.example", GreylistRetry: time.Millisecond,
		Allow: netguard.Allow{netip.MustParsePrefix(outside + "/32")},
	})
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	for _, email := range []string{"ann@rebinds.test", "bob@rebinds.test", "ann@later.test", "ann@both.test"} {
		err := e.Verify(t.Context(), []string{email}, func(_ int, r Result) { require.NotEqual(t, Valid, r.Verdict) })
		if err != nil {
			require.ErrorContains(t, err, "verif") // an outage, of those that cannot be reached
		}
	}
	require.Positive(t, reached.Load())
	require.Zero(t, spied.Load())
}
