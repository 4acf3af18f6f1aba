package dashboard_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/stripe/stripe-go/v82/webhook"

	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/dashboard"
	"holdfast/internal/payment"
	"holdfast/internal/plan"
	"holdfast/internal/site"
	"holdfast/internal/verdicts"
)

const stripeSecret = "whsec_dashboard"

// selling serves the dashboard with a payment service of its own, and a price.
func (f *fixture) selling() (price string, payments *payment.Payments) {
	f.t.Helper()
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"cs_1","object":"checkout.session","url":"https://checkout.example/cs_1","expires_at":1900000000}`)
	}))
	f.t.Cleanup(service.Close)
	c := site.API(app)
	payments = payment.New(app.Pool, app.Accounts, app.Billing, payment.Config{Key: "sk_test", Secret: stripeSecret, URL: service.URL}, slog.New(slog.DiscardHandler))
	c.Log, c.OperatorKey, c.Payments = slog.New(slog.DiscardHandler), operatorKey, payments
	server := httptest.NewServer(dashboard.New(site.Dashboard(app, api.New(c))))
	f.t.Cleanup(server.Close)
	f.url = server.URL
	price = "price_" + f.org
	_, err := payments.MapPrice(f.t.Context(), payment.Price{ID: price, Type: "email", Credits: 10})
	require.NoError(f.t, err)
	return price, payments
}

// TestBuy: an order that the credits do not cover leads to a pack that covers it,
// to the payment page, and back to the order.
func TestBuy(t *testing.T) {
	f := setup(t, "quick")
	price, payments := f.selling()
	b := f.as("ann")
	at := "/app/o/" + f.org
	quoted := b.send(at+"/new/quote", url.Values{"kind": {"lead_list"}, "count": {"25"}})
	require.Contains(t, quoted.body, "Missing credits")
	link := regexp.MustCompile(`href="(` + at + `/buy\?[^"]+)"`).FindStringSubmatch(quoted.body)
	require.NotNil(t, link, quoted.body)
	shop := b.get(strings.ReplaceAll(link[1], "&amp;", "&"))
	require.Contains(t, shop.body, "25 email credits are missing")
	form := fields(shop.body, `action="`+at+`/buy"`)
	for form.Get("price") != price { // other tests map prices, too
		_, rest, found := strings.Cut(shop.body, `value="`+form.Get("price")+`"`)
		require.True(t, found)
		shop.body = rest
		form = fields(shop.body, `action="`+at+`/buy"`)
	}
	require.Contains(t, shop.body, `name="quantity" inputmode="numeric" value="3"`, "three packs of 10 cover 25")
	form.Set("quantity", "3")
	pay := b.post(at+"/buy", form)
	require.Equal(t, 200, pay.status, pay.body)
	require.Contains(t, pay.body, `href="https://checkout.example/cs_1"`)
	require.Equal(t, 403, f.as("jane").send(at+"/buy", form).status, "a member buys nothing")

	sale := fmt.Sprintf(`{"id":"evt_%[1]s","object":"event","created":1700000000,"type":"payment_intent.succeeded","data":{"object":{"id":"pi_%[1]s","object":"payment_intent",
		"amount_received":100,"currency":"eur","metadata":{"holdfast_org":%[1]q,"holdfast_price":%[2]q,"holdfast_quantity":"3","holdfast_top_up":"0"}}}}`, f.org, price)
	signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(sale), Secret: stripeSecret})
	_, err := payments.Receive(t.Context(), []byte(sale), signed.Header)
	require.NoError(t, err)
	back := b.get(at + "/buy?done=1&" + url.Values{"order": {form.Get("order")}}.Encode())
	require.Contains(t, back.body, "Go on with the order")
	again := b.post(at+"/new/again", fields(back.body, at+"/new/again"))
	require.Contains(t, again.body, "Place the order")
	require.Equal(t, 422, b.send(at+"/new/again", url.Values{"order": {"nonsense"}}).status)
}

