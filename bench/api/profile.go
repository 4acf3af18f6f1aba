package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime/pprof"

	"holdfast/bench/report"
	"holdfast/bench/stand"
	"holdfast/internal/wire"
)

// profile runs a step and keeps where its time went: the processor's in the
// file NAME.pprof of a folder, which holds this process (API, worker and mail lab), the
// database's as a table of the statements that took most.
func profile(ctx context.Context, dir, name string, r *report.Report, app *wire.App, step func() error) (err error) {
	if dir == "" {
		return step()
	}
	if err := stand.ForgetStatements(ctx, app.Pool); err != nil {
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
	return stand.Statements(ctx, app.Pool, r, "Statements of "+name)
}
