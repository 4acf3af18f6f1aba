package ledger_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

func TestBalancesLeaveOutWhatHasExpired(t *testing.T) { // I9
	ctx := t.Context()
	l := newLedger(t)
	soon := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	grant(t, l, ledger.Grant{Key: "old", Amount: 7, ExpiresAt: time.Now().Add(-time.Second)})
	grant(t, l, ledger.Grant{Key: "new", Amount: 5, ExpiresAt: soon, Source: ledger.SourceAllotment})
	grant(t, l, ledger.Grant{Key: "bob", Amount: 3, Pool: "bob"})
	held, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "h", HoldID: "h", Lines: []ledger.Line{{Type: "email", Amount: 2, Pools: []string{""}}}})
	require.NoError(t, err)
	require.True(t, held.Held)

	balances, err := l.Balances(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, []ledger.Balance{
		{Type: "email", Available: 3, Held: 2, Allotment: 5, Used: 2, ExpiresAt: soon},
		{Type: "email", Pool: "bob", Available: 3},
	}, balances)

	none, err := l.Balances(ctx, "missing")
	require.NoError(t, err)
	require.Empty(t, none)

	lines, err := l.HoldState(ctx, "acme", "h")
	require.NoError(t, err)
	require.Equal(t, []ledger.HoldLine{{Type: "email", Amount: 2}}, lines)
	_, err = l.HoldState(ctx, "acme", "unknown")
	require.ErrorIs(t, err, ledger.ErrUnknownHold)
}

func TestHistoryPagesAndFilters(t *testing.T) {
	ctx := t.Context()
	l := newLedger(t)
	grant(t, l, ledger.Grant{Key: "g", Amount: 100})
	grant(t, l, ledger.Grant{Key: "bob", Amount: 4, Pool: "bob", Source: ledger.SourceAllotment})
	for i := range 6 {
		_, err := l.Charge(ctx, ledger.Charge{
			Owner: "acme", Key: fmt.Sprintf("c%d", i),
			Lines: []ledger.ChargeLine{{
				Type: "email", Pools: []string{"bob", ""}, UnitCost: 3, Facts: []ledger.Fact{{Subject: [16]byte{byte(i)}}},
			}},
			Memo: ledger.Memo{OrderID: fmt.Sprintf("ord_%d", i%2), Action: "reveal", Member: "bob"},
		})
		require.NoError(t, err)
	}

	all, err := l.History(ctx, ledger.HistoryFilter{Owner: "acme"})
	require.NoError(t, err)
	require.Len(t, all.Lines, 2+6+1, "the second charge takes one credit of bob's and two shared ones")
	require.Empty(t, all.NextCursor)
	newest := all.Lines[0]
	require.Equal(t, "capture", newest.Kind)
	require.EqualValues(t, 3, newest.Amount)
	require.EqualValues(t, 86, newest.Balance)
	require.Equal(t, "ord_1", newest.OrderID)
	require.Equal(t, "reveal", newest.Action)
	require.Equal(t, "bob", newest.Member)
	require.Equal(t, ledger.SourcePack, newest.Source)
	require.EqualValues(t, 1, newest.Facts)
	require.Equal(t, [16]byte{5}, newest.Subject)

	// Page by page gives the same, also while new entries arrive.
	var paged []ledger.HistoryLine
	filter := ledger.HistoryFilter{Owner: "acme", Limit: 2}
	for {
		page, err := l.History(ctx, filter)
		require.NoError(t, err)
		paged = append(paged, page.Lines...)
		if page.NextCursor == "" {
			break
		}
		filter.Cursor = page.NextCursor
		grant(t, l, ledger.Grant{Key: "more-" + page.NextCursor, Amount: 1})
	}
	require.Equal(t, all.Lines, paged)

	shared := ""
	for name, c := range map[string]struct {
		filter ledger.HistoryFilter
		lines  int
	}{
		"kind":   {ledger.HistoryFilter{Kind: "capture"}, 7},
		"pool":   {ledger.HistoryFilter{Kind: "capture", Pool: &shared}, 5},
		"member": {ledger.HistoryFilter{Member: "bob"}, 8},
		"order":  {ledger.HistoryFilter{OrderID: "ord_0"}, 3},
		"type":   {ledger.HistoryFilter{Type: "phone"}, 0},
		"before": {ledger.HistoryFilter{To: all.Lines[8].At.Add(time.Microsecond)}, 1},
		"later":  {ledger.HistoryFilter{From: time.Now().Add(time.Hour)}, 0},
	} {
		c.filter.Owner = "acme"
		page, err := l.History(ctx, c.filter)
		require.NoError(t, err, name)
		require.Len(t, page.Lines, c.lines, name)
	}
	_, err = l.History(ctx, ledger.HistoryFilter{Owner: "acme", Cursor: "yesterday"})
	require.ErrorIs(t, err, ledger.ErrInvalid)

	usage, err := l.UsageBetween(ctx, "acme", all.Lines[8].At, time.Time{})
	require.NoError(t, err)
	require.Equal(t, []ledger.Usage{
		{Member: "bob", Type: "email", Captured: 14},
		{Member: "bob", Pool: "bob", Type: "email", Captured: 4},
	}, usage)

	// Divided at any time, the parts add up to the whole, each as if it were asked for alone.
	bounds := []time.Time{all.Lines[len(all.Lines)-1].At, all.Lines[8].At, all.Lines[4].At, all.Lines[0].At.Add(time.Second)}
	slices.SortFunc(bounds, time.Time.Compare)
	parts, err := l.UsageWithin(ctx, "acme", bounds)
	require.NoError(t, err)
	require.Len(t, parts, 3)
	for i, part := range parts {
		alone, err := l.UsageBetween(ctx, "acme", bounds[i], bounds[i+1])
		require.NoError(t, err)
		require.Equal(t, alone, part)
	}
	_, err = l.UsageWithin(ctx, "acme", bounds[:1])
	require.ErrorIs(t, err, ledger.ErrInvalid)
}

