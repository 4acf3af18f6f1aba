package billing_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/plan"
)

// boundary is the beginning of a second that the database's clock reaches soon.
func (w *world) boundary(t *testing.T, ahead time.Duration) time.Time {
	t.Helper()
	var now time.Time
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&now))
	return now.Add(ahead).Truncate(time.Second).Add(time.Second).UTC()
}

// monthly creates an organization, as it was the day before, whose current period
// ends at a time, and gives it that period.
func (w *world) monthly(t *testing.T, id, planID string, end time.Time) account.Org {
	t.Helper()
	// An anchor in January: a month before the end of March is the end of February.
	anchor := time.Date(2000, 1, end.Day(), end.Hour(), end.Minute(), end.Second(), 0, time.UTC)
	_, err := w.accounts.CreateOrg(t.Context(), account.Org{ID: id, Name: id, Plan: planID, Anchor: anchor, CreatedAt: end.Add(-time.Hour)})
	require.NoError(t, err)
	require.NoError(t, w.CatchUp(t.Context(), id, end.Add(-time.Hour)))
	org, err := w.accounts.Org(t.Context(), id)
	require.NoError(t, err)
	require.WithinDuration(t, end, org.DueAt, 0)
	return org
}

// await waits until the database's clock has passed a time.
func (w *world) await(t *testing.T, at time.Time) {
	t.Helper()
	_, err := w.pool.Exec(t.Context(), `SELECT pg_sleep_until($1)`, at)
	require.NoError(t, err)
}

// resetEvents are the bodies of an organization's credits.reset events in order.
func (w *world) resetEvents(t *testing.T, org string) (list []resetEvent) {
	t.Helper()
	var text []byte
	require.NoError(t, w.pool.QueryRow(t.Context(), `
		SELECT coalesce(jsonb_agg(payload ORDER BY id), '[]') FROM outbox WHERE org = $1 AND topic = 'credits.reset'`, org).Scan(&text))
	require.NoError(t, json.Unmarshal(text, &list))
	return list
}

type resetEvent struct {
	Plan    string
	Start   time.Time `json:"period_start"`
	Credits []account.ResetCredit
}

// requireHistoryAddsUp checks that the history's movements, from the first to the
// last, come to the balances that are shown, and to those that it shows itself.
func (w *world) requireHistoryAddsUp(t *testing.T, org string) {
	t.Helper()
	o, err := w.accounts.Org(t.Context(), org)
	require.NoError(t, err)
	var page billing.History
	var view billing.Credits
	for { // until nothing expires between the two
		before, err := w.Credits(t.Context(), o, account.Member{})
		require.NoError(t, err)
		page, err = w.History(t.Context(), ledger.HistoryFilter{Owner: org, Limit: 1000})
		require.NoError(t, err)
		view, err = w.Credits(t.Context(), o, account.Member{})
		require.NoError(t, err)
		if reflect.DeepEqual(before, view) {
			break
		}
	}
	require.Empty(t, page.NextCursor)
	sums := map[string]int64{}
	for i := len(page.Entries) - 1; i >= 0; i-- {
		e := page.Entries[i]
		pool := e.Pool + "/" + e.Member + "/" + e.Type
		if e.Pool == "organization" {
			pool = e.Type
		}
		switch e.Kind {
		case "grant", "release", "reverse":
			sums[pool] += e.Amount
		case "hold", "expire", "void":
			sums[pool] -= e.Amount
		case "capture":
			if e.OrderID == "" { // a charge; what an order captures was held before
				sums[pool] -= e.Amount
			}
		}
		require.Equal(t, sums[pool], e.Balance, "entry %d: %+v", e.Entry, e)
	}
	for _, c := range view.Credits {
		if c.Pool == "organization" {
			require.Equal(t, c.Available, sums[c.Type], "%+v", c)
		}
	}
}

