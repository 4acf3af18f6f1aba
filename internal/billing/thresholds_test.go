package billing_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
)

func credits(n int64) account.Threshold { return account.Threshold{Credits: &n} }
func percent(n int64) account.Threshold { return account.Threshold{Percent: &n} }

func (w *world) set(t *testing.T, org, member, creditType string, rules ...account.Threshold) error {
	t.Helper()
	o, err := w.accounts.Org(t.Context(), org)
	require.NoError(t, err)
	return w.SetThresholds(t.Context(), o, member, creditType, rules)
}

// B7: an organization's own thresholds take the place of the plan's, per pool and
// type, and follow it to another plan.
func TestB7_OwnThresholds(t *testing.T) {
	w := setup(t)
	begin := time.Now().AddDate(0, 0, -3)
	w.org(t, "acme", "licence-monthly", begin)
	w.member(t, "acme", "bob", begin)
	w.member(t, "acme", "eve", begin)
	require.NoError(t, w.CatchUp(t.Context(), "acme", time.Now()))
	require.NoError(t, w.set(t, "acme", "bob", "email", percent(33), credits(50), credits(1000)))
	require.Equal(t, map[string][]int64{"bob/email": {1000, 330, 50}, "bob/phone": {10}, "eve/email": {100}, "eve/phone": {10}}, w.watched(t, "acme"))
	require.Equal(t, 1, w.events(t, "acme", "credits.low"), "bob has 1,000: an event at once")
	require.NoError(t, w.set(t, "acme", "bob", "email", percent(33), credits(50), credits(1000)))
	require.Equal(t, 1, w.events(t, "acme", "credits.low"), "the same again is no news")
	require.NoError(t, w.set(t, "acme", "", "email", credits(7)))
	require.NoError(t, w.set(t, "acme", "eve", "email", []account.Threshold{}...))

	for name, bad := range map[string][]account.Threshold{
		"both": {{Credits: new(int64), Percent: new(int64)}}, "neither": {{}}, "0 percent": {percent(0)}, "101 percent": {percent(101)}, "negative": {credits(-1)},
		"too many": make([]account.Threshold, 11),
	} {
		require.ErrorIs(t, w.set(t, "acme", "bob", "email", bad...), account.ErrInvalid, name)
	}
	require.ErrorIs(t, w.set(t, "acme", "", "email", percent(10)), account.ErrInvalid, "the shared pool has no allotment")
	require.ErrorIs(t, w.set(t, "acme", "bob", "moon", credits(1)), account.ErrInvalid)
	require.ErrorIs(t, w.set(t, "acme", "missing", "email", credits(1)), account.ErrNotFound)

	org, err := w.accounts.Org(t.Context(), "acme")
	require.NoError(t, err)
	require.NoError(t, w.SetThresholds(t.Context(), org, "bob", "email", nil))
	require.Equal(t, []int64{100}, w.watched(t, "acme")["bob/email"], "the plan's again")
	require.NoError(t, w.set(t, "acme", "bob", "email", percent(50)))
	_, err = w.ChangePlan(t.Context(), "acme", "prepaid-verification", time.Now())
	require.NoError(t, err)
	_, err = w.ApplyChanges(t.Context(), time.Now().AddDate(0, 2, 0), account.Pending{}, 10)
	require.NoError(t, err)
	after := w.watched(t, "acme")
	require.Equal(t, []int64{7}, after["/email"], "its own, also under a plan that names others")
	require.Empty(t, after["bob/email"], "a percentage of no allotment")
	require.Empty(t, after["bob/phone"])
}

// B7: an own empty list means no alerts.
func TestB7_NoAlerts(t *testing.T) {
	w := setup(t)
	w.org(t, "acme", "prepaid-verification", day("2026-01-31"))
	require.NoError(t, w.CatchUp(t.Context(), "acme", day("2026-01-31")))
	org, err := w.accounts.Org(t.Context(), "acme")
	require.NoError(t, err)
	require.NoError(t, w.SetThresholds(t.Context(), org, "", "email", []account.Threshold{}))
	require.Empty(t, w.watched(t, "acme"))
	list, err := w.Thresholds(t.Context(), org, "")
	require.NoError(t, err)
	require.Equal(t, "own", list[0].Source)
	require.Empty(t, list[0].Thresholds)
}

// B7: what the ledger watches for is what was set last, however many set it at
// once and at each place where one of them ends.
func TestB7_TheLastCounts(t *testing.T) {
	w := setup(t)
	w.org(t, "acme", "prepaid-verification", day("2026-01-31"))
	require.NoError(t, w.CatchUp(t.Context(), "acme", day("2026-01-31")))
	var group errgroup.Group
	for n := range int64(8) {
		group.Go(func() error { return w.set(t, "acme", "", "email", credits(100+n)) })
	}
	group.Go(func() error {
		_, err := w.ChangePlan(t.Context(), "acme", "verified-leads", time.Now())
		return err
	})
	require.NoError(t, group.Wait())
	want := func() []int64 {
		list, err := w.accounts.LowBalances(t.Context(), "acme")
		require.NoError(t, err)
		return []int64{*list[0].Rules[0].Credits}
	}
	require.Equal(t, want(), w.watched(t, "acme")["/email"])

	require.NoError(t, w.accounts.SetLowBalance(t.Context(), "acme", "", "email", []account.Threshold{credits(42)})) // and ends
	require.NoError(t, w.WatchRest(t.Context()))
	require.Equal(t, []int64{42}, w.watched(t, "acme")["/email"])
	open, err := w.accounts.Unwatched(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, open)
}
