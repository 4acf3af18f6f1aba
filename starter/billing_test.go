package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/intake"
	"holdfast/internal/order"
	"holdfast/internal/plan"
	"holdfast/internal/postgres"
)

// available are an organization's credits that can be spent, by pool and type.
func (w *world) available(args ...string) map[string]int64 {
	w.t.Helper()
	var view billing.Credits
	w.run(append([]string{"credits", "--json"}, args...)...).ok().into(&view)
	available := map[string]int64{}
	for _, c := range view.Credits {
		available[c.Member+"/"+c.Type] = c.Available
	}
	return available
}

// E5, K6: the balance for machines; a new organization and a new member have
// their first credits at once.
func TestRule_E5_K6_FirstCreditsAndTheirBalance(t *testing.T) {
	w := newDatabaseWorld(t)
	w.run("org", "create", "acme", "--plan", "rollover-boost").ok()
	require.Equal(t, map[string]int64{"/email": 12_000, "/phone": 800}, w.available("--org", "acme"))
	w.run("org", "create", "seats", "--plan", "licence-monthly").ok()
	w.run("member", "create", "bob", "--org", "seats").ok()
	w.run("member", "create", "jane", "--org", "seats").ok()
	w.run("credits", "grant", "--org", "seats", "--type", "email", "--amount", "70").ok()
	require.Equal(t, map[string]int64{"/email": 70, "bob/email": 1_000, "bob/phone": 100, "bob/profile": 100},
		w.available("--org", "seats", "--member", "bob"), "bob sees his own and the shared ones, not jane's")
	require.Len(t, w.available("--org", "seats"), 7)
	require.Contains(t, w.run("audit").ok().stdout, "The books balance")
}

func TestOrgPlan(t *testing.T) {
	w := newDatabaseWorld(t)
	w.run("org", "create", "acme", "--plan", "rollover-ignite").ok()
	w.run("org", "plan", "acme").fails(exitUsage, "a plan's id")
	w.run("org", "plan", "acme", "golden").fails(exitFailed, "golden")
	w.run("org", "plan", "missing", "rollover-boost").fails(exitFailed, "missing")

	var first, again billing.Change
	w.run("org", "plan", "acme", "rollover-boost", "--json").ok().into(&first)
	require.Equal(t, 1, first.Generation)
	require.Len(t, first.TopUps, 2)
	require.InDelta(t, 7_000, first.TopUps[0].Amount, 10, "nearly the whole period is left")
	have := w.available("--org", "acme")
	require.Equal(t, 5_000+first.TopUps[0].Amount, have["/email"])
	w.run("org", "plan", "acme", "rollover-boost", "--json").ok().into(&again)
	require.Equal(t, first, again, "asked again, the same change")
	require.Equal(t, have, w.available("--org", "acme"))
	o := w.run("org", "plan", "acme", "rollover-ignite").ok()
	require.Contains(t, o.stdout, "rollover-ignite")
	require.Equal(t, have, w.available("--org", "acme"), "nothing is taken away")

	w.run("org", "create", "seats", "--plan", "licence-monthly").ok()
	require.Contains(t, w.run("org", "plan", "seats", "rollover-boost").ok().stdout, "when its next period begins")
}

// A reset can be rehearsed: what it would do is shown, and nothing is done.
func TestSchedulePreview(t *testing.T) {
	w := newDatabaseWorld(t)
	w.run("org", "create", "acme", "--plan", "workspace-paid").ok()
	w.run("credits", "grant", "--org", "acme", "--type", "email", "--amount", "9").ok()
	w.run("credits", "grant", "--org", "acme", "--type", "email", "--amount", "1000000000001").fails(exitUsage, "at most 1,000,000,000,000")
	have := w.available("--org", "acme")
	var p billing.Preview
	at := time.Now().AddDate(0, 1, 1).Format(time.DateOnly)
	w.run("schedule", "preview", "--org", "acme", "--at", at, "--json").ok().into(&p)
	require.Len(t, p.Resets, 1)
	require.Equal(t, "workspace-paid", p.Resets[0].EndedPlan)
	require.Contains(t, p.Resets[0].Credits, account.ResetCredit{Type: "email", Granted: 10_000, Expired: 10_000})
	o := w.run("schedule", "preview", "--org", "acme", "--at", at).ok()
	require.Contains(t, o.stdout, "nothing was changed")
	require.Contains(t, o.stdout, "10,000")
	require.Contains(t, w.run("schedule", "preview", "--org", "acme").ok().stdout, "No period of acme")
	w.run("schedule", "preview", "--org", "missing").fails(exitFailed, "missing")
	require.Equal(t, have, w.available("--org", "acme"))
	require.Contains(t, w.run("audit").ok().stdout, "The books balance")
	require.Contains(t, w.run("org", "show", "acme").ok().stdout, "next reset")
}

