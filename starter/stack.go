package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"

	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/maillab"
	"holdfast/internal/telemetry"
	"holdfast/internal/wire"
)

// stack is all of Holdfast: servers that were started or found, the worker in
// this process and the app a command works with.
type stack struct {
	*devstack.Servers
	parts *wire.App

	stopWorker context.CancelFunc
	worker     chan error // answers once, when the worker has stopped
}

// startStack starts everything that the configuration does not say is running
// elsewhere, and tells of every part that is up with up. When it fails, or ctx
// ends, all that was started is stopped.
func (a *app) startStack(ctx context.Context, cfg config.Config, dir string, lab maillab.Config, log *slog.Logger, up func(part, where string, elapsed time.Duration)) (s *stack, err error) {
	wait := a.waiting("starting")
	defer wait.stop()
	servers, err := devstack.StartServers(ctx, cfg, devstack.ServerOptions{
		Dir: dir, Lab: lab,
		Note: func(text string) { wait.interrupt(func() { a.note("  %s", text) }) },
		Up:   func(part, where string, elapsed time.Duration) { wait.interrupt(func() { up(part, where, elapsed) }) },
	})
	if err != nil {
		return nil, err
	}
	s = &stack{Servers: servers}
	defer func() {
		if err != nil {
			if ctx.Err() != nil { // how a part says that it was interrupted is of no interest
				err = ctx.Err()
			}
			err = errors.Join(err, s.stop())
		}
	}()

	began := time.Now()
	if err = migrate(ctx, s.Config); err != nil {
		return nil, err
	}
	shown, err := telemetry.New(ctx, "holdfast-serve")
	if err != nil {
		return nil, err
	}
	if s.parts, err = wire.Open(ctx, s.Config, log, wire.WithTelemetry(shown)); err != nil {
		return nil, err
	}
	if err = registerAttributes(ctx, s.parts); err != nil {
		return nil, err
	}
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopWorker, s.worker = stop, make(chan error, 1)
	go func() { s.worker <- s.parts.RunWorker(working, log) }()
	wait.interrupt(func() { up("Schema", "tables, preset plans, search attributes", time.Since(began)) })
	return s, nil
}

// stop stops what was started: first the worker, so that it can hand back what
// it has begun.
func (s *stack) stop() error {
	var errs []error
	if s.stopWorker != nil {
		s.stopWorker()
		errs = append(errs, <-s.worker)
	}
	if s.parts != nil {
		s.parts.Close()
		s.parts.Telemetry.Close(context.Background())
	}
	return errors.Join(append(errs, s.Servers.Stop())...)
}

// abandon stops the servers of a stack that has lost one, and waits for nothing
// else: the process ends, and what the worker has begun another one takes over,
// as after any crash.
func (s *stack) abandon() error {
	s.stopWorker()
	return s.Servers.Stop()
}

// failed waits until a part that should run has stopped, or ctx ends, and says
// which.
func (s *stack) failed(ctx context.Context) error {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	server := make(chan error, 1)
	go func() { server <- s.Failed(watching) }()
	select {
	case err := <-s.worker:
		s.worker <- err // for stop
		select {        // where the worker ended because a server did, that is what to tell of
		case lost := <-server:
			if lost != nil {
				return lost
			}
		case <-time.After(time.Second):
		}
		return fmt.Errorf("the worker has stopped: %w", err)
	case err := <-server:
		if err == nil {
			return ctx.Err()
		}
		return err
	}
}

// page is where Temporal's UI shows an order; empty where it has none that we
// know of.
func (s *stack) page(orderID string) string {
	if s.Temporal.UIURL == "" {
		return ""
	}
	namespace := cmp.Or(s.Config.TemporalNamespace, client.DefaultNamespace)
	return fmt.Sprintf("%s/namespaces/%s/workflows/%s", s.Temporal.UIURL, namespace, orderID)
}

// addresses says where the stack can be reached.
func (s *stack) addresses(httpAddr string) addresses {
	a := addresses{
		API: "http://" + httpAddr + "/api/v1", Dashboard: "http://" + httpAddr,
		TemporalUI: s.Temporal.UIURL, TemporalAddress: s.Temporal.Address, DatabaseURL: s.Postgres.URL,
		OperatorKey: s.Config.OperatorKey, SMTPPort: s.Config.SMTPPort,
	}
	if len(s.Config.DNSServers) > 0 {
		a.DNSAddr = s.Config.DNSServers[0]
	}
	return a
}
