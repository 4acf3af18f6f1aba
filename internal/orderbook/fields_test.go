package orderbook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

// A quote goes by what verification found: what items were from the start says
// nothing about that.
func TestPastTalliesLeaveOutWhatNeededNoVerification(t *testing.T) {
	f := setup(t)
	enter := func(id string, selected int, tally order.Tally, reasons ...order.Reason) {
		_, err := f.pool.Exec(f.ctx, `
			INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version, status, requested, completed_at,
				selected, valid, invalid, "unknown", already_owned, reasons)
			VALUES ($1, 'acme', '', 'reveal', '{}', '', 'p', 1, 'completed', 1, now(), $2, $3, $4, $5, $6, $7)`,
			id, selected, tally.Valid, tally.Invalid, tally.Unknown, tally.AlreadyOwned, reasons)
		require.NoError(t, err)
	}
	enter("ord_few", 1000, order.Tally{Valid: 500, Invalid: 10, Unknown: 490},
		order.Reason{Verdict: "valid", Reason: order.ReasonOnFile, Count: 500}, order.Reason{Verdict: "invalid", Reason: "no_such_user", Count: 10},
		order.Reason{Verdict: "unknown", Reason: order.ReasonNotFound, Count: 490})
	past, err := f.PastTallies(f.ctx, "acme", order.Reveal, 10)
	require.NoError(t, err)
	require.Empty(t, past, "ten verifications say little")

	enter("ord_1", 100, order.Tally{Valid: 60, Invalid: 10, Unknown: 30, AlreadyOwned: 20},
		order.Reason{Verdict: "valid", Reason: "accepted", Count: 30}, order.Reason{Verdict: "valid", Reason: order.ReasonOwned, Count: 18},
		order.Reason{Verdict: "valid", Reason: order.ReasonOnFile, Count: 12}, order.Reason{Verdict: "invalid", Reason: "no_such_user", Count: 10},
		order.Reason{Verdict: "unknown", Reason: order.ReasonNotFound, Count: 15}, order.Reason{Verdict: "unknown", Reason: order.ReasonSuppressed, Count: 10},
		order.Reason{Verdict: "unknown", Reason: "blocked", Count: 5})
	past, err = f.PastTallies(f.ctx, "acme", order.Reveal, 10)
	require.NoError(t, err)
	require.Equal(t, []order.Tally{{Valid: 30, Invalid: 10, Unknown: 5, AlreadyOwned: 2}}, past)
}

// O7: an order delivers leads, however many fields of each.
func TestO7_DeliveredLeadsAreCountedOnce(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 10) // of lead 1 to 10
	_, err := f.pool.Exec(f.ctx, `
		UPDATE order_item SET lead_no = (n + 1) / 2, field = CASE n % 2 WHEN 1 THEN 'email' ELSE 'phone' END WHERE order_id = 'ord_1'`)
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `UPDATE order_item SET lead_no = 0 WHERE order_id = 'ord_1' AND n = 10`) // an id that nobody knew
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
