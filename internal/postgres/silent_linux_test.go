package postgres_test

import (
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"holdfast/internal/postgres"
	"holdfast/internal/postgres/pgtest"
)

// Idle connections that something on the way has forgotten, as firewalls do, are
// replaced when they are used, also by a caller who would wait for ever.
func TestAForgottenConnectionIsReplaced(t *testing.T) {
	ctx := t.Context()
	p := startForgetful(t, pgtest.NewURL(t))
	pool, err := postgres.Open(ctx, p.url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	t.Cleanup(p.cut) // before the pool is closed
	var conns []*pgxpool.Conn
	for range 3 {
		conn, err := pool.Acquire(ctx)
		require.NoError(t, err)
		conns = append(conns, conn)
	}
	for _, conn := range conns {
		defer conn.Release() // again does nothing
	}
	requireSettings(t, conns[0])
	for _, conn := range conns {
		conn.Release()
	}
	time.Sleep(1100 * time.Millisecond) // one that was used a second ago is not asked
	p.forget()

	answered := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := pool.Exec(ctx, `SELECT 1`)
			answered <- err
		}()
	}
	for range 3 {
		select {
		case err := <-answered:
			require.NoError(t, err)
		case <-time.After(45 * time.Second):
			t.Fatal("a statement waits for a connection that nothing comes from")
		}
	}
}

// requireSettings reads what the operating system does with a connection.
func requireSettings(t *testing.T, conn *pgxpool.Conn) {
	t.Helper()
	tcp, ok := conn.Conn().PgConn().Conn().(*net.TCPConn)
	require.True(t, ok)
	raw, err := tcp.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		for option, want := range map[int]int{unix.TCP_USER_TIMEOUT: 30_000, unix.TCP_KEEPIDLE: 15, unix.TCP_KEEPINTVL: 5, unix.TCP_KEEPCNT: 3} {
			is, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option)
			require.NoError(t, err)
			require.Equal(t, want, is, "option %d", option)
		}
	}))
}

// forgetful passes on what clients and PostgreSQL say, until it forgets the
// connections that there are: they stay open, and nothing comes through.
type forgetful struct {
	url string

	mu    sync.Mutex
	known []*known
}

type known struct {
	net.Conn
	forgotten atomic.Bool
}

func (k *known) Write(b []byte) (int, error) {
	if k.forgotten.Load() {
		return len(b), nil
	}
	return k.Conn.Write(b)
}

func startForgetful(t *testing.T, database string) *forgetful {
	t.Helper()
	at, err := pgconn.ParseConfig(database)
	require.NoError(t, err)
	network, server := pgconn.NetworkAddress(at.Host, at.Port)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	via := url.URL{
		Scheme: "postgres", User: url.UserPassword(at.User, at.Password), Host: listener.Addr().String(),
		Path: "/" + at.Database, RawQuery: "sslmode=disable",
	}
	p := &forgetful{url: via.String()}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial(network, server)
			if err != nil {
				_ = client.Close()
				continue
			}
			ways := [2]*known{{Conn: client}, {Conn: to}}
			p.mu.Lock()
			p.known = append(p.known, ways[:]...)
			p.mu.Unlock()
			for i := range ways {
				go func() {
					_, _ = io.Copy(ways[i], ways[1-i].Conn)
					if !ways[i].forgotten.Load() {
						_ = ways[i].Close()
					}
				}()
			}
		}
	}()
	return p
}

func (p *forgetful) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.known {
		k.forgotten.Store(true)
	}
}

func (p *forgetful) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range p.known {
		_ = k.Close()
	}
}
