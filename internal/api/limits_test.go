package api_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/order"
	"holdfast/internal/outbox"
	"holdfast/internal/postgres"
)

func TestA10_RateLimitPerKey(t *testing.T) {
	f := setup(t)
	f.serve(10)
	for i := range 10 {
		r := f.call("GET", "/credits", f.jane, nil).is(200)
		require.Equal(t, `"key";q=10;w=60`, r.header.Get("RateLimit-Policy"))
		require.Contains(t, r.header.Get("RateLimit"), fmt.Sprintf(`"key";r=%d;`, 9-i))
	}
	r := f.call("GET", "/credits", f.jane, nil)
	r.problem(429, "rate_limited")
	wait, err := strconv.Atoi(r.header.Get("Retry-After"))
	require.NoError(t, err)
	require.InDelta(t, 6, wait, 1, "ten a minute are one in six seconds")
	f.call("GET", "/credits", f.bob, nil).is(200)
}

// Servers share what a key may ask for: what one has let pass, another does not let
// pass again, but for what it did not know yet.
func TestA10_ServersShareTheQuotaOfAKey(t *testing.T) {
	f := setup(t)
	one, other := *f, *f
	one.serve(60)
	other.serve(60)
	for range 60 {
		one.call("GET", "/me", f.jane, nil).is(200)
	}
	passed := 0
	for other.call("GET", "/me", f.jane, nil).status == http.StatusOK {
		passed++
		time.Sleep(100 * time.Millisecond)
	}
	require.LessOrEqual(t, passed, 60/20+30, "a twentieth of the quota, and what came back in that time")
	require.Eventually(t, func() bool { return one.call("GET", "/me", f.jane, nil).status == 429 }, 10*time.Second, 20*time.Millisecond)
	f.call("GET", "/me", f.bob, nil).is(200)
}

// The quota of a key is not outrun by calls that come at the same time.
func TestA10_QuotaIsNotOutrun(t *testing.T) {
	f := setup(t)
	f.serve(10)
	var passed atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if f.call("GET", "/me", f.jane, nil).status == http.StatusOK {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	require.LessOrEqual(t, passed.Load(), int32(10+10), "and what comes back in a minute, on a slow machine")
	require.GreaterOrEqual(t, passed.Load(), int32(10))
}

func TestA10_GuessingKeysEnds(t *testing.T) {
	f := setup(t)
	f.serve(0)
	for i := range 30 {
		f.call("GET", "/credits", fmt.Sprint("hf_guess", i), nil).problem(401, "unauthenticated")
	}
	f.call("GET", "/credits", "hf_guess", nil).problem(429, "rate_limited")
}

func TestA11_BodiesAreBoundedAndClean(t *testing.T) {
	f := setup(t)
	f.call("POST", "/quotes", f.jane, `{"kind":"lead_list","count":1,"criteria":{"title":"`+strings.Repeat("x", 2<<20)+`"}}`).problem(413, "too_large")
	for _, bad := range []string{`{"kind":"lead_list\u0000","count":1}`, "{\"kind\":\"\xff\"}", "{\"kind\":\"\x00\"}"} {
		f.call("POST", "/quotes", f.jane, bad).problem(400, "malformed_request")
	}
	f.call("POST", "/quotes", f.jane, `{"kind":`).problem(400, "malformed_request")
	p := f.call("POST", "/quotes", f.jane, `{"kind":"lead_list","count":1,"colour":"red"}`).problem(422, "invalid_request")
	require.Contains(t, p.Errors[0].Field, "colour")
	p = f.call("POST", "/quotes", f.jane, `{"kind":"lead_list","count":0}`).problem(422, "invalid_request")
	require.Equal(t, "body.count", p.Errors[0].Field)
	f.call("POST", "/quotes", f.jane, `kind=lead_list`, "Content-Type", "application/x-www-form-urlencoded").problem(415, "unsupported_media_type")
	f.call("GET", "/leads?title=%00", f.jane, nil).problem(400, "malformed_request")
	f.call("GET", "/nothing", f.jane, nil).problem(404, "not_found")
	r := f.call("DELETE", "/credits", f.jane, nil)
	r.problem(405, "method_not_allowed")
	require.Equal(t, "GET", r.header.Get("Allow"))
}

// dial opens a connection to the server, to be used by hand.
func (f *fixture) dial() *net.TCPConn {
	f.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	require.NoError(f.t, err)
	f.t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// deaf opens a connection that takes hardly anything unless it is read.
func (f *fixture) deaf() net.Conn {
	f.t.Helper()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if e := raw.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) }); e != nil {
			return e
		}
		return err
	}}
	conn, err := dialer.DialContext(f.t.Context(), "tcp", strings.TrimPrefix(f.url, "http://"))
	require.NoError(f.t, err)
	f.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// read reads one answer.
