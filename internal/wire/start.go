package wire

import (
	"context"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/config"
	"holdfast/internal/postgres"
	"holdfast/internal/telemetry"
)

// StartWorker brings the schema up to date, opens the app and runs a worker
// in this process: what a benchmark or a test needs after devstack.StartServers.
// stop drains the worker and closes the app.
func StartWorker(ctx context.Context, cfg config.Config, logger *slog.Logger) (app *App, stop func() error, err error) {
	if err := postgres.Migrate(ctx, cfg.DatabaseURL); err != nil {
		return nil, nil, err
	}
	shown, err := telemetry.New(ctx, "holdfast")
	if err != nil {
		return nil, nil, err
	}
	if app, err = Open(ctx, cfg, logger, WithTelemetry(shown)); err != nil {
		shown.Close(context.WithoutCancel(ctx))
		return nil, nil, err
	}
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	var worker errgroup.Group
	worker.Go(func() error { return app.RunWorker(working, logger) })
	return app, func() error {
		stopWorking()
		err := worker.Wait()
		app.Close()
		shown.Close(context.WithoutCancel(ctx))
		return err
	}, nil
}
