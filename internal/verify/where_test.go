package verify_test

import (
	"net"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

// listenOn counts the connections to an address of this machine.
func listenOn(t *testing.T, host string, port int) *atomic.Int64 {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	var connections atomic.Int64
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			_, _ = conn.Write([]byte("220 our own machine\r\n"))
			_ = conn.Close()
		}
	}()
	return &connections
}

// TestNotPublic_V12: what DNS says about a mail host that is not on the public
// internet is not believed, and nothing is dialled; directly or by a proxy.
func TestNotPublic_V12(t *testing.T) {
	l := newLab(t, maillab.Config{Domains: 1}, nil)
	touched := listenOn(t, "127.0.0.1", l.SMTPPort())
	proxy, proxied := socks5(t)
	for name, engine := range map[string]*lab{
		"direct": l, "proxy": l.with(t, func(c *verify.Config) { c.Proxy = "socks5://" + proxy }),
	} {
		t.Run(name, func(t *testing.T) {
			for _, label := range []string{
				"mx-localhost", "mx-loopback", "mx-private", "mx-link-local", "mx-unspecified", "mx-multicast",
				"mx-documentation", "mx-unique-local", "mx-mapped-loopback", "dns-implicit-loopback",
			} {
				r := engine.ask(t, []string{"user1@" + label + ".odd.test"})[0]
				require.Equal(t, verify.Invalid, r.Verdict, label)
				require.Equal(t, verify.NoMailHost, r.Reason, label)
				require.NotContains(t, r.SMTPText, "our own machine", label)
			}
			require.Zero(t, engine.engine.Stats().Connections)
		})
	}
	require.Zero(t, touched.Load())
	require.Zero(t, proxied.Load())
}

// TestNotPublic_nothingAllowed: without an exception the lab itself is not
// public, and none of its hosts is asked.
func TestNotPublic_nothingAllowed(t *testing.T) {
	l := newLab(t, maillab.Config{Domains: 3, Only: []maillab.Kind{maillab.Ordinary, maillab.Implicit}}, func(c *verify.Config) { c.Allow = nil })
	for _, r := range l.ask(t, l.World().Emails(20, 0.5)) {
		require.Equal(t, verify.NoMailHost, r.Reason, r.Email)
	}
	require.Zero(t, l.Lab.Stats().Connections)
}
