package wire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/worker"
	"golang.org/x/sync/errgroup"

	"holdfast/activities"
	"holdfast/internal/build"
	"holdfast/internal/config"
	"holdfast/internal/orderbook"
	"holdfast/internal/telemetry"
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

	// batchesAtOnce is how many verification batches one worker runs unless the
	// configuration says otherwise. What the
	// mail hosts bear is the engine's concern; this bounds memory.
	batchesAtOnce = 32

	// retryPollers ask for batches of greylisted addresses.
	retryPollers = 2
)

// RunWorker runs workflows and activities until ctx is done. Then it is not
// ready, waits until those who ask for that have noticed, finishes or hands over
// what is under way, and closes. Where the configuration has an address for it,
// it shows health, metrics and profiles there.
func RunWorker(ctx context.Context, cfg config.Config, logger *slog.Logger, options ...Option) error {
	if err := cfg.NeedCell("HOLDFAST_CELL: a worker works in one"); err != nil {
		return err
	}
	shown, err := telemetry.New(ctx, "holdfast-worker")
	if err != nil {
		return err
	}
	defer shown.Close(context.WithoutCancel(ctx))
	if cfg.WorkerAddr != "" {
		listener, err := telemetry.Listen(ctx, cfg.WorkerAddr, config.DefaultWorkerAddr, "HOLDFAST_WORKER_ADDR")
		if err != nil {
			return err
		}
		defer shown.Serve(listener, logger)()
		logger.Info("Health and metrics are served.", "address", listener.Addr().String())
	}
	app, err := Open(ctx, cfg, logger, append(options, WithTelemetry(shown))...)
	if err != nil {
		return err
	}
	defer app.Close()
	ctx, fatal := untilFatal(ctx)
	workers, queues, closeActivities, err := app.workers(fatal)
	if err != nil {
		return err
	}
	defer closeActivities()
	for _, w := range workers {
		if err := w.Start(); err != nil {
			return err
		}
	}
	app.Telemetry.SetReady(app.Ready)
	logger.Info("The worker is running.", "task_queues", queues, "build", cmp.Or(cfg.Worker.BuildID, build.Read().ID()), "deployment", cfg.Worker.Deployment)
	var reporting errgroup.Group
	reporting.Go(func() error { app.reportState(ctx); return nil })
	if cfg.Worker.Does(config.RoleOrders) {
		app.lookAfterTheRest(ctx, logger)
	} else {
		<-ctx.Done()
	}
	_ = reporting.Wait() // before the app is closed
	if err := fatalCause(ctx); err != nil {
		app.Telemetry.Drain()
		return errors.Join(err, stopAll(workers...))
	}
	app.Telemetry.DrainFor(cfg.DrainWait)
	logger.Info("The worker is stopping; activities under way are being finished.")
	return stopAll(workers...)
}

// RunWorker runs a worker beside the app, as the function does, in the same process.
// They share the connection to Temporal, with its traces and metrics: the answer to
// the start of an order then brings the order's first task, which needs no way
// through the task queue. Only a worker of a Worker Deployment has a connection of
// its own, because Temporal (1.32) does not ask which build is the current one when
// it answers so.
func (r *App) RunWorker(ctx context.Context, logger *slog.Logger) error {
	if r.Config.Worker.Deployment != "" {
		return RunWorker(ctx, r.Config, logger)
	}
	return RunWorker(ctx, r.Config, logger, withTemporal(r.Temporal))
}

// lookAfterTheRest publishes events and makes automatic purchases, in one process
// of all, until ctx is done, and finishes the index of an import that was killed,
// whose leads cannot be found.
func (r *App) lookAfterTheRest(ctx context.Context, logger *slog.Logger) {
	var tidying errgroup.Group
	tidying.Go(func() error {
		if err := r.Catalogue.Reindex(ctx); err != nil && ctx.Err() == nil {
			logger.Warn("The catalogue's index is not up to date; the next import or worker tries again.", "error", err)
		}
		return nil
	})
	r.Intake.PublishEvents(ctx, r.Webhooks, logger, r.Payments.RunTopUps, func(ctx context.Context) { r.removeOld(ctx, logger) })
	_ = tidying.Wait() // before the app is closed
}