func TestOrderReverseNeedsAReasonAndAnOrder(t *testing.T) {
	w := newDatabaseWorld(t)
	w.run("order", "reverse", "ord_nothing", "--key", "k").fails(exitUsage, "reason")
	w.run("order", "reverse", "ord_nothing", "--key", "k", "--reason", " ").fails(exitUsage, "reason")
	w.run("order", "reverse", "ord_nothing", "--key", "k", "--reason", "r").fails(exitFailed, "there is no")
	w.run("order", "reverse", "ord_nothing", "--key", "k", "--reason", "r", "--amount", "3").fails(exitUsage, "credits of one type")
}

// TestOperator is an operator's day with a real stack: the reset schedule, and
// an order to be undone.
func TestOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, at := startDev(w, "--leads", "500")
	t.Run("schedule", func(t *testing.T) { schedule(t, w, at) })
	t.Run("reversal", func(t *testing.T) { reversal(t, w) })
}

func schedule(t *testing.T, w *world, at addresses) {
	show := func() (s intake.Schedule) {
		w.run("schedule", "show", "--json").ok().into(&s)
		return s
	}
	s := show()
	require.Equal(t, "1h0m0s", s.Every, "dev makes it")
	require.False(t, s.Paused)
	require.NotEmpty(t, s.Next)
	w.run("schedule", "ensure", "--every", "2s").fails(exitUsage, "every minute")
	w.run("schedule", "backfill", "--from", "2026-02-01", "--to", "2026-01-01").fails(exitFailed, "begin before it ends")
	w.run("schedule", "backfill").fails(exitUsage, "from")

	require.Contains(t, w.run("schedule", "pause", "--reason", "a rest").ok().stdout, "is paused (a rest)")
	require.True(t, show().Paused)
	w.run("schedule", "ensure", "--every", "10m").ok()
	s = show()
	require.True(t, s.Paused, "ensure does not wake it")
	require.Equal(t, "10m0s", s.Every)
	w.run("schedule", "unpause").ok()
	require.False(t, show().Paused)

	// An organization with last months that were not reset.
	pool, err := postgres.Open(t.Context(), at.DatabaseURL)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	begin := time.Now().AddDate(0, -3, -2).UTC()
	org, err := account.New(pool).CreateOrg(t.Context(), account.Org{
		ID: "late", Name: "Late", Plan: "rollover-boost", Anchor: begin, CreatedAt: begin,
	})
	require.NoError(t, err)
	now, err := org.Period(time.Now())
	require.NoError(t, err)
	periods := int64(now.N + 1)
	w.run("schedule", "trigger").ok()
	require.Eventually(t, func() bool {
		return w.available("--org", "late")["/email"] == periods*12_000
	}, time.Minute, 100*time.Millisecond, "every missed month is there")

	before := show().Runs
	require.Positive(t, before)
	w.run("schedule", "backfill", "--from", time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)).ok()
	require.Eventually(t, func() bool { return show().Runs >= before+5 && len(show().Running) == 0 },
		time.Minute, 200*time.Millisecond, "an hour in steps of ten minutes")
	require.Equal(t, periods*12_000, w.available("--org", "late")["/email"], "once each")
	text, err := json.Marshal(show())
	require.NoError(t, err)
	require.Contains(t, string(text), "monthly-reset-")
}

// N12: an order is undone, part and whole, with a reason that the history shows.
func reversal(t *testing.T, w *world) {
	var o order.Order
	w.run("order", "lead-list", "--org", "acme", "--count", "200", "--key", "mistake", "--watch", "--json").ok().into(&o)
	before := w.available("--org", "acme")["/email"]
	var some, rest, again billing.Reversed
	w.run("order", "reverse", o.ID, "--type", "email", "--amount", "5", "--reason", "goodwill", "--key", "a", "--json").ok().into(&some)
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 5}}, some.Credits)
	w.run("order", "reverse", o.ID, "--reason", "exported by mistake", "--key", "b", "--json").ok().into(&rest)
	require.Equal(t, []plan.Amount{{Type: "email", Amount: o.Tally.Valid - 5}}, rest.Credits)
	require.Equal(t, o.Tally.Valid, rest.Facts)
	w.run("order", "reverse", o.ID, "--reason", "exported by mistake", "--key", "b", "--json").ok().into(&again)
	require.Equal(t, rest, again, "the same key is the same reversal")
	require.Equal(t, before+o.Tally.Valid, w.available("--org", "acme")["/email"])
	require.Contains(t, w.run("order", "reverse", o.ID, "--reason", "once more").ok().stdout, "Nothing was left")
	require.Contains(t, w.run("credits", "history", "--org", "acme", "--order", o.ID, "--json").ok().stdout, "exported by mistake")
	require.Contains(t, w.run("audit").ok().stdout, "The books balance")
}
