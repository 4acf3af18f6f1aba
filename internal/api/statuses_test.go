package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"holdfast/internal/api"
	"holdfast/internal/intake"
	"holdfast/internal/offer"
	"holdfast/internal/payment"
)

// Answers of single routes that are about nothing else: the description says them,
// so they are seen once.
func TestA26_RarerAnswers(t *testing.T) {
	f := setupWith(t, "fuzzed", 0)
	here := "/orgs/" + f.org
	f.call("POST", "/verify", f.jane, map[string]any{"email": "ann@example.com"}, "Idempotency-Key", "v").is(402)
	f.call("POST", "/verify/batch", f.jane, map[string]any{"emails": []string{"ann@example.com"}}, "Idempotency-Key", "b").is(402)
	f.call("GET", here+"/plan-preview?plan=slow", f.admin, nil).is(200)
	f.call("POST", "/orgs", operatorKey, map[string]any{"id": f.org, "name": "Another", "plan": "quick"}).is(409)
	f.call("PUT", "/integrations/stripe/customers/cus_"+f.org, operatorKey, map[string]any{"org": f.org}).is(200)

	f.call("POST", here+"/grants", operatorKey, map[string]any{"type": "email", "amount": 5, "source": "pack"}, "Idempotency-Key", "g").is(201)
	id := f.call("POST", "/orders?wait=25s", f.jane, leadList(2), "Idempotency-Key", "o").is(201).text("id")
	f.call("POST", "/orders/"+id+"/reverse", operatorKey, map[string]any{"reason": "too much", "type": "email", "amount": 1000}, "Idempotency-Key", "r").is(409)

	f.call("POST", here+"/members", f.admin, map[string]any{"id": "bob", "name": "Another"}).is(409)
	f.call("PATCH", here+"/members/bob", f.admin, map[string]any{"email": "one@" + f.org + ".test"}).is(200)
	f.call("PATCH", here+"/members/jane", f.admin, map[string]any{"email": "one@" + f.org + ".test"}).is(409)

	f.serveWith(func(c *api.Config) { c.Sandbox = true })
	clock := "/test-clocks/" + f.call("POST", "/test-clocks", operatorKey, map[string]any{"org": f.org + "-later", "at": "2028-01-31T09:00:00Z"}).is(201).text("id")
	f.call("GET", clock, operatorKey, nil).is(200)
	f.call("DELETE", clock, operatorKey, nil).is(204)
}

// What an open order uses is not deleted, and who has one is not closed.
func TestA26_OpenOrders(t *testing.T) {
	f := setupWith(t, "slow", 0)
	f.fund(10)
	list := f.call("POST", "/lists", f.jane, "ann@nowhere.invalid\n", "Content-Type", "text/plain").is(201).text("id")
	id := f.call("POST", "/orders?wait=25s", f.jane, map[string]any{"kind": "verify", "list_id": list}, "Idempotency-Key", "o").is(201).text("id")
	f.call("DELETE", "/lists/"+list, f.jane, nil).problem(409, "conflict")
	f.call("POST", "/orgs/"+f.org+"/close", operatorKey, map[string]any{"reason": "ended"}).problem(409, "conflict")
	f.call("POST", "/orgs/"+f.org+"/resume", operatorKey, nil).is(200)
	f.call("POST", "/orders/"+id+"/cancel", f.jane, nil).is(202)
	f.settled(id)
	f.call("DELETE", "/lists/"+list, f.jane, nil).is(204)

	f.serveWith(func(c *api.Config) { c.Sandbox = true })
	clock := "/test-clocks/" + f.call("POST", "/test-clocks", operatorKey, map[string]any{"org": f.org + "-later", "at": "2028-01-31T09:00:00Z"}).is(201).text("id")
	later := *f
	later.org += "-later"
	later.call("POST", "/orgs", operatorKey, map[string]any{"id": later.org, "name": "Later", "plan": "slow"}).is(201)
	later.fund(10)
	id = later.call("POST", "/orders?wait=25s&org="+later.org, operatorKey, leadList(10), "Idempotency-Key", "o").is(201).text("id")
	f.call("DELETE", clock, operatorKey, nil).problem(409, "conflict")
	f.call("POST", "/orders/"+id+"/cancel?org="+later.org, operatorKey, nil).is(202)
}

// An order that is being verified is paused and goes on.
func TestA8_PauseAndResume(t *testing.T) {
	f := setup(t)
	f.fund(leads)
	id := f.place("p", leads, "0s").ID
	f.call("POST", "/orders/"+id+"/pause", f.jane, nil).is(202)
	f.call("POST", "/orders/"+id+"/resume", f.jane, nil).is(202)
	f.settled(id)
}