// The database's clock really passes the end of a period. The first call at
// the first instant of the new one finds it full: B1, B2.
func TestB1_TheFirstCallFindsTheNewPeriod(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	w.plan(t, "expiring", "allotment: 1000, at_period_end: expire, low_balance: [500, 100]")
	w.plan(t, "rolling", "allotment: 1000, at_period_end: roll_over, low_balance: [500, 100]")
	w.plan(t, "capped", "allotment: 1000, at_period_end: roll_over, roll_over_cap: 300, low_balance: [500, 100]")
	w.plan(t, "plain", "owner: organization")
	var end time.Time
	spend := func(org, key string, n int64) (ledger.ChargeResult, error) {
		o, err := w.Current(ctx, org)
		require.NoError(t, err)
		return w.ledger.Charge(ctx, ledger.Charge{
			Owner: org, Key: key, Before: o.DueAt, Lines: []ledger.ChargeLine{{Type: "email", Amount: n, Pools: []string{""}}},
		})
	}
	kept := map[string]int64{"expiring": 0, "rolling": 1000, "capped": 300}
	comers := map[string]func(org string){
		"credits": func(org string) {
			o, err := w.accounts.Org(ctx, org)
			require.NoError(t, err)
			stale := o
			stale.Due, stale.DueAt = false, end // as a server knows it that read it a second ago
			for _, o := range []account.Org{stale, o} {
				view, err := w.Credits(ctx, o, account.Member{})
				require.NoError(t, err)
				require.Equal(t, end, view.Period.Start)
				require.Equal(t, int64(1000), view.Credits[0].Allotment)
				require.Zero(t, view.Credits[0].Used)
			}
		},
		"history": func(org string) {
			page, err := w.History(ctx, ledger.HistoryFilter{Owner: org})
			require.NoError(t, err)
			require.Equal(t, "grant", page.Entries[0].Kind)
			require.Equal(t, end, page.Entries[0].At, "it is dated when the period began")
		},
		"charge": func(org string) {
			charged, err := spend(org, "at once", 1)
			require.NoError(t, err)
			require.True(t, charged.Charged)
		},
		"change of plan": func(org string) {
			_, err := w.ChangePlan(ctx, org, "plain", time.Now())
			require.NoError(t, err)
		},
		"grant": func(org string) {
			_, err := w.give(t, org, "pack", billing.NewGrant{Type: "email", Amount: 1, Source: ledger.SourcePack}, "")
			require.NoError(t, err)
		},
	}
	var round string
	for ahead := 2 * time.Second; ; ahead *= 2 { // on a busy machine they take longer to make
		end = w.boundary(t, ahead)
		round = fmt.Sprint(ahead.Seconds())
		for p := range kept {
			for name := range comers {
				w.monthly(t, p+"-"+name[:5]+round, p, end)
			}
		}
		if w.boundary(t, -time.Second).Before(end) {
			break
		}
	}
	w.await(t, end)
	for p, rolled := range kept {
		for name, come := range comers {
			org := p + "-" + name[:5] + round
			come(org)
			want := 1000 + rolled + map[string]int64{"charge": -1, "grant": 1}[name]
			require.Equal(t, want, w.available(t, org, "", "email"), "%s: %s", p, name)
			require.Zero(t, w.events(t, org, "credits.low"), "%s: %s", p, name)
			resets := w.resetEvents(t, org)
			require.Len(t, resets, 2)
			require.Equal(t, []account.ResetCredit{{Type: "email", Granted: 1000, RolledOver: rolled, Expired: 1000 - rolled}}, resets[1].Credits, "%s: %s", p, name)
			w.requireHistoryAddsUp(t, org)
		}
	}
	w.requireBalanced(t)
}