// TestAlerts: thresholds and automatic purchases are set over the page.
func TestAlerts(t *testing.T) {
	f := setup(t, "quick")
	price, payments := f.selling()
	b := f.as("ann")
	at := "/app/o/" + f.org
	saved := b.send(at+"/alerts", url.Values{"type": {"email"}, "thresholds": {"500, 20"}})
	require.Contains(t, saved.body, `value="500, 20"`)
	require.Contains(t, saved.body, "your own")
	require.Contains(t, saved.body, "Low balance: 0 email credits are left")
	require.NotContains(t, b.send(at+"/alerts", url.Values{"type": {"email"}, "thresholds": {""}}).body, "Low balance: 0", "no alerts, no notice")
	require.Contains(t, b.send(at+"/alerts/plan", url.Values{"type": {"email"}}).body, `value="1000"`, "the plan's again")
	require.Equal(t, 422, b.send(at+"/alerts", url.Values{"type": {"email"}, "thresholds": {"many"}}).status)
	require.Equal(t, 422, b.send(at+"/alerts", url.Values{"type": {"email"}, "thresholds": {"20%"}}).status, "of no allotment")

	rule := url.Values{
		"enabled": {"1"}, "below": {"5"}, "price": {price}, "quantity": {"2"}, "monthly_credits": {"1,000"}, "monthly_amount": {"99.90"}, "currency": {"EUR"},
	}
	shown := b.send(at+"/top-ups/email", rule)
	require.Equal(t, 200, shown.status, shown.body)
	require.Contains(t, shown.body, `name="monthly_amount" inputmode="decimal" value="99.90"`)
	rules, err := payments.TopUpRules(t.Context(), f.org)
	require.NoError(t, err)
	require.EqualValues(t, 9990, rules[0].MonthlyAmount)
	rule.Set("monthly_amount", "9.9")
	require.Equal(t, 422, b.send(at+"/top-ups/email", rule).status)
	require.Equal(t, 403, f.as("jane").send(at+"/top-ups/email", rule).status)
}

// TestSuppressionPage: entries are added, checked, removed and uploaded.
func TestSuppressionPage(t *testing.T) {
	f := setup(t, "quick")
	b := f.as("ann")
	at := "/app/o/" + f.org + "/suppressions"
	require.Contains(t, b.get(at).body, "The list is empty")
	require.Contains(t, b.send(at, url.Values{"do": {"add"}, "entries": {"ann@example.com\npartner.example"}, "reason": {"asked to"}}).body, "2 new entries")
	require.Contains(t, b.get(at).body, "asked to")
	require.Contains(t, b.send(at, url.Values{"do": {"check"}, "entries": {"bob@partner.example"}}).body, "<strong>suppressed</strong>")
	require.Contains(t, b.send(at, url.Values{"do": {"remove"}, "entries": {"ann@example.com, never@example.com"}}).body, "1 entries were taken off")
	bad := b.send(at, url.Values{"do": {"add"}, "entries": {"nonsense"}})
	require.Equal(t, 422, bad.status)
	require.Contains(t, bad.body, "nonsense", "the form keeps what was written")

	upload := func(token string) page {
		var body bytes.Buffer
		w := multipart.NewWriter(&body)
		require.NoError(t, w.WriteField("csrf", token))
		part, err := w.CreateFormFile("file", "list.csv")
		require.NoError(t, err)
		_, _ = io.WriteString(part, "email\na@example.org\nb@example.org\n")
		require.NoError(t, w.Close())
		return b.do("POST", at+"/upload", &body, "Content-Type", w.FormDataContentType())
	}
	require.Contains(t, upload(b.token()).body, "2 new entries")
	require.Equal(t, 403, upload("wrong").status)
	require.Equal(t, 403, f.as("jane").get(at).status)
}

