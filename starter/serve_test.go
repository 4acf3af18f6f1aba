package main

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"holdfast/internal/devstack"
	"holdfast/internal/postgres/pgtest"
)

// TestServe is a day of an HTTP server: it says which part is missing whenever
// something is, and when it is stopped it finishes what it has begun.
func TestServe(t *testing.T) {
	t.Parallel()
	temporal, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, temporal.Stop()) })
	database := pgtest.NewURL(t)
	w := newWorld(t, "HOLDFAST_DATABASE_URL="+database, "TEMPORAL_ADDRESS="+temporal.Address)
	w.run("migrate").ok()
	leads := filepath.Join(w.dir, "leads.csv")
	require.NoError(t, os.WriteFile(leads, []byte("id,email\na,a@nowhere.invalid\n"), 0o600))
	w.run("import", leads).ok()
	w.run("org", "create", "acme").ok()
	w.run("member", "create", "ann", "--org", "acme").ok()
	w.run("credits", "grant", "--org", "acme", "--type", "email", "--amount", "10").ok()
	key := strings.TrimSpace(w.run("key", "create", "--org", "acme", "--member", "ann").ok().stdout)
	// The plan of one organization sells leads, the other one's takes lists.
	w.run("org", "create", "lister", "--plan", "prepaid-verification").ok()
	w.run("member", "create", "kim", "--org", "lister").ok()
	listKey := strings.TrimSpace(w.run("key", "create", "--org", "lister", "--member", "kim").ok().stdout)
	without := w.env
	w.env = append(slices.Clone(without), "HOLDFAST_SMTP_HELO=verifier.test")
	serving, at := startServe(w, "--worker")
	serving.says("The worker is running")
	first := at

	readiness := func(at, wrong, what string) {
		t.Helper()
		want := map[string]string{"status": "not ready", "database": "ok", "temporal": "ok"}
		code := http.StatusServiceUnavailable
		if want[wrong] = what; wrong == "" {
			want, code = map[string]string{"status": "ready", "database": "ok", "temporal": "ok"}, http.StatusOK
		}
		require.Eventually(t, func() bool {
			have, _ := get(t, at+"/readyz")
			return have == code
		}, 20*time.Second, 20*time.Millisecond)
		var said map[string]string
		_, body := get(t, at+"/readyz")
		outcome{t: t, stdout: body}.into(&said)
		if at == first {
			delete(said, "identity") // of verifier.test, which the real DNS does not know
		}
		require.Equal(t, want, said)
	}
	readiness(at, "", "")
	elsewhere(t, database, func(conn *pgx.Conn) {
		_, err := conn.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)`)
		require.NoError(t, err)
		readiness(at, "schema", "is not this program's")
		_, err = conn.Exec(t.Context(), `DELETE FROM goose_db_version WHERE version_id = 9999`)
		require.NoError(t, err)
		readiness(at, "", "")
	})
	order := drained(t, serving, at, key, listKey)
	begun := firstEvent(t, temporal.Address, order)
	require.True(t, begun.EagerExecutionAccepted, "the worker in the process of the API gets an order with the answer to its start")

	w.env = without
	_, at = startServe(w)
	server, err := url.Parse(database)
	require.NoError(t, err)
	name := strings.TrimPrefix(server.Path, "/")
	server.Path = "/postgres"
	elsewhere(t, server.String(), func(conn *pgx.Conn) {
		closed := fmt.Sprintf(`ALTER DATABASE %s ALLOW_CONNECTIONS `, pgx.Identifier{name}.Sanitize())
		_, err := conn.Exec(t.Context(), closed+"false")
		require.NoError(t, err)
		_, err = conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1`, name)
		require.NoError(t, err)
		readiness(at, "database", "does not answer")
		_, err = conn.Exec(t.Context(), closed+"true")
		require.NoError(t, err)
		readiness(at, "", "")
	})
	require.NoError(t, temporal.Stop())
	readiness(at, "temporal", "does not answer")
	code, _ := get(t, at+"/healthz")
	require.Equal(t, http.StatusOK, code, "it lives without the others")
}

