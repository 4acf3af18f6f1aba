package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/billing"
	"holdfast/internal/order"
	"holdfast/internal/testclock"
)

// startDev starts a dev stack in the default place, as a newcomer does, and
// waits until it is ready.
func startDev(w *world, args ...string) (*process, addresses) {
	w.t.Helper()
	ready := filepath.Join(w.dir, "ready.json")
	require.NoError(w.t, os.RemoveAll(ready)) // of a stack that was killed
	p := w.start(append([]string{"dev", "--http-addr", "127.0.0.1:0", "--ready-file", ready}, args...)...)
	var at addresses
	p.until(func() bool {
		text, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(text, &at) == nil // the file appears whole
	}, "it does not become ready")
	return p, at
}

// TestDev is a newcomer's first half hour with a dev stack: look around, order,
// misuse it, kill it, start it again.
func TestDev(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "HOLDFAST_STRIPE_KEY=sk_test", "HOLDFAST_STRIPE_WEBHOOK_SECRET="+stripeSecret, "HOLDFAST_STRIPE_URL="+stripeServer(t).URL)
	w.dir = temporary(t)
	dev, at := startDev(w, "--leads", "1500", "--latency", "10ms")
	t.Run("ready file", func(t *testing.T) { readyFile(t, w) })
	t.Run("HTTP", func(t *testing.T) { httpAnswers(t, at) })
	serving, served := startServe(w)
	t.Run("one at a time", func(t *testing.T) {
		w.run("dev", "--http-addr", "127.0.0.1:0").fails(exitFailed, "another dev stack is running")
	})
	t.Run("port taken", func(t *testing.T) {
		address := strings.TrimPrefix(at.Dashboard, "http://")
		other := newWorld(t)
		other.run("dev", "--http-addr", address).fails(exitFailed, address)
		require.NoFileExists(t, filepath.Join(other.dir, dataDir, "postgres"), "nothing is half done")
	})
	t.Run("wrong orders", func(t *testing.T) { wrongOrders(t, w) })

	var first order.Order
	t.Run("order", func(t *testing.T) { first = completedOrder(t, w) })
	t.Run("same key", func(t *testing.T) {
		var again order.Order
		w.run("order", "lead-list", "--org", "acme", "--count", "300", "--key", "first", "--json").ok().into(&again)
		require.Equal(t, first.ID, again.ID)
		w.run("order", "lead-list", "--org", "acme", "--count", "301", "--key", "first").fails(exitFailed, "idempotency key")
	})
	t.Run("look at it", func(t *testing.T) { lookAround(t, w, first) })
	t.Run("runbooks", func(t *testing.T) { runbookCommands(t, w, at, first) })
	t.Run("documentation", func(t *testing.T) { documentation(t, w, at) })
	t.Run("orders of other kinds", func(t *testing.T) { otherKinds(t, w) })
	t.Run("verify in the lab", func(t *testing.T) {
		results, _ := verifyAll(t, w, "postmaster@nowhere.test\n", "--lab")
		require.Equal(t, "no_domain", string(results[0].Reason))
	})

	var running order.Order
	w.run("order", "lead-list", "--org", "acme", "--count", "900", "--key", "second", "--json").ok().into(&running)
	require.Equal(t, order.Reserved, running.Status)
	require.Equal(t, exitSignal+int(syscall.SIGKILL), dev.signal(syscall.SIGKILL))
	w.run("order", "show", running.ID).fails(exitFailed, "the dev stack does not answer")
	t.Run("serve without a stack", func(t *testing.T) {
		code, body := get(t, served+"/readyz")
		require.Equal(t, http.StatusServiceUnavailable, code)
		require.JSONEq(t, `{"status":"not ready","database":"does not answer","temporal":"does not answer"}`, body)
		code, _ = get(t, served+"/healthz")
		require.Equal(t, http.StatusOK, code, "it lives")
		require.Zero(t, serving.signal(syscall.SIGTERM), serving.output.String())
	})

	dev, again := startDev(w, "--latency", "10ms")
	require.Equal(t, at.OperatorKey, again.OperatorKey)
	require.Equal(t, at.DNSAddr, again.DNSAddr, "running orders find their mail hosts again")
	require.Equal(t, at.SMTPPort, again.SMTPPort)
	t.Run("the order goes on", func(t *testing.T) {
		var o order.Order
		w.run("order", "show", running.ID, "--watch", "--json").ok().into(&o)
		require.Equal(t, order.Completed, o.Status)
		require.Equal(t, int64(900), o.Tally.Verified())
		require.Equal(t, []order.Credit{{Type: "email", Held: 900, Captured: o.Tally.Valid}}, o.Credits)
	})
	t.Run("cancel", func(t *testing.T) { cancelled(t, w, running) })
	t.Run("the books", func(t *testing.T) {
		var report auditReport
		w.run("audit", "--json").ok().into(&report)
		require.True(t, report.Balanced, "%v", report.Findings)
	})

	require.Zero(t, dev.signal(syscall.SIGTERM), dev.output.String())
	require.NoFileExists(t, filepath.Join(w.dir, "ready.json"))
	require.NoFileExists(t, filepath.Join(w.dir, dataDir, readyName))
	nothingLeft(t, w.dir)
	w.run("org", "list").fails(exitFailed, "No stack was found")
}