// TestEventsPage: what happened is shown and sent again.
func TestEventsPage(t *testing.T) {
	f := setup(t, "quick")
	f.grant(20)
	b := f.as("ann")
	at := "/app/o/" + f.org + "/events"
	shown := b.get(at)
	require.Contains(t, shown.body, "credits.granted")
	require.NotContains(t, b.get(at+"?type=order.settled").body, "evt_")
	action := regexp.MustCompile(at + `/(evt_[a-z0-9]+)/replay`).FindString(shown.body)
	require.NotEmpty(t, action)
	require.Contains(t, b.send(action, url.Values{}).body, "No webhook takes this event")
	require.Equal(t, 404, b.send(at+"/evt_none/replay", url.Values{}).status)
}

// TestPlanPage: what each action costs, what another plan would bring, and the
// change by the operator.
func TestPlanPage(t *testing.T) {
	f := setup(t, "quick")
	at := "/app/o/" + f.org + "/plan"
	require.Contains(t, f.as("jane").get(at).body, "What each action costs")
	preview := f.as("ann").get(at + "?to=rollover-boost")
	require.Equal(t, 200, preview.status, preview.body)
	require.Contains(t, preview.body, "12,000")
	require.Contains(t, preview.body, "What would be different")
	require.NotContains(t, preview.body, "<button>Change to")
	require.Equal(t, 403, f.as("ann").send(at, url.Values{"plan": {"rollover-boost"}}).status)
	org, err := app.Accounts.Org(t.Context(), f.org)
	require.NoError(t, err)
	require.Equal(t, "quick", org.Plan, "a preview changes nothing")
	require.Contains(t, f.with(operatorKey).send(at, url.Values{"plan": {"rollover-boost"}}).body, "The plan is changed")
	require.Equal(t, 404, f.as("ann").get(at+"?to=no-such-plan").status)
}

// TestManagePage: the operator suspends, resumes and closes.
func TestManagePage(t *testing.T) {
	f := setup(t, "quick")
	at := "/app/o/" + f.org + "/manage"
	require.Equal(t, 403, f.as("ann").get(at).status)
	b := f.with(operatorKey)
	status := func() account.Status {
		org, err := app.Accounts.Org(t.Context(), f.org)
		require.NoError(t, err)
		return org.Status
	}
	require.Contains(t, b.send(at+"/suspend", url.Values{}).body, "is suspended")
	require.Equal(t, account.StatusSuspended, status())
	b.send(at+"/resume", url.Values{})
	require.Equal(t, account.StatusActive, status())
	require.Equal(t, 422, b.send(at+"/close", url.Values{"reason": {"over"}, "confirm": {"another"}}).status)
	require.Equal(t, account.StatusActive, status())
	require.Contains(t, b.send(at+"/close", url.Values{"reason": {"over"}, "confirm": {f.org}}).body, "closed for good")
	require.Equal(t, account.StatusClosed, status())
	require.Equal(t, 404, b.send(at+"/explode", url.Values{}).status)
}

// TestPlanEdit: an edited plan shows what it changes before it is stored.
func TestPlanEdit(t *testing.T) {
	f := setup(t, "quick")
	mine, err := app.Accounts.Plan(t.Context(), "quick", 0)
	require.NoError(t, err)
	own := *mine
	own.ID, own.Name = "edited-"+f.org, "Edited"
	_, err = app.Accounts.SavePlan(t.Context(), &own)
	require.NoError(t, err)
	at := "/app/operator/plans/" + own.ID
	b := f.with(operatorKey)
	_, text, _ := strings.Cut(b.get(at).body, "required>")
	text, _, _ = strings.Cut(text, "</textarea>")
	edited := strings.Replace(unescape(text), `"name": "Edited"`, `"name": "Renamed"`, 1)
	preview := b.send(at, url.Values{"plan": {edited}})
	require.Equal(t, 200, preview.status, preview.body)
	require.Contains(t, unescape(preview.body), `<code>"Edited"</code></td><td><code>"Renamed"</code>`)
	require.Equal(t, 1, strings.Count(preview.body, "<td><code>name</code></td>"))
	stored := func() *plan.Plan {
		p, err := app.Accounts.Plan(t.Context(), own.ID, 0)
		require.NoError(t, err)
		return p
	}
	require.Equal(t, "Edited", stored().Name, "a preview stores nothing")
	require.Equal(t, 422, b.send(at, url.Values{"plan": {"nonsense: ["}}).status)
	require.Equal(t, 422, b.send(at, url.Values{"plan": {strings.Replace(edited, own.ID, "another", 1)}}).status)
	b.send(at+"/save", url.Values{"plan": {edited}})
	require.Equal(t, "Renamed", stored().Name)
	require.Equal(t, 2, stored().Version)
	require.Equal(t, 403, f.as("ann").get(at).status)
}