// B2: what is left follows the plan in force when the period ended, whether the
// reset runs in time, an hour late or three months late.
func TestB2_ThePlanInForceAtTheEndDecidesHoweverLate(t *testing.T) {
	w := setup(t)
	w.plan(t, "expiring", "allotment: 1000, at_period_end: expire")
	w.plan(t, "rolling", "allotment: 1000, at_period_end: roll_over")
	w.plan(t, "capped", "allotment: 1000, at_period_end: roll_over, roll_over_cap: 300")
	w.plan(t, "none", "owner: member")
	now := w.boundary(t, 0)
	for i, c := range []struct {
		first, then string
		second      int64 // there is at the beginning of the second period
		third       int64
	}{
		{"expiring", "rolling", 2000, 3000},
		{"rolling", "expiring", 1000, 1000},
		{"expiring", "capped", 1300, 1300},
		{"capped", "expiring", 1000, 1000},
		{"rolling", "capped", 1300, 1300},
		{"capped", "rolling", 2000, 3000},
		{"expiring", "none", 1000, 1000}, // what a plan did not allot it does not take away
		{"rolling", "none", 1000, 1000},
	} {
		for name, late := range map[string]time.Duration{"in time": -time.Hour, "an hour late": time.Hour, "three months late": 91 * 24 * time.Hour} {
			t.Run(fmt.Sprintf("%s to %s %s", c.first, c.then, name), func(t *testing.T) {
				org := fmt.Sprintf("org-%d-%d", i, int64(late.Hours())+1)
				end := now.Add(-late)
				// An anchor in January: the end is the end of a period on every day of the year.
				anchor := time.Date(2000, 1, end.Day(), end.Hour(), end.Minute(), end.Second(), 0, time.UTC)
				begin := plan.PeriodAt(anchor, end.Add(-time.Second), time.UTC).Start
				_, err := w.accounts.CreateOrg(t.Context(), account.Org{ID: org, Name: org, Plan: c.first, Anchor: anchor, CreatedAt: begin})
				require.NoError(t, err)
				require.NoError(t, w.CatchUp(t.Context(), org, begin))
				_, err = w.ChangePlan(t.Context(), org, c.then, begin.AddDate(0, 0, 10))
				require.NoError(t, err)
				require.NoError(t, w.CatchUp(t.Context(), org, end))
				// Months ago, what a period allotted has expired since.
				long := late > 40*24*time.Hour && c.then == "expiring"
				if !long {
					require.Equal(t, c.second, w.available(t, org, "", "email"), "second period")
				}
				require.NoError(t, w.CatchUp(t.Context(), org, plan.PeriodAt(anchor, end, time.UTC).End))
				if !long {
					require.Equal(t, c.third, w.available(t, org, "", "email"), "third period")
				}
				resets := w.resetEvents(t, org)
				require.Len(t, resets, map[bool]int{true: 2, false: 3}[c.then == "none"])
				require.Equal(t, c.second-map[bool]int64{true: 0, false: 1000}[c.then == "none"], resets[1].Credits[0].RolledOver)
				w.requireBalanced(t)
			})
		}
	}
}

// B2: a change that waits for the period's end leaves what is left to the plan
// that ends, in time or late, not what the plan that begins would do.
func TestB2_APlanLeftAtThePeriodsEndDecides(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	const atEnd = "plan_change: at_period_end"
	w.plan(t, "expiring", "allotment: 1000, at_period_end: expire", atEnd)
	w.plan(t, "rolling", "allotment: 1000, at_period_end: roll_over", atEnd)
	w.plan(t, "capped", "allotment: 1000, at_period_end: roll_over, roll_over_cap: 300", atEnd)
	now := w.boundary(t, 0)
	for i, c := range []struct {
		first, then string
		want        int64
	}{
		{"expiring", "rolling", 1000},
		{"rolling", "expiring", 2000},
		{"capped", "rolling", 1300},
		{"rolling", "capped", 2000},
		{"capped", "expiring", 1300},
	} {
		for name, end := range map[string]time.Time{"in-time": now.Add(time.Hour), "late": now.Add(-time.Hour)} {
			org := fmt.Sprintf("%s-%d", name, i)
			w.monthly(t, org, c.first, end)
			change, err := w.ChangePlan(ctx, org, c.then, end.Add(-time.Minute))
			require.NoError(t, err)
			require.WithinDuration(t, end, *change.Since, 0)
			require.NoError(t, w.CatchUp(ctx, org, end))
			require.Equal(t, c.want, w.available(t, org, "", "email"), "%s to %s, %s", c.first, c.then, name)
			resets := w.resetEvents(t, org)
			require.Equal(t, c.then, resets[len(resets)-1].Plan)
		}
	}
	w.requireBalanced(t)
}