// removeOld removes what is too old to be kept, now and every hour, until ctx is done.
func (r *App) removeOld(ctx context.Context, logger *slog.Logger) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		if _, err := verdicts.RemoveOld(ctx, r.Pool); err != nil && ctx.Err() == nil {
			logger.WarnContext(ctx, "Verdicts that are relied on no more were not all removed; it is tried again.", "error", err)
		}
		if r.Config.ResultsKept > 0 {
			r.removeOldResults(ctx, logger)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (r *App) removeOldResults(ctx context.Context, logger *slog.Logger) {
	bounces := func(ctx context.Context, v orderbook.PlanVersion) (time.Duration, error) {
		p, err := r.Accounts.Plan(ctx, v.PlanID, v.PlanVersion)
		if err != nil {
			return 0, err
		}
		return p.BounceWindow, nil
	}
	orders, items, err := r.Erasures.RemoveResults(ctx, r.Config.ResultsKept, bounces)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		logger.WarnContext(ctx, "Old results were not all removed; they are tried again.", "orders", orders, "items", items, "error", err)
	case orders > 0:
		logger.InfoContext(ctx, "Old results were removed.", "orders", orders, "items", items)
	}
}

// workers are those of this process's roles, and their task queues. closeActivities
// ends all mail sessions politely.
func (r *App) workers(fatal func(error)) (list []worker.Worker, queues []string, closeActivities func(), err error) {
	settings := r.Config.Worker
	if settings.CachedWorkflows > 0 {
		worker.SetStickyWorkflowCacheSize(settings.CachedWorkflows) // of the process
	}
	add := func(queue string, options worker.Options, with ...any) worker.Worker {
		w := worker.New(r.Temporal, queue, options)
		for _, acts := range with {
			w.RegisterActivity(acts)
		}
		list, queues = append(list, w), append(queues, queue)
		return w
	}
	hooks := &activities.WebhookActivities{Webhooks: r.Webhooks, Catalogue: r.Catalogue, Book: r.Book}
	closeActivities = func() {}
	if settings.Does(config.RoleOrders) || settings.Does(config.RoleVerify) {
		var acts *activities.Activities
		if acts, closeActivities, err = r.Activities(); err != nil {
			return nil, nil, nil, err
		}
		if settings.Does(config.RoleOrders) {
			workflows.Register(add(workflows.TaskQueue, workerOptions(settings, fatal), acts,
				hooks, // what builds without the queue of webhooks have scheduled
				&activities.ReconcileActivities{Reconciler: r.Reconcile},
				&activities.TestClockActivities{Clocks: r.TestClocks, Orders: r.Intake}))
		}
		if settings.Does(config.RoleVerify) {
			options := activityOptions(settings, fatal)
			options.MaxConcurrentActivityExecutionSize = cmp.Or(settings.VerifySlots, batchesAtOnce)
			add(workflows.VerifyTaskQueue, options, acts)
			if acts.RetryQueue != "" { // what is greylisted is a small part of all
				options.MaxConcurrentActivityExecutionSize = max(2, options.MaxConcurrentActivityExecutionSize/4)
				options.ActivityTaskPollerBehavior = worker.NewPollerBehaviorSimpleMaximum(worker.PollerBehaviorSimpleMaximumOptions{MaximumNumberOfPollers: retryPollers})
				add(acts.RetryQueue, options, acts)
			}
		}
	}
	if settings.Does(config.RoleWebhook) {
		add(workflows.WebhookTaskQueue, activityOptions(settings, fatal), hooks)
	}
	return list, queues, closeActivities, nil
}

// stopAll stops workers side by side.
func stopAll(workers ...worker.Worker) error {
	var stopping errgroup.Group
	for _, w := range workers {
		stopping.Go(func() error { w.Stop(); return nil })
	}
	return stopping.Wait()
}

// errFatal says that Temporal refuses a worker for good: its namespace is gone,
// say, or it asks for what the server does not know.
var errFatal = errors.New("the worker cannot go on, Temporal refuses it; check TEMPORAL_NAMESPACE and the server's version")

// untilFatal returns a context that ends with ctx, or when fatal is called.
func untilFatal(ctx context.Context) (_ context.Context, fatal func(error)) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, func(err error) { cancel(fmt.Errorf("%w: %w", errFatal, err)) }
}

// fatalCause is the error that ended a context of untilFatal; nil where a signal
// did.
func fatalCause(ctx context.Context) error {
	if err := context.Cause(ctx); errors.Is(err, errFatal) {
		return err
	}
	return nil
}

// activityOptions are the options of a worker that runs no workflows.
func activityOptions(settings config.Worker, fatal func(error)) worker.Options {
	options := workerOptions(settings, fatal)
	options.DisableWorkflowWorker = true
	return options
}

// workerOptions are the options of all workers of this process. fatal is called
// when Temporal refuses one for good: without it the process would stay, and do
// nothing.
func workerOptions(settings config.Worker, fatal func(error)) worker.Options {
	// Pollers in fixed numbers serve running orders first while there are any
	// tasks of theirs; these see to it that new orders have their turn too.
	pollers := worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{MaximumNumberOfPollers: settings.MaxPollers})
	return worker.Options{
		WorkflowTaskPollerBehavior:       pollers,
		ActivityTaskPollerBehavior:       pollers,
		WorkerStopTimeout:                drain,
		MaxHeartbeatThrottleInterval:     heartbeatThrottle,
		DefaultHeartbeatThrottleInterval: heartbeatThrottle,
		OnFatalError:                     fatal,

		MaxConcurrentWorkflowTaskExecutionSize: settings.WorkflowSlots,
		MaxConcurrentActivityExecutionSize:     settings.ActivitySlots,

		DeploymentOptions: deployment(settings),
	}
}

