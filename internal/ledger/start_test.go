package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

// I9: credits of a grant that starts later are there from its start on, by the
// database's clock, without anything running at that moment.
func TestGrantsThatStartLater(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l := ledger.New(pool)
	t.Cleanup(l.Close)
	available := func() int64 {
		balances, err := l.Balances(ctx, "acme")
		require.NoError(t, err)
		return balances[0].Available
	}
	lines := func(n int64) []ledger.Line { return []ledger.Line{{Type: "email", Amount: n, Pools: []string{""}}} }
	var now time.Time
	require.NoError(t, pool.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&now))
	start := now.Add(2 * time.Second)
	grant(t, l, ledger.Grant{Key: "now", Amount: 5})
	grant(t, l, ledger.Grant{Key: "soon", Amount: 40, StartsAt: start, Memo: ledger.Memo{Reason: "from tomorrow on"}})
	grant(t, l, ledger.Grant{Key: "later", Amount: 7, StartsAt: start.AddDate(1, 0, 0)})
	grant(t, l, ledger.Grant{Key: "past", Amount: 1, StartsAt: now.Add(-time.Hour)})
	_, err := l.Grant(ctx, ledger.Grant{Owner: "acme", Key: "x", Type: "email", Amount: 1, Source: ledger.SourcePack, StartsAt: start, ExpiresAt: start})
	require.ErrorIs(t, err, ledger.ErrInvalid)
	if early, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "early", HoldID: "early", Lines: lines(46)}); time.Now().Before(start.Add(-time.Second)) {
		require.NoError(t, err)
		require.Equal(t, []ledger.Amount{{Type: "email", Amount: 40}}, early.Missing)
		require.EqualValues(t, 6, available())
	}
	requireClean(t, pool)

	// What waits can be taken back, too.
	voided, err := l.Void(ctx, ledger.Void{Owner: "acme", Key: "v", Grant: 3, Amount: 5})
	require.NoError(t, err)
	require.Equal(t, ledger.VoidResult{Type: "email", Voided: 5, Waiting: 2}, voided)

	require.Eventually(t, func() bool { return available() == 46 }, 20*time.Second, 20*time.Millisecond)
	lacks, _, err := l.Lacking(ctx, "acme", lines(47))
	require.NoError(t, err)
	require.Equal(t, []ledger.Amount{{Type: "email", Amount: 1}}, lacks)
	// Nothing has touched it since; what happens elsewhere comes before it in the
	// journal, but the history says when it started.
	_, err = l.Alert(ctx, ledger.Alert{Owner: "acme", Key: "elsewhere", Pool: "bob", Type: "email", Thresholds: []int64{1}})
	require.NoError(t, err)
	overdue, err := l.Overdue(ctx, "acme")
	require.NoError(t, err)
	require.True(t, overdue)
	held, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "h", HoldID: "h", Lines: lines(46)})
	require.NoError(t, err)
	require.True(t, held.Held)
	overdue, err = l.Overdue(ctx, "acme")
	require.NoError(t, err)
	require.False(t, overdue)
	grants, _, err := l.ListGrants(ctx, ledger.GrantFilter{Owner: "acme"})
	require.NoError(t, err)
	require.EqualValues(t, 40, grants[2].Held)
	require.Equal(t, start.UTC(), grants[2].StartsAt)
	require.EqualValues(t, 2, grants[1].Waiting)
	history, err := l.History(ctx, ledger.HistoryFilter{Owner: "acme", Kind: "grant"})
	require.NoError(t, err)
	require.Len(t, history.Lines, 3, "what has not started is not in the history")
	require.EqualValues(t, 46, history.Lines[0].Balance)
	require.Equal(t, start.UTC(), history.Lines[0].At)
	require.True(t, history.Lines[0].Booked.After(start))
	requireClean(t, pool)

	var events int
	require.NoError(t, pool.QueryRow(ctx, `SELECT count(*) FROM outbox WHERE topic = 'credits.granted' AND payload ->> 'grant_id' = '2'`).Scan(&events))
	require.Equal(t, 1, events)
}

// I7: several grants at once are one operation: all or none, once for a key.
func TestGrantsAtOnce(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l := ledger.New(pool)
	t.Cleanup(l.Close)
	op := ledger.Grants{Owner: "acme", Key: "all"}
	for i := range 3 {
		op.Lines = append(op.Lines, ledger.GrantLine{Pool: fmt.Sprint("m", i%2), Type: "email", Amount: int64(10 + i), Source: ledger.SourcePack, Priority: int32(i)})
	}
	for range 2 {
		given, err := l.Grants(ctx, op)
		require.NoError(t, err)
		require.Equal(t, []int64{1, 2, 3}, given.GrantIDs)
	}
	balances, err := l.Balances(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, []ledger.Balance{{Pool: "m0", Type: "email", Available: 22}, {Pool: "m1", Type: "email", Available: 11}}, balances)
	op.Lines = op.Lines[:2]
	_, err = l.Grants(ctx, op)
	require.ErrorIs(t, err, ledger.ErrKeyReused)
	op.Key, op.Lines[1].Amount = "none", 0
	_, err = l.Grants(ctx, op)
	require.ErrorIs(t, err, ledger.ErrInvalid)
	require.Len(t, outbox(t, pool), 3)
	requireClean(t, pool)
}
