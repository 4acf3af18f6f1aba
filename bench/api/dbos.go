package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/dbos-inc/dbos-transact-golang/dbos"
)

// dbosSteps is how many steps the other workflow engine's yardstick has.
const dbosSteps = 6

// sixSteps is a yardstick: a workflow of empty steps, each of which is kept.
func sixSteps(ctx dbos.Context, _ string) (int, error) {
	for range dbosSteps {
		if _, err := dbos.RunAsStep(ctx, func(context.Context) (int, error) { return 0, nil }); err != nil {
			return 0, err
		}
	}
	return dbosSteps, nil
}

// startDBOS starts DBOS on the stack's own database server. run carries one
// workflow out.
func startDBOS(ctx context.Context, databaseURL string) (run func() error, stop func() error, err error) {
	d, err := dbos.NewContext(ctx, dbos.Config{AppName: "yardstick", DatabaseURL: databaseURL, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, nil, err
	}
	dbos.RegisterWorkflow(d, sixSteps)
	if err := dbos.Launch(d); err != nil {
		return nil, nil, err
	}
	return func() error {
		handle, err := dbos.RunWorkflow(d, sixSteps, "")
		if err != nil {
			return err
		}
		_, err = handle.GetResult()
		return err
	}, func() error { return dbos.Shutdown(d, 10*time.Second) }, nil
}