// metricsAt is where a server that runs has its metrics.
func metricsAt(t *testing.T, serving *process) string {
	t.Helper()
	_, at, found := strings.Cut(serving.output.String(), "Metrics are at ")
	require.True(t, found, serving.output.String())
	at, _, _ = strings.Cut(at, "/metrics.")
	return at
}

// elsewhere does something on a connection of its own.
func elsewhere(t *testing.T, database string, do func(*pgx.Conn)) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(t.Context())) }()
	do(conn)
}

// measured demands the metrics of a server that has an open order: what is in the
// database, and what it does itself. Those of verification are a worker's alone.
func measured(t *testing.T, at string) {
	t.Helper()
	names := []string{
		"holdfast_build_info{", "holdfast_database_up 1", `holdfast_orders_running{kind="lead_list",status="`, `holdfast_order_oldest_age_seconds{status="`,
		"holdfast_hold_oldest_age_seconds ", `holdfast_credits_held{type="email"} 1`, "holdfast_greylist_backlog ", "holdfast_outbox_pending ",
		"holdfast_webhook_deliveries_pending ", "holdfast_reset_lag_seconds ", "holdfast_orders_lost ", "holdfast_ledger_batch_operations_count ",
		"holdfast_ledger_batch_seconds_count ", "holdfast_ledger_damaged_organizations 0", `holdfast_database_connections{state="used"} `,
		"holdfast_http_request_seconds_count{", "temporal_request_total{", "go_goroutines ",
	}
	missing := names
	for end := time.Now().Add(time.Minute); len(missing) > 0 && time.Now().Before(end); { // what is in the database is read every few seconds
		_, metrics := get(t, at)
		if missing = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return strings.Contains(metrics, "\n"+name) }); len(missing) > 0 {
			time.Sleep(200 * time.Millisecond)
		}
	}
	require.Empty(t, missing)
}

// drained stops a server while one client watches an order and another is in
// the middle of an upload: the stream ends, the upload is finished and answered,
// and the process is over.
func drained(t *testing.T, serving *process, at, key, listKey string) (order string) {
	t.Helper()
	inside := metricsAt(t, serving)
	for _, path := range []string{"/metrics", "/debug/pprof/"} {
		status, _ := get(t, at+path)
		require.Equal(t, http.StatusNotFound, status, "%s is not public", path)
		status, _ = get(t, inside+path)
		require.Equal(t, http.StatusOK, status, path)
	}
	call := func(method, path, body string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), method, at+"/api/v1"+path, strings.NewReader(body))
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+key)
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", "drained")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		return response
	}
	// The one lead there is cannot be reached: the order delivers nothing and
	// gives its credit back in five minutes at the earliest.
	placed := call(http.MethodPost, "/orders", `{"kind":"lead_list","count":1}`)
	require.Equal(t, http.StatusCreated, placed.StatusCode)
	where := strings.TrimPrefix(placed.Header.Get("Location"), "/api/v1")
	require.NoError(t, placed.Body.Close())
	stream := call(http.MethodGet, where+"/events", "")
	defer func() { _ = stream.Body.Close() }()
	events := bufio.NewReader(stream.Body)
	line, err := events.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "event: status\n", line)

	var dialer net.Dialer
	upload, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(at, "http://"))
	require.NoError(t, err)
	defer func() { _ = upload.Close() }()
	const list = "one@example.test\ntwo@example.test\n"
	_, err = fmt.Fprintf(upload, "POST /api/v1/lists HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", listKey, len(list), list[:10])
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, metrics := get(t, inside+"/metrics")
		return strings.Contains(metrics, "holdfast_http_requests_open 2\n")
	}, 10*time.Second, 10*time.Millisecond, "the stream and the upload")

	measured(t, inside+"/metrics")

	code := make(chan int, 1)
	go func() { code <- serving.signal(syscall.SIGTERM) }()
	// First it is not ready, and answers all the same until balancers have noticed.
	require.Eventually(t, func() bool {
		status, body := get(t, at+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, `"status":"draining"`)
	}, 10*time.Second, 10*time.Millisecond)
	credits := call(http.MethodGet, "/credits", "")
	require.Equal(t, http.StatusOK, credits.StatusCode)
	require.NoError(t, credits.Body.Close())
	_, err = io.Copy(io.Discard, events)
	require.NoError(t, err, "the stream ends in order")
	require.Empty(t, code, "the server waits for the upload")
	_, err = io.WriteString(upload, list[10:])
	require.NoError(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(upload), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, answer.StatusCode)
	require.NoError(t, answer.Body.Close())
	require.Zero(t, <-code, serving.output.String())
	return strings.TrimPrefix(where, "/orders/")
}