// TestWebhookForms: an endpoint is added, its secret shown once, enabled, sent to
// again and deleted.
func TestWebhookForms(t *testing.T) {
	f := setup(t, "quick")
	b := f.as("ann")
	at := "/app/o/" + f.org + "/settings"
	made := b.send(at+"/webhooks", url.Values{"url": {"https://example.com/hook"}, "events": {"order.settled, credits.low"}})
	require.Equal(t, 200, made.status, made.body)
	require.Contains(t, made.body, `class="secret">whsec_`)
	require.NotContains(t, b.get(at).body, "whsec_", "once")
	require.Equal(t, 422, b.send(at+"/webhooks", url.Values{"url": {"nonsense"}}).status)
	id := regexp.MustCompile(`settings/webhooks/(wh_[a-z0-9]+)`).FindStringSubmatch(b.get(at).body)
	require.NotNil(t, id)
	_, err := app.Pool.Exec(t.Context(), `UPDATE webhook_endpoint SET disabled_at = now(), disabled_reason = 'gone' WHERE id = $1`, id[1])
	require.NoError(t, err)
	require.Contains(t, b.get(at).body, "disabled")
	require.NotContains(t, b.send(at+"/webhooks/"+id[1]+"/enable", url.Values{}).body, "disabled")
	require.Contains(t, b.get(at+"/webhooks/"+id[1]).body, "Nothing was sent yet")
	require.Equal(t, 404, b.send(at+"/webhooks/"+id[1]+"/1/resend", url.Values{}).status)
	require.Equal(t, 403, f.as("jane").send(at+"/webhooks/"+id[1]+"/delete", url.Values{}).status)
	require.Contains(t, b.send(at+"/webhooks/"+id[1]+"/delete", url.Values{}).body, "There are no webhooks yet")
}

