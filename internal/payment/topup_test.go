package payment_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/outbox"
	"holdfast/internal/payment"
)

// cards is the part of the service that charges.
func (s *service) charge(w http.ResponseWriter, r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case strings.HasPrefix(r.URL.Path, "/v1/prices/"):
		fmt.Fprintf(w, `{"id":%q,"object":"price","unit_amount":4900,"currency":"eur"}`, strings.TrimPrefix(r.URL.Path, "/v1/prices/"))
	case strings.HasPrefix(r.URL.Path, "/v1/customers/"):
		fmt.Fprint(w, `{"id":"cus_1","object":"customer","invoice_settings":{}}`)
	case r.URL.Path == "/v1/payment_methods":
		fmt.Fprint(w, `{"object":"list","has_more":false,"data":[{"id":"pm_1","object":"payment_method"}]}`)
	case r.URL.Path == "/v1/payment_intents":
		key := r.Header.Get("Idempotency-Key")
		if s.declines {
			w.WriteHeader(http.StatusPaymentRequired)
			fmt.Fprint(w, `{"error":{"type":"card_error","code":"card_declined","decline_code":"insufficient_funds","message":"No."}}`)
			return true
		}
		if s.charges[key] == "" {
			s.charges[key] = fmt.Sprintf("pi_%d", len(s.charges)+1)
		}
		if s.silent > 0 { // charged, and the answer is lost
			s.silent--
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, `{"error":{"type":"api_error","message":"later"}}`)
			return true
		}
		fmt.Fprint(w, intent(s.charges[key], r.FormValue("metadata[holdfast_top_up]")))
	default:
		return false
	}
	return true
}

func intent(id, topUp string) string {
	return fmt.Sprintf(`{"id":%q,"object":"payment_intent","status":"succeeded","created":1700000000,"customer":"cus_1","amount_received":4900,"currency":"eur",
		"metadata":{"holdfast_org":"acme","holdfast_price":"price_pack","holdfast_quantity":"1","holdfast_top_up":%q}}`, id, topUp)
}

var everyEmail = payment.TopUpRule{
	Type: "email", Enabled: true, Below: 100, Price: "price_pack", Quantity: 1, MonthlyCredits: 2500, MonthlyAmount: 100_000, Currency: "eur",
}

// topping is a world with 500 credits and a rule.
func topping(t *testing.T) *world {
	t.Helper()
	w := setup(t)
	w.pack("price_pack", 1000)
	_, err := w.MapCustomer(t.Context(), "cus_1", org)
	require.NoError(t, err)
	w.grant("fund", 500)
	w.rule(everyEmail)
	return w
}

func (w *world) rule(r payment.TopUpRule) {
	w.t.Helper()
	acme, err := w.accounts.Org(w.t.Context(), org)
	require.NoError(w.t, err)
	_, err = w.SetTopUp(w.t.Context(), acme, r)
	require.NoError(w.t, err)
}

func (w *world) grant(key string, n int64) {
	w.t.Helper()
	_, err := w.ledger.Grant(w.t.Context(), ledger.Grant{Owner: org, Key: key, Type: "email", Amount: n, Source: ledger.SourcePack})
	require.NoError(w.t, err)
}

// spend leaves the shared pool with so many credits.
func (w *world) spendTo(key string, left int64) {
	w.t.Helper()
	_, err := w.ledger.Hold(w.t.Context(), ledger.Hold{Owner: org, Key: key, HoldID: key, Lines: []ledger.Line{{Type: "email", Amount: w.available("email") - left, Pools: []string{""}}}})
	require.NoError(w.t, err)
	require.Equal(w.t, left, w.available("email"))
}

func (w *world) topUps() []payment.TopUp {
	w.t.Helper()
	page, _, err := w.TopUps(w.t.Context(), org, "", 100)
	require.NoError(w.t, err)
	return page
}

