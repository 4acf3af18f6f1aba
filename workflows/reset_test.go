package workflows_test

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/orderbook"
	"holdfast/internal/postgres/pgtest"
	"holdfast/workflows"
)

// months is what a reset touches, on a real database.
type months struct {
	t        *testing.T
	pool     *pgxpool.Pool
	accounts *account.Accounts
	ledger   *ledger.Ledger
	acts     *activities.Activities
}

func newMonths(t *testing.T) *months {
	pool := pgtest.New(t)
	m := &months{t: t, pool: pool, accounts: account.New(pool), ledger: ledger.New(pool)}
	t.Cleanup(m.ledger.Close)
	m.acts = &activities.Activities{Accounts: m.accounts, Ledger: m.ledger, Book: orderbook.New(pool)}
	require.NoError(t, m.accounts.EnsurePresets(t.Context()))
	return m
}

func (m *months) org(id, plan, zone string, anchor time.Time) {
	_, err := m.accounts.CreateOrg(m.t.Context(), account.Org{
		ID: id, Name: id, Plan: plan, TimeZone: zone, Anchor: anchor, CreatedAt: anchor,
	})
	require.NoError(m.t, err)
}

func (m *months) member(org, id string, anchor time.Time) {
	_, err := m.accounts.CreateMember(m.t.Context(), account.Member{Org: org, ID: id, Name: id, Anchor: anchor, CreatedAt: anchor})
	require.NoError(m.t, err)
}

// env is what a schedule starts: the workflow runs later than the time it is
// scheduled for.
func (m *months) env(scheduled time.Time) *testsuite.TestWorkflowEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(time.Minute)
	env.SetStartTime(scheduled.AddDate(0, 2, 0))
	require.NoError(m.t, env.SetTypedSearchAttributesOnStart(temporal.NewSearchAttributes(workflows.AttrScheduledStart.ValueSet(scheduled))))
	workflows.Register(env)
	env.RegisterActivity(m.acts)
	return env
}

// reset runs the workflow to its end, run after run, and returns its result and
// how many runs it took.
func (m *months) reset(scheduled time.Time, in workflows.ResetInput) (workflows.ResetTally, int) {
	for runs := 1; ; runs++ {
		env := m.env(scheduled)
		env.ExecuteWorkflow(workflows.MonthlyReset, in)
		require.True(m.t, env.IsWorkflowCompleted())
		var again *workflow.ContinueAsNewError
		if errors.As(env.GetWorkflowError(), &again) {
			in = workflows.ResetInput{}
			require.NoError(m.t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &in))
			continue
		}
		require.NoError(m.t, env.GetWorkflowError())
		var tally workflows.ResetTally
		require.NoError(m.t, env.GetWorkflowResult(&tally))
		return tally, runs
	}
}

// available is what the pool of a member ("" = the organization) can spend, by type.
func (m *months) available(org, pool string) map[string]int64 {
	balances, err := m.ledger.Balances(m.t.Context(), org)
	require.NoError(m.t, err)
	available := map[string]int64{}
	for _, b := range balances {
		if b.Pool == pool {
			available[b.Type] = b.Available
		}
	}
	return available
}

// events are the credits.reset events of an organization, in order.
func (m *months) events(org string) []string {
	rows, _ := m.pool.Query(m.t.Context(), `
		SELECT key || ' ' || (payload->>'period_start') FROM outbox
		WHERE org = $1 AND topic = 'credits.reset' ORDER BY id`, org)
	events, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(m.t, err)
	return events
}

func day(text string) time.Time {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return t
}

// A5, X6: four months without a single run, then every missed period once, in
// order, each with the rules' own numbers; a second run finds nothing to do.
func TestRule_A5_X6_AnOutageIsCaughtUpPeriodByPeriod(t *testing.T) {
	m := newMonths(t)
	m.org("acme", "rollover-boost", "UTC", day("2026-01-31"))

	tally, runs := m.reset(day("2026-05-31"), workflows.ResetInput{})
	require.Equal(t, 1, runs)
	require.Equal(t, 5, tally.Reset)
	require.Zero(t, tally.Failed)
	require.Equal(t, []activities.ResetCredit{
		{Type: "email", Granted: 5 * 12_000, RolledOver: (1 + 2 + 3 + 4) * 12_000},
		{Type: "phone", Granted: 5 * 800, RolledOver: (1 + 2 + 3 + 4) * 800},
	}, tally.Credits)
	require.Equal(t, map[string]int64{"email": 60_000, "phone": 4_000}, m.available("acme", ""))
	require.Equal(t, []string{
		"credits.reset//0 2026-01-31T00:00:00Z", "credits.reset//1 2026-02-28T00:00:00Z",
		"credits.reset//2 2026-03-31T00:00:00Z", "credits.reset//3 2026-04-30T00:00:00Z",
		"credits.reset//4 2026-05-31T00:00:00Z",
	}, m.events("acme"))

	tally, _ = m.reset(day("2026-05-31"), workflows.ResetInput{})
	require.Zero(t, tally.Reset)
	require.Equal(t, map[string]int64{"email": 60_000, "phone": 4_000}, m.available("acme", ""))
}

