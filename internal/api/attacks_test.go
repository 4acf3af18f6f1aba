package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/api"
	"holdfast/internal/order"
)

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// A21: what a plan cannot use it does not take; uploads are listed and deleted by
// those who may.
func TestA21_Lists(t *testing.T) {
	none := setup(t) // leads are all that its plan sells
	p := none.call("POST", "/lists", none.jane, "ann@nowhere.invalid\n", "Content-Type", "text/csv").problem(422, "invalid_request")
	require.Contains(t, p.Detail, "does not offer")

	f := setupWith(t, "prepaid-verification", 0)
	id := f.call("POST", "/lists", f.jane, "ann@nowhere.invalid\n", "Content-Type", "text/plain").is(201).text("id")
	require.Contains(t, string(f.call("GET", "/lists", f.admin, nil).is(200).body), id)
	f.call("DELETE", "/lists/"+id, f.bob, nil).problem(404, "not_found")
	f.call("DELETE", "/lists/"+id, none.admin, nil).problem(404, "not_found")
	f.call("DELETE", "/lists/"+id, f.jane, nil).is(204)
	f.call("DELETE", "/lists/"+id, f.jane, nil).problem(404, "not_found")
	f.call("POST", "/orgs/"+f.org+"/suspend", operatorKey, nil).is(200)
	f.call("POST", "/lists", f.jane, "bob@nowhere.invalid\n", "Content-Type", "text/plain").problem(403, "suspended")
}

// A22: a packed upload is unpacked, within the bound of one that is not; nothing
// else may be packed, and in no other way.
func TestA22_ContentEncoding(t *testing.T) {
	f := setupWith(t, "prepaid-verification", 0)
	text := "email\nann@nowhere.invalid\nbob@nowhere.invalid\n"
	plain := f.call("POST", "/lists", f.jane, text, "Content-Type", "text/csv").is(201).text("id")
	packed := f.call("POST", "/lists", f.jane, gzipped(t, text), "Content-Type", "text/csv", "Content-Encoding", "gzip").is(201).text("id")
	require.Equal(t, plain, packed)
	f.call("POST", "/lists", f.jane, text, "Content-Type", "text/csv", "Content-Encoding", "gzip").problem(400, "malformed_request")
	whole := gzipped(t, strings.Repeat("ann@nowhere.invalid\n", 1000))
	f.call("POST", "/lists", f.jane, whole[:len(whole)-9], "Content-Type", "text/csv", "Content-Encoding", "gzip").problem(400, "malformed_request")
	for _, other := range []string{"br", "deflate", "gzip, gzip", "zstd"} {
		r := f.call("POST", "/lists", f.jane, text, "Content-Type", "text/csv", "Content-Encoding", other)
		r.problem(415, "unsupported_media_type")
		require.Equal(t, "gzip, identity", r.header.Get("Accept-Encoding"))
	}
	f.call("POST", "/verify", f.jane, gzipped(t, `{"email":"ann@nowhere.invalid"}`), "Content-Encoding", "gzip", "Idempotency-Key", "e").problem(415, "unsupported_media_type")

	bomb := gzipped(t, "email\n"+strings.Repeat(strings.Repeat("x", 1023)+"\n", 257<<10)) // 257 MiB in a few hundred KB
	require.Less(t, len(bomb), 2<<20)
	f.call("POST", "/lists", f.jane, bomb, "Content-Type", "text/csv", "Content-Encoding", "gzip").problem(413, "too_large")
}

// A23: event streams are bounded for each key and for the process; one that ends
// makes room.
func TestA23_EventStreamsAreBounded(t *testing.T) {
	f := setupWith(t, "slow", 0)
	f.fund(100)
	o := f.place("streams", 10, "20s") // delivered, and settled in an hour
	f.serveWith(func(c *api.Config) { c.StreamsPerKey, c.Streams = 3, 5 })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watch := func(key string) int {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/api/v1/orders/"+o.ID+"/events", nil)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+key)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0
		}
		if response.StatusCode != http.StatusOK {
			response.Body.Close()
		} else {
			t.Cleanup(func() { response.Body.Close() })
		}
		return response.StatusCode
	}
	var wait sync.WaitGroup
	var open, refused atomic.Int64
	for range 50 {
		wait.Go(func() {
			switch watch(f.jane) {
			case http.StatusOK:
				open.Add(1)
			case http.StatusTooManyRequests:
				refused.Add(1)
			}
		})
	}
	wait.Wait()
	require.Equal(t, []int64{3, 47}, []int64{open.Load(), refused.Load()})
	require.Equal(t, 200, watch(f.admin))
	require.Equal(t, 200, watch(f.admin))
	require.Equal(t, 429, watch(f.admin), "as many as the process takes")
	cancel()
	ctx = t.Context()
	require.Eventually(t, func() bool { return watch(f.jane) == 200 }, 30*time.Second, 20*time.Millisecond)
}

