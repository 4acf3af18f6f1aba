package payment_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/payment"
)

// use charges credits from the shared pool.
func (w *world) use(key string, n int64) {
	w.t.Helper()
	res, err := w.ledger.Charge(w.t.Context(), ledger.Charge{Owner: org, Key: key, Lines: []ledger.ChargeLine{{Type: "email", Amount: n, Pools: []string{""}}}})
	require.NoError(w.t, err)
	require.True(w.t, res.Charged)
}

func (w *world) months(before time.Time) (payment.Month, []payment.Booking) {
	w.t.Helper()
	bookings, err := w.Bookings(w.t.Context(), org, before)
	require.NoError(w.t, err)
	sum := payment.Month{}
	for _, m := range payment.Months(bookings) {
		require.Equal(w.t, m.Closing, m.Opening+m.Sales-m.Used-m.Breakage-m.TakenBack)
		sum.Sales += m.Sales
		sum.Subscriptions += m.Subscriptions
		sum.Used += m.Used
		sum.Breakage += m.Breakage
		sum.TakenBack += m.TakenBack
		sum.Returned += m.Returned
		sum.Closing = m.Closing
	}
	return sum, bookings
}

func (w *world) audit() []ledger.Finding {
	w.t.Helper()
	report, err := ledger.Audit(w.t.Context(), w.pool, ledger.AuditOptions{Also: []ledger.Check{payment.CheckLedger}})
	require.NoError(w.t, err)
	return report.Findings
}

// Money that was paid for credits becomes revenue as they are charged or expire,
// to the last cent; entries balance, and the audit agrees until a row is changed.
func TestP12_RevenueFollowsTheCredits(t *testing.T) {
	w := setup(t)
	w.pack("price_pack", 300)
	_, err := w.MapPrice(t.Context(), payment.Price{ID: "price_short", Type: "email", Credits: 100, ExpiresAfterDays: 1})
	require.NoError(t, err)
	_, err = w.MapPrice(t.Context(), payment.Price{ID: "price_plan", Plan: "verified-leads"})
	require.NoError(t, err)
	now := time.Now()
	w.service.lines["cs_1"] = `{"id":"li_1","object":"item","quantity":1,"amount_total":4000,"price":{"id":"price_pack"}},{"id":"li_2","object":"item","quantity":1,"amount_total":1000,"price":{"id":"price_short"}}`
	w.service.lines["cs_2"] = `{"id":"li_1","object":"item","quantity":1,"price":{"id":"price_pack"}}`
	w.service.lines["cs_3"] = `{"id":"li_1","object":"item","quantity":1,"price":{"id":"price_plan"}}`
	for i, id := range []string{"cs_1", "cs_2", "cs_3"} {
		require.Equal(t, payment.Done, w.send("evt_"+id, "checkout.session.completed", now.Unix(), session(id, fmt.Sprint("pi_", i+1), "")).Status)
	}
	w.use("u1", 40) // of those that expire first, for 1000: 400
	w.send("evt_r", "charge.refunded", now.Unix(), refunded("ch_2", "pi_2", 2500))
	w.send("evt_d", "charge.dispute.created", now.Unix(), dispute("dp_1", "pi_1", "needs_response"))
	w.send("evt_w", "charge.dispute.closed", now.Unix(), dispute("dp_1", "pi_1", "won"))

	soon, _ := w.months(now.Add(time.Hour))
	require.Equal(t, payment.Month{Sales: 10_000, Subscriptions: 5000, Used: 400, TakenBack: 2500, Returned: 2500, Closing: 7100}, soon)
	later, _ := w.months(now.AddDate(0, 0, 3))
	require.Equal(t, payment.Month{Sales: 10_000, Subscriptions: 5000, Used: 400, Breakage: 600, TakenBack: 2500, Returned: 2500, Closing: 6500}, later, "60 of 100 have expired, though nothing touched them")
	w.use("u2", 1) // a part of a cent
	w.use("u3", w.available("email"))
	spent, _ := w.months(now.AddDate(0, 0, 3))
	require.Zero(t, spent.Closing, "nothing is left over by rounding")
	require.EqualValues(t, 7500, spent.Used)
	_, bookings := w.months(now.AddDate(0, 0, 3))
	var debit, credit int64
	for _, row := range payment.BookingRows(bookings, "", "")[1:] {
		var d, c int64
		_, _ = fmt.Sscan(row[5], &d)
		_, _ = fmt.Sscan(row[6], &c)
		debit, credit = debit+d, credit+c
	}
	require.Equal(t, debit, credit)
	require.NotZero(t, debit)
	require.Empty(t, w.audit())

	for change, back := range map[string]string{
		`UPDATE purchase_line SET credits = credits + 1 WHERE purchase = 1 AND line = 1`: `UPDATE purchase_line SET credits = credits - 1 WHERE purchase = 1 AND line = 1`,
		`UPDATE purchase SET amount = amount + 1 WHERE id = 1`:                           `UPDATE purchase SET amount = amount - 1 WHERE id = 1`,
		`UPDATE purchase SET refunded = refunded - 1 WHERE id = 2`:                       `UPDATE purchase SET refunded = refunded + 1 WHERE id = 2`,
		`UPDATE purchase_return SET amount = amount - 1 WHERE cause LIKE 'refund/%'`:     `UPDATE purchase_return SET amount = amount + 1 WHERE cause LIKE 'refund/%'`,
		`UPDATE purchase_void SET voided = voided - 1 WHERE cause LIKE 'refund/%'`:       `UPDATE purchase_void SET voided = voided + 1 WHERE cause LIKE 'refund/%'`,
	} {
		_, err := w.pool.Exec(t.Context(), change)
		require.NoError(t, err)
		found := w.audit()
		require.NotEmpty(t, found, change)
		require.Equal(t, "P12", found[0].Invariant, change)
		_, err = w.pool.Exec(t.Context(), back)
		require.NoError(t, err)
	}
	require.Empty(t, w.audit())
}

// What is credited back is deferred again; credits that come back after their
// grant is over keep their worth in the grant that takes them.
func TestP12_CreditsThatComeBack(t *testing.T) {
	w := setup(t)
	w.pack("price_pack", 100)
	w.service.lines["cs_1"] = `{"id":"li_1","object":"item","quantity":1,"price":{"id":"price_pack"}}`
	now := time.Now()
	w.send("evt_1", "checkout.session.completed", now.Unix(), session("cs_1", "pi_1", ""))
	w.use("u1", 30)
	sum, _ := w.months(now.Add(time.Hour))
	require.EqualValues(t, 1500, sum.Used)
	_, err := w.ledger.Reverse(t.Context(), ledger.Reverse{Owner: org, Key: "back", HoldID: "u1", Type: "email", Amount: 10, Memo: ledger.Memo{Reason: "bounced"}})
	require.NoError(t, err)
	sum, _ = w.months(now.Add(time.Hour))
	require.EqualValues(t, 1000, sum.Used)
	require.EqualValues(t, 4000, sum.Closing)
	require.Empty(t, w.audit())
	acme, err := w.accounts.Org(t.Context(), org)
	require.NoError(t, err)
	require.Equal(t, account.StatusActive, acme.Status)
}
