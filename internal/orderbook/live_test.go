package orderbook_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

// TestO8_KeptTalliesAreCounts writes, delivers and finishes at random, and
// compares what is kept with what is there.
func TestO8_KeptTalliesAreCounts(t *testing.T) {
	f := setup(t)
	const items = 60
	f.verifying("ord_1", items)
	reasons := map[string]string{"valid": "accepted", "invalid": "no_such_user", "unknown": "greylisted", "risky": "mailbox_full"}
	at := checked
	compare := func() {
		t.Helper()
		o, err := f.Get(f.ctx, "acme", "ord_1")
		require.NoError(t, err)
		tally, counted, err := f.Tally(f.ctx, "ord_1")
		require.NoError(t, err)
		require.Equal(t, tally, o.Tally)
		require.ElementsMatch(t, counted, o.Reasons)
		p, err := f.Progress(f.ctx, "ord_1", 1, items)
		require.NoError(t, err)
		require.Equal(t, order.Pace{Done: p.Done, Total: items}, order.Pace{Done: o.Progress.Done, Total: o.Progress.Total})
	}
	for range 60 {
		at = at.Add(time.Second)
		var verdicts []orderbook.Verdict
		for range 1 + rand.IntN(10) {
			for v, reason := range reasons { // in no order
				given := orderbook.Verdict{N: 1 + rand.Int64N(items), Verdict: v, Reason: reason, CheckedAt: at}
				if v == "unknown" {
					given.RetryAt = at.Add(time.Minute)
				}
				verdicts = append(verdicts, given)
				break
			}
		}
		require.NoError(t, f.WriteVerdicts(f.ctx, "ord_1", verdicts))
		compare()
		if rand.IntN(4) == 0 {
			from := 1 + rand.Int64N(items)
			facts, err := f.Billable(f.ctx, "ord_1", from, from+10, []string{"valid"})
			require.NoError(t, err)
			for i := range facts {
				facts[i].AlreadyOwned = rand.IntN(2) == 0
			}
			_, err = f.Deliver(f.ctx, "ord_1", facts)
			require.NoError(t, err)
			compare()
		}
	}
	require.NoError(t, f.FinishUnknown(f.ctx, "ord_1"))
	compare()
}

// Reading an order costs the same for every size: it reads no item, and one row
// of tallies for each verdict and reason.
func TestO8_ReadingAnOrderReadsNoItem(t *testing.T) {
	f := setup(t)
	const items = 3000
	f.verifying("ord_1", items)
	for from := int64(1); from < items; from += 500 {
		var verdicts []orderbook.Verdict
		for n := from; n < from+500; n++ {
			verdicts = append(verdicts, verdict(n, "valid", "accepted"))
		}
		require.NoError(t, f.WriteVerdicts(f.ctx, "ord_1", verdicts))
	}
	tx, err := f.pool.Begin(f.ctx)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(f.ctx)) }()
	_, err = tx.Exec(f.ctx, `LOCK TABLE order_item IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(f.ctx, 30*time.Second) // who reads items waits for the lock
	defer cancel()
	o, err := f.Get(ctx, "acme", "ord_1")
	require.NoError(t, err)
	require.EqualValues(t, items, o.Progress.Done)
	listed, _, err := f.List(ctx, orderbook.Filter{Org: "acme"})
	require.NoError(t, err)
	require.Equal(t, o.Tally, listed[0].Tally)
}

func TestO8_AnOrderShowsHowItStandsWhileItRuns(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 10)
	get := func() order.Order {
		t.Helper()
		o, err := f.Get(f.ctx, "acme", "ord_1")
		require.NoError(t, err)
		listed, _, err := f.List(f.ctx, orderbook.Filter{Org: "acme"})
		require.NoError(t, err)
		require.Equal(t, o.Tally, listed[0].Tally)
		require.Equal(t, o.Credits, listed[0].Credits)
		require.Equal(t, o.Paused, listed[0].Paused)
		require.Equal(t, o.Waiting, listed[0].Waiting)
		require.Equal(t, o.Progress.Done, listed[0].Progress.Done)
		return o
	}
	_, err := f.pool.Exec(f.ctx, `UPDATE orders SET verifying_since = now() - interval '50 s'`)
	require.NoError(t, err)
	var verdicts []orderbook.Verdict
	for n := range int64(5) {
		verdicts = append(verdicts, verdict(n+1, "valid", "accepted"))
	}
	require.NoError(t, f.WriteVerdicts(f.ctx, "ord_1", verdicts))
	require.NoError(t, f.NoteCharged(f.ctx, "ord_1", []order.Credit{{Type: "email", Held: 100, Captured: 5}}))
	require.NoError(t, f.NoteCharged(f.ctx, "ord_1", []order.Credit{{Type: "email", Held: 100, Captured: 3}}), "from a late attempt")
	o := get()
	require.EqualValues(t, 5, o.Credits[0].Captured)
	require.False(t, o.Paused)
	require.Nil(t, o.Waiting)
	require.EqualValues(t, 5, o.Progress.Done)
	require.InDelta(t, 0.1, o.Progress.Rate, 0.05)
	require.WithinDuration(t, time.Now().Add(50*time.Second), *o.Progress.ETA, 30*time.Second)

	until := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
	for range 2 {
		require.NoError(t, f.NoteWait(f.ctx, "ord_1", order.Wait{For: order.WaitGreylisting, Reason: "3 greylisted addresses", Until: &until}))
	}
	o = get()
	require.Equal(t, &order.Wait{For: order.WaitGreylisting, Reason: "3 greylisted addresses", Until: &until}, o.Waiting)
	require.InDelta(t, 0.1, o.Progress.Rate, 0.05, "the wait does not count")
	require.True(t, o.Progress.ETA.After(until))

	require.NoError(t, f.NotePaused(f.ctx, "ord_1", true))
	require.True(t, get().Paused)
	require.NoError(t, f.NotePaused(f.ctx, "ord_1", false))
	o = get()
	require.False(t, o.Paused)
	require.Nil(t, o.Waiting)
	require.InDelta(t, 0.1, o.Progress.Rate, 0.05)
	require.NoError(t, f.NotePaused(f.ctx, "ord_1", true))
	require.Equal(t, order.WaitResume, get().Waiting.For)

	require.NoError(t, f.Cancel(f.ctx, "ord_1", order.Tally{Valid: 5}, nil))
	o, err = f.Get(f.ctx, "acme", "ord_1")
	require.NoError(t, err)
	require.False(t, o.Paused)
	require.Nil(t, o.Waiting)
	require.Nil(t, o.Progress)
}