// A copy of a request to pause that arrives late, when the order was resumed since,
// does not pause it again: no one would resume it.
func TestA8_ALateCopyOfAPauseChangesNothing(t *testing.T) {
	f := setup(t)
	f.fund(leads)
	id := f.place("p", leads, "0s").ID
	pause := func() *reply { return f.call("POST", "/orders/"+id+"/pause", f.jane, nil, "Idempotency-Key", "once") }
	first := pause().is(202)
	require.Empty(t, first.header.Get("Idempotent-Replayed"))
	f.call("POST", "/orders/"+id+"/resume", f.jane, nil, "Idempotency-Key", "go-on").is(202)
	require.Equal(t, "true", pause().is(202).header.Get("Idempotent-Replayed"))
	f.call("POST", "/orders/"+id+"/resume", f.jane, nil, "Idempotency-Key", "once").problem(422, "idempotency_key_reused")
	f.settled(id)
}

// Where the payment service does not answer the answer says so, and what it
// has reported is carried out when it does.
func TestA26_ThePaymentServiceFails(t *testing.T) {
	f := setup(t)
	price, event := "price_502_"+f.org, "evt_502_"+f.org
	away := true
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if away {
			http.Error(w, "away", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"object":"list","has_more":false,"data":[{"id":"li_1","object":"item","quantity":1,"amount_total":4900,"price":{"id":"` + price + `"}}]}`))
	}))
	defer service.Close()
	f.serveWith(func(c *api.Config) {
		c.Payments = payment.New(app.Pool, app.Accounts, app.Billing, payment.Config{Key: "sk_test", Secret: stripeSecret, URL: service.URL}, app.Log)
	})
	f.call("PUT", "/integrations/stripe/prices/"+price, operatorKey, map[string]any{"type": "email", "credits": 50}).is(200)
	f.call("POST", "/checkout", f.admin, map[string]any{"price": price, "success_url": "https://example.com/"}, "Idempotency-Key", "k").problem(502, "no_upstream")

	status, _ := f.report(event, "checkout.session.completed", `{"id":"cs_`+f.org+`","object":"checkout.session","mode":"payment","payment_status":"paid","client_reference_id":"`+f.org+`","payment_intent":"pi_`+f.org+`","amount_total":4900,"currency":"eur"}`)
	require.Equal(t, http.StatusBadGateway, status, "it is reported again")
	retry := "/integrations/stripe/events/" + event + "/retry"
	f.call("POST", retry, operatorKey, nil).problem(502, "no_upstream")
	away = false
	f.call("POST", retry, operatorKey, nil).is(200)
	require.EqualValues(t, 50, f.available("email"))
}

// Without Temporal an order is neither accepted nor moved: 503, and the same
// request again gets its answer.
func TestA26_TemporalIsAway(t *testing.T) {
	f := setupWith(t, "slow", 0)
	f.fund(100)
	open := f.place("open", 10, "20s").ID
	away, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1"})
	require.NoError(t, err)
	defer away.Close()
	here := *f
	hook := f.call("POST", "/webhooks", f.admin, map[string]any{"url": "http://127.0.0.1:9/"}).is(201).text("id")
	f.serveWith(func(c *api.Config) {
		c.Sandbox = true
		c.Intake = intake.New(away, app.Accounts, app.Book, offer.New(app.Accounts, app.Ledger, app.Catalogue, app.Book), app.Webhooks, 0)
	})
	var wait sync.WaitGroup
	f.call("POST", "/orgs", operatorKey, map[string]any{"id": f.org + "-idle", "name": "Idle", "plan": "quick"}).is(201)
	clock := f.call("POST", "/test-clocks", operatorKey, map[string]any{"org": f.org + "-away", "at": "2028-01-31T09:00:00Z"}).is(201).text("id")
	for _, call := range []struct {
		path string
		body any
	}{
		{"/test-clocks", map[string]any{"org": f.org + "-idle", "at": time.Now().Add(time.Hour)}},
		{"/test-clocks/" + clock + "/advance", map[string]any{"to": "2028-02-29T09:00:00Z"}},
		{"/orders", leadList(2)},
		{"/verify", map[string]any{"email": "ann@nowhere.invalid"}},
		{"/verify/batch", map[string]any{"emails": []string{"ann@nowhere.invalid"}}},
		{"/orders/" + open + "/cancel", nil},
		{"/orders/" + open + "/pause", nil},
		{"/orders/" + open + "/resume", nil},
	} {
		wait.Go(func() {
			key := f.jane
			if strings.HasPrefix(call.path, "/test-clocks") {
				key = operatorKey
			}
			r := f.call("POST", call.path, key, call.body, "Idempotency-Key", "away"+call.path)
			if r.status != http.StatusServiceUnavailable {
				t.Errorf("%s: %d %s", call.path, r.status, r.body)
			}
		})
	}
	wait.Wait()
	f.call("PATCH", "/webhooks/"+hook, f.admin, map[string]any{"paused": false}).is(200)
	f.call("POST", "/webhooks/"+hook+"/replay", f.admin, map[string]any{}).is(202)
	require.Equal(t, "completed", string(f.order(open).Status))
	here.call("POST", "/orders", f.jane, leadList(2), "Idempotency-Key", "away/orders").is(201)
}