// notMade are the events about purchases that were not made.
func (w *world) notMade() (events []string) {
	w.t.Helper()
	rows, err := w.pool.Query(w.t.Context(), `SELECT payload FROM outbox WHERE topic = $1 ORDER BY id`, outbox.TopUpFailed)
	require.NoError(w.t, err)
	var data []byte
	_, err = pgx.ForEachRow(rows, []any{&data}, func() error {
		require.NoError(w.t, outbox.Fits(outbox.TopUpFailed, data))
		var e outbox.FailedTopUp
		require.NoError(w.t, json.Unmarshal(data, &e))
		require.Equal(w.t, w.bought(e.ID).Detail, e.Reason)
		events = append(events, fmt.Sprintf("%s, stopped: %t", e.Status, e.Stopped))
		return nil
	})
	require.NoError(w.t, err)
	return events
}

func (w *world) bought(id int64) payment.TopUp {
	w.t.Helper()
	for _, b := range w.topUps() {
		if b.ID == id {
			return b
		}
	}
	w.t.Fatalf("there is no automatic purchase %d", id)
	return payment.TopUp{}
}

func (w *world) due() {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), `UPDATE top_up SET next_at = now() WHERE status IN ('due', 'charging')`)
	require.NoError(w.t, err)
	_ = w.BuyDue(w.t.Context()) // what fails is tried again
}

// Each fall of the balance is charged once, by however many processes.
func TestP9_OneChargeForEachFall(t *testing.T) {
	w := topping(t)
	require.Empty(t, w.topUps(), "500 is above")
	w.spendTo("o1", 99)
	w.spendTo("o2", 50)
	other := payment.New(w.pool, w.accounts, w.billing, payment.Config{Key: "sk_test", Secret: secret, URL: w.service.URL}, slog.New(slog.DiscardHandler))
	var group errgroup.Group
	for i := range 8 {
		group.Go(func() error { return []*payment.Payments{w.Payments, other}[i%2].BuyDue(t.Context()) })
	}
	require.NoError(t, group.Wait())
	require.EqualValues(t, 1050, w.available("email"))
	require.Len(t, w.service.charges, 1)
	// The service reports the same payment by itself, too.
	bought := w.topUps()
	require.Len(t, bought, 1)
	require.Equal(t, "paid", bought[0].Status)
	require.Equal(t, payment.Done, w.send("evt_1", "payment_intent.succeeded", 1_700_000_000, intent("pi_1", fmt.Sprint(bought[0].ID))).Status)
	require.EqualValues(t, 1050, w.available("email"))
	require.Len(t, w.purchases(), 1)
	require.EqualValues(t, 4900, w.purchases()[0].Amount)
	require.Equal(t, payment.Ignored, w.send("evt_2", "payment_intent.succeeded", 1_700_000_000, `{"id":"pi_other","object":"payment_intent","customer":"cus_1"}`).Status, "of a checkout")

	w.spendTo("o3", 10)
	w.due()
	require.EqualValues(t, 1010, w.available("email"), "the balance had risen and fell again")
	require.Len(t, w.service.charges, 2)
}

// A process that ends at any moment, or an answer that is lost, charges nothing
// twice and loses nothing.
func TestP9_ACrashChargesNothingTwice(t *testing.T) {
	w := topping(t)
	w.spendTo("o1", 100)
	w.service.silent = 1
	w.due()
	require.EqualValues(t, 100, w.available("email"))
	require.Equal(t, "charging", w.topUps()[0].Status)
	_, err := w.pool.Exec(t.Context(), `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''gone''; END';
		CREATE TRIGGER no BEFORE INSERT ON purchase FOR EACH ROW EXECUTE FUNCTION no()`)
	require.NoError(t, err)
	w.due()
	require.EqualValues(t, 100, w.available("email"), "it ends after the charge and before the purchase")
	_, err = w.pool.Exec(t.Context(), `DROP TRIGGER no ON purchase`)
	require.NoError(t, err)
	w.due()
	require.EqualValues(t, 1100, w.available("email"))
	require.Len(t, w.service.charges, 1)
	require.Equal(t, "paid", w.topUps()[0].Status)
	w.due()
	require.EqualValues(t, 1100, w.available("email"))
}