// B1: after three missed months there is a reset, an event and a line in the
// history for each of them, dated when it was due.
func TestB1_EveryMissedPeriodIsThereOnce(t *testing.T) {
	w := setup(t)
	w.plan(t, "expiring", "allotment: 1000, at_period_end: expire")
	w.monthly(t, "acme", "expiring", w.boundary(t, -95*24*time.Hour))
	o, err := w.accounts.Org(t.Context(), "acme")
	require.NoError(t, err)
	require.True(t, o.Due)
	view, err := w.Credits(t.Context(), o, account.Member{})
	require.NoError(t, err)
	require.Equal(t, int64(1000), view.Credits[0].Available)
	resets := w.resetEvents(t, "acme")
	require.GreaterOrEqual(t, len(resets), 4)
	for i, r := range resets {
		want := account.ResetCredit{Type: "email", Granted: 1000, Expired: 1000}
		if i == 0 {
			want.Expired = 0
		}
		require.Equal(t, []account.ResetCredit{want}, r.Credits)
	}
	page, err := w.History(t.Context(), ledger.HistoryFilter{Owner: "acme", Kind: "grant"})
	require.NoError(t, err)
	require.Len(t, page.Entries, len(resets))
	for i, e := range page.Entries[:len(resets)-1] {
		require.Equal(t, resets[len(resets)-1-i].Start, e.At)
	}
	w.requireHistoryAddsUp(t, "acme")
	w.requireBalanced(t)
}

// A credit that expired has its line in the history at once, dated when it
// expired, and is gone from the balance: nothing has to touch the account first.
func TestExpiryIsInTheHistoryAtOnce(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	w.org(t, "acme", "prepaid-verification", time.Now().Add(-time.Hour))
	soon := w.boundary(t, 3*time.Second)
	for i, g := range []billing.NewGrant{{Amount: 100}, {Amount: 30, ExpiresAt: soon}, {Amount: 7, ExpiresAt: soon.Add(time.Second)}} {
		g.Type, g.Source = "email", ledger.SourcePack
		_, err := w.give(t, "acme", fmt.Sprint(i), g, "")
		require.NoError(t, err)
	}
	w.requireHistoryAddsUp(t, "acme")
	w.await(t, soon)
	w.requireHistoryAddsUp(t, "acme")
	w.await(t, soon.Add(time.Second))
	w.requireHistoryAddsUp(t, "acme")
	page, err := w.History(ctx, ledger.HistoryFilter{Owner: "acme", Kind: "expire"})
	require.NoError(t, err)
	require.Len(t, page.Entries, 2)
	require.Equal(t, int64(7), page.Entries[0].Amount)
	require.Equal(t, soon.Add(time.Second), page.Entries[0].At)
	require.Equal(t, int64(100), page.Entries[0].Balance)
	require.Equal(t, soon, page.Entries[1].At)
	w.requireBalanced(t)
}

// A subscription that cannot be renewed does not keep others from looking or spending
// what there is.
func TestWhatCannotBeRenewedStopsNothing(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	end := w.boundary(t, -time.Hour)
	w.monthly(t, "acme", "rollover-boost", end)
	_, err := w.pool.Exec(ctx, `INSERT INTO plan (id, version, hash, body) SELECT 'broken', 1, hash, '{}' FROM plan WHERE id = 'rollover-boost'`)
	require.NoError(t, err)
	_, err = w.pool.Exec(ctx, `INSERT INTO plan_change (org, generation, plan_id, plan_version, since, at_period_end, applied_at)
		VALUES ('acme', 1, 'broken', 1, $1, false, now()), ('acme', 2, 'rollover-boost', 1, $2, false, now())`, end.Add(-2*time.Minute), end.Add(time.Minute))
	require.NoError(t, err)
	org, err := w.Current(ctx, "acme")
	require.NoError(t, err)
	require.True(t, org.Due)
	view, err := w.Credits(ctx, org, account.Member{})
	require.NoError(t, err)
	require.Equal(t, int64(12_000), view.Credits[0].Available)
	_, err = w.History(ctx, ledger.HistoryFilter{Owner: "acme"})
	require.NoError(t, err)
}

