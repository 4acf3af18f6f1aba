package verify_test

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/maillab"
	"holdfast/internal/verify"
)

func TestNew_config(t *testing.T) {
	for want, c := range map[string]verify.Config{
		`the DNS server "ns" is not host:port: address ns: missing port in address`: {DNSServers: []string{"ns"}},
		`the SMTP port 70000 is not between 1 and 65535`:                            {SMTPPort: 70000},
		`the EHLO name "a b" contains white space`:                                  {Helo: "a b"},
		`the sender "missing" is not an address`:                                    {From: "missing"},
		`the source address "here" is not an IP address`:                            {SourceAddr: "here"},
		`the TLS mode "maybe" is none of "", "required", "never"`:                   {TLS: "maybe"},
		`the proxy "http://a:1" is not socks5://host:port`:                          {Proxy: "http://a:1"},
	} {
		if c.DNSServers == nil {
			c.DNSServers = []string{"127.0.0.1:53"}
		}
		_, err := verify.New(c)
		require.EqualError(t, err, want)
	}
}

// TestVerify_V7: a domain's probe is asked for once, also by later calls, and
// sessions serve many domains.
func TestVerify_V7(t *testing.T) {
	l := newLab(t, maillab.Config{Domains: 100, SharedHosts: 2, Only: []maillab.Kind{maillab.Shared}}, nil)
	for call := range 3 {
		var emails []string
		for _, d := range l.World().Domains() {
			emails = append(emails, l.World().Mailboxes(d, 10*(call+1))[10*call:]...)
		}
		l.check(t, emails, l.ask(t, emails), true)
	}
	asked := l.Lab.Stats().Recipients - 3*1000 - 100
	require.True(t, 0 <= asked && asked <= 3*100/2, "%d more, to confirm acceptances at the end of a batch", asked)
	require.LessOrEqual(t, l.Lab.Stats().Connections, int64(2*10))
	require.Zero(t, l.Lab.Stats().Messages)
	require.Zero(t, l.Lab.Stats().Improper)
}

// TestVerify_V8: a call answers each index once, twins included, and not after
// its context has ended.
func TestVerify_V8(t *testing.T) {
	l := newLab(t, maillab.Config{Domains: 50}, nil)
	emails := l.World().Emails(500, 0.5)
	emails = append(emails, emails[:100]...)
	emails = append(emails, "no address", "")
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			answered := make([]int, len(emails))
			if err := l.engine.Verify(t.Context(), emails, func(i int, r verify.Result) {
				answered[i]++
				if r.Email != emails[i] {
					t.Errorf("%q was answered for %q", r.Email, emails[i])
				}
			}); err != nil {
				t.Error(err)
			}
			for i, n := range answered {
				if n != 1 {
					t.Errorf("%q was answered %d times", emails[i], n)
				}
			}
		})
	}
	calls.Wait()

	ctx, cancel := context.WithCancel(t.Context())
	var answered atomic.Int64
	err := l.engine.Verify(ctx, emails, func(int, verify.Result) {
		answered.Add(1)
		cancel()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.EqualValues(t, 1, answered.Load())

	l.engine.Close()
	require.ErrorIs(t, l.engine.Verify(t.Context(), emails, nil), verify.ErrClosed)
}

// TestVerify_V11: hosts that never say a word do not delay others.
func TestVerify_V11(t *testing.T) {
	l := newLab(t, maillab.Config{Domains: 30, Only: []maillab.Kind{maillab.Ordinary}}, func(c *verify.Config) {
		c.MaxSessions, c.SlowReply, c.CommandTimeout = 1, 20*time.Millisecond, time.Hour
		c.SessionTimeout = time.Hour
	})
	ctx, cancel := context.WithCancel(t.Context())
	var emails []string
	emails = append(emails, "a@banner-never.odd.test")
	for _, d := range l.World().Domains() {
		emails = append(emails, "info@"+d)
	}
	var answered atomic.Int64
	err := l.engine.Verify(ctx, emails, func(i int, r verify.Result) {
		require.NotZero(t, i)
		require.Equal(t, verify.Valid, r.Verdict)
		require.True(t, r.Role)
		if answered.Add(1) == 30 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
}

// TestVerify_proxy speaks to the mail hosts through a SOCKS5 proxy.
func TestVerify_proxy(t *testing.T) {
	proxy, connections := socks5(t)
	l := newLab(t, maillab.Config{Domains: 20}, func(c *verify.Config) { c.Proxy = "socks5://" + proxy })
	emails := l.World().Emails(100, 0.5)
	l.check(t, emails, l.ask(t, emails), false)
	require.Positive(t, connections.Load())
	require.GreaterOrEqual(t, connections.Load(), l.Lab.Stats().Connections)
}

// socks5 is a proxy as RFC 1928 describes it, for CONNECT to IPv4 addresses
// without authentication.
func socks5(t *testing.T) (address string, connections *atomic.Int64) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	connections = new(atomic.Int64)
	serve := func(client net.Conn) {
		defer client.Close()
		var head [2]byte
		if _, err := io.ReadFull(client, head[:]); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, client, int64(head[1])); err != nil {
			return
		}
		if _, err := client.Write([]byte{5, 0}); err != nil {
			return
		}
		var request [10]byte
		if _, err := io.ReadFull(client, request[:]); err != nil || request[3] != 1 {
			return
		}
		if request[4] == 127 && request[5] == 127 { // black holes: see silentHosts
			_, _ = io.Copy(io.Discard, client)
			return
		}
		to := net.JoinHostPort(net.IP(request[4:8]).String(), strconv.Itoa(int(request[8])<<8|int(request[9])))
		host, err := net.Dial("tcp", to)
		if err != nil {
			_, _ = client.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
			return
		}
		defer host.Close()
		connections.Add(1)
		if _, err := client.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0}); err != nil {
			return
		}
		go func() {
			_, _ = io.Copy(host, client)
			_ = host.Close()
		}()
		_, _ = io.Copy(client, host)
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(client)
		}
	}()
	return listener.Addr().String(), connections
}
