package api_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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

func TestA11_ACutOffBodyChangesNothing(t *testing.T) {
	f := setup(t)
	f.fund(10)
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	body := `{"kind":"lead_list","count":1}`
	_, err = fmt.Fprintf(conn, "POST /api/v1/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nIdempotency-Key: cut\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		f.jane, len(body)+10, body)
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	require.Equal(t, http.StatusBadRequest, response.StatusCode)
	var page struct{ Orders []struct{ ID string } }
	f.call("GET", "/orders", f.jane, nil).is(200).into(&page)
	require.Empty(t, page.Orders)
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
	for _, foreign := range []string{"<script", "src=", "@import", "<link", "url("} {
		require.NotContains(t, string(page.body), foreign, "the page needs nothing from elsewhere")
	}
	require.Equal(t, "default-src 'none'; style-src 'unsafe-inline'", page.header.Get("Content-Security-Policy"))
	for name := range operations(f.api) {
		require.Contains(t, string(page.body), "<b>"+name+"</b>")
	}
	for _, code := range []string{"insufficient_credits", "idempotency_key_reused", "rate_limited"} {
		require.Contains(t, string(page.body), "urn:holdfast:problem:"+code)
	}
	f.call("GET", "/credits", f.jane, nil).is(200)
	metrics := f.call("GET", "/metrics", "", nil).is(200)
	require.Contains(t, string(metrics.body), `holdfast_http_request_seconds_count{method="GET",route="GET /api/v1/credits",status="200"} 1`)
	require.NotContains(t, string(metrics.body), f.org)
}

// A client that takes nothing of a long answer is left after a while; this one
// takes it slowly, and gets all of it.
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
