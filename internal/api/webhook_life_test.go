package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"holdfast/internal/outbox"
)

// sink is an endpoint that keeps what it is sent.
type sink struct {
	*httptest.Server
	mu     sync.Mutex
	status int // what it answers
	got    []delivered
}

type delivered struct {
	id     string
	kind   string
	test   bool
	header http.Header
	body   []byte
}

func newSink(t *testing.T) *sink {
	s := &sink{status: http.StatusOK}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var m struct {
			Type string
			Test bool
		}
		_ = json.Unmarshal(body, &m)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got = append(s.got, delivered{r.Header.Get("webhook-id"), m.Type, m.Test, r.Header, body})
		w.WriteHeader(s.status)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *sink) answer(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status = status
}

func (s *sink) all() []delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// await waits until the sink has so many messages.
func (s *sink) await(t *testing.T, n int) []delivered {
	t.Helper()
	require.Eventually(t, func() bool { return len(s.all()) >= n }, 30*time.Second, 20*time.Millisecond)
	return s.all()
}

// addMember makes an event.
func (f *fixture) addMember(id string) {
	f.t.Helper()
	f.call("POST", "/orgs/"+f.org+"/members", f.admin, map[string]any{"id": id, "name": id}).is(201)
}

// A webhook is tested, changed, paused, resumed, and its secret changed, without
// losing an event.
func TestA26_AWebhooksLife(t *testing.T) {
	f := setup(t)
	first, second := newSink(t), newSink(t)
	made := f.call("POST", "/webhooks", f.admin, map[string]any{"url": first.URL, "events": []string{"member.created"}}).is(201)
	id, secret := made.text("id"), made.text("secret")
	require.Equal(t, first.URL, f.call("GET", "/webhooks/"+id, f.admin, nil).is(200).text("url"))

	for _, name := range outbox.Names() {
		tested := f.call("POST", "/webhooks/"+id+"/test", f.admin, map[string]any{"event": name}).is(200)
		require.Contains(t, string(tested.body), `"delivered":true`)
	}
	sent := first.await(t, len(outbox.Names()))
	for i, name := range outbox.Names() {
		require.Equal(t, name, sent[i].kind)
		require.True(t, sent[i].test)
		check(t, secret, sent[i])
		var m struct{ Data json.RawMessage }
		require.NoError(t, json.Unmarshal(sent[i].body, &m))
		require.NoError(t, outbox.Fits(name, m.Data))
	}
	first.answer(503)
	require.Contains(t, string(f.call("POST", "/webhooks/"+id+"/test", f.admin, map[string]any{}).is(200).body), `"code":503`)
	first.answer(200)
	f.call("POST", "/webhooks/"+id+"/test", f.admin, map[string]any{"event": "order.lost"}).problem(422, "invalid_request")

	f.call("PATCH", "/webhooks/"+id, f.admin, map[string]any{"paused": true}).is(200)
	f.addMember("kim")
	f.addMember("lee")
	f.call("PATCH", "/webhooks/"+id, f.admin, map[string]any{"url": second.URL}).is(200)
	f.call("PATCH", "/webhooks/"+id, f.admin, map[string]any{"url": "ftp://example.com"}).problem(422, "invalid_request")
	require.Eventually(t, func() bool {
		var page struct{ Deliveries []struct{ Status string } }
		f.call("GET", "/webhooks/"+id+"/deliveries", f.admin, nil).is(200).into(&page)
		return len(page.Deliveries) == 2 && page.Deliveries[0].Status == "pending"
	}, 30*time.Second, 20*time.Millisecond)
	require.Empty(t, second.all(), "events wait while the webhook is paused")
	f.call("PATCH", "/webhooks/"+id, f.admin, map[string]any{"paused": false}).is(200)
	second.await(t, 2)

	rotated := f.call("POST", "/webhooks/"+id+"/rotate", f.admin, nil, "Idempotency-Key", "new").is(200)
	require.NotEqual(t, secret, rotated.text("secret"))
	require.NotEmpty(t, rotated.text("old_secret_until"))
	require.Equal(t, rotated.text("secret"), f.call("POST", "/webhooks/"+id+"/rotate", f.admin, nil, "Idempotency-Key", "new").is(200).text("secret"))
	f.addMember("max")
	latest := second.await(t, 3)[2]
	check(t, secret, latest)
	check(t, rotated.text("secret"), latest)
	_, err := app.Pool.Exec(t.Context(), `UPDATE webhook_endpoint SET old_secret_until = now() WHERE id = $1`, id)
	require.NoError(t, err)
	f.addMember("pat")
	latest = second.await(t, 4)[3]
	check(t, rotated.text("secret"), latest)
	require.Len(t, strings.Fields(latest.header.Get("webhook-signature")), 1, "the old secret is over")
}

