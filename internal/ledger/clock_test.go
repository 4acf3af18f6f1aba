package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

// The database's clock a year ahead or behind, for a few statements: nothing is
// written under it, and all is as before once it is right again.
func TestNothingIsWrittenUnderAWrongClock(t *testing.T) { // I9
	ctx := t.Context()
	url := pgtest.NewURL(t)
	pool := open(t, url)
	execute(t, pool, `CREATE SCHEMA wrong; DO $$ BEGIN
		EXECUTE format('ALTER DATABASE %I SET search_path = wrong, pg_catalog, public', current_database()); END $$`)
	var log strings.Builder
	l := ledger.New(pool, ledger.WithLog(logTo(&log)))
	defer l.Close()
	give := func(key string) error {
		_, err := l.Grant(ctx, ledger.Grant{
			Owner: "acme", Key: key, Type: "email", Amount: 7, Source: ledger.SourcePack, ExpiresAt: time.Now().Add(24 * time.Hour),
		})
		return err
	}
	require.NoError(t, give("before"))
	require.NoError(t, l.CheckClock(ctx))
	for _, by := range []string{"1 year", "-1 year", "6 minutes", "-6 minutes"} {
		execute(t, pool, `CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS
			$$ SELECT pg_catalog.clock_timestamp() + interval '`+by+`' $$`)
		pool.Reset() // sessions that have planned with the right clock
		require.ErrorIs(t, give("under "+by), ledger.ErrClock, by)
		require.ErrorIs(t, give("again under "+by), ledger.ErrClock, by)
		require.ErrorIs(t, l.CheckClock(ctx), ledger.ErrClock, by)
		execute(t, pool, `DROP FUNCTION wrong.clock_timestamp`)
		pool.Reset()
		require.NoError(t, give("after "+by))
	}
	require.EqualValues(t, 8, l.Stats().WrongClock)
	balances, err := l.Balances(ctx, "acme")
	require.NoError(t, err)
	require.EqualValues(t, 5*7, balances[0].Available)
	require.NoError(t, l.CheckClock(ctx))
	requireClean(t, pool)
	l.Close()
	require.Equal(t, 4, strings.Count(log.String(), "level=ERROR"), "once each time, not for every operation: %s", log.String())
	require.Equal(t, 4, strings.Count(log.String(), "writes again"))
}
