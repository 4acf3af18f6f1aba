package billing_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
	"holdfast/internal/postgres/pgtest"
)

// world is a fresh database with the built-in plans in it.
type world struct {
	*billing.Billing
	pool     *pgxpool.Pool
	accounts *account.Accounts
	ledger   *ledger.Ledger
}

func setup(t *testing.T) *world {
	t.Helper()
	pool := pgtest.New(t)
	w := &world{pool: pool, accounts: account.New(pool), ledger: ledger.New(pool)}
	t.Cleanup(w.ledger.Close)
	w.Billing = billing.New(w.accounts, w.ledger, orderbook.New(pool))
	require.NoError(t, w.accounts.EnsurePresets(t.Context()))
	return w
}

func (w *world) org(t *testing.T, id, planID string, anchor time.Time) {
	t.Helper()
	_, err := w.accounts.CreateOrg(t.Context(), account.Org{ID: id, Name: id, Plan: planID, Anchor: anchor, CreatedAt: anchor})
	require.NoError(t, err)
}

func (w *world) member(t *testing.T, org, id string, anchor time.Time) {
	t.Helper()
	_, err := w.accounts.CreateMember(t.Context(), account.Member{Org: org, ID: id, Name: id, Anchor: anchor, CreatedAt: anchor})
	require.NoError(t, err)
}

// sweep resets all that is due at a time.
func (w *world) sweep(t *testing.T, at time.Time) (seen int) {
	t.Helper()
	var after account.Cursor
	for {
		page, err := w.Sweep(t.Context(), at, after, 100)
		require.NoError(t, err)
		require.Empty(t, page.Failures)
		if page.Seen == 0 {
			return seen
		}
		seen += page.Seen
		after = page.Cursor
	}
}

func (w *world) pack(t *testing.T, org, pool, creditType string, amount int64) {
	t.Helper()
	_, err := w.ledger.Grant(t.Context(), ledger.Grant{
		Owner: org, Key: fmt.Sprintf("pack/%s/%s/%d", pool, creditType, amount),
		Pool: pool, Type: creditType, Amount: amount, Source: ledger.SourcePack,
	})
	require.NoError(t, err)
}

// available is what a pool ("" = shared) can spend of a type.
func (w *world) available(t *testing.T, org, pool, creditType string) int64 {
	t.Helper()
	balances, err := w.ledger.Balances(t.Context(), org)
	require.NoError(t, err)
	for _, b := range balances {
		if b.Pool == pool && b.Type == creditType {
			return b.Available
		}
	}
	return 0
}

