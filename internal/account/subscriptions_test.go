package account_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"holdfast/internal/account"
	"holdfast/internal/plan"
)

// sweep resets everything that is due, page by page, and returns what it saw.
func (b bundle) sweep(t *testing.T, before time.Time, page int) []account.Due {
	t.Helper()
	var seen []account.Due
	var after account.Cursor
	for {
		due, err := b.DueSubscriptions(t.Context(), before, after, page)
		require.NoError(t, err)
		if len(due) == 0 {
			return seen
		}
		moved, err := b.Advance(t.Context(), resets(due))
		require.NoError(t, err)
		require.Equal(t, int64(len(due)), moved)
		seen = append(seen, due...)
		after = due[len(due)-1].Cursor()
	}
}

// resets are what a reset of two types did to each subscription.
func resets(due []account.Due) []account.Reset {
	list := make([]account.Reset, len(due))
	for i, d := range due {
		list[i] = account.Reset{Due: d, Credits: []account.ResetCredit{{Type: "email", Granted: 10}, {Type: "phone", Expired: 3}}}
	}
	return list
}

func starts(due []account.Due) []string {
	list := make([]string, len(due))
	for i, d := range due {
		list[i] = fmt.Sprintf("%s/%s %d %s", d.Org, d.Member, d.Period.N, d.Period.Start.UTC().Format(time.DateOnly))
	}
	return list
}

// I4: an outage of months is caught up period by period, in order, once each;
// licences keep their own anniversaries.
func TestRule_N8_EveryMissedPeriodOnceInOrder(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "licence-monthly", utc("2024-01-15T00:00:00Z"))
	b.member(t, "acme", "bob", utc("2024-01-31T10:00:00Z"))
	want := []string{
		"acme/ 0 2024-01-15", "acme/bob 0 2024-01-31",
		"acme/ 1 2024-02-15", "acme/bob 1 2024-02-29",
		"acme/ 2 2024-03-15", "acme/bob 2 2024-03-31",
		"acme/ 3 2024-04-15",
	}
	for _, page := range []int{1, 2, 100} {
		_, err := b.pool.Exec(t.Context(), `UPDATE subscription SET next_period = 0, due_at = anchor`)
		require.NoError(t, err)
		require.Equal(t, want, starts(b.sweep(t, utc("2024-04-20T00:00:00Z"), page)), "in pages of %d", page)
		require.Empty(t, b.sweep(t, utc("2024-04-20T00:00:00Z"), page))
	}
	due := b.sweep(t, utc("2024-04-30T10:00:00Z"), 10)
	require.Equal(t, []string{"acme/bob 3 2024-04-30"}, starts(due), "due at its first instant")
	require.Equal(t, plan.Member, due[0].Owner())
	require.Equal(t, "licence-monthly", due[0].Plan)
	require.Equal(t, 1, due[0].PlanVersion)
}

// I4: of many that advance the same period, one does.
func TestAdvanceHappensOnce(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "rollover-boost", utc("2024-01-31T00:00:00Z"))
	due, err := b.DueSubscriptions(t.Context(), utc("2024-02-01T00:00:00Z"), account.Cursor{}, 10)
	require.NoError(t, err)
	require.Len(t, due, 1)
	moved := make([]int64, 8)
	group, ctx := errgroup.WithContext(t.Context())
	for i := range moved {
		group.Go(func() (err error) {
			moved[i], err = b.Advance(ctx, resets(due))
			return err
		})
	}
	require.NoError(t, group.Wait())
	var sum int64
	for _, n := range moved {
		sum += n
	}
	require.Equal(t, int64(1), sum)
	late, err := b.DueSubscriptions(t.Context(), utc("2024-02-29T00:00:00Z"), account.Cursor{}, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"acme/ 1 2024-02-29"}, starts(late))
}

