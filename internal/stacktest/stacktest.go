// Package stacktest starts the product for the tests of a package: PostgreSQL,
// Temporal, the mail lab, the rooms and a worker.
package stacktest

import (
	"bytes"
	"context"
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

// Options say what a stack is like. Furnish may be nil.
type Options struct {
	Config  config.Config // only what is of its own: an operator key, networks that webhooks may go to
	Domains int           // of the mail lab
	Log     *slog.Logger
	Furnish func(context.Context, *wire.Rooms, *maillab.Lab) error // before the worker starts
}

// Stack is a running stack. Stop ends it and removes its files.
type Stack struct {
	Rooms *wire.Rooms
	Dir   string // of the servers' files

	servers *devstack.Servers
	endWork context.CancelFunc
	worker  chan error
}

// Start starts a stack. What was started before an error ends with the process.
func Start(ctx context.Context, o Options) (*Stack, error) {
	dir, err := os.MkdirTemp("", "holdfast-stacktest-")
	if err != nil {
		return nil, err
	}
	cfg := o.Config
	cfg.HTTPAddr, cfg.GreylistRetry, cfg.MaxOrderCount = "127.0.0.1:0", time.Second, 1_000_000
	cfg.Providers = []string{config.OwnEngine}
	s := &Stack{Dir: dir, worker: make(chan error, 1)}
	s.servers, err = devstack.StartServers(ctx, cfg, devstack.ServerOptions{
		Dir: dir, Lab: maillab.Config{Domains: o.Domains, GreylistDelay: 500 * time.Millisecond},
	})
	if err != nil {
		return nil, err
	}
	if err := postgres.Migrate(ctx, s.servers.Config.DatabaseURL); err != nil {
		return nil, err
	}
	if s.Rooms, err = wire.Open(ctx, s.servers.Config, o.Log); err != nil {
		return nil, err
	}
	if o.Furnish != nil {
		if err := o.Furnish(ctx, s.Rooms, s.servers.Lab); err != nil {
			return nil, err
		}
	}
	working, end := context.WithCancel(ctx)
	s.endWork = end
	go func() { s.worker <- wire.RunWorker(working, s.servers.Config, o.Log) }()
	return s, nil
}

// Stop ends the worker and the servers, in this order.
func (s *Stack) Stop() error {
	s.endWork()
	if err := <-s.worker; err != nil {
		return err
	}
	s.Rooms.Close()
	if err := s.servers.Stop(); err != nil {
		return err
	}
	return os.RemoveAll(s.Dir)
}

// ImportLeads brings n leads of the mail lab into the catalogue, half of them with
// an address that exists.
func ImportLeads(ctx context.Context, rooms *wire.Rooms, lab *maillab.Lab, n int) error {
	var file bytes.Buffer
	if err := lab.World().WriteCatalogue(&file, n, 0.5); err != nil {
		return err
	}
	_, err := rooms.Catalogue.Import(ctx, &file, lead.CSV, lead.ImportOptions{})
	return err
}