// A23: a stream ends soon after its key was revoked, its member removed, or its
// organization closed.
func TestA23_AStreamEndsWithItsKey(t *testing.T) {
	f := setupWith(t, "slow", 0)
	f.fund(100)
	o := f.place("streams", 10, "20s") // delivered, and settled in an hour
	f.serveWith(func(c *api.Config) { c.Heartbeat = 50 * time.Millisecond })
	stream := func(key string) <-chan error {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/api/v1/orders/"+o.ID+"/events", nil)
		require.NoError(t, err)
		request.Header.Set("Authorization", "Bearer "+key)
		response, err := http.DefaultClient.Do(request) //nolint:bodyclose // closed by who reads it
		require.NoError(t, err)
		require.Equal(t, 200, response.StatusCode)
		ended := make(chan error, 1)
		go func() {
			defer response.Body.Close()
			_, err := io.Copy(io.Discard, response.Body)
			ended <- err
		}()
		return ended
	}
	require.Eventually(t, func() bool { return f.order(o.ID).Status == order.Completed }, 20*time.Second, 20*time.Millisecond)
	second := f.newKey("jane")
	stays, ends := stream(f.admin), []<-chan error{stream(second), stream(f.jane)}
	var keys struct {
		Keys []struct{ ID, Prefix string }
	}
	f.call("GET", "/orgs/"+f.org+"/keys", f.admin, nil).is(200).into(&keys)
	for _, k := range keys.Keys {
		if strings.HasPrefix(second, k.Prefix) {
			f.call("DELETE", "/orgs/"+f.org+"/keys/"+k.ID, f.admin, nil).is(204)
		}
	}
	end := func(ended <-chan error) {
		select {
		case err := <-ended:
			require.NoError(t, err)
		case <-time.After(20 * time.Second):
			t.Fatal("the stream goes on without a right to it")
		}
	}
	end(ends[0])
	f.call("DELETE", "/orgs/"+f.org+"/members/jane", f.admin, nil).is(200)
	end(ends[1])
	select {
	case err := <-stays:
		t.Fatal("the stream of another key has ended", err)
	default:
	}
	f.call("POST", "/orgs/"+f.org+"/suspend", operatorKey, nil).is(200)
	time.Sleep(300 * time.Millisecond)
	select { // a suspended organization may still look
	case err := <-stays:
		t.Fatal("the stream of a suspended organization has ended", err)
	default:
	}
}

// A24: members report bounces where their plan says so, and all keys of an
// organization together no more addresses than it says; the operator may.
func TestA24_BouncesOfMembers(t *testing.T) {
	report := func(f *fixture, key, idem string, n, from int) *reply {
		emails := make([]string, n)
		for i := range emails {
			emails[i] = fmt.Sprintf("b%d@nowhere.invalid", from+i)
		}
		return f.call("POST", "/bounces?org="+f.org, key, map[string]any{"emails": emails}, "Idempotency-Key", idem)
	}
	f := setupWith(t, "verified-leads", 0) // has a window and says nothing of members
	report(f, f.jane, "1", 1, 0).problem(403, "forbidden")
	report(f, f.admin, "2", 1, 0).is(200)

	f = setupWith(t, "rollover-boost", 0) // members may, 2,000 addresses
	report(f, f.jane, "1", 1500, 0).is(200)
	report(f, f.jane, "1", 1500, 0).is(200)
	report(f, f.admin, "2", 501, 0).problem(403, "quota_exceeded")
	var wait sync.WaitGroup
	var taken, refused atomic.Int64
	for i := range 50 {
		wait.Go(func() {
			switch report(f, f.jane, fmt.Sprint("race", i), 50, 2000+50*i).status {
			case 200:
				taken.Add(1)
			case 403:
				refused.Add(1)
			}
		})
	}
	wait.Wait()
	require.Equal(t, []int64{10, 40}, []int64{taken.Load(), refused.Load()})
	report(f, operatorKey, "op", 10_000, 9000).is(200)
}

// A32: a body that could be read in two ways is refused, and so is one that is nested
// too deeply or holds numbers that are none.
func TestA32_BodiesHaveOneMeaning(t *testing.T) {
	f := setup(t)
	f.fund(10)
	post := func(body string) *reply {
		return f.call("POST", "/orders", f.jane, body, "Idempotency-Key", "twice", "Content-Type", "application/json")
	}
	for _, twice := range []string{
		`{"kind":"lead_list","count":1,"count":1000}`,
		`{"kind":"lead_list","count":1,"co\u0075nt":1000}`,
		`{"kind":"lead_list","count":1,"criteria":{"country":["US"],"title":["x"],"country":["FR"]}}`,
		`{"kind":"lead_list","count":1,"metadata":{"a":"1","b":{"x":[{"y":1,"y":1}]}}}`,
	} {
		p := post(twice).problem(400, "malformed_request")
		require.Contains(t, p.Detail, "twice in one object", twice)
	}
	post(`{"kind":"lead_list","count":1,"Count":1000}`).problem(422, "invalid_request")
	post(`{"Kind":"lead_list","count":1}`).problem(422, "invalid_request")
	for _, deep := range []string{
		`{"kind":"lead_list","count":1,"criteria":` + strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40) + `}`,
		strings.Repeat(`{"a":`, 100_000),
		strings.Repeat(`[`, 1<<20-1),
	} {
		require.Contains(t, post(deep).problem(400, "malformed_request").Detail, "deep")
	}
	for _, number := range []string{"1e400", "-1e400", "99999999999999999999", "9223372036854775808", "1.5", "1e-5", "NaN", "0x10", "01", "-0.1", strings.Repeat("9", 100_000)} {
		status := post(`{"kind":"lead_list","count":` + number + `}`).status
		require.Contains(t, []int{400, 422}, status, number[:min(len(number), 30)])
	}
	f.noOrders()
	post(`{"kind":"lead_list","count":1,"metadata":{"a":"1","A":"2"}}`).is(201)
}
