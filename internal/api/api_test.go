package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"

	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/site"
	"holdfast/internal/stacktest"
	"holdfast/internal/wire"
)

const (
	operatorKey  = "op_tests"
	stripeSecret = "whsec_tests"
	leads        = 2000
)

// The whole stack runs once for all tests; each test has organizations of its
// own.
var (
	app      *wire.App
	logLines syncBuffer // what the API and the worker log
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		stop, err := startStack()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if code != 0 {
			fmt.Fprintln(os.Stderr, "logged:\n"+logLines.problems())
		}
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		if lies := seen.found(); len(lies) > 0 {
			fmt.Fprintln(os.Stderr, "the description does not say that\n  "+strings.Join(lies, "\n  "))
			return 1
		}
		if missed := seen.missed(); code == 0 && everyTest() && len(missed) > 0 {
			fmt.Fprintln(os.Stderr, "the description says what no test has seen:\n  "+strings.Join(missed, "\n  "))
			return 1
		}
		return code
	}())
}

// everyTest reports whether all tests ran, not some that were chosen.
func everyTest() bool {
	chosen := func(name string) bool { return flag.Lookup(name).Value.String() != "" }
	return !testing.Short() && !chosen("test.run") && !chosen("test.skip") && !chosen("test.list") && !chosen("test.fuzz")
}

func startStack() (stop func() error, err error) {
	stack, err := stacktest.Start(context.Background(), stacktest.Options{
		Config: config.Config{
			OperatorKey: operatorKey, WebhookAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, StripeSecret: stripeSecret,
		},
		Lab: maillab.Config{Domains: 100}, Log: slog.New(slog.NewTextHandler(&logLines, nil)), Seed: seed,
	})
	if err != nil {
		return nil, err
	}
	app, stackDir = stack.App, stack.Dir
	return stack.Stop, nil
}

// seed stores the plans, one of them with a short refund delay, and leads.
func seed(ctx context.Context, app *wire.App, lab *maillab.Lab) error {
	if err := app.Accounts.EnsurePresets(ctx); err != nil {
		return err
	}
	p, err := app.Accounts.Plan(ctx, "verified-leads", 0)
	if err != nil {
		return err
	}
	quick := *p
	quick.ID, quick.RefundDelay = "quick", 200*time.Millisecond
	if _, err := app.Accounts.SavePlan(ctx, &quick); err != nil {
		return err
	}
	verifies, err := app.Accounts.Plan(ctx, "prepaid-verification", 0)
	if err != nil {
		return err
	}
	licences, err := app.Accounts.Plan(ctx, "licence-monthly", 0)
	if err != nil {
		return err
	}
	fuzzed := quick // sells orders of every kind
	fuzzed.ID, fuzzed.Actions = "fuzzed", maps.Clone(p.Actions)
	fuzzed.Actions["verify"] = verifies.Actions["verify"]
	for _, name := range []string{"reveal_email", "enrich_email", "export"} {
		fuzzed.Actions[name] = licences.Actions[name]
	}
	if _, err := app.Accounts.SavePlan(ctx, &fuzzed); err != nil {
		return err
	}
	slow := fuzzed // charges what is valid, so that an order waits for its refund
	slow.ID, slow.RefundDelay, slow.Actions = "slow", time.Hour, maps.Clone(fuzzed.Actions)
	slow.Actions["verify"] = p.Actions["lead_list"]
	if _, err := app.Accounts.SavePlan(ctx, &slow); err != nil {
		return err
	}
	return stacktest.ImportLeads(ctx, app, lab, leads)
}

// fixture is a server and an organization with an admin, Ann, and two members,
// Jane and Bob.
type fixture struct {
	t                *testing.T
	api              *api.API
	url              string
	org              string
	admin, jane, bob string // keys
}

var (
	orgs     atomic.Int64
	stackDir string // of the servers
)

func setup(t *testing.T) *fixture { return setupWith(t, "quick", 0) }

func setupWith(t *testing.T, planID string, requestsPerMinute int) *fixture {
	f := &fixture{t: t, org: fmt.Sprintf("org-%d", orgs.Add(1))}
	f.serve(requestsPerMinute)
	f.call("POST", "/orgs", operatorKey, map[string]any{"id": f.org, "name": "Test", "plan": planID}).is(201)
	for _, m := range []struct {
		id, role string
		key      *string
	}{{"ann", "admin", &f.admin}, {"jane", "member", &f.jane}, {"bob", "member", &f.bob}} {
		f.call("POST", "/orgs/"+f.org+"/members", operatorKey, map[string]any{"id": m.id, "name": m.id, "role": m.role}).is(201)
		*m.key = f.newKey(m.id)
	}
	return f
}

func (f *fixture) serve(requestsPerMinute int) {
	f.serveWith(func(c *api.Config) { c.RequestsPerMinute = requestsPerMinute })
}

