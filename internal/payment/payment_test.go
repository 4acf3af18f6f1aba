package payment_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v82/webhook"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/orderbook"
	"holdfast/internal/payment"
	"holdfast/internal/postgres/pgtest"
)

const (
	secret = "whsec_test"
	org    = "acme"
)

type world struct {
	*payment.Payments
	t        *testing.T
	pool     *pgxpool.Pool
	accounts *account.Accounts
	billing  *billing.Billing
	ledger   *ledger.Ledger
	service  *service
}

// service speaks as the payment service does to those who ask it.
type service struct {
	*httptest.Server
	lines    map[string]string // of a checkout session or an invoice, as JSON
	invoices map[string]string // of a payment
	asked    []string

	mu       sync.Mutex
	charges  map[string]string // payments, by the key under which they were asked for
	declines bool
	silent   int // answers that are lost
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path+" "+r.Form.Encode()+" "+r.Header.Get("Idempotency-Key"))
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if s.charge(w, r) {
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	switch {
	case r.URL.Path == "/v1/checkout/sessions" && r.Method == http.MethodPost:
		fmt.Fprint(w, `{"id":"cs_new","object":"checkout.session","url":"https://checkout.example/cs_new","expires_at":1800000000}`)
	case parts[0] == "invoice_payments":
		if invoice := s.invoices[r.Form.Get("payment[payment_intent]")]; invoice != "" {
			fmt.Fprintf(w, `{"object":"list","has_more":false,"data":[{"id":"inpay_1","object":"invoice_payment","invoice":%q}]}`, invoice)
			return
		}
		fmt.Fprint(w, `{"object":"list","has_more":false,"data":[]}`)
	case len(parts) > 2 && s.lines[parts[len(parts)-2]] != "":
		fmt.Fprintf(w, `{"object":"list","has_more":false,"data":[%s]}`, s.lines[parts[len(parts)-2]])
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error":{"type":"invalid_request_error","code":"resource_missing","message":"No such thing"}}`)
	}
}

func setup(t *testing.T) *world {
	t.Helper()
	pool := pgtest.New(t)
	w := &world{t: t, pool: pool, accounts: account.New(pool), ledger: ledger.New(pool), service: &service{lines: map[string]string{}, invoices: map[string]string{}, charges: map[string]string{}}}
	t.Cleanup(w.ledger.Close)
	w.service.Server = httptest.NewServer(w.service)
	t.Cleanup(w.service.Close)
	w.billing = billing.New(w.accounts, w.ledger, orderbook.New(pool))
	w.Payments = payment.New(pool, w.accounts, w.billing, payment.Config{Key: "sk_test", Secret: secret, URL: w.service.URL}, slog.New(slog.DiscardHandler))
	require.NoError(t, w.accounts.EnsurePresets(t.Context()))
	_, err := w.accounts.CreateOrg(t.Context(), account.Org{ID: org, Name: "Acme", Plan: "verified-leads"})
	require.NoError(t, err)
	return w
}

var eventBody = `{"id":%q,"object":"event","api_version":"2025-08-27.basil","created":%d,"type":%q,"data":{"object":%s}}`

func (w *world) send(id, kind string, at int64, object string) payment.Event {
	w.t.Helper()
	e, err := w.try(id, kind, at, object)
	require.NoError(w.t, err)
	return e
}

func (w *world) try(id, kind string, at int64, object string) (payment.Event, error) {
	body := fmt.Appendf(nil, eventBody, id, at, kind, object)
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret})
	return w.Receive(w.t.Context(), body, signed.Header)
}

func (w *world) available(creditType string) int64 {
	w.t.Helper()
	acme, err := w.accounts.Org(w.t.Context(), org)
	require.NoError(w.t, err)
	view, err := w.billing.Credits(w.t.Context(), acme, account.Member{})
	require.NoError(w.t, err)
	for _, c := range view.Credits {
		if c.Type == creditType && c.Pool == "organization" {
			return c.Available
		}
	}
	return 0
}

func (w *world) purchases() []payment.Purchase {
	w.t.Helper()
	page, _, err := w.Purchases(w.t.Context(), org, "", 100)
	require.NoError(w.t, err)
	return page
}

func (w *world) pack(price string, credits int64) {
	w.t.Helper()
	_, err := w.MapPrice(w.t.Context(), payment.Price{ID: price, Type: "email", Credits: credits})
	require.NoError(w.t, err)
}

