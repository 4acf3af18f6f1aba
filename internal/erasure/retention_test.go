package erasure_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

const day = 24 * time.Hour

// E7: what orders have found is removed once they have been over for the time
// that it is kept: of a verified list everything, of leads what was not delivered.
// Counts and what was delivered of leads stay.
func TestE7_OldResultsAreRemoved(t *testing.T) {
	w := setup(t)
	w.importFile(file(30))
	list := w.list("ord_list", "p1@corp.test", "missing@nowhere.test")
	w.verified("ord_list")
	selected := w.order("ord_leads")
	w.everyOtherValid("ord_leads")
	w.list("ord_young", "p2@corp.test")
	w.verified("ord_young")
	w.list("ord_open", "p3@corp.test")
	w.over("ord_list", 10*day)
	w.over("ord_leads", 10*day)
	w.over("ord_young", 2*day)
	before := w.orders()
	delivered := w.delivered("ord_leads")
	require.NotEqual(t, delivered, w.results("ord_leads"))

	orders, items, err := w.erasures.RemoveResults(t.Context(), 9*day, creditedBack(0))
	require.NoError(t, err)
	require.EqualValues(t, 2, orders)
	require.Equal(t, 2+selected/2, items)
	require.Equal(t, delivered, w.delivered("ord_leads"))
	require.Equal(t, delivered, w.results("ord_leads"), "nothing else is left")
	require.NotContains(t, w.results("ord_list"), "p1@corp.test")
	_, err = w.catalogue.List(t.Context(), "acme", list.ID)
	require.ErrorIs(t, err, lead.ErrNoList)
	require.Contains(t, w.results("ord_young"), "p2@corp.test")

	after := w.orders()
	for id, o := range after {
		require.Equal(t, id == "ord_list" || id == "ord_leads", o.ResultsRemovedAt != nil, id)
		require.Equal(t, id == "ord_list", o.ResultsGone(), id)
		o.ResultsRemovedAt = nil
		after[id] = o
	}
	require.Equal(t, before, after)

	orders, items, err = w.erasures.RemoveResults(t.Context(), 9*day, creditedBack(0))
	require.NoError(t, err)
	require.Zero(t, orders+items, "there is nothing twice")
}

// E7: an order can tell what it has delivered as long as bounces are credited back,
// and a list stays while another order shows it.
func TestE7_WhatIsNeededIsKept(t *testing.T) {
	w := setup(t)
	list := w.list("ord_first", "p1@corp.test", "p2@corp.test")
	w.verified("ord_first")
	w.verify("ord_second", list)
	w.verified("ord_second")
	w.over("ord_first", 10*day)

	orders, _, err := w.erasures.RemoveResults(t.Context(), day, creditedBack(11*day))
	require.NoError(t, err)
	require.Zero(t, orders)

	orders, items, err := w.erasures.RemoveResults(t.Context(), day, creditedBack(9*day))
	require.NoError(t, err)
	require.EqualValues(t, 1, orders)
	require.EqualValues(t, 2, items)
	require.Contains(t, w.results("ord_second"), "p1@corp.test")
	_, err = w.catalogue.List(t.Context(), "acme", list.ID)
	require.NoError(t, err)

	w.over("ord_second", 10*day)
	_, _, err = w.erasures.RemoveResults(t.Context(), day, creditedBack(0))
	require.NoError(t, err)
	_, err = w.catalogue.List(t.Context(), "acme", list.ID)
	require.ErrorIs(t, err, lead.ErrNoList)
}

