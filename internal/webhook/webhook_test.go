package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/webhook"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

// receiver is an endpoint that checks signatures and answers as it is set.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	answer func(event string) int // nil = 200
	got    []string               // types and subjects, as they came, taken or not
	ids    map[string]int
	bad    []string
	body   []byte // of the last message
	header http.Header
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{ids: map[string]int{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, _ := io.ReadAll(request.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.body, r.header = body, request.Header
		check, err := standardwebhooks.NewWebhook(r.secret)
		if err == nil {
			err = check.Verify(body, request.Header)
		}
		if err != nil {
			r.bad = append(r.bad, err.Error())
		}
		var m struct {
			Type string
			Data struct{ ID string }
		}
		_ = json.Unmarshal(body, &m)
		r.got = append(r.got, m.Type+" "+m.Data.ID)
		r.ids[request.Header.Get("webhook-id")]++
		if r.answer != nil {
			w.WriteHeader(r.answer(m.Type + " " + m.Data.ID))
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) events() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{}, r.got...)
}

type fixture struct {
	t    *testing.T
	ctx  context.Context
	pool *pgxpool.Pool
	*webhook.Webhooks
}

func setup(t *testing.T, backoff ...time.Duration) fixture {
	pool := pgtest.New(t)
	accounts := account.New(pool)
	require.NoError(t, accounts.EnsurePresets(t.Context()))
	_, err := accounts.CreateOrg(t.Context(), account.Org{ID: "acme", Name: "Acme", Plan: "verified-leads"})
	require.NoError(t, err)
	return fixture{t, t.Context(), pool, webhook.New(pool, webhook.Config{Allow: loopback, Backoff: backoff})}
}

func (f fixture) endpoint(r *receiver, events ...string) webhook.Endpoint {
	f.t.Helper()
	e, secret, err := f.Create(f.ctx, "acme", r.URL, events)
	require.NoError(f.t, err)
	r.secret = secret
	return e
}

// happened puts an event about an order into the outbox.
func (f fixture) happened(topic, id string) {
	f.t.Helper()
	_, err := f.pool.Exec(f.ctx, `INSERT INTO outbox (org, topic, key, payload) VALUES ('acme', $1, $1 || '/' || $2::text, jsonb_build_object('id', $2::text))`, topic, id)
	require.NoError(f.t, err)
}

func (f fixture) publish() {
	f.t.Helper()
	_, _, err := f.Publish(f.ctx, 100)
	require.NoError(f.t, err)
}

// deliver sends round after round until nothing is pending.
func (f fixture) deliver(e webhook.Endpoint) (rounds []webhook.Round) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		round, err := f.Deliver(f.ctx, e.ID, 100)
		require.NoError(f.t, err)
		rounds = append(rounds, round)
		return round.Next == nil
	}, 10*time.Second, time.Millisecond)
	return rounds
}

func (f fixture) deliveries(e webhook.Endpoint) []webhook.Delivery {
	f.t.Helper()
	list, _, err := f.Deliveries(f.ctx, "acme", e.ID, "", "", 100)
	require.NoError(f.t, err)
	return list
}

func TestW1_EveryEventIsTakenOnce(t *testing.T) {
	f := setup(t, time.Millisecond)
	all, some := newReceiver(t), newReceiver(t)
	e, s := f.endpoint(all), f.endpoint(some, "order.settled")
	for i := range 20 {
		f.happened("order.reserved", fmt.Sprint("ord_", i))
		f.happened("order.settled", fmt.Sprint("ord_", i))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				_, _, err := f.Publish(f.ctx, 7)
				require.NoError(t, err)
			}
		})
	}
	wg.Wait()
	f.publish()
	f.deliver(e)
	f.deliver(s)
	require.Len(t, all.events(), 40)
	require.Len(t, some.events(), 20)
	require.Len(t, all.ids, 40, "each event has an id of its own")
	for id := range some.ids {
		require.Contains(t, all.ids, id, "and the same one at every endpoint")
	}
	require.Empty(t, all.bad, "the published library accepts the signatures")
	require.Empty(t, some.bad)
	other := setup(t, time.Millisecond) // another database: nothing of it
	require.Empty(t, other.overdue())
}