// I4: a subscription that comes again within a page's span is not overtaken by
// the cursor, for any ids and any size of the page.
func TestSweepOvertakesNoOrganization(t *testing.T) {
	b := setup(t)
	begin := utc("2024-01-31T00:00:00Z")
	for _, id := range []string{"a", "b", "c"} {
		b.org(t, id, "rollover-boost", begin)
		b.member(t, id, "z", utc("2024-02-29T00:00:00Z"))
	}
	var want []string
	for _, day := range []string{"2024-01-31", "2024-02-29", "2024-03-29", "2024-03-31", "2024-04-29", "2024-04-30"} {
		for _, id := range []string{"a", "b", "c"} {
			due := utc(day + "T00:00:00Z")
			org, licence := plan.PeriodAt(begin, due, time.UTC), plan.PeriodAt(utc("2024-02-29T00:00:00Z"), due, time.UTC)
			if org.Start.Equal(due) {
				want = append(want, fmt.Sprintf("%s/ %d %s", id, org.N, day))
			}
			if licence.Start.Equal(due) && licence.N >= 0 {
				want = append(want, fmt.Sprintf("%s/z %d %s", id, licence.N, day))
			}
		}
	}
	for page := 1; page <= 8; page++ {
		_, err := b.pool.Exec(t.Context(), `UPDATE subscription SET next_period = 0, due_at = anchor`)
		require.NoError(t, err)
		require.Equal(t, want, starts(b.sweep(t, utc("2024-05-01T00:00:00Z"), page)), "in pages of %d", page)
	}
}

func TestFirstPeriod(t *testing.T) {
	b := setup(t)
	for id, c := range map[string]struct{ anchor, created, want string }{
		"past":   {"2022-01-31T00:00:00Z", "2024-03-15T00:00:00Z", "past/ 25 2024-02-29"}, // the current period, not two years of them
		"future": {"2024-05-01T00:00:00Z", "2024-03-15T00:00:00Z", "future/ 0 2024-05-01"},
		"now":    {"2024-03-15T00:00:00Z", "2024-03-15T00:00:00Z", "now/ 0 2024-03-15"},
	} {
		_, err := b.CreateOrg(t.Context(), account.Org{ID: id, Name: id, Plan: "rollover-boost", Anchor: utc(c.anchor), CreatedAt: utc(c.created)})
		require.NoError(t, err)
		due, err := b.DueSubscriptions(t.Context(), utc("2024-05-01T00:00:00Z"), account.Cursor{}, 10)
		require.NoError(t, err)
		require.Equal(t, []string{c.want}, starts(due))
		b.sweep(t, utc("2030-01-01T00:00:00Z"), 1000)
	}
}

// I3: an upgrade counts at once and tops up the rest of the period.
func TestRule_A8_UpgradeAndDowngradeAtAnyTime(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "rollover-ignite", utc("2024-04-01T00:00:00Z"))
	up, err := b.ChangePlan(t.Context(), "acme", "rollover-boost", utc("2024-04-16T00:00:00Z"))
	require.NoError(t, err)
	require.Equal(t, 1, up.Generation)
	require.False(t, up.AtPeriodEnd)
	april := plan.Period{Start: utc("2024-04-01T00:00:00Z"), End: utc("2024-05-01T00:00:00Z")}
	want := []account.TopUp{
		{Type: "email", Amount: 3_500, Period: april}, // half of 12,000 − 5,000
		{Type: "phone", Amount: 233, Period: april},   // half of 800 − 333, rounded down
	}
	tops, err := b.TopUps(t.Context(), "acme", up.Generation)
	require.NoError(t, err)
	require.Equal(t, want, tops)

	retried, err := b.ChangePlan(t.Context(), "acme", "rollover-boost", utc("2024-04-16T00:01:00Z"))
	require.NoError(t, err)
	require.Equal(t, up.Generation, retried.Generation, "a retry is the same change")
	require.WithinDuration(t, *up.Since, *retried.Since, 0)

	// Down and up again on the same day: nothing taken back, nothing minted.
	for i, id := range []string{"rollover-ignite", "rollover-boost", "rollover-ignite", "rollover-boost"} {
		change, err := b.ChangePlan(t.Context(), "acme", id, utc("2024-04-16T00:02:00Z"))
		require.NoError(t, err)
		require.Equal(t, 2+i, change.Generation)
		tops, err := b.TopUps(t.Context(), "acme", change.Generation)
		require.NoError(t, err)
		require.Empty(t, tops)
	}
	// A process whose clock is behind changes nothing that was before.
	late, err := b.ChangePlan(t.Context(), "acme", "rollover-power", utc("2024-04-16T00:01:00Z"))
	require.NoError(t, err)
	require.WithinDuration(t, utc("2024-04-16T00:02:00Z"), *late.Since, 0)
	org, err := b.Org(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, "rollover-power", org.Plan)
	again, err := b.TopUps(t.Context(), "acme", up.Generation)
	require.NoError(t, err)
	require.Equal(t, want, again, "later changes do not alter what an earlier one brought")
}

