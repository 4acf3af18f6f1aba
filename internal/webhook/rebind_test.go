package webhook_test

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"holdfast/internal/webhook"
)

// counter takes TCP connections at an address, says nothing, and counts them.
func counter(t *testing.T, address string) (port string, n *atomic.Int64) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	n = new(atomic.Int64)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			_ = conn.Close()
		}
	}()
	_, port, err = net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port, n
}

// W7: a name that leads outside when it is asked for first, and to this machine when
// the connection is made, gains nothing: what counts is the address of the connection.
func TestW7_ANameThatChangesItsMindGainsNothing(t *testing.T) {
	const outside, inside = "127.0.0.2", "127.0.0.1" // the first one stands for the internet
	port, reached := counter(t, outside+":0")
	_, spied := counter(t, inside+":"+port)
	var asked atomic.Int64
	packets, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &dns.Server{PacketConn: packets, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		a := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			to := outside
			if asked.Add(1) > 1 {
				to = inside
			}
			rr, err := dns.NewRR(q.Question[0].Name + " 0 IN A " + to)
			if err == nil {
				a.Answer = []dns.RR{rr}
			}
		}
		_ = w.WriteMsg(a) // the client may have given up
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = packets.Close() })
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", packets.LocalAddr().String())
	}}
	t.Cleanup(func() { net.DefaultResolver = before })

	f := setup(t)
	hooks := webhook.New(f.pool, webhook.Config{Allow: []netip.Prefix{netip.MustParsePrefix(outside + "/32")}, Backoff: []time.Duration{time.Millisecond, time.Millisecond, time.Hour}})
	e, _, err := hooks.Create(f.ctx, "acme", "https://rebind.example:"+port, nil)
	require.NoError(t, err)
	f.happened("order.reserved", "ord_1")
	f.publish()
	require.Eventually(t, func() bool {
		_, err := hooks.Deliver(f.ctx, e.ID, 10)
		require.NoError(t, err)
		return strings.Contains(f.deliveries(e)[0].Error, "private network")
	}, 30*time.Second, 10*time.Millisecond)
	require.EqualValues(t, 1, reached.Load(), "at first it led outside")
	require.Zero(t, spied.Load())
	require.GreaterOrEqual(t, asked.Load(), int64(2))
}
