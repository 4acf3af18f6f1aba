package stand

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/bench/report"
)

// CountStatements are settings of PostgreSQL by which it counts what its statements
// cost, planning included.
var CountStatements = []string{"shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_planning=on"}

const statementsAtMost = 45

// ForgetStatements begins to count what statements cost, on a server that was
// started with CountStatements.
func ForgetStatements(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()`)
	return err
}

// Statements is a table of the statements that took most since ForgetStatements.
func Statements(ctx context.Context, pool *pgxpool.Pool, r *report.Report, title string) error {
	rows, _ := pool.Query(ctx, `
		SELECT left(regexp_replace(query, '\s+', ' ', 'g'), 110) AS statement, calls, plans, total_plan_time AS planning, total_exec_time AS ms, wal_bytes::bigint / 1024 AS kb
		FROM pg_stat_statements ORDER BY total_plan_time + total_exec_time DESC LIMIT $1`, statementsAtMost)
	type statement struct {
		Statement string
		Calls     int64
		Plans     int64
		Planning  float64
		MS        float64
		KB        int64
	}
	statements, err := pgx.CollectRows(rows, pgx.RowToStructByName[statement])
	if err != nil {
		return err
	}
	table := r.Table(title, "statement", "calls", "planned", "planning ms", "execution ms", "KB of WAL")
	for _, s := range statements {
		table.Add(s.Statement, s.Calls, s.Plans, s.Planning, s.MS, s.KB)
	}
	return nil
}

// Bytes are the sizes of a table's rows and of its indexes.
type Bytes struct{ Rows, Indexes int64 }

// TableSizes are the sizes of all tables, by name.
func (s *Stand) TableSizes(ctx context.Context) (map[string]Bytes, error) {
	rows, _ := s.App.Pool.Query(ctx, `
		SELECT relname, pg_table_size(oid), pg_indexes_size(oid) FROM pg_class
		WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`)
	sizes := map[string]Bytes{}
	var name string
	var b Bytes
	_, err := pgx.ForEachRow(rows, []any{&name, &b.Rows, &b.Indexes}, func() error {
		sizes[name] = b
		return nil
	})
	return sizes, err
}

// Grown lists the tables that have grown most between two readings of
// TableSizes, and by how much.
func Grown(before, after map[string]Bytes) (names []string, by map[string]Bytes) {
	by = map[string]Bytes{}
	for name, b := range after {
		if was := before[name]; b != was {
			by[name] = Bytes{b.Rows - was.Rows, b.Indexes - was.Indexes}
		}
	}
	names = slices.SortedFunc(maps.Keys(by), func(a, b string) int {
		return int(by[b].Rows + by[b].Indexes - by[a].Rows - by[a].Indexes)
	})
	return names, by
}