func session(id, intent, more string) string {
	return fmt.Sprintf(`{"id":%q,"object":"checkout.session","mode":"payment","payment_status":"paid","client_reference_id":"acme","customer":"cus_1","payment_intent":%q,"amount_total":5000,"currency":"eur"%s}`, id, intent, more)
}

func refunded(charge, intent string, amount int64) string {
	return fmt.Sprintf(`{"id":%q,"object":"charge","customer":"cus_1","payment_intent":%q,"amount":5000,"amount_refunded":%d}`, charge, intent, amount)
}

func dispute(id, intent, status string) string {
	return fmt.Sprintf(`{"id":%q,"object":"dispute","charge":"ch_1","payment_intent":%q,"amount":5000,"status":%q}`, id, intent, status)
}

func invoice(id, subscription, price string, amount int64) string {
	return fmt.Sprintf(`{"id":%q,"object":"invoice","number":"A-7","customer":"cus_1","amount_paid":%d,"currency":"usd","parent":{"type":"subscription_details","subscription_details":{"subscription":%q}},
		"lines":{"object":"list","has_more":false,"data":[{"id":"il_1","object":"line_item","amount":%d,"quantity":1,"period":{"start":1900000000,"end":1902600000},"pricing":{"type":"price_details","price_details":{"price":%q}}}]}}`,
		id, amount, subscription, amount, price)
}

func subscription(id, status, price string) string {
	return fmt.Sprintf(`{"id":%q,"object":"subscription","customer":"cus_1","status":%q,"items":{"object":"list","data":[{"id":"si_1","price":{"id":%q}}]}}`, id, status, price)
}

// A pack is given once, however often and through however many processes its
// event arrives.
func TestP1_EachEventCountsOnce(t *testing.T) {
	w := setup(t)
	w.pack("price_pack", 1000)
	w.service.lines["cs_1"] = `{"id":"li_1","object":"item","quantity":3,"price":{"id":"price_pack"}}`
	other := payment.New(w.pool, w.accounts, w.billing, payment.Config{Key: "sk_test", Secret: secret, URL: w.service.URL}, slog.New(slog.DiscardHandler))
	var group errgroup.Group
	for i := range 16 {
		group.Go(func() error {
			body := fmt.Appendf(nil, eventBody, "evt_1", 1_700_000_000, "checkout.session.completed", session("cs_1", "pi_1", ""))
			signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret})
			receiver := []*payment.Payments{w.Payments, other}[i%2]
			_, err := receiver.Receive(t.Context(), body, signed.Header)
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.EqualValues(t, 3000, w.available("email"))
	// The same sale, reported by another event.
	require.Equal(t, payment.Done, w.send("evt_2", "checkout.session.async_payment_succeeded", 1_700_000_009, session("cs_1", "pi_1", "")).Status)
	require.EqualValues(t, 3000, w.available("email"))
	bought := w.purchases()
	require.Len(t, bought, 1)
	require.EqualValues(t, 5000, bought[0].Amount)
	require.Equal(t, "eur", bought[0].Currency)
	require.EqualValues(t, 3000, bought[0].Lines[0].Credits)

	_, err := w.Receive(t.Context(), []byte(`{}`), "t=1,v1=00")
	require.ErrorIs(t, err, payment.ErrSignature)
	_, err = payment.New(w.pool, w.accounts, w.billing, payment.Config{}, slog.New(slog.DiscardHandler)).Receive(t.Context(), nil, "")
	require.ErrorIs(t, err, payment.ErrNotConfigured)
	require.Equal(t, payment.Ignored, w.send("evt_3", "customer.created", 1, `{"id":"cus_1"}`).Status)
}

// Who has caught an event cannot send it later, change it, or sign one.
func TestP1_OnlyWhatTheServiceHasJustSigned(t *testing.T) {
	w := setup(t)
	w.pack("price_pack", 1000)
	w.service.lines["cs_1"] = `{"id":"li_1","object":"item","quantity":3,"price":{"id":"price_pack"}}`
	body := fmt.Appendf(nil, eventBody, "evt_1", 1_700_000_000, "checkout.session.completed", session("cs_1", "pi_1", ""))
	sign := func(secret string, age time.Duration) string {
		return webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: body, Secret: secret, Timestamp: time.Now().Add(-age)}).Header
	}
	caught := sign(secret, 10*time.Minute)
	_, kept, _ := strings.Cut(caught, ",")
	fresh := sign(secret, 0)
	now, _, _ := strings.Cut(fresh, ",")
	for what, attempt := range map[string]struct {
		body   []byte
		header string
	}{
		"ten minutes old":              {body, caught},
		"an old one with another time": {body, now + "," + kept},
		"changed":                      {bytes.Replace(body, []byte("cs_1"), []byte("cs_2"), 1), fresh},
		"signed with another secret":   {body, sign("whsec_other", 0)},
		"signed by an older scheme":    {body, strings.Replace(fresh, "v1=", "v0=", 1)},
		"not signed":                   {body, now},
	} {
		_, err := w.Receive(t.Context(), attempt.body, attempt.header)
		require.ErrorIs(t, err, payment.ErrSignature, what)
	}
	require.Zero(t, w.available("email"))

	for range 3 { // again and again while its signature is young
		_, err := w.Receive(t.Context(), body, fresh)
		require.NoError(t, err)
	}
	require.EqualValues(t, 3000, w.available("email"))
}