// I3: a plan that is left at the period's end stays in force until then.
func TestChangeAtPeriodEnd(t *testing.T) {
	b := setup(t)
	anchor := time.Now().Add(-20 * 24 * time.Hour).Truncate(time.Second)
	org := b.org(t, "acme", "licence-monthly", anchor)
	period, err := org.Period(time.Now())
	require.NoError(t, err)
	change, err := b.ChangePlan(t.Context(), "acme", "workspace-paid", time.Now())
	require.NoError(t, err)
	require.True(t, change.AtPeriodEnd)
	require.WithinDuration(t, period.End, *change.Since, 0)
	tops, err := b.TopUps(t.Context(), "acme", change.Generation)
	require.NoError(t, err)
	require.Empty(t, tops)
	org, err = b.Org(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, "licence-monthly", org.Plan, "still")

	due := b.sweep(t, period.End, 10)
	require.Len(t, due, 2)
	require.Equal(t, "licence-monthly", due[0].Plan, "the period before")
	require.Equal(t, "workspace-paid", due[1].Plan, "the period it begins with")

	// Staying after all takes the waiting change's place.
	stay, err := b.ChangePlan(t.Context(), "acme", "licence-monthly", time.Now())
	require.NoError(t, err)
	require.Equal(t, 2, stay.Generation)
	changes, err := b.PlanChanges(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, changes, 3)
	require.Equal(t, "licence-monthly", changes[2].PlanID)
	require.WithinDuration(t, *change.Since, *changes[2].Since, 0)
}

// I3: a second change at the moment of the first one follows the plan that the
// first one led to.
func TestTwoChangesAtOnce(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "workspace-paid", time.Now().Add(-20*24*time.Hour).Truncate(time.Second))
	now := time.Now()
	first, err := b.ChangePlan(t.Context(), "acme", "licence-monthly", now)
	require.NoError(t, err)
	require.False(t, first.AtPeriodEnd, "workspace-paid changes at once")
	second, err := b.ChangePlan(t.Context(), "acme", "rollover-boost", now)
	require.NoError(t, err)
	require.True(t, second.AtPeriodEnd, "licence-monthly with its next period")
}

// I3: members who hold licences are topped up in their own credit months, and
// only those who were there.
func TestPlanChangeReachesLicences(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "workspace-paid", utc("2024-04-01T00:00:00Z"))
	b.member(t, "acme", "bob", utc("2024-04-06T00:00:00Z"))
	b.member(t, "acme", "jane", utc("2024-04-20T00:00:00Z"))
	change, err := b.ChangePlan(t.Context(), "acme", "workspace-free", utc("2024-04-16T00:00:00Z"))
	require.NoError(t, err)
	tops, err := b.TopUps(t.Context(), "acme", change.Generation)
	require.NoError(t, err)
	bobs := plan.Period{Start: utc("2024-04-06T00:00:00Z"), End: utc("2024-05-06T00:00:00Z")}
	require.Equal(t, []account.TopUp{ // two thirds of 50, 5, 5, 10 (bob's month has 30 days, 20 are left)
		{Member: "bob", Type: "direct_email", Amount: 3, Period: bobs, ExpiresAt: bobs.End},
		{Member: "bob", Type: "email", Amount: 33, Period: bobs, ExpiresAt: bobs.End},
		{Member: "bob", Type: "export", Amount: 6, Period: bobs, ExpiresAt: bobs.End},
		{Member: "bob", Type: "phone", Amount: 3, Period: bobs, ExpiresAt: bobs.End},
	}, tops)

	due := b.sweep(t, utc("2024-04-30T00:00:00Z"), 10)
	require.Equal(t, []string{"acme/ 0 2024-04-01", "acme/bob 0 2024-04-06", "acme/jane 0 2024-04-20"}, starts(due))
	require.Equal(t, "workspace-paid", due[1].Plan, "bob's month began under the old plan")
	require.Equal(t, "workspace-free", due[2].Plan, "jane came under the new one")
}

