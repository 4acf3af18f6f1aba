package account_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
)

// A due subscription names the plan it begins under, the plan the period before
// ended under, and whether there was one.
func TestDueNamesBothPlans(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "licence-monthly", utc("2024-01-31T00:00:00Z"))
	due := func() account.Due {
		list, err := b.DueOf(t.Context(), "acme", utc("2030-01-01T00:00:00Z"))
		require.NoError(t, err)
		require.Len(t, list, 1)
		return list[0]
	}
	first := due()
	require.True(t, first.First)
	require.Zero(t, first.Generation)
	_, err := b.Advance(t.Context(), resets([]account.Due{first}))
	require.NoError(t, err)

	// It waits for the period's end and takes effect with the next one.
	_, err = b.ChangePlan(t.Context(), "acme", "rollover-boost", utc("2024-02-10T00:00:00Z"))
	require.NoError(t, err)
	second := due()
	require.False(t, second.First)
	require.Equal(t, "rollover-boost", second.Plan)
	require.Equal(t, 1, second.Generation)
	require.Equal(t, account.PlanRef{ID: "licence-monthly", Version: 1}, second.Ended)

	// A prorated change at the period's first instant comes after its allotment.
	_, err = b.ChangePlan(t.Context(), "acme", "rollover-power", second.Period.Start)
	require.NoError(t, err)
	require.Equal(t, "rollover-boost", due().Plan)
	tops, err := b.TopUps(t.Context(), "acme", 2)
	require.NoError(t, err)
	require.Equal(t, int64(18_000), tops[0].Amount, "the whole difference")
	require.Equal(t, int64(1_200), tops[1].Amount)

	list, err := b.DueOf(t.Context(), "missing", utc("2030-01-01T00:00:00Z"))
	require.NoError(t, err)
	require.Empty(t, list)
}

// I5: a reset makes one event, in the transaction that advances the subscription;
// where nothing was reset, there is none.
func TestResetMakesOneEvent(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "rollover-boost", utc("2024-01-31T00:00:00Z"))
	b.org(t, "prepaid", "prepaid-verification", utc("2024-01-31T00:00:00Z"))
	due, err := b.DueSubscriptions(t.Context(), utc("2024-02-01T00:00:00Z"), account.Cursor{}, 10)
	require.NoError(t, err)
	list := resets(due)
	require.Equal(t, "prepaid", list[1].Org)
	list[1].Credits = nil
	for _, want := range []int64{2, 0} {
		moved, err := b.Advance(t.Context(), list)
		require.NoError(t, err)
		require.Equal(t, want, moved)
	}
	var events int
	var key, payload string
	require.NoError(t, b.pool.QueryRow(t.Context(), `
		SELECT count(*), min(key), min(payload::text) FROM outbox WHERE topic = 'credits.reset'`).Scan(&events, &key, &payload))
	require.Equal(t, 1, events)
	require.Equal(t, "credits.reset//0", key)
	require.JSONEq(t, `{"org": "acme", "plan": "rollover-boost",
		"period_start": "2024-01-31T00:00:00Z", "period_end": "2024-02-29T00:00:00Z",
		"credits": [{"type": "email", "granted": 10, "rolled_over": 0, "expired": 0},
			{"type": "phone", "granted": 0, "rolled_over": 0, "expired": 3}]}`, payload)
}

// A plan change is pending from its time on until it is marked as applied.
func TestPendingChanges(t *testing.T) {
	b := setup(t)
	for _, id := range []string{"a", "b"} {
		b.org(t, id, "rollover-ignite", utc("2024-01-31T00:00:00Z"))
		_, err := b.ChangePlan(t.Context(), id, "rollover-boost", utc("2024-02-10T00:00:00Z"))
		require.NoError(t, err)
	}
	pending := func(before time.Time, after account.Pending) []account.Pending {
		list, err := b.PendingChanges(t.Context(), before, after, 1)
		require.NoError(t, err)
		return list
	}
	now := utc("2024-02-10T00:00:00Z")
	require.Empty(t, pending(now.Add(-time.Second), account.Pending{}))
	first := pending(now, account.Pending{})
	require.Equal(t, "a", first[0].Org)
	require.Equal(t, 1, first[0].Generation)
	require.Equal(t, "b", pending(now, first[0])[0].Org)
	require.NoError(t, b.MarkApplied(t.Context(), "a", 1))
	require.Equal(t, "b", pending(now, account.Pending{})[0].Org)
	require.NoError(t, b.MarkApplied(t.Context(), "b", 1))
	require.Empty(t, pending(now, account.Pending{}))
}