func readyFile(t *testing.T, w *world) {
	t.Helper()
	path := filepath.Join(w.dir, "ready.json")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), "it holds a key and a password")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var keys map[string]any
	require.NoError(t, json.Unmarshal(text, &keys))
	for _, key := range []string{"api", "dashboard", "temporal_ui", "temporal_address", "database_url", "operator_key", "dns_addr", "smtp_port"} {
		require.NotEmpty(t, keys[key], key)
	}
	require.Len(t, keys, 8)
}

// startServe runs another HTTP server on the same stack, with flags of serve.
func startServe(w *world, flags ...string) (*process, string) {
	w.t.Helper()
	w.env = append(w.env, "HOLDFAST_HTTP_ADDR=127.0.0.1:0")
	p := w.start(append([]string{"serve"}, flags...)...)
	p.says("Ctrl-C stops")
	_, url, _ := strings.Cut(p.output.String(), "Serving on ")
	url, _, _ = strings.Cut(url, ";")
	return p, url
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}

func httpAnswers(t *testing.T, at addresses) {
	t.Helper()
	code, body := get(t, at.Dashboard+"/healthz")
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"status":"ok"}`, body)
	code, body = get(t, at.Dashboard+"/readyz")
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"status":"ready","database":"ok","temporal":"ok"}`, body)
	code, body = get(t, at.Dashboard+"/")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, body, "API key", "/ leads to the login of the dashboard")
	code, _ = get(t, at.Dashboard+"/nowhere")
	require.Equal(t, http.StatusNotFound, code)

	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(at.TemporalUI, "http://"))
	require.NoError(t, err, "the Temporal UI listens")
	require.NoError(t, conn.Close())
}

func wrongOrders(t *testing.T, w *world) {
	t.Helper()
	order := func(args ...string) outcome {
		o := w.run(append([]string{"order", "lead-list"}, args...)...)
		o.t = t
		return o
	}
	order("--org", "missing", "--count", "5").fails(exitFailed, "missing")
	order("--org", "acme", "--member", "missing", "--count", "5").fails(exitFailed, "missing")
	order("--org", "acme", "--count", "0").fails(exitUsage, "The count is 0")
	order("--org", "acme", "--count", "-5").fails(exitUsage, "The count is -5")
	order("--org", "acme", "--count", "1000001").fails(exitUsage, "at most 1000000")
	order("--org", "acme", "--count", "5", "--country", "USA").fails(exitUsage, "USA")
	order("--org", "acme", "--count", "5", "--headcount-min", "9", "--headcount-max", "3").fails(exitUsage, "empty")
	w.run("order", "show", "ord_nothing").fails(exitFailed, "there is no order")
	w.run("order", "results", "ord_nothing").fails(exitFailed, "there is no order")
	w.run("order", "cancel", "ord_nothing").fails(exitFailed, "there is no order")

	// Without credits an order is rejected, and nothing is held.
	w.run("org", "create", "poor").ok()
	o := order("--org", "poor", "--count", "5", "--json")
	require.Equal(t, exitFailed, o.code)
	require.Contains(t, o.stderr, "credits")
	var view billing.Credits
	w.run("credits", "--org", "acme", "--json").ok().into(&view)
	require.Equal(t, []billing.Credit{{Type: "email", Pool: "organization", Available: 100_000}}, view.Credits)
}