// The period comes from the schedule's time, not from when the workflow runs:
// env starts it two months late.
func TestResetTakesTheScheduledTime(t *testing.T) {
	m := newMonths(t)
	m.org("acme", "rollover-boost", "UTC", day("2026-01-31"))
	tally, _ := m.reset(day("2026-02-27"), workflows.ResetInput{})
	require.Equal(t, 1, tally.Reset)
	tally, _ = m.reset(day("2026-02-28"), workflows.ResetInput{})
	require.Equal(t, 1, tally.Reset, "due at its first instant")

	// Started by hand, without a schedule, it takes the time it was started.
	env := m.env(day("2026-04-30"))
	require.NoError(t, env.SetTypedSearchAttributesOnStart(temporal.NewSearchAttributes()))
	env.SetStartTime(day("2026-03-31"))
	env.ExecuteWorkflow(workflows.MonthlyReset, workflows.ResetInput{})
	require.NoError(t, env.GetWorkflowError())
	require.Len(t, m.events("acme"), 3)
}

// N7, N8, N10: each licence has its own month from its anniversary, at the
// month's end too, in the organization's zone; an annual payer gets the same
// allotment every month; nothing rolls over.
func TestRule_N7_N8_N10_LicencesRenewOnTheirAnniversaries(t *testing.T) {
	m := newMonths(t)
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	m.org("acme", "licence-monthly", "Europe/Berlin", day("2099-01-15"))
	m.member("acme", "jan", time.Date(2099, 1, 31, 9, 30, 0, 0, berlin))
	m.member("acme", "feb", time.Date(2099, 2, 10, 0, 0, 0, 0, berlin))

	want := map[string]int64{"email": 1_000, "phone": 100, "profile": 100}
	var spent int64
	for i, at := range []time.Time{
		time.Date(2099, 1, 31, 9, 30, 0, 0, berlin),
		time.Date(2099, 2, 28, 9, 30, 0, 0, berlin),
		time.Date(2099, 3, 31, 9, 30, 0, 0, berlin), // 31 again, and in summer time
		time.Date(2099, 4, 30, 9, 30, 0, 0, berlin),
	} {
		m.reset(at.Add(-time.Second), workflows.ResetInput{})
		require.Len(t, m.eventsOf("acme", "jan"), i, "not a second early")
		m.reset(at, workflows.ResetInput{})
		require.Len(t, m.eventsOf("acme", "jan"), i+1)
		require.Equal(t, want, m.available("acme", "jan"), "the month's allotment, no more")
		spent += 10
		_, err := m.ledger.Charge(t.Context(), ledger.Charge{
			Owner: "acme", Key: fmt.Sprint("spend-", i),
			Lines: []ledger.ChargeLine{{Type: "email", Amount: 10, Pools: []string{"jan", ""}}},
		})
		require.NoError(t, err)
	}
	require.Len(t, m.eventsOf("acme", "feb"), 3, "10 February, March and April")
	require.Equal(t, want, m.available("acme", "feb"))
	require.Empty(t, m.available("acme", ""), "licences do not fill the shared pool")

	period, err := (account.Member{Anchor: time.Date(2099, 1, 31, 9, 30, 0, 0, berlin)}).Period(day("2099-03-05"), account.Org{TimeZone: "Europe/Berlin"})
	require.NoError(t, err)
	balances, err := m.ledger.Balances(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, time.Date(2099, 3, 31, 9, 30, 0, 0, berlin), period.End)
	for _, b := range balances {
		if b.Pool == "jan" {
			require.Equal(t, time.Date(2099, 5, 31, 9, 30, 0, 0, berlin).UTC(), b.ExpiresAt, "the balance shows the month's end")
		}
	}
}

func (m *months) eventsOf(org, member string) []string {
	var own []string
	for _, e := range m.events(org) {
		var key, at string
		_, err := fmt.Sscan(e, &key, &at)
		require.NoError(m.t, err)
		if prefix := "credits.reset/" + member + "/"; len(key) > len(prefix) && key[:len(prefix)] == prefix {
			own = append(own, e)
		}
	}
	return own
}

