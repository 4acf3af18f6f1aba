// Command worker runs Holdfast's workflows and activities. It is configured by
// the environment (see the README) and drains on SIGTERM and Ctrl-C.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"holdfast/internal/build"
	"holdfast/internal/config"
	"holdfast/internal/wire"
)

// Exit codes.
const (
	exitFailed = 1 // it could not run, or could not go on
	exitUsage  = 2 // the command line is wrong
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	started := false
	cmd := command(&started)
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "holdfast-worker:", err)
		stop()
		if !started {
			os.Exit(exitUsage)
		}
		os.Exit(exitFailed)
	}
}

// command is the command line; started becomes true when it was understood.
func command(started *bool) *cobra.Command {
	return &cobra.Command{
		Use:   "holdfast-worker",
		Short: "Run Holdfast's workflows and activities",
		Long: `Runs Holdfast's workflows and activities on the task queues holdfast,
holdfast-verify and holdfast-webhook, and greylisted addresses on one that
belongs to its sending address. Run as many workers as you need, each with
the same settings.

It takes no arguments. The environment says where PostgreSQL
(HOLDFAST_DATABASE_URL) and Temporal (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE) are
and how addresses are verified (HOLDFAST_SMTP_HELO and others); the README
lists all variables.

SIGTERM and Ctrl-C stop it: activities under way are finished or handed over to
another worker, within 20 seconds. It exits with 1 when it cannot run or cannot
go on, and with 2 when the command line is wrong.`,
		Example: "  HOLDFAST_DATABASE_URL=postgres://holdfast@db/holdfast TEMPORAL_ADDRESS=temporal:7233 HOLDFAST_SMTP_HELO=verify.example.com holdfast-worker",
		Version: build.Read().String(),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("%q is not known: it takes no arguments; see holdfast-worker --help", args[0])
			}
			return nil
		},
		SilenceErrors:         true,
		SilenceUsage:          true,
		DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			*started = true
			for _, problem := range config.Misspelt() {
				cmd.PrintErrln(problem)
			}
			cfg, err := config.Load(cmd.Context())
			if err != nil {
				return err
			}
			return wire.RunWorker(cmd.Context(), cfg, cfg.Logger(os.Stderr))
		},
	}
}
