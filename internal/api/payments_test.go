package api_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v82/webhook"

	"holdfast/internal/payment"
)

// report sends an event as Stripe does.
func (f *fixture) report(id, kind, object string) (status int, e payment.Event) {
	f.t.Helper()
	text := fmt.Appendf(nil, `{"id":%q,"object":"event","created":%d,"type":%q,"data":{"object":%s}}`, id, time.Now().Unix(), kind, object)
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: text, Secret: stripeSecret})
	r := f.call(http.MethodPost, "/integrations/stripe/webhook", "", string(text), "Stripe-Signature", signed.Header)
	if r.status == http.StatusOK {
		r.into(&e)
	}
	return r.status, e
}

// A purchase at Stripe becomes credits that can be spent, and a refund takes
// them back; what is not mapped waits where the operator sees it.
func TestPaymentsBecomeCredits(t *testing.T) {
	f := setup(t)
	price, session, intent := "price_"+f.org, "cs_"+f.org, "pi_"+f.org
	sale := fmt.Sprintf(`{"id":%q,"object":"checkout.session","mode":"payment","payment_status":"paid","client_reference_id":%q,"payment_intent":%q,
		"amount_total":4900,"currency":"eur","metadata":{"holdfast_org":%q,"holdfast_member":"ann","holdfast_price":%q,"holdfast_quantity":"2"}}`, session, f.org, intent, f.org, price)
	status, e := f.report("evt_1"+f.org, "checkout.session.completed", sale)
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, payment.Waiting, e.Status)
	require.Contains(t, e.Detail, price)
	var waiting struct{ Events []payment.Event }
	f.call("GET", "/integrations/stripe/events?status=waiting&limit=1000", operatorKey, nil).is(200).into(&waiting)
	require.Contains(t, fmt.Sprint(waiting.Events), "evt_1"+f.org)

	f.call("PUT", "/integrations/stripe/prices/"+price, operatorKey, map[string]any{"type": "email"}).problem(422, "invalid_request")
	f.call("PUT", "/integrations/stripe/prices/"+price, operatorKey, map[string]any{"type": "email", "credits": 50}).is(200)
	var bought struct{ Purchases []payment.Purchase }
	f.call("GET", "/purchases", f.admin, nil).is(200).into(&bought)
	require.Len(t, bought.Purchases, 1)
	require.Equal(t, int64(4900), bought.Purchases[0].Amount)
	require.Equal(t, "ann", bought.Purchases[0].BoughtBy)
	require.Equal(t, int64(100), bought.Purchases[0].Lines[0].Credits)
	require.EqualValues(t, 100, f.available("email"))

	_, e = f.report("evt_2"+f.org, "charge.refunded", fmt.Sprintf(`{"id":"ch_1","object":"charge","payment_intent":%q,"amount":4900,"amount_refunded":2450}`, intent))
	require.Equal(t, payment.Done, e.Status)
	require.EqualValues(t, 50, f.available("email"))

	require.Subset(t, f.walk("/integrations/stripe/events", operatorKey, "events", "id"), []string{"evt_1" + f.org, "evt_2" + f.org})

	f.call("POST", "/integrations/stripe/webhook", "", `{}`, "Stripe-Signature", "t=1,v1=00").problem(400, "malformed_request")
	f.call("POST", "/integrations/stripe/webhook", "", `{}`).problem(400, "malformed_request")
	f.call("POST", "/integrations/stripe/events/evt_none/retry", operatorKey, nil).problem(404, "not_found")
	f.call("POST", "/checkout", f.admin, map[string]any{"price": price, "success_url": "https://example.com/"}, "Idempotency-Key", "k").problem(409, "not_configured")
}

// A grant may say what was paid for it.
func TestGrantsNameTheirPurchase(t *testing.T) {
	f := setup(t)
	path := "/orgs/" + f.org + "/grants"
	grant := func(invoice, buyer string) map[string]any {
		return map[string]any{"type": "email", "amount": 10, "source": "pack", "purchase": map[string]any{"amount": 900, "currency": "usd", "invoice": invoice, "bought_by": buyer}}
	}
	f.call("POST", path, operatorKey, grant("A-1", "missing"), "Idempotency-Key", "g").problem(422, "invalid_request")
	for range 2 {
		f.call("POST", path, operatorKey, grant("A-1", "ann"), "Idempotency-Key", "g").is(201)
	}
	f.call("POST", path, operatorKey, grant("A-2", "ann"), "Idempotency-Key", "g").problem(422, "idempotency_key_reused")
	var bought struct{ Purchases []payment.Purchase }
	f.call("GET", "/purchases", f.admin, nil).is(200).into(&bought)
	require.Len(t, bought.Purchases, 1)
	require.Equal(t, "A-1", bought.Purchases[0].Invoice)
	require.Equal(t, "manual", bought.Purchases[0].Source)
	require.NotZero(t, bought.Purchases[0].Lines[0].GrantID)
	require.EqualValues(t, 10, f.available("email"))
}