func (f *fixture) read(conn net.Conn) *reply {
	f.t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(f.t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(f.t, err)
	return &reply{f.t, response.StatusCode, response.Header, text}
}

func TestA11_ACutOffBodyChangesNothing(t *testing.T) {
	f := setup(t)
	f.fund(10)
	body := `{"kind":"lead_list","count":1}`
	f.send(request{method: "POST", path: "/api/v1/orders", key: f.jane, body: body, headers: []string{"Idempotency-Key", "cut"}}, true).problem(400, "malformed_request")
	f.noOrders()
}

func (f *fixture) noOrders() {
	f.t.Helper()
	var page struct{ Orders []struct{ ID string } }
	f.call("GET", "/orders", f.jane, nil).is(200).into(&page)
	require.Empty(f.t, page.Orders)
}

// A client that sends its body byte by byte is not waited for longer than for
// one that sends nothing.
func TestA11_ATricklingBodyIsNotWaitedFor(t *testing.T) {
	f := setup(t)
	f.fund(10)
	f.serveWith(func(c *api.Config) { c.BodyWithin = 200 * time.Millisecond })
	conn := f.dial()
	_, err := fmt.Fprintf(conn, "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIdempotency-Key: slow\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{", f.jane)
	require.NoError(t, err)
	go func() {
		for { // until the server has closed the connection
			if _, err := conn.Write([]byte(" ")); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	f.read(conn).problem(408, "timeout")
	f.noOrders()
}

func TestA12_RequestIDs(t *testing.T) {
	f := setup(t)
	r := f.call("GET", "/credits", f.jane, nil, "X-Request-Id", "mine-1").is(200)
	require.Equal(t, "mine-1", r.header.Get("X-Request-Id"))
	require.Contains(t, logLines.String(), "request_id=mine-1")
	r = f.call("GET", "/credits", f.jane, nil, "X-Request-Id", "not good\"").is(200)
	require.Regexp(t, "^req_[a-z2-7]{26}$", r.header.Get("X-Request-Id"))
}

func TestA13_DescriptionDocsAndMetrics(t *testing.T) {
	f := setup(t)
	var doc struct {
		OpenAPI string
		Paths   map[string]any
	}
	f.call("GET", "/openapi.json", "", nil).is(200).into(&doc)
	require.True(t, strings.HasPrefix(doc.OpenAPI, "3.1"))
	require.Contains(t, doc.Paths, "/api/v1/orders/{id}/events")

	page := f.call("GET", "/docs", "", nil).is(200)
	for _, foreign := range []string{"src=", "@import", "<link", "url("} {
		require.NotContains(t, string(page.body), foreign, "the page needs nothing from elsewhere")
	}
	policy := page.header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	for _, tag := range []string{"style", "script"} { // what is in the page is what the policy lets in
		inside := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllSubmatch(page.body, -1)
		require.Len(t, inside, 1, tag)
		sum := sha256.Sum256(inside[0][1])
		require.Contains(t, policy, tag+"-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
	}
	for name, op := range operations(f.api) {
		method, path, _ := strings.Cut(name, " ")
		require.Contains(t, string(page.body), `<span class="method">`+method+`</span> <code>`+path+`</code>`)
		require.Contains(t, string(page.body), `<a href="#`+op.OperationID+`">`, "in the contents")
	}
	for _, kind := range order.Kinds() {
		require.Contains(t, string(page.body), "of kind <code>"+string(kind)+"</code>")
	}
	for _, topic := range outbox.Names() {
		require.Contains(t, string(page.body), `id="event-`+topic+`"`)
	}
	for _, code := range []string{"insufficient_credits", "idempotency_key_reused", "rate_limited"} {
		require.Contains(t, string(page.body), "urn:holdfast:problem:"+code)
	}
	f.call("GET", "/credits", f.jane, nil).is(200)
	metrics := f.call("GET", "/metrics", "", nil).is(200)
	require.Contains(t, string(metrics.body), `holdfast_http_request_seconds_count{method="GET",route="GET /api/v1/credits",status="200"} 1`)
	require.NotContains(t, string(metrics.body), f.org)
}

// A client may take a long answer slowly, and gets all of it.
func TestA14_ADownloadIsStreamed(t *testing.T) {
	f := setup(t)
	f.fund(2000)
	o := f.settled(f.place("stream", 1000, "60s").ID)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/api/v1/orders/"+o.ID+"/results.ndjson?all=true", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+f.jane)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, []string{"chunked"}, response.TransferEncoding, "its length is not known beforehand")
	text, err := io.ReadAll(slowly{response.Body})
	require.NoError(t, err)
	require.EqualValues(t, o.Tally.Verified(), strings.Count(string(text), "\n"))
}

type slowly struct{ io.Reader }

func (s slowly) Read(b []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return s.Reader.Read(b[:min(len(b), 8<<10)])
}

// A client that takes nothing of a long answer is left after a while, and with
// it goes what was kept for it.
func TestA14_AClientThatStopsReadingIsLeft(t *testing.T) {
	f := setup(t)
	f.fund(2000)
	o := f.settled(f.place("stuck", 1000, "60s").ID)
	f.serveWith(func(c *api.Config) { c.WritesWithin = 200 * time.Millisecond })
	conn := f.deaf()
	_, err := fmt.Fprintf(conn, "GET /api/v1/orders/%s/results.ndjson?all=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", o.ID, f.jane)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(logLines.String(), "A download was broken off.") },
		time.Minute, 10*time.Millisecond, "the request has begun, and was left")
	f.open(0)
	text, err := io.ReadAll(conn)
	if err == nil { // cut off: the last chunk, of length 0, is missing
		require.False(t, strings.HasSuffix(string(text), "\r\n0\r\n\r\n"))
	}
	require.Less(t, strings.Count(string(text), "\n{"), int(o.Tally.Verified()))
}

// A client that gives up before it is answered is no fault of ours: nothing is
// logged as an error, and the request is counted as 499.
func TestA15_AClientThatGoesAwayIsNoFault(t *testing.T) {
	f := setup(t)
	locked, err := app.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = locked.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = locked.Exec(t.Context(), "LOCK TABLE test_clock")
	require.NoError(t, err)
	waits := func() (is bool) {
		err := app.Pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE c.relname = 'test_clock' AND NOT granted)").Scan(&is)
		require.NoError(t, err)
		return is
	}
	for i, call := range []struct{ method, path, body string }{
		{"GET", "/test-clocks", ""},
		{"DELETE", "/test-clocks/clock_gone", ""},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		id := fmt.Sprintf("gone-%s-%d", f.org, i)
		request, err := http.NewRequestWithContext(ctx, call.method, f.url+"/api/v1"+call.path, strings.NewReader(call.body))
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+operatorKey)
		request.Header.Set("X-Request-Id", id)
		request.Header.Set("Content-Type", "application/json")
		require.Eventually(t, func() bool { return !waits() }, 20*time.Second, 5*time.Millisecond, "the call before is over in the database too")
		var wait sync.WaitGroup
		wait.Go(func() {
			response, err := http.DefaultClient.Do(request)
			if err == nil {
				response.Body.Close()
			}
			require.ErrorIs(t, err, context.Canceled)
		})
		require.Eventually(t, waits, 20*time.Second, 5*time.Millisecond)
		cancel()
		wait.Wait()
		var lines string
		require.Eventually(t, func() bool {
			lines = strings.Join(slices.DeleteFunc(strings.Split(logLines.String(), "\n"), func(line string) bool { return !strings.Contains(line, id) }), "\n")
			return strings.Contains(lines, "msg=request")
		}, 20*time.Second, 5*time.Millisecond)
		require.Contains(t, lines, "status=499")
		require.NotContains(t, lines, "level=ERROR")
		require.NotContains(t, lines, "level=WARN")
	}
	require.Contains(t, string(f.call("GET", "/metrics", "", nil).body), `status="499"`)
}

