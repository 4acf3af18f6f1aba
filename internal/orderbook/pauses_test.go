package orderbook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
)

// O2: a pause, an outage and their ends are announced once each, however often
// they are noted, and again when they come again.
func TestO2_PausesAndOutagesAreAnnounced(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 4)
	until := time.Now().Add(time.Minute).Truncate(time.Microsecond)
	outage := func(until time.Time) {
		t.Helper()
		require.NoError(t, f.NoteWait(f.ctx, "ord_1", order.Wait{For: order.WaitVerification, Reason: "port 25 is closed", Until: &until}))
	}
	twice := func(do func() error) {
		t.Helper()
		require.NoError(t, do())
		require.NoError(t, do())
	}
	recovered := func() error { return f.NoteRecovered(f.ctx, "ord_1") }
	resumed := func() error { return f.NotePaused(f.ctx, "ord_1", false) }
	want := []string{"order.reserved", "order.started"}
	expect := func(topics ...string) {
		t.Helper()
		want = append(want, topics...)
		require.Equal(t, want, f.topics("ord_1"))
	}

	twice(recovered)
	twice(resumed)
	expect()
	for range 2 {
		twice(func() error { return f.NotePaused(f.ctx, "ord_1", true) })
		expect("order.paused")
		twice(resumed)
		expect("order.resumed")
	}
	for range 2 {
		outage(until)
		outage(until)
		outage(until.Add(time.Minute)) // it lasts
		expect("order.outage")
		twice(recovered)
		expect("order.resumed")
		o, err := f.Get(f.ctx, "acme", "ord_1")
		require.NoError(t, err)
		require.Nil(t, o.Waiting)
	}
	// Hosts that ask to come back later are no outage.
	require.NoError(t, f.NoteWait(f.ctx, "ord_1", order.Wait{For: order.WaitGreylisting, Reason: "3 greylisted addresses", Until: &until}))
	twice(recovered)
	expect()
	// Resumed by hand, an outage has ended; then it cannot end again.
	outage(until.Add(time.Hour))
	expect("order.outage")
	twice(resumed)
	expect("order.resumed")
	twice(recovered)
	expect()
	// An order that is paused does not continue because the outage ends.
	outage(until.Add(2 * time.Hour))
	require.NoError(t, f.NotePaused(f.ctx, "ord_1", true))
	expect("order.outage", "order.paused")
	twice(recovered)
	expect()

	require.NoError(t, f.Cancel(f.ctx, "ord_1", order.Tally{}, nil))
	expect("order.cancelled")
	twice(resumed)
	twice(func() error { return f.NotePaused(f.ctx, "ord_1", true) })
	require.NoError(t, f.NoteRecovered(f.ctx, "ord_none"))
	expect()
}