// TestErasureForm: the operator erases people by address.
func TestErasureForm(t *testing.T) {
	f := setup(t, "quick")
	b := f.with(operatorKey)
	require.Equal(t, 200, b.get("/app/operator/erasure").status)
	done := b.send("/app/operator/erasure", url.Values{"people": {"gone-" + f.org + "@example.com"}})
	require.Equal(t, 200, done.status, done.body)
	var suppressed bool
	require.NoError(t, app.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM suppression WHERE reason = 'erased')`).Scan(&suppressed))
	require.True(t, suppressed)
	require.Equal(t, 403, f.as("ann").send("/app/operator/erasure", url.Values{"people": {"x@example.com"}}).status)
}

// TestVerificationPage: the operator sees what each worker has said of its
// verification, and the hosts that refuse us.
func TestVerificationPage(t *testing.T) {
	f := setup(t, "quick")
	require.NoError(t, verdicts.ReportWorker(t.Context(), app.Pool, verdicts.WorkerState{
		Worker: "tested-worker/1", Verifiers: []string{"smtp", "reacher"}, Closed: []string{"reacher"}, Resting: []string{"mx-2"},
	}))
	id := f.placeAs(f.org, 1)
	require.Eventually(t, func() bool {
		var over bool
		return app.Pool.QueryRow(t.Context(), `SELECT status = 'settled' FROM orders WHERE id = $1`, id).Scan(&over) == nil && over
	}, time.Minute, 50*time.Millisecond)
	_, err := app.Pool.Exec(t.Context(), `INSERT INTO order_item (order_id, n, lead_no, fingerprint, value, already_owned, verdict, reason, mx_host, smtp_code, checked_at)
		VALUES ($1, 1000, 1, gen_random_uuid(), 'x@refusing.example', false, 'unknown', 'blocked', 'mx.refusing.example', 554, now())`, id)
	require.NoError(t, err)
	shown := f.with(operatorKey).get("/app/operator/verification")
	require.Equal(t, 200, shown.status, shown.body)
	for _, text := range []string{"tested-worker/1", "not asked: reacher", "mx-2", "mx.refusing.example", "554"} {
		require.Contains(t, shown.body, text)
	}
	require.Equal(t, 403, f.as("ann").get("/app/operator/verification").status)
	_, err = app.Pool.Exec(t.Context(), `DELETE FROM order_item WHERE order_id = $1 AND n = 1000`, id)
	require.NoError(t, err)
}

var (
	forms   = regexp.MustCompile(`(?s)<form([^>]*)>(.*?)</form>`)
	buttons = regexp.MustCompile(`<button([^>]*)>`)
)

// TestFormsNeedNoScript: each form says where it goes and has a button that sends
// it; no button stands outside of a form.
func TestFormsNeedNoScript(t *testing.T) {
	templates, err := filepath.Glob("templates/*.html")
	require.NoError(t, err)
	found := 0
	for _, name := range templates {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, form := range forms.FindAllStringSubmatch(string(text), -1) {
			found++
			require.Regexp(t, `action="[^"]`, form[1], name)
			require.Regexp(t, `method="(get|post)"`, form[1], name)
			require.Regexp(t, `<button`, form[2], "%s: a form without a button", name)
		}
		require.Empty(t, buttons.FindAllString(forms.ReplaceAllString(string(text), ""), -1), "%s: a button outside of a form does nothing without a script", name)
	}
	require.Greater(t, found, 30)
}

// TestOrderListIsSmall: a full page of orders, each with all that a row can show,
// has less than 100 KB.
func TestOrderListIsSmall(t *testing.T) {
	f := setup(t, "quick")
	_, err := app.Pool.Exec(t.Context(), `
		INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version, status, requested, selected, valid, credits, verifying_since)
		SELECT 'ord_' || md5($1 || n), $1, 'jane', 'lead_list', '{"kind": "lead_list", "count": 1000000}', 'hash', 'quick', 1, 'verifying', 1000000, 1000000, 500000,
			'[{"type": "email", "held": 1000000, "captured": 500000, "released": 0}]', now() - interval '1 minute'
		FROM generate_series(1, 60) n`, f.org)
	require.NoError(t, err)
	t.Cleanup(func() { // the reconciler of other tests would take them up
		_, err := app.Pool.Exec(context.WithoutCancel(t.Context()), `DELETE FROM orders WHERE org = $1`, f.org)
		require.NoError(t, err)
	})
	page := f.as("ann").get("/app/o/" + f.org + "/orders")
	require.Equal(t, 200, page.status)
	require.Equal(t, 50, strings.Count(page.body, "/orders/ord_"))
	require.Less(t, len(page.body), 100_000)
	t.Logf("%d bytes", len(page.body))
}

// TestVerificationPageShowsIdentities: each sending identity is shown with what
// readiness says of it, and nothing else of that is.
func TestVerificationPageShowsIdentities(t *testing.T) {
	f := setup(t, "quick")
	c := site.API(app)
	c.Log, c.OperatorKey = slog.New(slog.DiscardHandler), operatorKey
	pages := site.Dashboard(app, api.New(c))
	pages.Ready = func(context.Context) (map[string]string, bool) {
		return map[string]string{"identity": "helo fails", "identity mx-7": "12 of 20000 today; rests", "database": "database is fine"}, true
	}
	server := httptest.NewServer(dashboard.New(pages))
	t.Cleanup(server.Close)
	f.url = server.URL
	shown := f.with(operatorKey).get("/app/operator/verification").body
	for _, text := range []string{"our identity", "helo fails", "mx-7", "12 of 20000 today; rests"} {
		require.Contains(t, shown, text)
	}
	require.NotContains(t, shown, "database is fine")
}