// serveWith starts another server on the same app. It keeps little of what its
// clients do not take.
func (f *fixture) serveWith(change func(*api.Config)) {
	f.t.Helper()
	_, err := app.Pool.Exec(context.Background(), `DELETE FROM request_quota`) // all tests guess keys from one address
	require.NoError(f.t, err)
	c := site.API(app)
	c.OperatorKey = operatorKey
	change(&c)
	registry := prometheus.NewRegistry()
	c.Metrics = registry
	f.api = api.New(c)
	mux := http.NewServeMux()
	mux.Handle("/", seen.watching(f.api))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	server := httptest.NewUnstartedServer(mux)
	server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		if tcp, ok := conn.(*net.TCPConn); ok && state == http.StateNew {
			_ = tcp.SetWriteBuffer(4096)
		}
	}
	server.Start()
	f.t.Cleanup(server.Close)
	f.url = server.URL
}

func (f *fixture) newKey(member string) string {
	f.t.Helper()
	return f.call("POST", "/orgs/"+f.org+"/keys", operatorKey, map[string]any{"member": member}).is(201).text("key")
}

// fund gives the shared pool email credits.
func (f *fixture) fund(amount int64) {
	f.t.Helper()
	f.call("POST", "/orgs/"+f.org+"/grants", operatorKey, map[string]any{"type": "email", "amount": amount, "source": "pack"}, "Idempotency-Key", "fund").is(201)
}

// reply is an answer that was read.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// call sends a request below /api/v1 with further headers as pairs. A body that
// is no string is sent as JSON.
func (f *fixture) call(method, path, key string, body any, headers ...string) *reply {
	f.t.Helper()
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(b)
	default:
		text, err := json.Marshal(b)
		require.NoError(f.t, err)
		content = bytes.NewReader(text)
	}
	if !strings.HasPrefix(path, "/openapi") && !strings.HasPrefix(path, "/docs") && !strings.HasPrefix(path, "/metrics") && !strings.HasPrefix(path, "/api") {
		path = "/api/v1" + path
	}
	request, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, content)
	require.NoError(f.t, err)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(f.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(f.t, err)
	return &reply{f.t, response.StatusCode, response.Header, text}
}

func (r *reply) is(status int) *reply {
	r.t.Helper()
	require.Equal(r.t, status, r.status, string(r.body))
	return r
}

// problem expects an error of a type, as RFC 9457 has it.
func (r *reply) problem(status int, code string) api.Problem {
	r.t.Helper()
	r.is(status)
	require.Equal(r.t, "application/problem+json", r.header.Get("Content-Type"))
	var p api.Problem
	require.NoError(r.t, json.Unmarshal(r.body, &p), string(r.body))
	require.Equal(r.t, code, p.Code, string(r.body))
	require.Equal(r.t, "urn:holdfast:problem:"+code, p.Type)
	require.Equal(r.t, status, p.Status)
	require.NotEmpty(r.t, p.Title)
	require.NotEmpty(r.t, p.Detail)
	require.Equal(r.t, r.header.Get("X-Request-Id"), p.RequestID)
	return p
}

func (r *reply) into(v any) {
	r.t.Helper()
	require.NoError(r.t, json.Unmarshal(r.body, v), string(r.body))
}

func (r *reply) text(field string) string {
	r.t.Helper()
	var fields map[string]any
	r.into(&fields)
	text, ok := fields[field].(string)
	require.True(r.t, ok, "%s in %s", field, r.body)
	return text
}

func leadList(count int64) map[string]any { return map[string]any{"kind": "lead_list", "count": count} }

// place orders leads as Jane and returns the order.
func (f *fixture) place(key string, count int64, wait string) order.Order {
	f.t.Helper()
	var o order.Order
	f.call("POST", "/orders?wait="+wait, f.jane, leadList(count), "Idempotency-Key", key).is(201).into(&o)
	return o
}

func (f *fixture) order(id string) order.Order {
	f.t.Helper()
	var o order.Order
	f.call("GET", "/orders/"+id, f.jane, nil).is(200).into(&o)
	return o
}

// settled waits until an order is over.
func (f *fixture) settled(id string) order.Order {
	f.t.Helper()
	require.Eventually(f.t, func() bool { return f.order(id).Status.Over() }, 20*time.Second, 20*time.Millisecond)
	return f.order(id)
}

// audited expects the books of the whole database to balance.
func audited(t *testing.T) {
	t.Helper()
	report, err := ledger.Audit(t.Context(), app.Pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

// syncBuffer is a buffer that several goroutines may write to.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// problems are the lines that tell of something wrong.
func (b *syncBuffer) problems() string {
	var lines []string
	for line := range strings.Lines(b.String()) {
		if !strings.Contains(line, "level=INFO") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
