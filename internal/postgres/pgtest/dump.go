package pgtest

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// Dump returns all that a database holds as text, in lower case: every row of
// every table, bytes as they would read, and what the planner's statistics quote
// of them. It is for tests of what must not be there.
func Dump(t testing.TB, pool *pgxpool.Pool) string {
	t.Helper()
	var all strings.Builder
	read := func(sql string, args ...any) {
		rows, err := pool.Query(t.Context(), sql, args...)
		require.NoError(t, err, sql)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err, sql)
		for _, line := range lines {
			all.WriteString(strings.ToLower(line) + "\n")
		}
	}
	rows, err := pool.Query(t.Context(), `
		SELECT table_name::text, coalesce(array_agg(column_name::text) FILTER (WHERE data_type = 'bytea'), '{}')
		FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
		WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
		GROUP BY 1`)
	require.NoError(t, err)
	type table struct {
		Name  string
		Bytes []string
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	require.NoError(t, err)
	require.NotEmpty(t, tables)
	for _, table := range tables {
		name := pgx.Identifier{table.Name}.Sanitize()
		read(`SELECT t::text FROM ` + name + ` t`)
		for _, column := range table.Bytes {
			read(`SELECT coalesce(encode(` + pgx.Identifier{column}.Sanitize() + `, 'escape'), '') FROM ` + name)
		}
	}
	read(`SELECT concat(tablename, ' ', attname, ' ', most_common_vals, ' ', histogram_bounds, ' ', most_common_elems) FROM pg_stats WHERE schemaname = 'public'`)
	return all.String()
}
