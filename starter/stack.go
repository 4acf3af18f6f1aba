package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/maillab"
	"holdfast/internal/wire"
)

// stack is all of Holdfast: servers that were started or found, the worker in
// this process and the rooms a command works with.
type stack struct {
	cfg      config.Config // points at the parts below
	postgres *devstack.Postgres
	temporal *devstack.Temporal
	lab      *maillab.Lab // nil where HOLDFAST_DNS_SERVERS names another world
	rooms    *wire.Rooms

	stopWorker context.CancelFunc
	worker     chan error // answers once, when the worker has stopped
}

// stackOptions say where a stack keeps its data and how its mail lab behaves.
type stackOptions struct {
	dir  string
	lab  maillab.Config
	log  *slog.Logger
	note func(text string)                         // hears of anything that takes long
	up   func(part, where string, t time.Duration) // hears of every part that is up; never two calls at a time
}

// labGreylist is how long the lab's greylisting hosts turn us away where
// nothing else is said; the retry waits a moment longer.
const labGreylist = 2 * time.Second

// startStack starts everything that the configuration does not say is running
// elsewhere. When it fails, or ctx ends, all that was started is stopped.
func startStack(ctx context.Context, cfg config.Config, o stackOptions) (s *stack, err error) {
	s = &stack{cfg: cfg}
	defer func() {
		if err != nil {
			if ctx.Err() != nil { // how a part says that it was interrupted is of no interest
				err = ctx.Err()
			}
			err = errors.Join(err, s.stop())
		}
	}()
	var telling sync.Mutex
	note, up := o.note, o.up
	o.note = func(text string) {
		telling.Lock()
		defer telling.Unlock()
		note(text)
	}
	o.up = func(part, where string, elapsed time.Duration) {
		telling.Lock()
		defer telling.Unlock()
		up(part, where, elapsed)
	}
	if err := s.startServers(ctx, o); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := migrate(ctx, s.cfg); err != nil {
		return nil, err
	}
	if s.rooms, err = wire.Open(ctx, s.cfg, o.log); err != nil {
		return nil, err
	}
	if err = registerAttributes(ctx, s.rooms); err != nil {
		return nil, err
	}
	o.up("Schema", "tables, preset plans, search attributes", time.Since(began))

	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopWorker, s.worker = stop, make(chan error, 1)
	go func() { s.worker <- wire.RunWorker(working, s.cfg, o.log) }()
	return s, nil
}

// startServers starts PostgreSQL, Temporal and the mail lab side by side.
func (s *stack) startServers(ctx context.Context, o stackOptions) error {
	starting, ctx := errgroup.WithContext(ctx)
	starting.Go(func() (err error) {
		began := time.Now()
		s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{
			URL: s.cfg.DatabaseURL, Dir: filepath.Join(o.dir, "postgres"), Note: o.note,
		})
		if err == nil {
			o.up("PostgreSQL", "", time.Since(began))
		}
		return err
	})
	starting.Go(func() (err error) {
		began := time.Now()
		s.temporal, err = devstack.StartTemporal(ctx, devstack.TemporalOptions{
			Address: s.cfg.TemporalAddress, Dir: filepath.Join(o.dir, "temporal"), Note: o.note,
		})
		if err == nil {
			o.up("Temporal", s.temporal.UI, time.Since(began))
		}
		return err
	})
	if len(s.cfg.DNSServers) == 0 {
		starting.Go(func() (err error) {
			began := time.Now()
			if s.lab, err = maillab.Start(o.lab); err == nil {
				o.up("Mail lab", fmt.Sprintf("DNS %s, SMTP port %d", s.lab.DNSAddr(), s.lab.SMTPPort()), time.Since(began))
			}
			return err
		})
	}
	if err := starting.Wait(); err != nil {
		return err
	}
	s.cfg.DatabaseURL = s.postgres.URL
	s.cfg.TemporalAddress = s.temporal.Address
	if s.lab != nil {
		s.cfg.DNSServers = []string{s.lab.DNSAddr()}
		s.cfg.SMTPPort = s.lab.SMTPPort()
		if os.Getenv("HOLDFAST_SMTP_GREYLIST_RETRY") == "" {
			s.cfg.GreylistRetry = cmp.Or(o.lab.GreylistDelay, labGreylist) + time.Second/2
		}
	}
	return nil
}

// stop stops what was started, in the reverse order: first the worker, so that
// it can hand back what it has begun.
func (s *stack) stop() error {
	var errs []error
	if s.stopWorker != nil {
		s.stopWorker()
		errs = append(errs, <-s.worker)
	}
	if s.rooms != nil {
		s.rooms.Close()
	}
	if s.lab != nil {
		s.lab.Close()
	}
	if s.temporal != nil {
		errs = append(errs, s.temporal.Stop())
	}
	errs = append(errs, s.postgres.Stop())
	return errors.Join(errs...)
}

// failed answers when a part that should run has stopped.
func (s *stack) failed(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-s.worker:
		s.worker <- err // for stop
		return fmt.Errorf("the worker has stopped: %w", err)
	case <-s.postgres.Done():
		return errors.New("PostgreSQL has stopped")
	case <-s.temporal.Done():
		return errors.New("Temporal has stopped")
	}
}

// addresses says where the stack can be reached.
func (s *stack) addresses(httpAddr string) addresses {
	a := addresses{
		TemporalUI: s.temporal.UI, TemporalAddress: s.temporal.Address, DatabaseURL: s.postgres.URL,
		OperatorKey: s.cfg.OperatorKey, SMTPPort: s.cfg.SMTPPort,
	}
	if httpAddr != "" {
		a.API, a.Dashboard = "http://"+httpAddr+"/api/v1", "http://"+httpAddr
	}
	if len(s.cfg.DNSServers) > 0 {
		a.DNSAddr = s.cfg.DNSServers[0]
	}
	return a
}
