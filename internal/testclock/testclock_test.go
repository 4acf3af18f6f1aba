package testclock_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/orderbook"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/testclock"
)

type world struct {
	t        *testing.T
	pool     *pgxpool.Pool
	accounts *account.Accounts
	ledger   *ledger.Ledger
	billing  *billing.Billing
	clocks   *testclock.Clocks
}

func setup(t *testing.T) *world {
	t.Helper()
	pool := pgtest.New(t)
	w := &world{t: t, pool: pool, accounts: account.New(pool), ledger: ledger.New(pool)}
	t.Cleanup(w.ledger.Close)
	book := orderbook.New(pool)
	w.billing = billing.New(w.accounts, w.ledger, book)
	w.clocks = testclock.New(pool, w.accounts, w.billing, w.ledger, book)
	require.NoError(t, w.accounts.EnsurePresets(t.Context()))
	return w
}

// noOrders is Temporal where no order waits for a refund.
type noOrders struct{}

func (noOrders) TimeMoved(_ context.Context, id string) error { return fmt.Errorf("order %s", id) }

func (w *world) advance(id string, to time.Time) {
	w.t.Helper()
	_, err := w.clocks.Advance(w.t.Context(), id, to)
	require.NoError(w.t, err)
	require.NoError(w.t, w.clocks.Walk(w.t.Context(), id, noOrders{}))
	clock, err := w.clocks.Get(w.t.Context(), id)
	require.NoError(w.t, err)
	require.Equal(w.t, testclock.Ready, clock.Status)
	require.Equal(w.t, to, clock.At)
}

// begin makes an organization with a clock and two licences, whose anniversaries
// differ.
func (w *world) begin(org, plan string, at time.Time) (clock string) {
	w.t.Helper()
	ctx := w.t.Context()
	c, err := w.clocks.Create(ctx, org, at)
	require.NoError(w.t, err)
	o, err := w.accounts.CreateOrg(ctx, account.Org{ID: org, Name: org, Plan: plan})
	require.NoError(w.t, err)
	require.Equal(w.t, at, o.CreatedAt.UTC(), "it is created in its own time")
	require.Equal(w.t, at, o.Anchor.UTC())
	for i, member := range []string{"ann", "bob"} {
		_, err := w.accounts.CreateMember(ctx, account.Member{Org: org, ID: member, Name: member, Anchor: at.AddDate(0, 0, -i-1).Add(time.Duration(i+1) * time.Hour)})
		require.NoError(w.t, err)
	}
	require.NoError(w.t, w.billing.CatchUp(ctx, org, time.Time{}))
	return c.ID
}

// entry is what a line of the journal says, without numbers that depend on which
// of two operations of the same moment came first.
type entry struct {
	At        time.Time
	Kind, Key string
	Reason    string
	Postings  string
}

func (w *world) journal(org string) []entry {
	w.t.Helper()
	rows, _ := w.pool.Query(w.t.Context(), `
		SELECT e.at, e.kind, coalesce(e.key, '') AS key, e.reason, coalesce((
			SELECT string_agg(concat_ws(' ', p ->> 'move', p ->> 'pool', p ->> 'type', p ->> 'amount', p ->> 'balance', p ->> 'low'), ', ' ORDER BY n)
			FROM json_array_elements(e.postings) WITH ORDINALITY AS x (p, n)), '') AS postings
		FROM credit_entry e WHERE owner = $1 ORDER BY e.at, key, postings`, org)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[entry])
	require.NoError(w.t, err)
	return list
}

// An organization whose clock is advanced in random steps has the journal of one
// that is advanced in one call: grants that start and expire, periods, changes of
// plan, both kinds of them, all at the times of their own.
func TestC1_StepsMakeNoDifference(t *testing.T) {
	w := setup(t)
	for _, plans := range [][]string{
		{"rollover-ignite", "rollover-boost", "rollover-ignite"}, // prorated
		{"licence-monthly", "workspace-free", "licence-monthly"}, // at the end of the period, and back at once
	} {
		t.Run(plans[0], func(t *testing.T) {
			w := *w
			w.t = t
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			one, many := plans[0]+"-one", plans[0]+"-many"
			begin := time.Date(2028, 1, 31, 9, 30, 0, 0, time.UTC)
			clocks := map[string]string{one: w.begin(one, plans[0], begin), many: w.begin(many, plans[0], begin)}
			at := begin
			for i, length := range []int{100, 130, 200} { // days
				shared := rand.New(rand.NewPCG(seed, uint64(i)))
				var grants []billing.NewGrant
				for range 4 {
					starts := at.Add(time.Duration(shared.Int64N(int64(60 * 24 * time.Hour))))
					grants = append(grants, billing.NewGrant{
						Member: "ann", Type: "email", Amount: 1 + shared.Int64N(500), Source: ledger.SourcePromotion,
						StartsAt: starts, ExpiresAt: starts.Add(time.Duration(1 + shared.Int64N(int64(90*24*time.Hour)))),
					})
				}
				to := at.AddDate(0, 0, length)
				for org, clock := range clocks {
					o, err := w.accounts.Org(t.Context(), org)
					require.NoError(t, err)
					_, err = w.billing.ChangePlan(t.Context(), org, plans[i], o.Time(time.Now()))
					require.NoError(t, err)
					if plans[0] == "licence-monthly" { // its credits may be a member's
						_, err = w.billing.GrantAll(t.Context(), o, fmt.Sprint("grants ", i), grants, "rehearsal")
						require.NoError(t, err)
					}
					if org == many {
						w.stroll(clock, shared, at, to)
					}
					w.advance(clock, to)
				}
				at = to
			}
			require.Equal(t, w.journal(one), w.journal(many))
			require.Greater(t, len(w.journal(one)), 20)
			report, err := ledger.Audit(t.Context(), w.pool, ledger.AuditOptions{Also: []ledger.Check{account.CheckLedger, orderbook.CheckLedger}})
			require.NoError(t, err)
			require.True(t, report.Clean(), "%v", report.Findings)
		})
	}
}