func completedOrder(t *testing.T, w *world) order.Order {
	t.Helper()
	var o order.Order
	w.run("order", "lead-list", "--org", "acme", "--count", "300", "--key", "first", "--watch", "--json").ok().into(&o)
	require.Equal(t, order.Completed, o.Status)
	require.Equal(t, int64(300), o.Tally.Verified())
	require.Positive(t, o.Tally.Valid)
	require.Equal(t, []order.Credit{{Type: "email", Held: 300, Captured: o.Tally.Valid}}, o.Credits)
	require.NotNil(t, o.RefundAt)
	return o
}

func lookAround(t *testing.T, w *world, o order.Order) {
	t.Helper()
	shown := w.run("order", "show", o.ID).ok().stdout
	for _, text := range []string{o.ID, "completed", "refund", "accepted"} {
		require.Contains(t, shown, text)
	}
	require.Contains(t, w.run("order", "list", "--org", "acme").ok().stdout, o.ID)
	w.run("order", "list", "--org", "missing").fails(exitFailed, "missing")

	csv := w.run("order", "results", o.ID).ok().stdout
	lines := strings.Split(strings.TrimSpace(csv), "\n")
	require.Contains(t, lines[0], "email")
	require.Len(t, lines[1:], int(o.Tally.Valid), "one row for each that was paid for")
	file := filepath.Join(w.dir, "leads.csv")
	w.run("order", "results", o.ID, "--output", file).ok()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, csv, string(text))
	all := w.run("order", "results", o.ID, "--all", "--json").ok().stdout
	require.Equal(t, 300, strings.Count(all, "\n"))

	history := w.run("credits", "history", "--org", "acme", "--order", o.ID).ok().stdout
	require.Contains(t, history, "hold")
	require.Contains(t, history, "capture")
}

func cancelled(t *testing.T, w *world, running order.Order) {
	t.Helper()
	var o order.Order
	w.run("order", "lead-list", "--org", "acme", "--count", "1500", "--key", "third", "--json").ok()
	w.run("order", "cancel", order.ID("acme", "third"), "--json").ok().into(&o)
	require.True(t, o.Status.Over())
	for _, c := range o.Credits {
		require.Equal(t, c.Held, c.Captured+c.Released, "all that was not delivered is back")
	}
	require.Contains(t, w.run("order", "cancel", o.ID).ok().stderr, "cancelled before; nothing was changed")
	w.run("order", "pause", o.ID).fails(exitFailed, "over already")
	require.Contains(t, w.run("forget", "missing@nowhere.test").ok().stdout, "1 entry added")
	w.run("order", "resume", o.ID).fails(exitFailed, "over already")
	var clock testclock.Clock
	w.run("clock", "create", "--org", "rehearsal", "--at", "2028-01-31T09:00:00Z", "--json").ok().into(&clock)
	w.run("org", "create", "rehearsal", "--plan", "workspace-paid").ok()
	w.run("clock", "advance", clock.ID, "--to", "2028-03-31", "--wait", "--json").ok().into(&clock)
	require.Equal(t, testclock.Ready, clock.Status)
	require.Equal(t, "2028-03-31", clock.At.Format(time.DateOnly))
	// An order that waits for its refund gets it at once.
	w.run("order", "cancel", running.ID, "--json").ok().into(&o)
	require.Equal(t, order.Settled, o.Status)
}