// noted waits until nothing is pending for a webhook: what came of an attempt is
// noted after the receiver has answered.
func (f *fixture) noted(webhook string) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		var page struct{ Deliveries []struct{} }
		f.call("GET", "/webhooks/"+webhook+"/deliveries?status=pending", f.admin, nil).is(200).into(&page)
		return len(page.Deliveries) == 0
	}, 30*time.Second, 20*time.Millisecond)
}

// published waits until no event of the organization waits to be published:
// a webhook that is made or enabled after that gets none of them.
func (f *fixture) published() {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		var waiting int
		require.NoError(f.t, app.Pool.QueryRow(f.t.Context(),
			`SELECT count(*) FROM outbox WHERE org = $1 AND published_at IS NULL`, f.org).Scan(&waiting))
		return waiting == 0
	}, 30*time.Second, 20*time.Millisecond)
}

// check verifies a message as a receiver does.
func check(t *testing.T, secret string, d delivered) {
	t.Helper()
	receiver, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	require.NoError(t, receiver.Verify(d.body, d.header))
}

// What happened can be read by type and time, and sent again: one event, all
// since a time, or what failed.
func TestA27_EventsAreListedAndReplayed(t *testing.T) {
	f := setup(t)
	f.fund(10)
	f.addMember("kim")
	require.Len(t, f.walk("/events?type=member.created", f.admin, "events", "id"), 4)
	require.Len(t, f.walk("/events?type=member.created&type=credits.granted", f.admin, "events", "id"), 5)
	require.Empty(t, f.walk("/events?to=2001-01-01", f.admin, "events", "id"))
	require.Empty(t, f.walk("/events?from=2099-01-01T00:00:00Z", f.admin, "events", "id"))
	granted := f.walk("/events?type=credits.granted", f.admin, "events", "id")[0]
	require.Equal(t, "credits.granted", f.call("GET", "/events/"+granted, f.admin, nil).is(200).text("type"))
	f.call("GET", "/events?type=order.lost", f.admin, nil).problem(422, "invalid_request")
	f.published()

	s := newSink(t)
	id := f.call("POST", "/webhooks", f.admin, map[string]any{"url": s.URL}).is(201).text("id")
	require.Contains(t, string(f.call("POST", "/events/"+granted+"/replay", f.admin, map[string]any{}).is(202).body), `"deliveries":1`)
	require.Equal(t, granted, s.await(t, 1)[0].id)
	f.noted(id)
	f.call("POST", "/webhooks/"+id+"/replay", f.admin, map[string]any{"since": "2099-01-01"}).is(202)
	require.Contains(t, string(f.call("POST", "/webhooks/"+id+"/replay", f.admin, map[string]any{"since": "2001-01-01"}).is(202).body), `"deliveries":5`)
	s.await(t, 6)
	f.noted(id)

	s.answer(410) // disables it, and what is pending has failed
	f.addMember("lee")
	require.Eventually(t, func() bool {
		return strings.Contains(string(f.call("GET", "/webhooks/"+id, f.admin, nil).body), "disabled_at")
	}, 30*time.Second, 20*time.Millisecond)
	f.call("POST", "/webhooks/"+id+"/replay", f.admin, map[string]any{"failed": true}).problem(422, "invalid_request")
	f.published() // webhook.disabled would follow what is replayed
	s.answer(200)
	f.call("POST", "/webhooks/"+id+"/enable", f.admin, nil).is(204)
	before := len(s.all())
	require.Contains(t, string(f.call("POST", "/webhooks/"+id+"/replay", f.admin, map[string]any{"failed": true}).is(202).body), `"deliveries":1`)
	require.Equal(t, "member.created", s.await(t, before+1)[before].kind)

	stranger := setup(t)
	require.Equal(t, 404, stranger.call("GET", "/events/"+granted, stranger.admin, nil).status)
	require.Equal(t, 404, stranger.call("POST", "/webhooks/"+id+"/test", stranger.admin, map[string]any{}).status)
}