// A charge that a clock that was ahead has put off is made when that clock is right
// again.
func TestP9_NoChargeWaitsForAClockThatWasAhead(t *testing.T) {
	w := topping(t)
	w.spendTo("o1", 100)
	putOff := func(by string) {
		t.Helper()
		_, err := w.pool.Exec(t.Context(), `UPDATE top_up SET next_at = now() + $1::interval`, by)
		require.NoError(t, err)
		require.NoError(t, w.BuyDue(t.Context()))
	}
	putOff("29 minutes")
	require.Empty(t, w.service.charges, "it may wait for that long")
	putOff("2 hours")
	require.Len(t, w.service.charges, 1)
	require.EqualValues(t, 1100, w.available("email"))
}

// The caps of the month hold for credits and for money; what they refuse is seen.
func TestP10_MonthlyCaps(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*payment.TopUpRule)
		says   string
	}{
		"credits": {func(r *payment.TopUpRule) { r.MonthlyCredits = 1999 }, "1999 credits"},
		"money":   {func(r *payment.TopUpRule) { r.MonthlyAmount = 9799 }, "9799 eur"},
	} {
		t.Run(name, func(t *testing.T) {
			w := topping(t)
			rule := everyEmail
			c.change(&rule)
			w.rule(rule)
			for i := range 3 {
				w.spendTo(fmt.Sprint("o", i), 50)
				w.due()
				if i > 0 {
					w.grant(fmt.Sprint("more", i), 500)
				}
			}
			require.Len(t, w.service.charges, 1)
			bought := w.topUps()
			require.Len(t, bought, 3)
			require.Equal(t, "skipped", bought[0].Status)
			require.Contains(t, bought[0].Detail, c.says)
			require.Equal(t, []string{"skipped, stopped: false", "skipped, stopped: false"}, w.notMade())
			require.Equal(t, "paid", bought[2].Status)
		})
	}
	w := topping(t)
	acme, err := w.accounts.Org(t.Context(), org)
	require.NoError(t, err)
	for _, change := range []func(*payment.TopUpRule){
		func(r *payment.TopUpRule) { r.MonthlyCredits = 999 },
		func(r *payment.TopUpRule) { r.Price = "price_none" },
		func(r *payment.TopUpRule) { r.Type = "moon" },
	} {
		rule := everyEmail
		change(&rule)
		_, err := w.SetTopUp(t.Context(), acme, rule)
		require.Error(t, err)
	}
}

// A refused charge stops the rule and says why; setting it again tries once more.
func TestP11_ARefusalIsNotRepeatedBlindly(t *testing.T) {
	w := topping(t)
	w.service.declines = true
	w.spendTo("o1", 50)
	w.due()
	asked := len(w.service.asked)
	w.due()
	require.Len(t, w.service.asked, asked, "nothing is tried again by itself")
	rules, err := w.TopUpRules(t.Context(), org)
	require.NoError(t, err)
	require.Contains(t, rules[0].Stopped, "insufficient_funds")
	require.Equal(t, "failed", w.topUps()[0].Status)
	require.Equal(t, []string{"failed, stopped: true"}, w.notMade())
	w.grant("more", 500)
	w.spendTo("o2", 50)
	w.due()
	require.Len(t, w.topUps(), 1, "a rule that has stopped buys nothing")

	w.service.declines = false
	_, err = w.pool.Exec(t.Context(), `UPDATE top_up SET charged_at = now() - interval '2 days'`) // the refusal was seen late
	require.NoError(t, err)
	w.rule(everyEmail)
	w.due()
	require.EqualValues(t, 1050, w.available("email"))
	require.Equal(t, "paid", w.topUps()[0].Status)
}

// A process that ends between a rule and its watch is made good.
func TestP9_ARuleIsWatchedInTheEnd(t *testing.T) {
	w := topping(t)
	_, err := w.pool.Exec(t.Context(), `UPDATE top_up_rule SET below = 300`)
	require.NoError(t, err)
	w.due()
	w.spendTo("o1", 250)
	w.due()
	require.EqualValues(t, 1250, w.available("email"))
	rule := everyEmail
	rule.Enabled = false
	w.rule(rule)
	w.spendTo("o2", 0)
	w.due()
	require.Zero(t, w.available("email"))
	acme, err := w.accounts.Org(t.Context(), org)
	require.NoError(t, err)
	require.Equal(t, account.StatusActive, acme.Status)
}
