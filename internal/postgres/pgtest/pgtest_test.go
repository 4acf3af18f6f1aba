package pgtest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres"
	"holdfast/internal/postgres/pgtest"
)

// Every test has a database of its own: the same table can be made in all of
// them at once, and each sees its own row alone.
func TestDatabasesAreApart(t *testing.T) {
	for i := range 20 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			_, err := pool.Exec(t.Context(), `CREATE TABLE mine (n int)`)
			require.NoError(t, err)
			_, err = pool.Exec(t.Context(), `INSERT INTO mine VALUES ($1)`, i)
			require.NoError(t, err)
			var n, rows int
			require.NoError(t, pool.QueryRow(t.Context(), `SELECT min(n), count(*) FROM mine`).Scan(&n, &rows))
			require.Equal(t, i, n)
			require.Equal(t, 1, rows)
			require.NoError(t, postgres.CheckVersion(t.Context(), pool))
		})
	}
}
