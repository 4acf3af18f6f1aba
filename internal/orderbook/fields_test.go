package orderbook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

// A quote goes by what verification found, field by field: what items were from
// the start says nothing about that, and neither does another field.
func TestOutcomesAreWhatVerificationFound(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 300)
	_, err := f.pool.Exec(f.ctx, `
		UPDATE order_item SET field = CASE WHEN n <= 200 THEN 'email' ELSE 'phone' END, checked_at = now(),
			verdict = CASE WHEN n % 4 = 0 THEN 'unknown' WHEN n % 2 = 0 THEN 'invalid' ELSE 'valid' END,
			reason = CASE WHEN n <= 20 THEN 'owned' WHEN n % 4 = 0 THEN 'blocked' WHEN n % 2 = 0 THEN 'no_such_user' ELSE 'accepted' END
		WHERE order_id = 'ord_1'`)
	require.NoError(t, err)
	kind := order.Kind("")
	require.NoError(t, f.pool.QueryRow(f.ctx, `SELECT kind FROM orders WHERE id = 'ord_1'`).Scan(&kind))
	for _, org := range []string{"acme", ""} {
		got, err := f.Outcomes(f.ctx, org, kind, order.EmailField)
		require.NoError(t, err)
		require.Len(t, got, 3)
		counts := map[string]int64{}
		for _, o := range got {
			counts[o.Verdict+"/"+o.Reason] = o.Items
		}
		require.Equal(t, map[string]int64{"valid/accepted": 90, "invalid/no_such_user": 45, "unknown/blocked": 45}, counts)
	}
	none, err := f.Outcomes(f.ctx, "other", kind, order.EmailField)
	require.NoError(t, err)
	require.Empty(t, none)
}

// Of large orders a bounded sample is read, each item at most once and from all
// parts of the order.
func TestOutcomesSampleLargeOrdersEvenly(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 9000)
	_, err := f.pool.Exec(f.ctx, `UPDATE order_item SET checked_at = now(), reason = (n / 1000)::text, verdict = 'valid' WHERE order_id = 'ord_1'`)
	require.NoError(t, err)
	kind := order.Kind("")
	require.NoError(t, f.pool.QueryRow(f.ctx, `SELECT kind FROM orders WHERE id = 'ord_1'`).Scan(&kind))
	got, err := f.Outcomes(f.ctx, "acme", kind, order.EmailField)
	require.NoError(t, err)
	var sum int64
	for _, o := range got {
		sum += o.Items
		if o.Reason != "9" { // one item alone
			require.InDelta(t, 4000/9, o.Items, 3, "part %s", o.Reason)
		}
	}
	require.EqualValues(t, 4000, sum)
}

// O7: an order delivers leads, however many fields of each.
func TestO7_DeliveredLeadsAreCountedOnce(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 10) // of lead 1 to 10
	_, err := f.pool.Exec(f.ctx, `
		UPDATE order_item SET lead_no = (n + 1) / 2, field = CASE n % 2 WHEN 1 THEN 'email' ELSE 'phone' END WHERE order_id = 'ord_1'`)
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `UPDATE order_item SET lead_no = 0 WHERE order_id = 'ord_1' AND n = 10`) // an unknown id
	require.NoError(t, err)
	for _, c := range []struct{ item, leads int64 }{{1, 1}, {2, 1}, {3, 2}, {10, 2}} {
		require.NoError(t, f.WriteVerdicts(f.ctx, "ord_1", []orderbook.Verdict{verdict(c.item, "valid", "accepted")}))
		_, err := f.deliver(c.item, c.item)
		require.NoError(t, err)
		leads, err := f.DeliveredLeads(f.ctx, "ord_1")
		require.NoError(t, err)
		require.Equal(t, c.leads, leads, "item %d", c.item)
	}
}
