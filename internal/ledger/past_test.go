package ledger_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

// What an organization had at a past time stays what it was when it was read,
// even after more was booked, has started or has expired.
func TestBalancesAtAPastTimeAreThoseReadThen(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l := ledger.New(pool)
	t.Cleanup(l.Close)
	begin := databaseTime(t, pool)
	bob := []string{"bob", ""}
	soon := time.Now().Add(time.Hour).Truncate(time.Microsecond)
	type moment struct {
		at       time.Time
		balances []ledger.Balance
	}
	var moments []moment
	for _, step := range []func() error{
		func() error { grant(t, l, ledger.Grant{Key: "g", Amount: 100, ExpiresAt: soon}); return nil },
		func() error { grant(t, l, ledger.Grant{Key: "later", Amount: 7, StartsAt: soon}); return nil },
		func() error {
			grant(t, l, ledger.Grant{Key: "bob", Amount: 30, Pool: "bob", Source: ledger.SourceAllotment})
			return nil
		},
		func() error {
			_, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "h", HoldID: "h", Lines: []ledger.Line{{Type: "email", Amount: 50, Pools: bob}}})
			return err
		},
		func() error {
			_, err := l.Capture(ctx, ledger.Capture{Owner: "acme", Key: "c", HoldID: "h", Type: "email", Amount: 40})
			return err
		},
		func() error {
			_, err := l.Renew(ctx, ledger.Renew{Owner: "acme", Key: "renew", Pool: "bob", Lines: []ledger.Renewal{{Type: "email", Amount: 9, Rollover: true, Cap: 3}}})
			return err
		},
		func() error {
			_, err := l.Release(ctx, ledger.Release{Owner: "acme", Key: "r", HoldID: "h"})
			return err
		},
		func() error {
			_, err := l.Reverse(ctx, ledger.Reverse{Owner: "acme", Key: "v", HoldID: "h", Type: "email", Amount: 5})
			return err
		},
		func() error {
			_, err := l.Void(ctx, ledger.Void{Owner: "acme", Key: "void", Grant: 1, Amount: 11})
			return err
		},
		func() error { _, err := l.End(ctx, ledger.End{Owner: "acme", Key: "end", All: true}); return err },
	} {
		require.NoError(t, step())
		balances, err := l.Balances(ctx, "acme")
		require.NoError(t, err)
		moments = append(moments, moment{databaseTime(t, pool), balances})
	}
	for i, m := range moments {
		got, err := l.BalancesAt(ctx, "acme", m.at)
		require.NoError(t, err)
		require.Equal(t, m.balances, got, "after step %d", i+1)
	}
	before, err := l.BalancesAt(ctx, "acme", begin)
	require.NoError(t, err)
	require.Empty(t, before)
	_, err = l.BalancesAt(ctx, "acme", time.Now().Add(time.Hour))
	require.ErrorIs(t, err, ledger.ErrInvalid)
}

func databaseTime(t *testing.T, pool *pgxpool.Pool) (now time.Time) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT clock_timestamp()`).Scan(&now))
	return now
}