func (w *world) requireBalanced(t *testing.T) {
	t.Helper()
	report, err := ledger.Audit(t.Context(), w.pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.True(t, report.Clean(), "%v", report.Findings)
}

// events counts the events of an organization on a topic.
func (w *world) events(t *testing.T, org, topic string) (n int) {
	t.Helper()
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE org = $1 AND topic = $2`, org, topic).Scan(&n))
	return n
}

// The times of these tests lie ahead, so that credits that expire with their
// period are still there.
func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t
}

// B1: several sweeps and catch-ups at once give every period once.
func TestB1_ManySweepsAtOnce(t *testing.T) {
	w := setup(t)
	begin := day("2099-01-31")
	for i := range 20 {
		w.org(t, fmt.Sprintf("org-%d", i), "licence-monthly", begin)
		w.member(t, fmt.Sprintf("org-%d", i), "bob", begin)
		w.member(t, fmt.Sprintf("org-%d", i), "jane", begin.AddDate(0, 0, 10))
	}
	group, ctx := errgroup.WithContext(t.Context())
	for range 4 {
		group.Go(func() error {
			var after account.Cursor
			for {
				page, err := w.Sweep(ctx, day("2099-03-31"), after, 7)
				if err != nil || page.Seen == 0 {
					return err
				}
				after = page.Cursor
			}
		})
	}
	group.Go(func() error { return w.CatchUp(ctx, "org-3", day("2099-03-31")) })
	require.NoError(t, group.Wait())
	for i := range 20 {
		org := fmt.Sprintf("org-%d", i)
		require.Equal(t, int64(1_000), w.available(t, org, "bob", "email"))
		require.Equal(t, int64(1_000), w.available(t, org, "jane", "email"))
		require.Equal(t, 3+2, w.events(t, org, "credits.reset"), "bob's three periods, jane's two, and nothing for the shared pool")
	}
	w.requireBalanced(t)
}

// B1: an organization whose stored plan cannot be read is reported and left
// alone; the others are reset, and so is it once the plan is right again.
func TestB1_ABrokenPlanStopsNoOtherOrganization(t *testing.T) {
	w := setup(t)
	w.org(t, "a", "rollover-boost", day("2099-01-31"))
	w.org(t, "b", "workspace-paid", day("2099-01-31"))
	w.org(t, "c", "rollover-boost", day("2099-01-31"))
	_, err := w.pool.Exec(t.Context(), `UPDATE plan SET body = body || '{"period": "fortnight"}' WHERE id = 'workspace-paid'`)
	require.NoError(t, err)
	restarted := billing.New(account.New(w.pool), w.ledger, orderbook.New(w.pool)) // it has read no plan yet
	page, err := restarted.Sweep(t.Context(), day("2099-01-31"), account.Cursor{}, 10)
	require.NoError(t, err)
	require.Equal(t, 3, page.Seen)
	require.Equal(t, 2, page.Reset)
	require.Len(t, page.Failures, 1)
	require.Equal(t, "b", page.Failures[0].Org)
	require.Contains(t, page.Failures[0].Reason, "period")
	require.Equal(t, int64(12_000), w.available(t, "c", "", "email"))

	_, err = w.pool.Exec(t.Context(), `UPDATE plan SET body = body || '{"period": "month"}' WHERE id = 'workspace-paid'`)
	require.NoError(t, err)
	require.Equal(t, 1, w.sweep(t, day("2099-01-31")))
	require.Equal(t, int64(10_000), w.available(t, "b", "", "email"))
}

// B1: a time zone that cannot be read is reported, in a page of its own, too, and
// stops no other organization.
func TestB1_AnUnreadableTimeZoneStopsNoOther(t *testing.T) {
	w := setup(t)
	for _, org := range []string{"a", "b", "c"} {
		w.org(t, org, "rollover-boost", day("2099-01-31"))
	}
	_, err := w.pool.Exec(t.Context(), `UPDATE organization SET time_zone = 'Mars/Olympus' WHERE id = 'b'`)
	require.NoError(t, err)
	for _, limit := range []int{1, 10} {
		month := map[int]string{1: "2099-01-31", 10: "2099-02-28"}[limit]
		var reset int
		var failures []billing.Failure
		for cursor := (account.Cursor{}); ; {
			page, err := w.Sweep(t.Context(), day(month), cursor, limit)
			require.NoError(t, err)
			if page.Seen == 0 {
				break
			}
			reset += page.Reset
			failures = append(failures, page.Failures...)
			cursor = page.Cursor
		}
		require.Equal(t, 2, reset)
		require.Len(t, failures, 1)
		require.Equal(t, "b", failures[0].Org)
		require.Contains(t, failures[0].Reason, "Mars/Olympus")
	}
	require.Equal(t, int64(24_000), w.available(t, "c", "", "email"))
	_, err = w.pool.Exec(t.Context(), `UPDATE organization SET time_zone = 'UTC' WHERE id = 'b'`)
	require.NoError(t, err)
	require.Equal(t, 2, w.sweep(t, day("2099-02-28")), "both periods that were missed")
}

// B1: who was just created has the first credits at once, and once.
func TestB1_FirstCreditsAtOnce(t *testing.T) {
	w := setup(t)
	begin := day("2099-01-31")
	w.org(t, "acme", "rollover-boost", begin)
	for range 2 {
		require.NoError(t, w.CatchUp(t.Context(), "acme", begin))
		require.Equal(t, int64(12_000), w.available(t, "acme", "", "email"))
	}
	require.Zero(t, w.sweep(t, day("2099-02-27")))
	require.Equal(t, 1, w.sweep(t, day("2099-02-28")))
	require.Equal(t, int64(24_000), w.available(t, "acme", "", "email"))
}

// B2: what is left is treated as the plan says under which the period ended,
// the new allotment follows the plan now in force.
func TestB2_EachPlanEndsItsOwnPeriods(t *testing.T) {
	w := setup(t)
	w.org(t, "acme", "rollover-boost", day("2099-01-10"))
	w.sweep(t, day("2099-01-10"))
	_, err := w.ChangePlan(t.Context(), "acme", "workspace-paid", day("2099-02-10")) // its first instant: a new period
	require.NoError(t, err)
	require.Equal(t, int64(12_000+12_000), w.available(t, "acme", "", "email"), "the period began under the plan that is left")
	w.sweep(t, day("2099-03-10"))
	require.Equal(t, int64(10_000), w.available(t, "acme", "", "email"), "workspace-paid lets what is left expire")
	_, err = w.ChangePlan(t.Context(), "acme", "rollover-ignite", day("2099-03-11"))
	require.NoError(t, err)
	w.sweep(t, day("2099-04-10"))
	require.Equal(t, int64(5_000), w.available(t, "acme", "", "email")-10_000, "ended under a plan that rolls over")
	w.requireBalanced(t)
}

// plan stores a plan with email credits as written, sold one for each contact.
func (w *world) plan(t *testing.T, id, email string, more ...string) {
	t.Helper()
	p, err := plan.Parse(id, []byte("id: "+id+`
name: Test
period: month
credits:
  email: {`+email+`}
actions:
  lead_list:
    charges: [{type: email, amount: 1, per: contact, scope: once_per_organization}]
    billable: [valid]
`+strings.Join(more, "\n")))
	require.NoError(t, err)
	_, err = w.accounts.SavePlan(t.Context(), p)
	require.NoError(t, err)
}

// B2: a roll-over cap holds what is kept, and a cap of 0 keeps nothing.
func TestB2_RollOverCap(t *testing.T) {
	w := setup(t)
	for limit, want := range map[string][]int64{
		"roll_over_cap: 150": {100, 200, 250, 250},
		"roll_over_cap: 0":   {100, 100, 100, 100},
	} {
		id := fmt.Sprint("org-", want[3])
		w.plan(t, "capped", "allotment: 100, at_period_end: roll_over, "+limit)
		w.org(t, id, "capped", day("2099-01-10"))
		w.pack(t, id, "", "email", 7)
		for i, n := range want {
			w.sweep(t, day("2099-01-10").AddDate(0, i, 0))
			require.Equal(t, n+7, w.available(t, id, "", "email"), "a pack is never touched")
		}
	}
	w.requireBalanced(t)
}

// B2: what is left of credits that the plan in force at the end does not allot
// stays: it neither gave them nor takes them away.
func TestB2_WhatAPlanDoesNotAllotItDoesNotTake(t *testing.T) {
	w := setup(t)
	w.plan(t, "gives", "allotment: 100, at_period_end: roll_over")
	w.plan(t, "sells", "at_period_end: expire")
	w.org(t, "acme", "gives", day("2099-01-10"))
	w.sweep(t, day("2099-01-10"))
	_, err := w.ChangePlan(t.Context(), "acme", "sells", day("2099-01-20"))
	require.NoError(t, err)
	for _, at := range []string{"2099-02-10", "2099-03-10"} {
		w.sweep(t, day(at))
		require.EqualValues(t, 100, w.available(t, "acme", "", "email"), at)
	}
	w.requireBalanced(t)
}

// B3: a change that waited comes into force in the period that it begins: its
// thresholds are compared with the new allotment, not with what was left.
func TestB3_AChangeAtThePeriodsEndComesAfterItsAllotment(t *testing.T) {
	w := setup(t)
	w.plan(t, "before", "allotment: 100, at_period_end: expire", "plan_change: at_period_end")
	w.plan(t, "after", "allotment: 100, at_period_end: expire, low_balance: [20]")
	w.org(t, "acme", "before", day("2099-01-10"))
	w.sweep(t, day("2099-01-10"))
	_, err := w.ledger.Hold(t.Context(), ledger.Hold{
		Owner: "acme", Key: "h", HoldID: "h", Lines: []ledger.Line{{Type: "email", Amount: 95, Pools: []string{""}}},
	})
	require.NoError(t, err)
	_, err = w.ChangePlan(t.Context(), "acme", "after", day("2099-01-20"))
	require.NoError(t, err)
	applied, err := w.ApplyChanges(t.Context(), day("2099-02-10"), account.Pending{}, 10)
	require.NoError(t, err)
	require.Equal(t, 1, applied.Seen)
	require.Zero(t, w.events(t, "acme", "credits.low"))
	require.Equal(t, int64(100), w.available(t, "acme", "", "email"))
	w.requireBalanced(t)
}

// B3: the first call after a period's end completes a change of that period
// whose process died: what it brings belongs to the period that is over.
func TestB3_ATouchCompletesAChangeOfThePeriodBefore(t *testing.T) {
	w := setup(t)
	end := w.boundary(t, time.Second)
	w.monthly(t, "acme", "rollover-ignite", end)
	_, err := w.accounts.ChangePlan(t.Context(), "acme", "rollover-boost", end.Add(-30*time.Minute))
	require.NoError(t, err) // and the process dies
	w.await(t, end)
	org, err := w.Current(t.Context(), "acme")
	require.NoError(t, err)
	period, err := org.Period(end.Add(-time.Hour))
	require.NoError(t, err)
	topUp := 7_000 * int64(30*time.Minute) / int64(period.End.Sub(period.Start))
	require.Positive(t, topUp)
	require.Equal(t, 5_000+topUp+12_000, w.available(t, "acme", "", "email"))
	w.requireBalanced(t)
}

// B3: an upgrade gives the rest of the period's difference at once and once;
// after a crash between the change and its top-ups the sweep completes it.
func TestB3_ACrashedChangeIsCompleted(t *testing.T) {
	w := setup(t)
	w.org(t, "acme", "rollover-ignite", day("2099-04-01")) // 30 days
	w.sweep(t, day("2099-04-01"))
	_, err := w.accounts.ChangePlan(t.Context(), "acme", "rollover-boost", day("2099-04-16"))
	require.NoError(t, err) // and the process dies
	for range 2 {
		applied, err := w.ApplyChanges(t.Context(), day("2099-04-16"), account.Pending{}, 10)
		require.NoError(t, err)
		require.Empty(t, applied.Failures)
		require.Equal(t, int64(5_000+3_500), w.available(t, "acme", "", "email"))
	}
	change, err := w.ChangePlan(t.Context(), "acme", "rollover-boost", day("2099-04-20"))
	require.NoError(t, err)
	require.Equal(t, 1, change.Generation, "asked again, the same change")
	require.Len(t, change.TopUps, 2)
	require.Equal(t, int64(5_000+3_500), w.available(t, "acme", "", "email"))
	w.requireBalanced(t)
}

// B3: a change in a period whose allotment is late does not lose its top-up to
// the reset that comes afterwards.
func TestB3_AChangeDuringAnOutage(t *testing.T) {
	w := setup(t)
	w.org(t, "acme", "workspace-paid", day("2099-03-01"))
	w.sweep(t, day("2099-03-01"))
	// The period of 1 April was missed.
	_, err := w.ChangePlan(t.Context(), "acme", "rollover-power", day("2099-04-16"))
	require.NoError(t, err)
	require.Equal(t, int64(10_000+10_000), w.available(t, "acme", "", "email"), "half of the 20,000 more, on top of April's")
	require.Zero(t, w.sweep(t, day("2099-04-30")))
	require.Equal(t, int64(20_000), w.available(t, "acme", "", "email"))
}

// B3: random switches at random times, with sweeps, repetitions and crashes in
// between. Nothing is spent, so what a plan that rolls over has given so far is
// what can be spent: per period no more than the largest allotment in force in
// it, and no less than each allotment for its share of the time. Packs stay
// under every plan.
func TestB3_SwitchingNeverMintsNorLoses(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	begin := day("2099-01-31")
	rolling := map[string]int64{"rollover-ignite": 5_000, "rollover-boost": 12_000, "rollover-power": 30_000}
	ids := []string{"rollover-boost", "rollover-ignite", "rollover-power"}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		org := fmt.Sprintf("org-%d", run)
		now, current := begin, rapid.SampledFrom(ids).Draw(rt, "first plan")
		_, err := w.accounts.CreateOrg(ctx, account.Org{ID: org, Name: org, Plan: current, Anchor: begin, CreatedAt: begin})
		require.NoError(rt, err)
		_, err = w.ledger.Grant(ctx, ledger.Grant{Owner: org, Key: "pack", Type: "email", Amount: 77, Source: ledger.SourcePack})
		require.NoError(rt, err)

		history := []phase{{begin, rolling[current]}}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(rt, "wait")))
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				require.NoError(rt, w.CatchUp(ctx, org, now))
			case 1: // a crash after the change was noted
				next := rapid.SampledFrom(ids).Draw(rt, "plan")
				require.NoError(rt, w.CatchUp(ctx, org, now))
				_, err := w.accounts.ChangePlan(ctx, org, next, now)
				require.NoError(rt, err)
				history = append(history, phase{now, rolling[next]})
			default:
				next := rapid.SampledFrom(ids).Draw(rt, "plan")
				for range rapid.IntRange(1, 2).Draw(rt, "tries") {
					_, err := w.ChangePlan(ctx, org, next, now)
					require.NoError(rt, err)
				}
				history = append(history, phase{now, rolling[next]})
			}
		}
		for range 2 { // the sweep, and the sweep again
			require.NoError(rt, w.CatchUp(ctx, org, now))
			applied, err := w.ApplyChanges(ctx, now, account.Pending{}, 1000)
			require.NoError(rt, err)
			require.Empty(rt, applied.Failures)
		}
		least, most := bounds(begin, now, history)
		given := granted(ctx2{rt, w}, org)
		require.GreaterOrEqual(rt, given, least, "%v", history)
		require.LessOrEqual(rt, given, most, "%v", history)
		balances, err := w.ledger.Balances(ctx, org)
		require.NoError(rt, err)
		require.Equal(rt, "email", balances[0].Type)
		require.Equal(rt, given+77, balances[0].Available, "nothing was lost, the pack included")
	})
	w.requireBalanced(t)
}

// phase is a plan's allotment from a time on.
type phase struct {
	since     time.Time
	allotment int64
}

// bounds are the fewest and the most credits that the periods begun by now may
// have brought: for each its allotments weighted by time, rounded down, and the
// largest one.
func bounds(anchor, now time.Time, history []phase) (least, most int64) {
	for n := 0; ; n++ {
		p := plan.PeriodN(anchor, n, time.UTC)
		if p.Start.After(now) {
			return least, most
		}
		var weighted float64
		var largest int64
		for i, h := range history {
			from, to := h.since, p.End
			if i+1 < len(history) {
				to = history[i+1].since
			}
			from, to = later(from, p.Start), earlier(to, p.End)
			if i+1 == len(history) {
				to = p.End
			}
			// A plan that was in force for an instant only was in force: what it
			// brought is not taken back.
			if to.Before(from) || !from.Before(p.End) {
				continue
			}
			weighted += float64(h.allotment) * float64(to.Sub(from)) / float64(p.End.Sub(p.Start))
			largest = max(largest, h.allotment)
		}
		least += int64(weighted) - 1 // floats round
		most += largest
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

type ctx2 struct {
	*rapid.T
	w *world
}

// granted is all that an organization was allotted of email credits.
func granted(c ctx2, org string) (sum int64) {
	err := c.w.pool.QueryRow(c.Context(), `
		SELECT coalesce(sum(amount), 0) FROM credit_grant
		WHERE owner = $1 AND type = 'email' AND source = 'allotment'`, org).Scan(&sum)
	require.NoError(c, err)
	return sum
}

// B4: the alert of the plan in force is armed in the pools its credits are in,
// at the beginning, for new members and after a change.
func TestB4_AlertsFollowThePlan(t *testing.T) {
	w := setup(t)
	begin := day("2099-01-31")
	w.org(t, "acme", "licence-monthly", begin)
	w.member(t, "acme", "bob", begin)
	require.NoError(t, w.CatchUp(t.Context(), "acme", begin))
	require.Equal(t, map[string][]int64{"bob/email": {100}, "bob/phone": {10}}, w.watched(t, "acme"))
	require.Zero(t, w.events(t, "acme", "credits.low"), "an empty beginning is no news")

	change, err := w.ChangePlan(t.Context(), "acme", "prepaid-verification", begin.AddDate(0, 0, 3))
	require.NoError(t, err)
	require.True(t, change.AtPeriodEnd)
	require.Equal(t, map[string][]int64{"bob/email": {100}, "bob/phone": {10}}, w.watched(t, "acme"), "not yet")
	applied, err := w.ApplyChanges(t.Context(), day("2099-02-28"), account.Pending{}, 10)
	require.NoError(t, err)
	require.Equal(t, 1, applied.Seen)
	require.Equal(t, map[string][]int64{"/email": {1_000, 100}}, w.watched(t, "acme"))
}

func (w *world) watched(t *testing.T, org string) map[string][]int64 {
	t.Helper()
	rows, _ := w.pool.Query(t.Context(), `SELECT pool || '/' || type, alert_at FROM credit_account WHERE owner = $1 AND alert_at IS NOT NULL`, org)
	watched := map[string][]int64{}
	var account string
	var at []int64
	_, err := pgx.ForEachRow(rows, []any{&account, &at}, func() error { watched[account] = slices.Clone(at); return nil })
	require.NoError(t, err)
	return watched
}

// E6: a low balance makes one event, until it has recovered.
func TestRule_E6_CreditsLowIsSentOnce(t *testing.T) {
	w := setup(t)
	w.org(t, "acme", "prepaid-verification", day("2026-01-31"))
	require.NoError(t, w.CatchUp(t.Context(), "acme", day("2026-01-31")))
	w.pack(t, "acme", "", "email", 1_500)
	keys := 0
	spend := func(n int64) {
		keys++
		res, err := w.ledger.Charge(t.Context(), ledger.Charge{
			Owner: "acme", Key: fmt.Sprint("spend-", keys),
			Lines: []ledger.ChargeLine{{Type: "email", Amount: n, Pools: []string{""}}},
		})
		require.NoError(t, err)
		require.True(t, res.Charged)
	}
	spend(499)
	require.Zero(t, w.events(t, "acme", "credits.low"))
	for range 5 {
		spend(1)
	}
	require.Equal(t, 1, w.events(t, "acme", "credits.low"))
	w.pack(t, "acme", "", "email", 500)
	spend(500)
	require.Equal(t, 2, w.events(t, "acme", "credits.low"), "crossed again after it had recovered")
	spend(896)
	require.Equal(t, 3, w.events(t, "acme", "credits.low"), "100 left: the plan's second threshold")
}

// E2: packs never expire and nothing resets them, for years.
func TestRule_E2_NothingResetsAPack(t *testing.T) {
	w := setup(t)
	w.org(t, "acme", "prepaid-verification", day("2026-01-31"))
	w.pack(t, "acme", "", "email", 1_000)
	require.Equal(t, 37, w.sweep(t, day("2029-01-31")), "its months pass")
	require.Equal(t, int64(1_000), w.available(t, "acme", "", "email"))
	require.Zero(t, w.events(t, "acme", "credits.reset"))
}

// A8: up and down at any time; what was bought is never lost, and neither is
// what rolled over.
func TestRule_A8_WhatWasBoughtIsNeverLost(t *testing.T) {
	w := setup(t)
	w.org(t, "acme", "rollover-boost", day("2099-04-01"))
	w.sweep(t, day("2099-04-01"))
	w.pack(t, "acme", "", "phone", 1_000)
	w.pack(t, "acme", "", "email", 2_000)
	for i, step := range []struct {
		plan         string
		day          string
		email, phone int64
	}{
		{"rollover-power", "2099-04-16", 12_000 + 2_000 + 9_000, 800 + 1_000 + 600},
		{"rollover-ignite", "2099-04-17", 23_000, 2_400},
		{"rollover-power", "2099-04-18", 23_000, 2_400},
		{"verified-leads", "2099-04-20", 23_000, 2_400},
		{"verified-leads", "2099-06-01", 23_000, 2_400}, // a plan without periods takes nothing away
		{"rollover-ignite", "2099-06-16", 23_000 + 2_500, 2_400 + 166},
	} {
		_, err := w.ChangePlan(t.Context(), "acme", step.plan, day(step.day))
		require.NoError(t, err)
		w.sweep(t, day(step.day))
		require.Equal(t, step.email, w.available(t, "acme", "", "email"), "step %d", i)
		require.Equal(t, step.phone, w.available(t, "acme", "", "phone"), "step %d", i)
	}
	w.requireBalanced(t)
}

// X5: the ledger counts what a member draws from the shared pool, per month.
func TestRule_X5_BudgetsNameTheOrganizationsMonth(t *testing.T) {
	w := setup(t)
	w.org(t, "acme", "workspace-paid", day("2099-01-31"))
	w.member(t, "acme", "bob", day("2099-02-10"))
	org, err := w.accounts.Org(t.Context(), "acme")
	require.NoError(t, err)
	budgets, err := w.Budgets(t.Context(), org, "bob", day("2099-02-27"))
	require.NoError(t, err)
	require.Empty(t, budgets, "no limit by default")
	require.NoError(t, w.accounts.SetBudget(t.Context(), "acme", "bob", plan.Amount{Type: "email", Amount: 100}))
	for at, name := range map[string]string{
		"2099-01-31": "bob/2099-01-31", "2099-02-27": "bob/2099-01-31", "2099-02-28": "bob/2099-02-28", "2099-03-31": "bob/2099-03-31",
	} {
		budgets, err = w.Budgets(t.Context(), org, "bob", day(at))
		require.NoError(t, err)
		require.Equal(t, map[string]ledger.Budget{"email": {Name: name, Cap: 100}}, budgets)
	}
	budgets, err = w.Budgets(t.Context(), org, "", day("2099-02-27"))
	require.NoError(t, err)
	require.Empty(t, budgets, "the organization itself has no limit")
}

// B6: credits that come back after their period is over live as long as the
// plan lets them.
func TestB6_WhatComesBackLate(t *testing.T) {
	ctx := t.Context()
	for planID, expires := range map[string]bool{"workspace-paid": true, "rollover-boost": false} {
		w := setup(t)
		w.org(t, "acme", planID, day("2099-01-31"))
		w.sweep(t, day("2099-01-31"))
		book := orderbook.New(w.pool)
		_, err := book.Create(ctx, orderbook.NewOrder{
			ID: "ord_1", Org: "acme", Request: order.Request{Kind: order.LeadList, Count: 20}, PlanID: planID, PlanVersion: 1,
			Status: order.Reserved, Held: []order.Amount{{Type: "email", Amount: 20}},
		})
		require.NoError(t, err)
		_, err = w.Reverse(ctx, billing.Reversal{OrderID: "ord_1", Key: "k", Reason: "r"}, day("2099-02-01"))
		require.ErrorIs(t, err, billing.ErrRunning, "B5")
		_, err = w.ledger.Charge(ctx, ledger.Charge{
			Owner: "acme", Key: "ord_1/charge", HoldID: "ord_1",
			Lines: []ledger.ChargeLine{{Type: "email", Amount: 20, Pools: []string{""}}},
		})
		require.NoError(t, err)
		require.NoError(t, book.Cancel(ctx, "ord_1", order.Tally{}, nil))

		w.sweep(t, day("2099-02-28"))
		reversed, err := w.Reverse(ctx, billing.Reversal{OrderID: "ord_1", Key: "k", Reason: "r"}, day("2099-03-10"))
		require.NoError(t, err)
		require.Equal(t, []plan.Amount{{Type: "email", Amount: 20}}, reversed.Credits)
		var until *time.Time
		require.NoError(t, w.pool.QueryRow(ctx, `
			SELECT expires_at FROM credit_grant WHERE owner = 'acme' AND source = 'reinstated' AND available = 20`).Scan(&until))
		if expires {
			require.WithinDuration(t, day("2099-03-31"), *until, 0)
		} else {
			require.Nil(t, until)
		}
		w.requireBalanced(t)
	}
}