// An event that is not as it should be keeps neither its own organization's other
// events nor anybody else's from being published.
func TestW1_ADamagedEventStopsNoOthers(t *testing.T) {
	f := setup(t)
	e := f.endpoint(newReceiver(t))
	for _, payload := range []string{`[]`, `null`, `"text"`, `{"id": null}`} {
		_, err := f.pool.Exec(f.ctx, `INSERT INTO outbox (org, topic, key, payload) VALUES ('acme', 'order.completed', $1::text, $1::text::jsonb)`, payload)
		require.NoError(t, err)
	}
	f.happened("order.completed", "ord_1")
	f.publish()
	require.Len(t, f.deliveries(e), 5)
	f.deliver(e)
	for _, d := range f.deliveries(e) {
		require.Equal(t, "delivered", d.Status)
	}
}

func (f fixture) overdue() []string {
	list, err := f.Overdue(f.ctx, 0)
	require.NoError(f.t, err)
	return list
}

// An endpoint that waits for its next attempt is not overdue, however many
// events wait behind the one that failed; one that should have been sent
// something is.
func TestAnEndpointThatWaitsIsNotOverdue(t *testing.T) {
	f := setup(t, time.Hour)
	r := newReceiver(t)
	r.answer = func(string) int { return http.StatusInternalServerError }
	e := f.endpoint(r)
	f.happened("order.reserved", "ord_1")
	f.publish()
	require.Equal(t, []string{e.ID}, f.overdue())
	round, err := f.Deliver(f.ctx, e.ID, 100)
	require.NoError(t, err)
	require.Equal(t, 1, round.Failed)
	f.happened("order.completed", "ord_1")
	f.publish()
	require.Empty(t, f.overdue())
	f.happened("order.reserved", "ord_2")
	f.publish()
	require.Equal(t, []string{e.ID}, f.overdue())
}

