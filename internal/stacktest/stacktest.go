// Package stacktest starts the product for tests and recordings: PostgreSQL,
// Temporal, the mail lab, the app and a worker.
package stacktest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/lead"
	"holdfast/internal/maillab"
	"holdfast/internal/postgres"
	"holdfast/internal/wire"
)

// Options say what a stack is like.
type Options struct {
	Config     config.Config  // only what differs: an operator key, networks that webhooks may go to
	Lab        maillab.Config // greylisting hosts accept after half a second unless it says otherwise
	Namespaces []string       // of Temporal, besides default
	Log        *slog.Logger   // nil: none
	Note       func(string)   // called for what takes long; may be nil
	NoWorker   bool           // StartWorker starts one later
	Stock      bool           // Temporal has its own defaults; so has every stack where HOLDFAST_TEST_STOCK is set

	// Seed fills the database before the worker starts; it may be nil.
	Seed func(context.Context, *wire.App, *maillab.Lab) error
}

// Stack is a running stack. Stop ends it and removes its files.
type Stack struct {
	App    *wire.App
	Config config.Config // that of a worker on this stack
	Lab    *maillab.Lab
	Dir    string // of the servers' files

	log        *slog.Logger
	servers    *devstack.Servers
	stopWorker func() error // nil: none runs
}

// Start starts a stack, or leaves nothing behind. Its PostgreSQL does not wait for
// the disk: what a test shows of crashes, it shows of our processes.
func Start(ctx context.Context, o Options) (_ *Stack, err error) {
	s := &Stack{log: o.Log}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.Dir, err = devstack.TempDir("holdfast-stacktest-"); err != nil {
		return nil, err
	}
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, o Options) (err error) {
	cfg := o.Config
	cfg.HTTPAddr = "127.0.0.1:0"
	cfg.GreylistRetry = cmp.Or(cfg.GreylistRetry, time.Second)
	cfg.MaxOrderCount = cmp.Or(cfg.MaxOrderCount, 1_000_000)
	if len(cfg.Providers) == 0 {
		cfg.Providers = []string{config.OwnEngine}
	}
	lab := o.Lab
	lab.GreylistDelay = cmp.Or(lab.GreylistDelay, 500*time.Millisecond)
	s.servers, err = devstack.StartServers(ctx, cfg, devstack.ServerOptions{
		Dir: s.Dir, Lab: lab, Namespaces: o.Namespaces, Unsynced: true, Note: o.Note,
		Stock: o.Stock || os.Getenv("HOLDFAST_TEST_STOCK") != "",
	})
	if err != nil {
		return err
	}
	s.Config, s.Lab = s.servers.Config, s.servers.Lab
	if err := postgres.Migrate(ctx, s.Config.DatabaseURL); err != nil {
		return err
	}
	if s.App, err = wire.Open(ctx, s.Config, s.log); err != nil {
		return err
	}
	if o.Seed != nil {
		if err := o.Seed(ctx, s.App, s.Lab); err != nil {
			return err
		}
	}
	if !o.NoWorker {
		s.StartWorker(ctx)
	}
	return nil
}

// StartWorker starts a worker in this process; one runs at a time. That it ended
// with an error, StopWorker says.
func (s *Stack) StartWorker(ctx context.Context) {
	working, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- wire.RunWorker(working, s.Config, s.log) }()
	s.stopWorker = func() error {
		end()
		return <-ended
	}
}

// StopWorker ends the worker in order. Without one it does nothing.
func (s *Stack) StopWorker() error {
	if s.stopWorker == nil {
		return nil
	}
	stop := s.stopWorker
	s.stopWorker = nil
	return stop()
}

// Stop ends the worker and the servers, in this order, and removes the files.
func (s *Stack) Stop() error {
	err := s.StopWorker()
	if s.App != nil {
		s.App.Close()
	}
	if s.servers != nil {
		err = errors.Join(err, s.servers.Stop())
	}
	return errors.Join(err, os.RemoveAll(s.Dir))
}

// ImportLeads brings n leads of the mail lab into the catalogue, half of them with
// an address that exists.
func ImportLeads(ctx context.Context, app *wire.App, lab *maillab.Lab, n int) error {
	var file bytes.Buffer
	if err := lab.World().WriteCatalogue(&file, n, 0.5); err != nil {
		return err
	}
	_, err := app.Catalogue.Import(ctx, &file, lead.CSV, lead.ImportOptions{})
	return err
}