// E7: what fails, or dies, after one of its steps is done by the next try.
func TestE7_WhatFailedIsTriedAgain(t *testing.T) {
	for _, table := range []string{"list", "order_item"} {
		t.Run(table, func(t *testing.T) {
			w := setup(t)
			list := w.list("ord_list", "p1@corp.test", "p2@corp.test")
			w.verified("ord_list")
			w.over("ord_list", 10*day)
			_, err := w.pool.Exec(t.Context(), `
				CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the disk is full'; END $$;
				CREATE TRIGGER fails BEFORE DELETE ON `+table+` EXECUTE FUNCTION fail()`)
			require.NoError(t, err)
			_, _, err = w.erasures.RemoveResults(t.Context(), day, creditedBack(0))
			require.ErrorContains(t, err, "the disk is full")

			_, err = w.pool.Exec(t.Context(), `DROP TRIGGER fails ON `+table)
			require.NoError(t, err)
			orders, items, err := w.erasures.RemoveResults(t.Context(), day, creditedBack(0))
			require.NoError(t, err)
			require.Equal(t, []int64{1, 2}, []int64{orders, items})
			_, err = w.catalogue.List(t.Context(), "acme", list.ID)
			require.ErrorIs(t, err, lead.ErrNoList)
		})
	}
}

// E7: all orders are looked at, also behind many that are still needed.
func TestE7_ManyOrders(t *testing.T) {
	w := setup(t)
	_, err := w.pool.Exec(t.Context(), `
		INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version, status, requested, settled_at)
		SELECT 'ord_' || n, 'acme', '', 'verify', '{}', '', CASE WHEN n < 300 THEN 'slow' ELSE 'quick' END, 1, 'cancelled', 1, now() - interval '10 days'
		FROM generate_series(100, 999) n`)
	require.NoError(t, err)
	orders, _, err := w.erasures.RemoveResults(t.Context(), day, func(_ context.Context, v orderbook.PlanVersion) (time.Duration, error) {
		return map[string]time.Duration{"slow": 30 * day}[v.PlanID], nil
	})
	require.NoError(t, err)
	require.EqualValues(t, 700, orders)
}

func creditedBack(window time.Duration) func(context.Context, orderbook.PlanVersion) (time.Duration, error) {
	return func(context.Context, orderbook.PlanVersion) (time.Duration, error) { return window, nil }
}

// over says that an order ended some time ago.
func (w *world) over(id string, ago time.Duration) {
	w.t.Helper()
	tally, reasons, err := w.book.Tally(w.t.Context(), id)
	require.NoError(w.t, err)
	require.NoError(w.t, w.book.Complete(w.t.Context(), id, tally, reasons, nil, 0))
	require.NoError(w.t, w.book.Settle(w.t.Context(), id, nil))
	_, err = w.pool.Exec(w.t.Context(), `UPDATE orders SET settled_at = now() - $2::bigint * interval '1 second' WHERE id = $1`, id, int64(ago.Seconds()))
	require.NoError(w.t, err)
}

func (w *world) orders() map[string]order.Order {
	w.t.Helper()
	all := map[string]order.Order{}
	for _, id := range []string{"ord_list", "ord_leads", "ord_young", "ord_open"} {
		o, err := w.book.Get(w.t.Context(), "acme", id)
		require.NoError(w.t, err)
		all[id] = o
	}
	return all
}

// everyOtherValid carries an order to its delivery; every other item is invalid.
func (w *world) everyOtherValid(id string) {
	w.t.Helper()
	verdicts := verdictsOf(w.pending(id))
	for i := 1; i < len(verdicts); i += 2 {
		verdicts[i].Verdict, verdicts[i].Reason = "invalid", "no_such_user"
	}
	require.NoError(w.t, w.book.WriteVerdicts(w.t.Context(), id, verdicts))
	items, err := w.book.Billable(w.t.Context(), id, 1, 1000, []string{"valid"})
	require.NoError(w.t, err)
	_, err = w.book.Deliver(w.t.Context(), id, items)
	require.NoError(w.t, err)
}

// delivered are the results without what was not delivered.
func (w *world) delivered(id string) string {
	w.t.Helper()
	var b bytes.Buffer
	require.NoError(w.t, w.catalogue.WriteResults(w.t.Context(), &b, id, lead.CSV, lead.ResultOptions{}))
	return b.String()
}