func TestChangePlanIsRefused(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "rollover-boost", utc("2024-04-01T00:00:00Z"))
	_, err := b.ChangePlan(t.Context(), "missing", "rollover-boost", time.Now())
	require.ErrorIs(t, err, account.ErrNotFound)
	_, err = b.ChangePlan(t.Context(), "acme", "gold", time.Now())
	require.ErrorIs(t, err, account.ErrNotFound)
	for _, generation := range []int{-1, 1} {
		_, err = b.TopUps(t.Context(), "acme", generation)
		require.ErrorIs(t, err, account.ErrNotFound)
	}
	tops, err := b.TopUps(t.Context(), "acme", 0)
	require.NoError(t, err)
	require.Empty(t, tops, "the first plan tops nothing up: its period does")
	_, err = b.PlanChanges(t.Context(), "missing")
	require.ErrorIs(t, err, account.ErrNotFound)
}

// I3, I5: random switches at random times, with sweeps in between. All that
// periods and switches grant to a pool stays between what each plan owed for
// its share of the time and the largest allotment of each period.
func TestSwitchingNeverMints(t *testing.T) {
	b := setup(t)
	names := []string{"rollover-ignite", "rollover-boost", "rollover-power", "verified-leads", "licence-monthly", "workspace-paid", "workspace-free"}
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		id := fmt.Sprintf("org-%d", run)
		begin := utc("2024-01-31T12:00:00Z")
		first := rapid.SampledFrom(names).Draw(r, "first")
		b.org(t, id, first, begin)
		b.member(t, id, "bob", begin.AddDate(0, 0, rapid.IntRange(0, 5).Draw(r, "licence")))
		at := begin
		for range rapid.IntRange(1, 6).Draw(r, "switches") {
			at = at.Add(time.Duration(rapid.Int64Range(0, int64(25*24*time.Hour)).Draw(r, "wait")))
			_, err := b.ChangePlan(t.Context(), id, rapid.SampledFrom(names).Draw(r, "plan"), at)
			require.NoError(r, err)
		}
		changes, err := b.PlanChanges(t.Context(), id)
		require.NoError(r, err)

		type pool struct {
			member, creditType string
			period             int
		}
		granted, largest := map[pool]int64{}, map[pool]int64{}
		for _, d := range b.sweep(t, at.AddDate(0, 2, 0), 100) {
			if d.Org != id {
				continue
			}
			p, err := b.Plan(t.Context(), d.Plan, d.PlanVersion)
			require.NoError(r, err)
			for _, a := range p.Allotments(d.Owner()) {
				granted[pool{d.Member, a.Type, d.Period.N}] += a.Amount
			}
			for _, c := range changes {
				if c.Since != nil && !c.Since.Before(d.Period.End) {
					continue
				}
				p, err := b.Plan(t.Context(), c.PlanID, c.PlanVersion)
				require.NoError(r, err)
				for _, a := range p.Allotments(d.Owner()) {
					key := pool{d.Member, a.Type, d.Period.N}
					largest[key] = max(largest[key], a.Amount)
				}
			}
		}
		for _, c := range changes {
			tops, err := b.TopUps(t.Context(), id, c.Generation)
			require.NoError(r, err)
			for _, top := range tops {
				require.Positive(r, top.Amount)
				granted[pool{top.Member, top.Type, top.Period.N}] += top.Amount
			}
		}
		for key, sum := range granted {
			require.LessOrEqual(r, sum, largest[key], "%v", key)
		}
	})
}
