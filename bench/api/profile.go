package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime/pprof"

	"github.com/jackc/pgx/v5"

	"holdfast/bench/report"
	"holdfast/internal/wire"
)

// profiled is what is loaded into PostgreSQL to know what its statements cost.
const profiled = "shared_preload_libraries=pg_stat_statements"

// profile runs a step and keeps where its time went: the processor's in the
// file NAME.pprof of a folder, which holds this process (API, worker and mail lab), the
// database's as a table of the statements that took most.
func profile(ctx context.Context, dir, name string, r *report.Report, app *wire.App, step func() error) (err error) {
	if dir == "" {
		return step()
	}
	if _, err := app.Pool.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS pg_stat_statements; SELECT pg_stat_statements_reset()`); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, name+".pprof"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := pprof.StartCPUProfile(file); err != nil {
		return err
	}
	err = step()
	pprof.StopCPUProfile()
	if err != nil {
		return err
	}
	rows, _ := app.Pool.Query(ctx, `
		SELECT left(regexp_replace(query, '\s+', ' ', 'g'), 110) AS statement, calls, total_exec_time AS ms, wal_bytes::bigint / 1024 AS kb
		FROM pg_stat_statements ORDER BY total_exec_time DESC LIMIT 45`)
	type statement struct {
		Statement string
		Calls     int64
		MS        float64
		KB        int64
	}
	statements, err := pgx.CollectRows(rows, pgx.RowToStructByName[statement])
	if err != nil {
		return err
	}
	table := r.Table("Statements of "+name, "statement", "calls", "ms", "KB of WAL")
	for _, s := range statements {
		table.Add(s.Statement, s.Calls, s.MS, s.KB)
	}
	return nil
}