// used is of the period that runs, used_total of all time; what is credited back
// counts in the period in which it comes back.
func TestUsedIsOfThePeriod(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	w.plan(t, "plain", "allotment: 100, at_period_end: expire")
	charge := func(key string, n int64) {
		t.Helper()
		charged, err := w.ledger.Charge(ctx, ledger.Charge{
			Owner: "acme", Key: key, Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{""}, Amount: n}},
		})
		require.NoError(t, err)
		require.True(t, charged.Charged)
	}
	used := func() [2]int64 {
		t.Helper()
		org, err := w.accounts.Org(ctx, "acme")
		require.NoError(t, err)
		view, err := w.Credits(ctx, org, account.Member{})
		require.NoError(t, err)
		for _, c := range view.Credits {
			if c.Type == "email" && c.Pool == "organization" {
				return [2]int64{c.Used, c.UsedTotal}
			}
		}
		t.Fatal("there are no such credits")
		return [2]int64{}
	}
	end := w.boundary(t, 3*time.Second)
	w.monthly(t, "acme", "plain", end)
	charge("first", 5)
	require.Equal(t, [2]int64{5, 5}, used())
	w.await(t, end)
	require.Equal(t, [2]int64{0, 5}, used(), "a new period has begun")
	charge("second", 3)
	require.Equal(t, [2]int64{3, 8}, used())
	_, err := w.ledger.Reverse(ctx, ledger.Reverse{Owner: "acme", Key: "back", HoldID: "second", Type: "email", Amount: 1})
	require.NoError(t, err)
	require.Equal(t, [2]int64{2, 7}, used())
	w.requireBalanced(t)
}

// B3: what a change adds to a licence follows the licence's own period: a change
// that waited for the end of the organization's does not count in it, nor one
// from before the licence began.
func TestB3_TopUpsFollowTheLicencesOwnPeriod(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	const licence = "owner: member, at_period_end: expire, allotment: "
	w.plan(t, "waits", licence+"100", "plan_change: at_period_end")
	w.plan(t, "small", licence+"10")
	w.plan(t, "middle", licence+"100")
	w.plan(t, "large", licence+"200")
	change := func(org, to, at string) (tops []account.TopUp) {
		t.Helper()
		changed, err := w.accounts.ChangePlan(ctx, org, to, day(at))
		require.NoError(t, err)
		tops, err = w.accounts.TopUps(ctx, org, changed.Generation)
		require.NoError(t, err)
		return tops
	}
	w.org(t, "acme", "waits", day("2099-01-10"))
	w.member(t, "acme", "bob", day("2099-01-20"))
	require.Empty(t, change("acme", "small", "2099-01-25"), "it waits until 10 February")
	tops := change("acme", "large", "2099-02-15")
	require.Len(t, tops, 1)
	require.EqualValues(t, (26*100+5*200)/31-100, tops[0].Amount, "26 days of 100, 5 days of 200")

	w.org(t, "beta", "large", day("2099-01-10"))
	_, err := w.accounts.CreateMember(ctx, account.Member{Org: "beta", ID: "eve", Name: "eve", Anchor: day("2099-01-20"), CreatedAt: day("2099-01-25")})
	require.NoError(t, err)
	require.Empty(t, change("beta", "middle", "2099-01-22"))
	tops = change("beta", "large", "2099-02-01")
	require.Len(t, tops, 1)
	require.EqualValues(t, (12*100+19*200)/31-100, tops[0].Amount, "the licence began with 100")
}