// X6: the worker dies after the ledger has renewed a page's credits and before
// the subscriptions have moved on, three times. The database itself refuses to
// move them; the page is tried again until all is done, and nothing is granted
// twice.
func TestRule_X6_ACrashBetweenRenewalAndAdvance(t *testing.T) {
	m := newMonths(t)
	for i := range 30 {
		m.org(fmt.Sprintf("org-%02d", i), "workspace-paid", "UTC", day("2099-01-31"))
	}
	_, err := m.pool.Exec(t.Context(), `
		CREATE SEQUENCE crashes;
		CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF nextval('crashes') <= 3 THEN RAISE EXCEPTION 'the worker is gone'; END IF;
			RETURN NULL;
		END $$;
		CREATE TRIGGER crash BEFORE UPDATE ON subscription FOR EACH STATEMENT EXECUTE FUNCTION crash();`)
	require.NoError(t, err)

	tally, _ := m.reset(day("2099-03-31"), workflows.ResetInput{PageSize: 20})
	require.Equal(t, 90, tally.Reset)
	require.Zero(t, tally.Failed)
	var crashes int64
	require.NoError(t, m.pool.QueryRow(t.Context(), `SELECT last_value FROM crashes`).Scan(&crashes))
	require.Greater(t, crashes, int64(3), "it did crash")
	for i := range 30 {
		org := fmt.Sprintf("org-%02d", i)
		require.Equal(t, map[string]int64{"email": 10_000, "phone": 1_000, "direct_email": 200, "export": 5_000}, m.available(org, ""))
		require.Len(t, m.events(org), 3)
	}
	report, err := ledger.Audit(t.Context(), m.pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

// A subscription that cannot be reset is counted and named; the others go on,
// and it is tried again by the next sweep.
func TestOneThatCannotBeResetDoesNotStopTheOthers(t *testing.T) {
	m := newMonths(t)
	for _, id := range []string{"a", "b", "c"} {
		m.org(id, "rollover-ignite", "UTC", day("2026-01-31"))
	}
	// Another caller used the key of b's second reset for something else.
	_, err := m.ledger.Grant(t.Context(), ledger.Grant{Owner: "b", Key: "reset//1", Type: "email", Amount: 1, Source: ledger.SourcePack})
	require.NoError(t, err)

	for range 2 {
		tally, _ := m.reset(day("2026-04-01"), workflows.ResetInput{})
		require.Equal(t, 1, tally.Failed)
		require.Len(t, tally.Failures, 1)
		require.Equal(t, "b", tally.Failures[0].Org)
		require.Equal(t, 1, tally.Failures[0].Period)
		require.Contains(t, tally.Failures[0].Reason, "idempotency key")
	}
	require.Len(t, m.events("a"), 3)
	require.Len(t, m.events("b"), 1)
	require.Len(t, m.events("c"), 3)
}

// A long sweep goes on in new runs, with its place and its counts.
func TestResetContinuesAsNew(t *testing.T) {
	m := newMonths(t)
	for i := range 110 {
		m.org(fmt.Sprintf("org-%03d", i), "rollover-ignite", "UTC", day("2026-01-01").Add(time.Duration(i)*time.Minute))
	}
	tally, runs := m.reset(day("2026-02-15"), workflows.ResetInput{PageSize: 1})
	require.Equal(t, 3, runs, "110 subscriptions, two periods each, one a page")
	require.Equal(t, 220, tally.Reset)
	require.Equal(t, 220, tally.Pages)
	require.Equal(t, int64(220*333), tally.Credits[1].Granted)
	for i := range 110 {
		require.Len(t, m.events(fmt.Sprintf("org-%03d", i)), 2)
	}
}

// A plan change that waits for the period's end is completed by the sweep: the
// next allotment and the alerts are the new plan's.
func TestResetCompletesPlanChanges(t *testing.T) {
	m := newMonths(t)
	m.org("acme", "licence-monthly", "UTC", day("2026-01-31"))
	m.reset(day("2026-01-31"), workflows.ResetInput{})
	change, err := m.accounts.ChangePlan(t.Context(), "acme", "rollover-boost", day("2026-02-10"))
	require.NoError(t, err)
	require.True(t, change.AtPeriodEnd)

	tally, _ := m.reset(day("2026-02-27"), workflows.ResetInput{})
	require.Zero(t, tally.Changes)
	require.Empty(t, m.available("acme", ""))
	tally, _ = m.reset(day("2026-02-28"), workflows.ResetInput{})
	require.Equal(t, 1, tally.Changes)
	require.Equal(t, map[string]int64{"email": 12_000, "phone": 800}, m.available("acme", ""))
	require.Equal(t, map[string]int64{"email": 1_200, "phone": 80}, m.watched("acme"))
	tally, _ = m.reset(day("2026-02-28"), workflows.ResetInput{})
	require.Zero(t, tally.Changes)
}

// watched are the balances at which the shared pool of an organization is low.
func (m *months) watched(org string) map[string]int64 {
	rows, _ := m.pool.Query(m.t.Context(), `SELECT type, alert_at[1] FROM credit_account WHERE owner = $1 AND pool = '' AND alert_at IS NOT NULL`, org)
	watched := map[string]int64{}
	var kind string
	var at int64
	_, err := pgx.ForEachRow(rows, []any{&kind, &at}, func() error { watched[kind] = at; return nil })
	require.NoError(m.t, err)
	return watched
}

// While it runs and afterwards the reset tells what it has done.
func TestResetAnswersProgress(t *testing.T) {
	m := newMonths(t)
	m.org("acme", "rollover-boost", "UTC", day("2026-01-31"))
	env := m.env(day("2026-02-28"))
	env.ExecuteWorkflow(workflows.MonthlyReset, workflows.ResetInput{})
	require.NoError(t, env.GetWorkflowError())
	value, err := env.QueryWorkflow(workflows.QueryProgress)
	require.NoError(t, err)
	var tally workflows.ResetTally
	require.NoError(t, value.Get(&tally))
	require.Equal(t, 2, tally.Reset)
}
