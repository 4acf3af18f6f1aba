package client_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/client"
)

func newClient(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	transport, stop := client.Local(handler)
	t.Cleanup(stop)
	c, err := client.New(client.Config{URL: "http://holdfast.test/", Key: "hf_key", Agent: "test", Transport: transport, Pause: time.Millisecond})
	require.NoError(t, err)
	return c
}

// H1: what may have been done is asked for again under the same idempotency key.
func TestH1_RequestsAreRepeated(t *testing.T) {
	for name, fail := range map[string]func(w http.ResponseWriter){
		"unavailable": func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"rate limited": func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"cut off": func(w http.ResponseWriter) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var keys []string
			c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				keys = append(keys, r.Method+" "+r.URL.String()+" "+r.Header.Get("Authorization")+" "+string(body)+" "+r.Header.Get("Idempotency-Key"))
				if len(keys) < 3 {
					fail(w)
					return
				}
				_, _ = w.Write([]byte(`{"n":7}`))
			})
			var got struct{ N int }
			require.NoError(t, c.Post(t.Context(), "/things", url.Values{"org": {"a b"}}, map[string]int{"x": 1}, &got))
			require.Equal(t, 7, got.N)
			require.Len(t, keys, 3)
			require.Equal(t, keys[0], keys[1])
			require.Equal(t, keys[0], keys[2])
			require.Regexp(t, `^POST /api/v1/things\?org=a\+b Bearer hf_key \{"x":1\} cli-\w+$`, keys[0])
		})
	}
}

func TestH1_NotEverythingIsRepeated(t *testing.T) {
	var calls atomic.Int64
	answer := http.StatusServiceUnavailable
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.WriteHeader(answer)
	})
	require.Error(t, c.Get(t.Context(), "/x", nil, nil))
	require.EqualValues(t, 4, calls.Swap(0), "it ends")
	require.Error(t, c.Do(t.Context(), client.Request{Method: http.MethodPost, Path: "/x", File: strings.NewReader("a")}, nil))
	require.EqualValues(t, 1, calls.Swap(0), "a file can be read once")
	answer = http.StatusInternalServerError
	require.Error(t, c.Get(t.Context(), "/x", nil, nil))
	require.EqualValues(t, 1, calls.Swap(0))
}

func TestH2_ProblemsAreErrors(t *testing.T) {
	problem := `{"type":"urn:holdfast:problem:insufficient_credits","status":402,"detail":"No credits.","code":"insufficient_credits","missing":[{"type":"email","amount":3}],"order_id":"ord_1","request_id":"req_1"}`
	status := http.StatusPaymentRequired
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, problem)
	})
	var p *client.Problem
	require.ErrorAs(t, c.Get(t.Context(), "/x", nil, nil), &p)
	require.Equal(t, &client.Problem{
		Status: 402, Code: "insufficient_credits", Detail: "No credits.", Missing: []client.Amount{{Type: "email", Amount: 3}}, OrderID: "ord_1", RequestID: "req_1",
	}, p)
	status = http.StatusInternalServerError
	require.ErrorContains(t, c.Get(t.Context(), "/x", nil, nil), "req_1", "support needs it")
	status, problem = http.StatusNotFound, "<html>"
	require.ErrorContains(t, c.Get(t.Context(), "/x", nil, nil), "status 404", "it is no Holdfast")
}

// H3: a key goes nowhere else.
func TestH3_RedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed") }))
	t.Cleanup(elsewhere.Close)
	c := newClient(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
	})
	require.Error(t, c.Get(t.Context(), "/x", nil, nil))
}

// H4: a download is streamed, and one that breaks off is not taken for the whole.
func TestH4_DownloadsWithinTheProcess(t *testing.T) {
	whole := strings.Repeat("line\n", 100_000)
	cut := false
	c := newClient(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, whole)
		if cut {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}
	})
	var got bytes.Buffer
	require.NoError(t, c.Download(t.Context(), "/x", nil, &got))
	require.Equal(t, whole, got.String())
	cut = true
	require.ErrorContains(t, c.Download(t.Context(), "/x", nil, io.Discard), "not complete")
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "holdfast.example", "ftp://x", "http://", "https://u:p@x", "https://x?a=b"} {
		_, err := client.New(client.Config{URL: bad})
		require.ErrorContains(t, err, "not the address of a server", bad)
	}
	for _, good := range []string{"http://x", "http://x/", "http://x/api/v1", "http://x/api/v1/"} {
		c, err := client.New(client.Config{URL: good})
		require.NoError(t, err)
		require.Equal(t, "http://x", c.Server())
	}
}