// stroll advances a clock to some random times before the last one.
func (w *world) stroll(clock string, r *rand.Rand, at, to time.Time) {
	var stops []time.Time
	for range 8 {
		stops = append(stops, at.Add(time.Duration(r.Int64N(int64(to.Sub(at))))).Truncate(time.Microsecond))
	}
	slices.SortFunc(stops, time.Time.Compare)
	for _, stop := range stops {
		w.advance(clock, stop)
	}
}

// A request that comes several times at once, also while the clock moves and after it
// has arrived, is one.
func TestC2_AnAdvanceThatComesTwiceIsOne(t *testing.T) {
	w := setup(t)
	at := time.Date(2020, 2, 29, 0, 0, 0, 0, time.UTC)
	clock := w.begin("twice", "rollover-boost", at)
	for range 5 {
		at = at.Add(time.Hour)
		var calls errgroup.Group
		for range 50 {
			calls.Go(func() error {
				if _, err := w.clocks.Advance(t.Context(), clock, at); err != nil {
					return err
				}
				return w.clocks.Walk(t.Context(), clock, noOrders{})
			})
		}
		require.NoError(t, calls.Wait())
		now, err := w.clocks.Get(t.Context(), clock)
		require.NoError(t, err)
		require.Equal(t, testclock.Ready, now.Status)
		require.Equal(t, at, now.At)
	}
}

// What can go wrong with a clock is refused, and changes nothing.
func TestC2_LifeOfAClock(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	past := time.Date(2020, 2, 29, 0, 0, 0, 0, time.UTC)
	clock := w.begin("old", "rollover-boost", past)
	_, err := w.clocks.Create(ctx, "old", past)
	require.ErrorIs(t, err, testclock.ErrExists)
	_, err = w.clocks.Advance(ctx, clock, past.Add(-time.Second))
	require.ErrorIs(t, err, testclock.ErrBack)
	_, err = w.clocks.Advance(ctx, clock, past.Add(testclock.Furthest+1))
	require.NoError(t, err, "a nanosecond is no time here")
	_, err = w.clocks.Advance(ctx, clock, past.Add(time.Hour))
	require.ErrorIs(t, err, testclock.ErrAdvancing)
	require.ErrorIs(t, w.clocks.Delete(ctx, clock), testclock.ErrAdvancing)

	// The sweep of all the others leaves it alone.
	page, err := w.billing.Sweep(ctx, time.Now(), account.Cursor{}, 100)
	require.NoError(t, err)
	require.Zero(t, page.Seen, "nothing is due in 2020")
	require.NoError(t, w.clocks.Walk(ctx, clock, noOrders{}))
	var resets int
	require.NoError(t, w.pool.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE org = 'old' AND topic = 'credits.reset'`).Scan(&resets))
	require.Equal(t, 1+24, resets)

	require.NoError(t, w.clocks.Delete(ctx, clock))
	_, err = w.clocks.Get(ctx, clock)
	require.ErrorIs(t, err, testclock.ErrNotFound)
	org, err := w.accounts.Org(ctx, "old")
	require.NoError(t, err)
	require.Equal(t, account.StatusClosed, org.Status)
	require.Equal(t, past.Add(testclock.Furthest), org.TestClock.UTC(), "its time stands still")

	// One that exists has lived until now.
	_, err = w.accounts.CreateOrg(ctx, account.Org{ID: "new", Name: "new", Plan: "rollover-boost"})
	require.NoError(t, err)
	_, err = w.clocks.Create(ctx, "new", past)
	require.ErrorIs(t, err, testclock.ErrBack)
	ahead := time.Now().AddDate(0, 3, 0).UTC().Truncate(time.Microsecond)
	c, err := w.clocks.Create(ctx, "new", ahead)
	require.NoError(t, err)
	require.Equal(t, testclock.Advancing, c.Status)
	require.NoError(t, w.clocks.Walk(ctx, c.ID, noOrders{}))
	org, err = w.accounts.Org(ctx, "new")
	require.NoError(t, err)
	require.Equal(t, ahead, org.TestClock.UTC())

	// An organization that was never created is free of its clock.
	c, err = w.clocks.Create(ctx, "later", past)
	require.NoError(t, err)
	require.NoError(t, w.clocks.Delete(ctx, c.ID))
	org, err = w.accounts.CreateOrg(ctx, account.Org{ID: "later", Name: "later", Plan: "rollover-boost"})
	require.NoError(t, err)
	require.Nil(t, org.TestClock)
	require.WithinDuration(t, time.Now(), org.CreatedAt, time.Hour)
}
