package wire

import (
	"context"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/config"
	"holdfast/internal/postgres"
)

// StartWorker brings the schema up to date, opens the app and runs a worker
// in this process: what a benchmark or a test needs after devstack.StartServers.
// The worker is connected as if it were in another process. stop drains the worker
// and closes the app.
func StartWorker(ctx context.Context, cfg config.Config, logger *slog.Logger) (app *App, stop func() error, err error) {
	return start(ctx, cfg, logger, func(ctx context.Context, _ *App) error { return RunWorker(ctx, cfg, logger) })
}

// StartBeside is StartWorker with a worker beside the app, as serve --worker has it.
func StartBeside(ctx context.Context, cfg config.Config, logger *slog.Logger) (app *App, stop func() error, err error) {
	return start(ctx, cfg, logger, func(ctx context.Context, app *App) error { return app.RunWorker(ctx, logger) })
}

func start(ctx context.Context, cfg config.Config, logger *slog.Logger, run func(context.Context, *App) error) (app *App, stop func() error, err error) {
	if err := postgres.Migrate(ctx, cfg.DatabaseURL); err != nil {
		return nil, nil, err
	}
	if app, err = Open(ctx, cfg, logger); err != nil {
		return nil, nil, err
	}
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	var worker errgroup.Group
	worker.Go(func() error { return run(working, app) })
	return app, func() error {
		stopWorking()
		err := worker.Wait()
		app.Close()
		return err
	}, nil
}