// W4: an attempt that a clock that was ahead has put off is made when that clock is
// right again: none waits for longer than it would from now on. An endpoint that
// such a clock has made gets its events.
func TestW4_NoAttemptWaitsForAClockThatWasAhead(t *testing.T) {
	f := setup(t, time.Hour)
	r := newReceiver(t)
	failing := true
	r.answer = func(string) int {
		if failing {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	}
	e := f.endpoint(r)
	ahead := func(sql string) {
		t.Helper()
		_, err := f.pool.Exec(f.ctx, sql)
		require.NoError(t, err)
	}
	ahead(`UPDATE webhook_endpoint SET created_at = now() + interval '3 hours'`)
	f.happened("order.reserved", "ord_1")
	f.publish()
	ahead(`UPDATE webhook_delivery SET next_at = now() + interval '1 minute'`)
	require.Equal(t, []string{e.ID}, f.overdue(), "the first attempt waits for nothing")
	round, err := f.Deliver(f.ctx, e.ID, 100)
	require.NoError(t, err)
	require.Equal(t, 1, round.Failed, "the first attempt is made at once")
	for _, by := range []string{"2 hours", "30 days"} {
		ahead(`UPDATE webhook_delivery SET next_at = now() + interval '` + by + `'`)
		require.Equal(t, []string{e.ID}, f.overdue())
		round, err = f.Deliver(f.ctx, e.ID, 100)
		require.NoError(t, err)
		require.Zero(t, round.Failed, "it costs no attempt")
		require.InDelta(t, time.Hour.Milliseconds(), round.Wait, 60_000)
		require.Empty(t, f.overdue(), "it waits as it should")
	}
	ahead(`UPDATE webhook_delivery SET next_at = now()`)
	failing = false
	round, err = f.Deliver(f.ctx, e.ID, 100)
	require.NoError(t, err)
	require.Equal(t, 1, round.Delivered)
	require.Nil(t, round.Next)
}

func TestW2_SignaturesAreForThisBodyAndTime(t *testing.T) {
	f := setup(t)
	r := newReceiver(t)
	e := f.endpoint(r)
	f.happened("order.settled", "ord_1")
	f.publish()
	f.deliver(e)
	require.Empty(t, r.bad, "the published library accepts the signature")
	check, err := standardwebhooks.NewWebhook(r.secret)
	require.NoError(t, err)
	require.NoError(t, check.Verify(r.body, r.header))
	require.Error(t, check.Verify(append(r.body, ' '), r.header))
	r.header.Set("webhook-timestamp", fmt.Sprint(time.Now().Add(time.Minute).Unix()))
	require.Error(t, check.Verify(r.body, r.header))
}

func TestW3_EventsOfAnOrderKeepTheirOrder(t *testing.T) {
	f := setup(t, 20*time.Millisecond, 20*time.Millisecond, 20*time.Millisecond)
	r := newReceiver(t)
	e := f.endpoint(r)
	failures := 2
	r.answer = func(event string) int {
		if event == "order.reserved ord_1" && failures > 0 {
			failures--
			return 503
		}
		return 204
	}
	for _, topic := range []string{"order.reserved", "order.completed", "order.settled"} {
		f.happened(topic, "ord_1")
		f.happened(topic, "ord_2")
	}
	f.publish()
	f.deliver(e)
	var first, second []string
	for _, event := range r.events() {
		topic, id, _ := strings.Cut(event, " ")
		if id == "ord_1" {
			first = append(first, topic)
		} else {
			second = append(second, topic)
		}
	}
	require.Equal(t, []string{"order.reserved", "order.reserved", "order.reserved", "order.completed", "order.settled"}, first)
	require.Equal(t, []string{"order.reserved", "order.completed", "order.settled"}, second, "another order is not held up")
	for _, d := range f.deliveries(e) {
		require.Equal(t, "delivered", d.Status)
	}
}

func TestW4_AttemptsSpreadOverADay(t *testing.T) {
	var sum time.Duration
	for i, wait := range webhook.DefaultBackoff {
		sum += wait
		if i > 0 {
			require.GreaterOrEqual(t, wait, webhook.DefaultBackoff[i-1])
		}
	}
	require.InDelta(t, 24, sum.Hours(), 1)
}

func TestW5_AnEndpointThatTakesNothingIsDisabledWithANotice(t *testing.T) {
	f := setup(t, 5*time.Millisecond, 5*time.Millisecond)
	dead, alive := newReceiver(t), newReceiver(t)
	dead.answer = func(string) int { return 500 }
	e, notified := f.endpoint(dead), f.endpoint(alive, "webhook.disabled")
	f.happened("order.reserved", "ord_1")
	f.happened("order.settled", "ord_1")
	f.publish()
	rounds := f.deliver(e)
	require.NotEmpty(t, rounds[len(rounds)-1].Ended)
	require.Len(t, dead.events(), 3, "one attempt and two more")
	list, err := f.Endpoints(f.ctx, "acme")
	require.NoError(t, err)
	require.NotNil(t, list[0].DisabledAt)
	require.NotEmpty(t, list[0].DisabledReason)
	for _, d := range f.deliveries(e) {
		require.Equal(t, "failed", d.Status)
	}
	f.publish()
	f.deliver(notified)
	require.Equal(t, []string{"webhook.disabled " + e.ID}, alive.events())

	// Enabled again, it gets what comes, and what failed when it is asked for.
	dead.answer = nil
	failed := f.deliveries(e)
	require.ErrorIs(t, f.Resend(f.ctx, "acme", e.ID, failed[0].ID), webhook.ErrInvalid, "while it is disabled nothing is sent")
	require.NoError(t, f.Enable(f.ctx, "acme", e.ID))
	require.NoError(t, f.Resend(f.ctx, "acme", e.ID, failed[0].ID))
	f.deliver(e)
	again := f.deliveries(e)[0]
	require.Equal(t, "delivered", again.Status)
	require.Equal(t, failed[0].EventID, again.EventID)
	require.ErrorIs(t, f.Resend(f.ctx, "other", e.ID, again.ID), webhook.ErrNotFound)
}

func TestW5_GoneEndsAtOnce(t *testing.T) {
	f := setup(t, time.Hour)
	r := newReceiver(t)
	r.answer = func(string) int { return 410 }
	e := f.endpoint(r)
	f.happened("order.reserved", "ord_1")
	f.publish()
	rounds := f.deliver(e)
	require.Equal(t, "The endpoint answered 410 Gone.", rounds[0].Ended)
}

func TestW6_RedirectsAreNotFollowed(t *testing.T) {
	f := setup(t, time.Hour)
	secretPlace := newReceiver(t)
	redirect := httptest.NewServer(http.RedirectHandler(secretPlace.URL, http.StatusTemporaryRedirect))
	t.Cleanup(redirect.Close)
	e, _, err := f.Create(f.ctx, "acme", redirect.URL, nil)
	require.NoError(t, err)
	f.happened("order.reserved", "ord_1")
	f.publish()
	round, err := f.Deliver(f.ctx, e.ID, 10)
	require.NoError(t, err)
	require.Equal(t, 1, round.Failed)
	require.Empty(t, secretPlace.events())
	require.Equal(t, 307, *f.deliveries(e)[0].Code)
}

func TestW7_PrivateAddressesAreRefusedAtTheConnection(t *testing.T) {
	f := setup(t, time.Hour)
	r := newReceiver(t)
	e := f.endpoint(r)
	f.happened("order.reserved", "ord_1")
	f.publish()
	// The endpoint was accepted; the address it leads to is looked at when connecting.
	strict := webhook.New(f.pool, webhook.Config{Backoff: []time.Duration{time.Hour}})
	round, err := strict.Deliver(f.ctx, e.ID, 10)
	require.NoError(t, err)
	require.Equal(t, 1, round.Failed)
	require.Empty(t, r.events())
	require.Contains(t, f.deliveries(e)[0].Error, "private network")

	// A name that leads to this machine gains nothing either.
	_, port, err := net.SplitHostPort(strings.TrimPrefix(r.URL, "http://"))
	require.NoError(t, err)
	named, _, err := strict.Create(f.ctx, "acme", "https://localhost:"+port, nil)
	require.NoError(t, err)
	f.happened("order.settled", "ord_9")
	f.publish()
	_, err = strict.Deliver(f.ctx, named.ID, 10)
	require.NoError(t, err)
	require.Contains(t, f.deliveries(named)[0].Error, "private network")
}

func TestW7_URLs(t *testing.T) {
	f := setup(t)
	strict := webhook.New(f.pool, webhook.Config{})
	for _, bad := range []string{
		"", "nonsense", "ftp://example.com", "http://example.com", "https://user:pw@example.com", "https://example.com/#x", "https:///x", "https://example.com:0/", "https://example.com:99999/",
		"https://127.0.0.1/", "https://10.1.2.3/", "https://169.254.169.254/latest", "https://[::1]/", "https://[fe80::1]/", "https://[::ffff:10.0.0.1]/",
		"https://0.0.0.0/", "https://100.64.0.1/", "https://[64:ff9b::7f00:1]/", "https://[fd00::1]/", "https://224.0.0.1/", "https://198.18.0.1/", "https://255.255.255.255/",
	} {
		_, _, err := strict.Create(f.ctx, "acme", bad, nil)
		require.ErrorIs(t, err, webhook.ErrInvalid, bad)
	}
	for _, good := range []string{"https://example.com/hook?x=1", "https://example.com:65535/", "https://93.184.216.34/", "https://[2606:2800:220:1::1]/"} {
		_, _, err := strict.Create(f.ctx, "acme", good, []string{"order.settled"})
		require.NoError(t, err, good)
	}
	_, _, err := strict.Create(f.ctx, "acme", "https://example.com", []string{"order.eaten"})
	require.ErrorIs(t, err, webhook.ErrInvalid)
}

func TestW8_OldEventsGoWithTheirDeliveries(t *testing.T) {
	f := setup(t, time.Hour)
	taken, refusing := newReceiver(t), newReceiver(t)
	refusing.answer = func(event string) int {
		if event == "order.reserved ord_waiting" {
			return 503
		}
		return 200
	}
	e, pending := f.endpoint(taken), f.endpoint(refusing)
	for _, id := range []string{"ord_old", "ord_again", "ord_waiting"} {
		f.happened("order.reserved", id)
	}
	f.publish()
	for _, endpoint := range []webhook.Endpoint{e, pending} {
		_, err := f.Deliver(f.ctx, endpoint.ID, 10)
		require.NoError(t, err)
	}
	f.happened("order.reserved", "ord_unpublished")
	remove := func() int64 {
		n, err := f.Remove(f.ctx, 100)
		require.NoError(t, err)
		return n
	}
	require.Zero(t, remove(), "all of it is new")
	_, err := f.pool.Exec(f.ctx, `UPDATE webhook_delivery SET attempted_at = attempted_at - interval '31 days', created_at = created_at - interval '31 days'`)
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `UPDATE outbox SET published_at = published_at - interval '31 days'`)
	require.NoError(t, err)
	of := func(endpoint webhook.Endpoint, subject string) *webhook.Delivery {
		for _, d := range f.deliveries(endpoint) {
			if d.Subject == subject {
				return &d
			}
		}
		return nil
	}
	old := of(e, "ord_old")
	again := of(e, "ord_again")
	for range 2 { // two clicks are one
		require.NoError(t, f.Resend(f.ctx, "acme", e.ID, again.ID))
	}
	f.deliver(e)
	require.EqualValues(t, 1, remove(), "what was sent again lately, is pending or unpublished stays")
	require.Nil(t, of(e, "ord_old"))
	require.Nil(t, of(pending, "ord_old"))
	require.NotNil(t, of(e, "ord_waiting"), "it goes when all of its deliveries may")
	require.Len(t, f.deliveries(e), 3)
	err = f.Resend(f.ctx, "acme", e.ID, old.ID)
	require.ErrorIs(t, err, webhook.ErrNotFound)
	require.ErrorContains(t, err, "kept for 30 days")
	require.ErrorIs(t, f.Resend(f.ctx, "acme", pending.ID, of(pending, "ord_waiting").ID), webhook.ErrInvalid)
	f.publish()
	f.deliver(e)
	require.Equal(t, "order.reserved ord_unpublished", taken.events()[len(taken.events())-1])
}