// What is not known yet waits where people see it, and is carried out when it is
// mapped.
func TestP2_UnknownPricesAndCustomersWait(t *testing.T) {
	w := setup(t)
	w.service.lines["cs_1"] = `{"id":"li_1","object":"item","quantity":1,"price":{"id":"price_new"}}`
	unknown := strings.ReplaceAll(session("cs_1", "pi_1", ""), `"client_reference_id":"acme",`, "")
	e := w.send("evt_1", "checkout.session.completed", 1_700_000_000, unknown)
	require.Equal(t, payment.Waiting, e.Status)
	require.Contains(t, e.Detail, "cus_1")
	_, err := w.MapCustomer(t.Context(), "cus_1", "nowhere")
	require.ErrorIs(t, err, account.ErrNotFound)
	_, err = w.MapCustomer(t.Context(), "cus_1", org)
	require.NoError(t, err)
	list, err := w.Events(t.Context(), payment.Waiting, time.Time{}, "", 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Contains(t, list[0].Detail, "price_new")

	for _, bad := range []payment.Price{{ID: "p"}, {ID: "p", Type: "email"}, {ID: "p", Type: "email", Plan: "verified-leads"}, {ID: "p", Plan: "verified-leads", Credits: 1}, {ID: "p", Type: "email", Credits: 1, ThenPlan: "verified-leads"}} {
		_, err := w.MapPrice(t.Context(), bad)
		require.ErrorIs(t, err, payment.ErrInvalid, "%+v", bad)
	}
	_, err = w.MapPrice(t.Context(), payment.Price{ID: "p", Plan: "no-such-plan"})
	require.ErrorIs(t, err, account.ErrNotFound)

	// Credits that the plan does not have cannot be given; that waits, too.
	_, err = w.MapPrice(t.Context(), payment.Price{ID: "price_new", Type: "moon", Credits: 5})
	require.NoError(t, err)
	list, err = w.Events(t.Context(), payment.Waiting, time.Time{}, "", 10)
	require.NoError(t, err)
	require.Contains(t, list[0].Detail, "moon")
}

// The terms of a purchase are those of the moment it was recorded.
func TestP3_APurchaseKeepsItsTerms(t *testing.T) {
	w := setup(t)
	w.pack("price_pack", 1000)
	w.service.lines["cs_1"] = `{"id":"li_1","object":"item","quantity":1,"price":{"id":"price_pack"}}`
	// The process ends between the record of the purchase and the grant: nothing
	// can be granted in that moment.
	_, err := w.pool.Exec(t.Context(), `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''gone''; END';
		CREATE TRIGGER no BEFORE INSERT ON credit_grant FOR EACH ROW EXECUTE FUNCTION no()`)
	require.NoError(t, err)
	_, err = w.try("evt_1", "checkout.session.completed", 1_700_000_000, session("cs_1", "pi_1", ""))
	require.Error(t, err)
	require.Len(t, w.purchases(), 1)
	_, err = w.pool.Exec(t.Context(), `DROP TRIGGER no ON credit_grant`)
	require.NoError(t, err)
	w.pack("price_pack", 7) // which carries out what waits
	require.EqualValues(t, 1000, w.available("email"))
	require.Equal(t, payment.Done, w.send("evt_1", "checkout.session.completed", 1_700_000_000, session("cs_1", "pi_1", "")).Status)
	require.EqualValues(t, 1000, w.available("email"))
}

// Refunds take back their part, in any order and once; before the purchase is
// known they wait for it.
func TestP4_RefundsInAnyOrder(t *testing.T) {
	w := setup(t)
	w.pack("price_pack", 999)
	w.service.lines["cs_1"] = `{"id":"li_1","object":"item","quantity":1,"price":{"id":"price_pack"}}`
	require.Equal(t, payment.Waiting, w.send("evt_r2", "charge.refunded", 1_700_000_020, refunded("ch_1", "pi_1", 2500)).Status)
	w.send("evt_1", "checkout.session.completed", 1_700_000_000, session("cs_1", "pi_1", ""))
	require.EqualValues(t, 999-499, w.available("email"), "half of it, rounded down")
	w.send("evt_r1", "charge.refunded", 1_700_000_010, refunded("ch_1", "pi_1", 1000))
	require.EqualValues(t, 999-499, w.available("email"), "an earlier report comes late")
	w.send("evt_r3", "charge.refunded", 1_700_000_030, refunded("ch_1", "pi_1", 5000))
	require.Zero(t, w.available("email"))
	b := w.purchases()[0]
	require.EqualValues(t, 5000, b.Refunded)
	require.EqualValues(t, 999, b.Lines[0].Voided)
}

// What is disputed is taken back until the dispute is decided.
func TestP5_Disputes(t *testing.T) {
	for name, c := range map[string]struct {
		events []string
		left   int64
	}{
		"open":                 {[]string{"needs_response"}, 0},
		"won":                  {[]string{"needs_response", "won"}, 1000},
		"lost":                 {[]string{"needs_response", "lost"}, 0},
		"won, reported first":  {[]string{"won", "needs_response"}, 1000},
		"lost, reported first": {[]string{"lost", "needs_response"}, 0},
		"won twice":            {[]string{"needs_response", "won", "won"}, 1000},
		"an inquiry":           {[]string{"warning_needs_response", "warning_closed"}, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			w := setup(t)
			w.pack("price_pack", 1000)
			w.service.lines["cs_1"] = `{"id":"li_1","object":"item","quantity":1,"price":{"id":"price_pack"}}`
			w.send("evt_1", "checkout.session.completed", 1_700_000_000, session("cs_1", "pi_1", ""))
			for i, status := range c.events {
				kind := "charge.dispute.closed"
				if strings.HasSuffix(status, "response") {
					kind = "charge.dispute.created"
				}
				w.send(fmt.Sprintf("evt_d%d", i), kind, 1_700_000_100, dispute("dp_1", "pi_1", status))
			}
			require.Equal(t, c.left, w.available("email"))
		})
	}
}

