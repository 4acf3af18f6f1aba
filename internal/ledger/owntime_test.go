package ledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

// An organization with a test clock sees its own time alone; its neighbour sees
// everyone's.
func TestI11_AnOrganizationLivesByItsOwnTime(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l, other := ledger.New(pool), ledger.New(pool) // two processes
	t.Cleanup(l.Close)
	t.Cleanup(other.Close)
	leap := time.Date(2028, 2, 29, 12, 0, 0, 0, time.UTC)
	require.NoError(t, l.SetClock(ctx, "acme", leap))
	give := func(l *ledger.Ledger, owner, key string, starts, expires time.Time) {
		_, err := l.Grant(ctx, ledger.Grant{
			Owner: owner, Key: key, Type: "email", Amount: 5, Source: ledger.SourcePack, StartsAt: starts, ExpiresAt: expires,
		})
		require.NoError(t, err)
	}
	available := func(l *ledger.Ledger) int64 {
		balances, now, err := l.BalancesNow(ctx, "acme")
		require.NoError(t, err)
		require.False(t, now.Before(leap))
		return balances[0].Available
	}
	give(l, "acme", "expires", time.Time{}, leap.Add(time.Hour))
	give(other, "acme", "starts", leap.Add(2*time.Hour), time.Time{})
	give(l, "globex", "expires", time.Time{}, leap.AddDate(200, 0, 0))
	require.EqualValues(t, 5, available(l))
	next, err := l.NextTurn(ctx, "acme", leap, leap.AddDate(1, 0, 0))
	require.NoError(t, err)
	require.Equal(t, leap.Add(time.Hour), next)

	require.NoError(t, other.SetClock(ctx, "acme", next))
	require.EqualValues(t, 0, available(l), "both see the same time")
	require.EqualValues(t, 0, available(other))
	lacks, _, err := l.Lacking(ctx, "acme", []ledger.Line{{Type: "email", Amount: 1, Pools: []string{""}}})
	require.NoError(t, err)
	require.Equal(t, []ledger.Amount{{Type: "email", Amount: 1}}, lacks)
	_, err = l.Expire(ctx, ledger.Expire{Owner: "acme"})
	require.NoError(t, err)
	require.NoError(t, l.SetClock(ctx, "acme", leap.Add(2*time.Hour)))
	held, err := other.Hold(ctx, ledger.Hold{Owner: "acme", Key: "h", HoldID: "h", Lines: []ledger.Line{{Type: "email", Amount: 5, Pools: []string{""}}}})
	require.NoError(t, err)
	require.True(t, held.Held)

	history, err := l.History(ctx, ledger.HistoryFilter{Owner: "acme"})
	require.NoError(t, err)
	times := map[string]time.Time{}
	for _, line := range history.Lines {
		times[line.Kind+" "+string(line.Source)] = line.At
	}
	require.Equal(t, map[string]time.Time{
		"hold pack": leap.Add(2 * time.Hour), "expire pack": leap.Add(time.Hour), "grant pack": leap,
	}, times)
	require.ErrorIs(t, l.SetClock(ctx, "acme", leap.Add(time.Hour)), ledger.ErrClockBack)
	require.ErrorIs(t, l.SetClock(ctx, "globex", leap.AddDate(-100, 0, 0)), ledger.ErrClockBack, "behind its journal")
	require.NoError(t, l.DropClock(ctx, "acme"), "of an organization without credits")
	require.EqualValues(t, 0, available(l), "its clock stays")
	requireClean(t, pool)
}

// The audit knows what the future is to an organization with a test clock.
func TestI11_TheAuditKnowsClocks(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l := ledger.New(pool)
	t.Cleanup(l.Close)
	at := time.Date(2101, 1, 31, 0, 0, 0, 0, time.UTC)
	require.NoError(t, l.SetClock(ctx, "acme", at))
	grant(t, l, ledger.Grant{Key: "g", Amount: 5})
	requireClean(t, pool)

	execute(t, pool, `ALTER TABLE credit_owner DROP CONSTRAINT ledger_i11_clock_not_behind`)
	execute(t, pool, `ALTER TABLE credit_owner DISABLE TRIGGER ledger_i11_clock_runs_forward`)
	execute(t, pool, `UPDATE credit_owner SET clock = clock - interval '1 second'`)
	report, err := ledger.Audit(ctx, pool, ledger.AuditOptions{})
	require.NoError(t, err)
	var found []string
	for _, f := range report.Findings {
		found = append(found, f.Invariant+" "+f.Key)
	}
	require.ElementsMatch(t, []string{"I6 acme/1", "I11 ledger_i11_clock_not_behind", "I11 ledger_i11_clock_runs_forward"}, found)
}