// deployment makes a worker one of a Worker Deployment, where the configuration
// names one: Temporal then gives an order to workers of the build that began it.
func deployment(settings config.Worker) worker.DeploymentOptions {
	if settings.Deployment == "" {
		return worker.DeploymentOptions{}
	}
	return worker.DeploymentOptions{
		UseVersioning: true,
		Version: worker.WorkerDeploymentVersion{
			DeploymentName: settings.Deployment, BuildID: cmp.Or(settings.BuildID, build.Read().ID()),
		},
	}
}

// Activities are the activities of the app, verified as the
// configuration says. closeSessions ends all mail sessions politely.
func (r *App) Activities() (acts *activities.Activities, closeSessions func(), err error) {
	verification, err := openOrExplain(r.Config, r.recentHosts, verdicts.NewSpending(r.Pool))
	if err != nil {
		return nil, nil, err
	}
	r.verification.Store(verification)
	phones, err := OpenPhones(r.Config, verdicts.NewSpending(r.Pool))
	if err != nil {
		verification.Close()
		return nil, nil, err
	}
	var verifier activities.Verifier = verification
	if r.Config.VerdictCache {
		verifier = verdicts.New(r.Pool, verification)
	}
	if tracer := r.Telemetry.Tracer(); tracer != nil {
		verifier = traced{verifier, tracer}
	}
	seen := newCounted(verifier)
	verifier = seen
	if err := r.register(append(verification.collectors(), seen.verdicts, seen.reasons)...); err != nil {
		verification.Close()
		return nil, nil, err
	}
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	watch := verdicts.NewWatch(r.Pool, verifier, name, r.Log)
	verifier = watch
	stopTelling := func() {}
	if _, cannot := verification.Verifier.(unready); cannot {
		stopTelling = watch.Repeat()
	}
	retryQueue := ""
	if verification.seenAs != "" && r.Config.Worker.Does(config.RoleVerify) {
		retryQueue = workflows.RetryTaskQueue(verification.seenAs)
	}
	return &activities.Activities{
		Accounts:  r.Accounts,
		Ledger:    r.Ledger,
		Catalogue: r.Catalogue,
		Book:      r.Book,
		Verifier:  verifier,
		Phones:    phones,

		Verifies:      r.Config.Worker.Does(config.RoleVerify),
		RetryQueue:    retryQueue,
		GreylistRetry: r.Config.GreylistRetry,
		OutageLimit:   r.Config.OutageLimit,
	}, func() { stopTelling(); verification.Close() }, nil
}

// WorkerEnv is this process's environment, changed so that a worker started
// with it works on the servers that cfg names.
func WorkerEnv(cfg config.Config) []string {
	return append(os.Environ(),
		"HOLDFAST_DATABASE_URL="+cfg.DatabaseURL,
		"TEMPORAL_ADDRESS="+cfg.TemporalAddress,
		"TEMPORAL_NAMESPACE="+cfg.TemporalNamespace,
		"HOLDFAST_DNS_SERVERS="+strings.Join(cfg.DNSServers, ","),
		"HOLDFAST_SMTP_PORT="+strconv.Itoa(cfg.SMTPPort),
		"HOLDFAST_SMTP_ALLOW="+joined(cfg.SMTPAllow),
		"HOLDFAST_SMTP_GREYLIST_RETRY="+cfg.GreylistRetry.String(),
		"HOLDFAST_CODEC_KEYS="+cfg.Codec.Keys,
		"HOLDFAST_WORKER_DEPLOYMENT="+cfg.Worker.Deployment,
		"HOLDFAST_WORKER_BUILD_ID="+cfg.Worker.BuildID,
		"HOLDFAST_VERDICT_CACHE="+strconv.FormatBool(cfg.VerdictCache),
	)
}

// joined is a list of networks as the environment has it.
func joined(networks []netip.Prefix) string {
	texts := make([]string, len(networks))
	for i, n := range networks {
		texts[i] = n.String()
	}
	return strings.Join(texts, ",")
}

// recentHosts are mail hosts that remembered verdicts name; without an answer of
// the database there are none.
func (r *App) recentHosts(ctx context.Context) []string {
	hosts, err := verdicts.RecentHosts(ctx, r.Pool)
	if err != nil && ctx.Err() == nil {
		r.Log.Warn("Remembered mail hosts could not be read; others are asked.", "error", err)
	}
	return hosts
}