// An organization is on the plan of its subscription, by the newest report.
func TestP6_SubscriptionsAndPlans(t *testing.T) {
	w := setup(t)
	plans, err := w.accounts.Plans(t.Context())
	require.NoError(t, err)
	var names []string
	for _, p := range plans {
		if p.ID != "verified-leads" {
			names = append(names, p.ID)
		}
	}
	small, large := names[0], names[1]
	plan := func() string {
		o, err := w.accounts.Org(t.Context(), org)
		require.NoError(t, err)
		if o.Status != account.StatusActive {
			return string(o.Status)
		}
		changes, err := w.accounts.PlanChanges(t.Context(), org)
		require.NoError(t, err)
		return changes[len(changes)-1].PlanID
	}
	_, err = w.MapPrice(t.Context(), payment.Price{ID: "price_small", Plan: small})
	require.NoError(t, err)
	_, err = w.MapPrice(t.Context(), payment.Price{ID: "price_large", Plan: large, ThenPlan: "verified-leads"})
	require.NoError(t, err)
	_, err = w.MapCustomer(t.Context(), "cus_1", org)
	require.NoError(t, err)

	require.Equal(t, payment.Done, w.send("evt_1", "invoice.paid", 100, invoice("in_1", "sub_1", "price_small", 900)).Status)
	require.Equal(t, small, plan())
	w.send("evt_2", "customer.subscription.updated", 300, subscription("sub_1", "active", "price_large"))
	require.Equal(t, large, plan())
	require.Equal(t, payment.Ignored, w.send("evt_3", "customer.subscription.updated", 200, subscription("sub_1", "active", "price_small")).Status)
	w.send("evt_4", "invoice.paid", 150, invoice("in_2", "sub_1", "price_small", 900))
	require.Equal(t, large, plan(), "an invoice of before comes late")
	require.Len(t, w.purchases(), 2)
	w.send("evt_5", "customer.subscription.deleted", 400, subscription("sub_1", "canceled", "price_large"))
	require.Equal(t, "verified-leads", plan())
	require.Equal(t, payment.Ignored, w.send("evt_6", "customer.subscription.updated", 500, subscription("sub_1", "active", "price_small")).Status, "what has ended stays so")

	w.send("evt_7", "customer.subscription.created", 600, subscription("sub_2", "active", "price_small"))
	require.Equal(t, small, plan())
	w.send("evt_8", "customer.subscription.deleted", 700, subscription("sub_2", "canceled", "price_small"))
	require.Equal(t, "suspended", plan())
	w.send("evt_9", "customer.subscription.created", 800, subscription("sub_3", "active", "price_small"))
	require.Equal(t, small, plan())
}

