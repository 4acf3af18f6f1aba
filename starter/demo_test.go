package main

import (
	"context"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
	"holdfast/internal/postgres/pgtest"
)

func demoWorld(t *testing.T) (*world, string) {
	t.Helper()
	temp := temporary(t)
	return newWorld(t, "TMPDIR="+temp), temp
}

func TestDemoAsJSON(t *testing.T) {
	t.Parallel()
	w, temp := demoWorld(t)
	var r demoReport
	o := w.run("demo", "--leads", "600", "--refund-delay", "1s", "--json").ok()
	o.into(&r)
	nothingLeft(t, temp)
	emptyDirectory(t, temp)

	require.Equal(t, order.Settled, r.Order.Status)
	require.Equal(t, int64(600), r.Order.Selected)
	require.Equal(t, int64(600), r.Held)
	require.Equal(t, r.Tally.Valid, r.Charged, "paid for exactly the valid ones")
	require.Equal(t, r.Held, r.Charged+r.Refunded)
	require.Equal(t, r.Charged, r.Delivered, "the delivered list has what was paid for")
	require.Equal(t, int64(600), r.Tally.Verified())
	require.InDelta(t, 300, r.Tally.Valid, 90, "about half pass")
	var counted int64
	for _, reason := range r.Reasons {
		counted += reason.Count
	}
	require.Equal(t, int64(600), counted)

	require.Equal(t, []demoBalance{
		{"granted", 900, 0, 0, 0},
		{"delivered", 300, 600 - r.Charged, r.Charged, 0},
		{"settled", 900 - r.Charged, 0, r.Charged, r.Refunded},
	}, r.Balances)

	require.Len(t, r.FirstRows, demoRows)
	for _, row := range r.FirstRows {
		require.Equal(t, "valid", row.Verdict)
		require.Contains(t, row.Email, "@")
	}
	require.True(t, r.Audit.Balanced)
	require.Equal(t, r.Charged, r.Audit.Facts)
	require.Contains(t, r.TemporalUI, "http://127.0.0.1:")
	require.Less(t, r.History.Events, int64(200))
	require.Less(t, r.History.Bytes, int64(64<<10))
	stages := map[string]bool{}
	for _, s := range r.Stages {
		stages[s.Stage] = true
	}
	for _, name := range []string{"postgresql", "temporal", "catalogue", "order_verifying", "order_refunding", "audit"} {
		require.True(t, stages[name], "%s in %v", name, stages)
	}
}

// The demo for people runs on a server that is there already, and leaves no
// database behind in it.
func TestDemoForPeople(t *testing.T) {
	t.Parallel()
	w, temp := demoWorld(t)
	server := pgtest.NewEmptyURL(t)
	w.env = append(w.env, "HOLDFAST_DATABASE_URL="+server)
	o := w.run("demo", "--leads", "200", "--refund-delay", "1s").ok()
	nothingLeft(t, temp)
	emptyDirectory(t, temp)
	conn, err := pgx.Connect(t.Context(), server)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	var left int
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_database WHERE datname LIKE 'holdfast\\_demo\\_%'").Scan(&left))
	require.Zero(t, left, "a database is left behind")
	require.NotContains(t, o.stdout, "making a PostgreSQL cluster")

	for _, text := range []string{"Holdfast demo", "Starting", "Order ord_", "accepted", "Credits", "before the order", "delivered, before the refund", "after the refund", "Delivered: the first 5 of", "the books balance"} {
		require.Contains(t, o.stdout, text)
	}
	require.NotContains(t, o.stdout+o.stderr, "\x1b", "no colour without a terminal")
	for line := range strings.Lines(o.stdout) {
		require.LessOrEqual(t, len([]rune(line)), 141, "a line too wide to read: %s", line)
	}
}

func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	for name, at := range map[string]string{
		"while it starts":       "Starting",
		"while an order runs":   "Order ord_",
		"while a refund is due": "Refund",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, temp := demoWorld(t)
			p := w.start("demo", "--leads", "500", "--latency", "5ms", "--refund-delay", "1h")
			p.says(at)
			require.Equal(t, exitSignal+int(syscall.SIGINT), p.signal(syscall.SIGINT))
			require.Contains(t, p.output.String(), "nothing is left behind")
			nothingLeft(t, temp)
			emptyDirectory(t, temp)
		})
	}
}