// open waits until n requests are under way.
func (f *fixture) open(n int) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		return strings.Contains(string(f.call("GET", "/metrics", "", nil).body), fmt.Sprintf("holdfast_http_requests_open %d\n", n))
	}, 10*time.Second, 10*time.Millisecond)
}

// deadlines notes statements that would wait for ever for a database that says
// nothing any more.
type deadlines struct {
	statements atomic.Int64
	endless    sync.Map // by statement
}

func (d *deadlines) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	d.statements.Add(1)
	if _, ends := ctx.Deadline(); !ends {
		d.endless.Store(data.SQL, true)
	}
	return ctx
}

func (d *deadlines) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// What a request asks of the database has an end, also who it is that calls, and
// also of a stream, whose rows alone take as long as they take.
func TestA11_NoRequestWaitsForADatabaseForEver(t *testing.T) {
	f := setup(t)
	var noted deadlines
	pool, err := postgres.OpenTraced(t.Context(), app.Pool.Config().ConnString(), &noted)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	f.serveWith(func(c *api.Config) { c.Accounts = account.New(pool) })
	noted.endless.Clear() // of the connection
	begun := noted.statements.Load()
	f.call("GET", "/me", f.jane, nil).is(200)
	f.call("GET", "/me", "hf_unknown", nil).problem(401, "unauthenticated")
	f.call("GET", "/orgs/"+f.org, operatorKey, nil).is(200)
	f.call("GET", "/orders/ord_none/results.csv", f.bob, nil).problem(404, "not_found")
	require.Greater(t, noted.statements.Load(), begun+3)
	noted.endless.Range(func(statement, _ any) bool {
		t.Errorf("has no end: %s", statement)
		return true
	})
}