// W10: 50 calls at the same time make no more endpoints than are allowed.
func TestW10_NoMoreEndpointsThanAllowed(t *testing.T) {
	f := setup(t)
	var wait sync.WaitGroup
	start := make(chan struct{})
	var made, refused atomic.Int64
	for range 50 {
		wait.Go(func() {
			<-start
			_, _, err := f.Create(f.ctx, "acme", "https://example.com/", nil)
			switch {
			case err == nil:
				made.Add(1)
			case errors.Is(err, webhook.ErrInvalid):
				refused.Add(1)
			}
		})
	}
	close(start)
	wait.Wait()
	require.EqualValues(t, 20, made.Load())
	require.EqualValues(t, 30, refused.Load())
	list, err := f.Endpoints(f.ctx, "acme")
	require.NoError(t, err)
	require.Len(t, list, 20)
}

// W10: an endpoint that was deleted goes when the last of its deliveries has gone.
func TestW10_DeletedEndpointsGoInTheEnd(t *testing.T) {
	f := setup(t)
	used, unused, young := f.endpoint(newReceiver(t)), f.endpoint(newReceiver(t)), f.endpoint(newReceiver(t))
	f.happened("order.reserved", "ord_1")
	f.publish()
	for _, e := range []webhook.Endpoint{used, unused, young} {
		require.NoError(t, f.Delete(f.ctx, "acme", e.ID))
	}
	_, err := f.pool.Exec(f.ctx, `DELETE FROM webhook_delivery WHERE endpoint = $1`, unused.ID)
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `UPDATE webhook_endpoint SET deleted_at = deleted_at - interval '31 days' WHERE id <> $1`, young.ID)
	require.NoError(t, err)
	left := func() (ids []string) {
		_, err := f.Remove(f.ctx, 100)
		require.NoError(t, err)
		require.NoError(t, f.pool.QueryRow(f.ctx, `SELECT array_agg(id) FROM webhook_endpoint`).Scan(&ids))
		return ids
	}
	require.ElementsMatch(t, []string{used.ID, young.ID}, left(), "one still has a delivery to show")
	_, err = f.pool.Exec(f.ctx, `UPDATE webhook_delivery SET attempted_at = now() - interval '31 days'`)
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `UPDATE outbox SET published_at = now() - interval '31 days'`)
	require.NoError(t, err)
	require.Equal(t, []string{young.ID}, left())
}