// dialTemporal is a connection of the test's own.
func dialTemporal(t *testing.T, address, namespace string) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: address, Namespace: namespace, Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// firstEvent is what the history of an order begins with.
func firstEvent(t *testing.T, temporal, order string) *history.WorkflowExecutionStartedEventAttributes {
	t.Helper()
	event, err := dialTemporal(t, temporal, client.DefaultNamespace).GetWorkflowHistory(t.Context(), order, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT).Next()
	require.NoError(t, err)
	return event.GetWorkflowExecutionStartedEventAttributes()
}

func TestKeys(t *testing.T) {
	w := newDatabaseWorld(t)
	w.run("org", "create", "acme").ok()
	w.run("member", "create", "ann", "--org", "acme", "--role", "admin").ok()
	w.run("member", "create", "bob", "--org", "acme").ok()
	require.Contains(t, w.run("key", "list", "--org", "acme").ok().stdout, "No keys yet")

	shown := w.run("key", "create", "--org", "acme", "--member", "bob").ok()
	secret := strings.TrimSpace(shown.stdout)
	require.Regexp(t, `^hf_[a-z2-7]{52}$`, secret, "the key alone, to be taken by a script")
	require.Contains(t, shown.stderr, "cannot be shown again")
	var made struct{ ID, Member, Role, Prefix, Key string }
	w.run("key", "create", "--org", "acme", "--member", "ann", "--json").ok().into(&made)
	require.Equal(t, "ann admin", made.Member+" "+made.Role, "her own role, when none is named")
	require.True(t, strings.HasPrefix(made.Key, made.Prefix))

	list := w.run("key", "list", "--org", "acme").ok().stdout
	require.Contains(t, list, secret[:11]+"…")
	require.NotContains(t, list, secret)
	require.Contains(t, list, "never")
	w.run("key", "revoke", made.ID, "--org", "acme").ok()
	w.run("key", "revoke", made.ID, "--org", "acme").ok()
	var keys []struct {
		ID        string
		RevokedAt *time.Time `json:"revoked_at"`
	}
	w.run("key", "list", "--org", "acme", "--json").ok().into(&keys)
	require.Len(t, keys, 2)
	for _, k := range keys {
		require.Equal(t, k.ID == made.ID, k.RevokedAt != nil)
	}

	w.run("key", "create", "--org", "acme", "--member", "bob", "--role", "admin").fails(exitFailed, "not an admin")
	w.run("key", "create", "--org", "acme", "--member", "missing").fails(exitFailed, "no member")
	w.run("key", "create", "--org", "missing", "--member", "bob").fails(exitFailed, "missing")
	w.run("key", "revoke", "key_none", "--org", "acme").fails(exitFailed, "no key")
	w.run("key", "revoke", made.ID, "--org", "missing").fails(exitFailed, "missing")
	w.run("key", "revoke", "--org", "acme").fails(exitUsage, "the key's id")
	w.run("key", "list").fails(exitUsage, `"org" not set`)
}