// I3: a change of plan never goes behind a period that has been allotted, should
// the clock of the server that makes it be behind: it comes after the allotment.
func TestAChangeComesAfterWhatWasReset(t *testing.T) {
	b := setup(t)
	begin := utc("2024-04-01T00:00:00Z")
	b.org(t, "acme", "rollover-ignite", begin)
	b.sweep(t, utc("2024-05-01T00:00:00Z"), 10)
	change, err := b.ChangePlan(t.Context(), "acme", "rollover-boost", utc("2024-04-30T23:59:59Z"))
	require.NoError(t, err)
	require.WithinDuration(t, utc("2024-05-01T00:00:00Z"), *change.Since, 0)
	tops, err := b.TopUps(t.Context(), "acme", change.Generation)
	require.NoError(t, err)
	require.Equal(t, int64(7_000), tops[0].Amount, "the whole difference of May")

	// One microsecond before the end, in time, it brings nothing more to April, and
	// May begins under it; at its first instant it tops May up.
	for at, want := range map[string]struct {
		tops  int
		plan  string
		ended string
	}{
		"2024-04-30T23:59:59.999999Z": {0, "rollover-boost", "rollover-boost"},
		"2024-05-01T00:00:00Z":        {2, "rollover-ignite", "rollover-ignite"},
	} {
		id := "org-" + at[8:10]
		b.org(t, id, "rollover-ignite", begin)
		b.sweep(t, begin, 10)
		change, err := b.ChangePlan(t.Context(), id, "rollover-boost", utc(at))
		require.NoError(t, err)
		tops, err := b.TopUps(t.Context(), id, change.Generation)
		require.NoError(t, err)
		require.Len(t, tops, want.tops, at)
		due, err := b.DueOf(t.Context(), id, utc("2024-05-01T00:00:00Z"))
		require.NoError(t, err)
		require.Len(t, due, 1)
		require.Equal(t, want.plan, due[0].Plan, at)
		require.Equal(t, want.ended, due[0].Ended.ID, at)
	}
}

// Looking ahead sees each period under the plan that will be in force.
func TestOutlook(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "licence-monthly", utc("2024-01-31T00:00:00Z"))
	b.member(t, "acme", "bob", utc("2024-02-10T00:00:00Z"))
	_, err := b.ChangePlan(t.Context(), "acme", "rollover-boost", utc("2024-02-15T00:00:00Z")) // from 29 February on
	require.NoError(t, err)
	outlook, err := b.Outlook(t.Context(), "acme", utc("2024-03-31T00:00:00Z"))
	require.NoError(t, err)
	require.Equal(t, []string{
		"acme/ 0 2024-01-31", "acme/bob 0 2024-02-10", "acme/ 1 2024-02-29", "acme/bob 1 2024-03-10", "acme/ 2 2024-03-31",
	}, starts(outlook))
	require.Equal(t, "licence-monthly", outlook[1].Plan)
	require.Equal(t, "rollover-boost", outlook[2].Plan)
	require.Equal(t, "licence-monthly", outlook[2].Ended.ID)
	require.Equal(t, "rollover-boost", outlook[3].Ended.ID, "bob's month ends under the new plan")
	require.Equal(t, []account.PlanRef{{ID: "licence-monthly", Version: 1}, {ID: "rollover-boost", Version: 1}}, outlook[3].During)
	_, err = b.Outlook(t.Context(), "acme", utc("2999-01-01T00:00:00Z"))
	require.ErrorIs(t, err, account.ErrInvalid)
}
