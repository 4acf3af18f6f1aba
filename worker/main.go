// Command worker runs Holdfast's workflows and activities. It is configured by
// the environment (see the README) and drains on SIGTERM and Ctrl-C.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"holdfast/internal/config"
	"holdfast/internal/wire"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "holdfast-worker:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cfg, err := config.Load(ctx)
	if err != nil {
		return err
	}
	return wire.RunWorker(ctx, cfg, cfg.Logger(os.Stderr))
}