// A subscription may bring credits that expire with the period that was paid.
func TestP6_AnInvoiceBringsCredits(t *testing.T) {
	w := setup(t)
	_, err := w.MapPrice(t.Context(), payment.Price{ID: "price_monthly", Type: "email", Credits: 100, ExpiresWithPeriod: true})
	require.NoError(t, err)
	_, err = w.MapCustomer(t.Context(), "cus_1", org)
	require.NoError(t, err)
	require.Equal(t, payment.Done, w.send("evt_1", "invoice.paid", 1_900_000_000, invoice("in_1", "sub_1", "price_monthly", 900)).Status)
	require.EqualValues(t, 100, w.available("email"))
	require.EqualValues(t, 1902600000, w.purchases()[0].Lines[0].ExpiresAt.Unix())
	w.service.invoices["pi_9"] = "in_1"
	w.send("evt_2", "charge.refunded", 1_900_000_010, refunded("ch_9", "pi_9", 900))
	require.Zero(t, w.available("email"), "the service says for which invoice the payment was")
}

// All orders of events lead to the same credits.
func TestP7_AnyOrderOfEvents(t *testing.T) {
	type one struct{ id, kind, object string }
	events := map[int]one{
		1: {"evt_1", "checkout.session.completed", session("cs_1", "pi_1", "")},
		2: {"evt_2", "charge.refunded", refunded("ch_1", "pi_1", 1000)},
		3: {"evt_3", "charge.refunded", refunded("ch_1", "pi_1", 2000)},
		4: {"evt_4", "checkout.session.completed", session("cs_2", "pi_2", "")},
		5: {"evt_5", "charge.dispute.created", dispute("dp_2", "pi_2", "needs_response")},
		6: {"evt_6", "charge.dispute.closed", dispute("dp_2", "pi_2", "won")},
	}
	for seed := range uint64(6) {
		w := setup(t)
		w.pack("price_pack", 1000)
		for _, id := range []string{"cs_1", "cs_2"} {
			w.service.lines[id] = `{"id":"li_1","object":"item","quantity":1,"price":{"id":"price_pack"}}`
		}
		order := make([]int, 0, 12)
		for n := range maps.Keys(events) {
			order = append(order, n, n) // each is reported twice
		}
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, n := range order {
			w.send(events[n].id, events[n].kind, 1_700_000_000+int64(n), events[n].object)
		}
		require.EqualValues(t, 1600, w.available("email"), "%v", order)
		waiting, err := w.Events(t.Context(), payment.Waiting, time.Time{}, "", 10)
		require.NoError(t, err)
		require.Empty(t, waiting)
	}
}

func TestCheckout(t *testing.T) {
	w := setup(t)
	_, err := w.Checkout(t.Context(), payment.NewCheckout{Org: org, Key: "k", Price: "price_pack", Quantity: 2})
	require.ErrorIs(t, err, payment.ErrNotFound)
	w.pack("price_pack", 1000)
	c, err := w.Checkout(t.Context(), payment.NewCheckout{Org: org, Key: "k", Price: "price_pack", Quantity: 2, SuccessURL: "https://example.com/ok"})
	require.NoError(t, err)
	require.Equal(t, "https://checkout.example/cs_new", c.URL)
	asked := w.service.asked[len(w.service.asked)-1]
	require.Contains(t, asked, "holdfast/acme/k")
	require.Contains(t, asked, "mode=payment")
}

// Nothing about a person is stored.
func TestP8_NoPersonalData(t *testing.T) {
	w := setup(t)
	w.send("evt_1", "checkout.session.completed", 1_700_000_000, session("cs_1", "pi_1", `,"customer_details":{"email":"ann@example.com","name":"Ann"}`))
	var text json.RawMessage
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT json_agg(e) FROM payment_event e`).Scan(&text))
	require.NotContains(t, string(text), "example.com")
	require.NotContains(t, string(text), "Ann")
}