func newLedger(t *testing.T) *ledger.Ledger {
	t.Helper()
	l := ledger.New(pgtest.New(t))
	t.Cleanup(l.Close)
	return l
}

// grant gives acme email credits, from a pack where op names no source.
func grant(t *testing.T, l *ledger.Ledger, op ledger.Grant) {
	t.Helper()
	op.Owner, op.Type = "acme", "email"
	if op.Source == "" {
		op.Source = ledger.SourcePack
	}
	_, err := l.Grant(t.Context(), op)
	require.NoError(t, err)
}

// Balances are kept while the journal stands still; neither a new entry, made by
// any process, nor the passing of time is missed.
func TestBalancesAreNeverOld(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l, other := ledger.New(pool), ledger.New(pool)
	t.Cleanup(l.Close)
	t.Cleanup(other.Close)
	available := func(l *ledger.Ledger) (sum int64) {
		balances, err := l.Balances(ctx, "acme")
		require.NoError(t, err)
		for _, b := range balances {
			sum += b.Available
		}
		return sum
	}
	grant(t, l, ledger.Grant{Key: "a", Amount: 5})
	require.EqualValues(t, 5, available(l))
	require.EqualValues(t, 5, available(other))
	grant(t, other, ledger.Grant{Key: "b", Amount: 3, ExpiresAt: time.Now().Add(300 * time.Millisecond)})
	require.EqualValues(t, 8, available(l))
	require.EqualValues(t, 8, available(l))
	require.Eventually(t, func() bool { return available(l) == 5 }, 5*time.Second, 10*time.Millisecond, "nothing was booked; the time is over")
	balances, err := l.Balances(ctx, "acme")
	require.NoError(t, err)
	balances[0].Available = 99
	require.EqualValues(t, 5, available(l), "callers have their own")
}
