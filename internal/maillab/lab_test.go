package maillab

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Two labs run side by side, each with its own truth, and everything listens on
// loopback.
func TestTwoLabsAtOnce_M5(t *testing.T) {
	a := start(t, Config{Seed: 1, Domains: 20, Only: []Kind{Ordinary}})
	b := start(t, Config{Seed: 2, Domains: 20, Only: []Kind{Ordinary}})
	require.NotEqual(t, a.SMTPPort(), b.SMTPPort())
	require.NotEqual(t, a.DNSAddr(), b.DNSAddr())
	for _, l := range []*Lab{a, b} {
		domain := l.World().Domains()[0]
		by := boxes(l.World(), domain)
		require.True(t, probeOf(l).ask(by[exists][0]).accepted())
		require.False(t, probeOf(l).ask(by[missing][0]).accepted())
		for _, h := range l.hosts {
			require.True(t, h.addr.IsLoopback())
		}
		require.True(t, netip.MustParseAddrPort(l.DNSAddr()).Addr().IsLoopback())
	}
}

func TestStartRefuses(t *testing.T) {
	l := start(t, Config{Domains: 2})
	for name, c := range map[string]Config{
		"choose another port":        {SMTPPort: l.SMTPPort()},
		"choose another address":     {DNSAddr: l.DNSAddr()},
		"give a loopback address":    {DNSAddr: "0.0.0.0:0"},
		"choose kinds of the usual":  {Only: []Kind{Odd}},
		`no company domains of kind`: {Only: []Kind{"unheard_of"}},
	} {
		c.Domains = 2
		_, err := Start(c)
		require.ErrorContains(t, err, name)
	}
}

// A lab can be started again where it was.
func TestFixedPorts_M5(t *testing.T) {
	c := Config{Domains: 5}
	l, err := Start(c)
	require.NoError(t, err)
	c.DNSAddr, c.SMTPPort = l.DNSAddr(), l.SMTPPort()
	l.Close()
	l, err = Start(c)
	require.NoError(t, err)
	require.Equal(t, c.DNSAddr, l.DNSAddr())
	require.Equal(t, c.SMTPPort, l.SMTPPort())
	l.Close()
}

// Close ends sessions in every state, listeners and goroutines, and may be
// called twice.
func TestCloseLeavesNothing_M5(t *testing.T) {
	l, err := Start(Config{Domains: 50, Latency: time.Minute})
	require.NoError(t, err)
	var conns []net.Conn
	for _, o := range OddHosts() {
		for _, h := range l.world.domains[asciiDomain(o.Domain())].hosts {
			if h.reach != talks {
				continue
			}
			conn, err := net.Dial("tcp", netip.AddrPortFrom(h.addr, uint16(l.SMTPPort())).String())
			require.NoError(t, err)
			conns = append(conns, conn)
		}
	}
	require.Eventually(t, func() bool { return l.Stats().Connections >= int64(len(conns)) }, 5*time.Second, time.Millisecond)
	l.Close()
	l.Close()
	for _, conn := range conns {
		_, err := conn.Read(make([]byte, 1))
		require.Error(t, err)
		conn.Close()
	}
	_, err = net.Dial("tcp", netip.AddrPortFrom(l.hosts[0].addr, uint16(l.SMTPPort())).String())
	require.Error(t, err, "the port is closed")
	stacks := make([]byte, 1<<20)
	require.Eventually(t, func() bool {
		running := string(stacks[:runtime.Stack(stacks, true)])
		return !strings.Contains(running, "(*mailHost)") && !strings.Contains(running, "(*conversation)") &&
			!strings.Contains(running, "(*Lab)") && !strings.Contains(running, "dns.(*Server)")
	}, 5*time.Second, time.Millisecond)
}

// BenchmarkStart measures a lab of 2,000 hosts of their own.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		l, err := Start(Config{Only: []Kind{Ordinary}})
		require.NoError(b, err)
		b.StopTimer()
		l.Close()
		b.StartTimer()
	}
}

// BenchmarkRecipients measures RCPT over one reused session, 50 to a packet.
func BenchmarkRecipients(b *testing.B) {
	l, err := Start(Config{Domains: 1, SharedHosts: 1, Only: []Kind{Shared}})
	require.NoError(b, err)
	b.Cleanup(l.Close)
	domain := l.World().Domains()[0]
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", netip.AddrPortFrom(l.world.domains[domain].hosts[0].addr, uint16(l.port)).String())
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		in := bufio.NewReader(conn)
		_, _ = in.ReadString('\n')
		fmt.Fprint(conn, "EHLO b\r\n")
		for line := "250-"; strings.HasPrefix(line, "250-"); {
			line, _ = in.ReadString('\n')
		}
		var group bytes.Buffer
		group.WriteString("RSET\r\nMAIL FROM:<a@b.test>\r\n")
		for _, email := range l.World().Mailboxes(domain, 50) {
			group.WriteString("RCPT TO:<" + email + ">\r\n")
		}
		for more := true; more; {
			if _, err := conn.Write(group.Bytes()); err != nil {
				b.Error(err)
				return
			}
			for range 52 {
				for {
					line, err := in.ReadSlice('\n')
					if err != nil {
						b.Error(err)
						return
					}
					if line[3] == ' ' {
						break
					}
				}
			}
			for i := 0; i < 50 && more; i++ {
				more = pb.Next()
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rcpt/s")
}
