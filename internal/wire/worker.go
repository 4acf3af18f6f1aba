package wire

import (
	"context"
	"log/slog"
	"time"

	"go.temporal.io/sdk/worker"
	"golang.org/x/sync/errgroup"

	"holdfast/activities"
	"holdfast/internal/config"
	"holdfast/internal/verdicts"
	"holdfast/workflows"
)

const (
	// drain is how long a worker that stops waits for the activities under way.
	// A verification batch ends sooner: it keeps its verdicts and hands the rest
	// to another worker.
	drain = 20 * time.Second

	// heartbeats are passed on to Temporal as often as activities send them, so
	// that progress is seen live and a cancellation arrives within a second.
	heartbeatThrottle = time.Second

	// batchesAtOnce is how many verification batches one worker runs. What the
	// mail hosts bear is the engine's concern; this bounds memory.
	batchesAtOnce = 32
)

// RunWorker runs workflows and activities until ctx is done, then drains.
func RunWorker(ctx context.Context, cfg config.Config, logger *slog.Logger) error {
	rooms, err := Open(ctx, cfg, logger)
	if err != nil {
		return err
	}
	defer rooms.Close()
	verification, err := OpenVerification(cfg)
	if err != nil {
		return err
	}
	defer verification.Close()

	phones, err := OpenPhones(cfg)
	if err != nil {
		return err
	}
	var verifier activities.Verifier = verification
	if cfg.VerdictCache {
		verifier = verdicts.New(rooms.Pool, verification)
	}
	acts := &activities.Activities{
		Accounts:  rooms.Accounts,
		Ledger:    rooms.Ledger,
		Catalogue: rooms.Catalogue,
		Book:      rooms.Book,
		Verifier:  verifier,
		Phones:    phones,
		Webhooks:  rooms.Webhooks,
	}
	options := worker.Options{
		WorkerStopTimeout:                drain,
		MaxHeartbeatThrottleInterval:     heartbeatThrottle,
		DefaultHeartbeatThrottleInterval: heartbeatThrottle,
	}
	stories := worker.New(rooms.Temporal, workflows.TaskQueue, options)
	workflows.Register(stories)
	stories.RegisterActivity(acts)
	stories.RegisterActivity(&activities.WebhookActivities{Webhooks: rooms.Webhooks})

	options.MaxConcurrentActivityExecutionSize = batchesAtOnce
	options.DisableWorkflowWorker = true
	checks := worker.New(rooms.Temporal, workflows.VerifyTaskQueue, options)
	checks.RegisterActivity(acts)

	for _, w := range []worker.Worker{stories, checks} {
		if err := w.Start(); err != nil {
			return err
		}
	}
	logger.Info("The worker is running.", "task_queues", []string{workflows.TaskQueue, workflows.VerifyTaskQueue})
	rooms.Intake.PublishEvents(ctx, rooms.Webhooks, logger) // until ctx is done
	logger.Info("The worker is stopping; activities under way are being finished.")
	var stopping errgroup.Group
	for _, w := range []worker.Worker{stories, checks} {
		stopping.Go(func() error { w.Stop(); return nil })
	}
	return stopping.Wait()
}
