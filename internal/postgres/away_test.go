package postgres_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres"
	"holdfast/internal/postgres/pgtest"
)

// A database that is stopped, or gone in the middle of a statement, is away; one
// that refuses a statement is not.
func TestAway(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	conn, err := pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()
	_, err = pool.Exec(ctx, `SELECT pg_terminate_backend($1)`, conn.Conn().PgConn().PID())
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := conn.Exec(ctx, `SELECT 1`)
		return err != nil && postgres.Away(err)
	}, 10*time.Second, 20*time.Millisecond, "its connection was ended")
	_, err = conn.Exec(ctx, `SELECT 1`)
	require.True(t, postgres.Away(err), "a connection that is closed: %v", err)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := url.URL{Scheme: "postgres", User: url.User("holdfast"), Host: listener.Addr().String(), Path: "/holdfast"}
	require.NoError(t, listener.Close())
	gone, err := postgres.Open(ctx, closed.String())
	if err == nil {
		_, err = gone.Exec(ctx, `SELECT 1`)
		gone.Close()
	}
	require.True(t, postgres.Away(err), "the port is closed: %v", err)
	require.True(t, postgres.Away(io.ErrUnexpectedEOF))

	_, err = pool.Exec(ctx, `SELECT 1/0`)
	require.False(t, postgres.Away(err))
	_, err = pool.Exec(ctx, `SELECT nothing FROM nowhere`)
	require.False(t, postgres.Away(err))
	require.False(t, postgres.Away(context.DeadlineExceeded))
	given, cancel := context.WithCancel(ctx)
	cancel()
	_, err = pool.Exec(given, `SELECT 1`)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, postgres.Away(err), "the caller gave up before the statement was sent: %v", err)
	require.False(t, postgres.Away(errors.New("something else")))
	require.False(t, postgres.Away(nil))
}
