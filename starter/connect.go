package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"holdfast/internal/config"
	"holdfast/internal/postgres"
	"holdfast/internal/wire"
)

// A dev stack keeps everything in one directory, by default this one below the
// working directory, and says there where it can be reached while it runs.
const (
	dataDir   = ".holdfast/dev"
	readyName = "ready.json"
)

// addresses is what a dev stack writes into its ready file.
type addresses struct {
	API             string `json:"api"`
	Dashboard       string `json:"dashboard"`
	TemporalUI      string `json:"temporal_ui"`
	TemporalAddress string `json:"temporal_address"`
	DatabaseURL     string `json:"database_url"`
	OperatorKey     string `json:"operator_key"`
	DNSAddr         string `json:"dns_addr"`
	SMTPPort        int    `json:"smtp_port"`
}

// errNoStack says that nothing is configured and no dev stack runs here.
var errNoStack = errors.New("no stack was found")

// findStack says which database and Temporal a command shall use: those of the
// environment or, where HOLDFAST_DATABASE_URL is not set, the dev stack's.
func (a *app) findStack(ctx context.Context) (config.Config, error) {
	cfg, err := config.Load(ctx)
	if err == nil && a.at.cell != "" {
		cfg, err = cfg.InCell(a.at.cell)
	}
	if err == nil {
		err = cfg.NeedCell("--cell or HOLDFAST_CELL")
	}
	if err != nil || cfg.DatabaseURL != "" {
		return cfg, err
	}
	dev, err := a.findDev(cfg)
	if errors.Is(err, errNoStack) {
		err = fmt.Errorf("%w: this command works on the database; start a stack with \"%s dev\" in another terminal, or set HOLDFAST_DATABASE_URL and TEMPORAL_ADDRESS", errNoStack, program())
	}
	if err != nil {
		return cfg, err
	}
	cfg.DatabaseURL = dev.DatabaseURL
	if cfg.TemporalAddress == "" {
		cfg.TemporalAddress = dev.TemporalAddress
	}
	return cfg, nil
}

// devDir is the directory that --data-dir or HOLDFAST_DATA_DIR names; empty where
// neither does.
func (a *app) devDir(cfg config.Config) string { return cmp.Or(a.at.dataDir, cfg.DataDir) }

// findDev reads the ready file of a dev stack that runs: in the directory that was
// named, else in the working directory or above it. errNoStack where there is none.
func (a *app) findDev(cfg config.Config) (addresses, error) {
	if dir := a.devDir(cfg); dir != "" {
		return readReady(dir)
	}
	dir, err := os.Getwd()
	if err != nil {
		return addresses{}, errNoStack
	}
	for {
		found, err := readReady(filepath.Join(dir, dataDir))
		if !errors.Is(err, errNoStack) {
			return found, err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return addresses{}, errNoStack
		}
		dir = parent
	}
}

func readReady(dir string) (found addresses, err error) {
	path := filepath.Join(dir, readyName)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return found, errNoStack
	case err != nil:
		return found, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	if err := json.Unmarshal(text, &found); err != nil {
		return found, fmt.Errorf("%s is not a ready file; restart \"%s dev\": %w", path, program(), err)
	}
	return found, nil
}

// openApp connects a command to PostgreSQL and Temporal.
func (a *app) openApp(ctx context.Context) (*wire.App, error) { return a.open(ctx, wire.Open) }

// openDatabase connects a command to PostgreSQL alone.
func (a *app) openDatabase(ctx context.Context) (*wire.App, error) {
	return a.open(ctx, wire.OpenDatabase)
}

// whatAnswers opens both, or PostgreSQL alone while Temporal is away; the app has
// no Intake then.
func whatAnswers(ctx context.Context, cfg config.Config, log *slog.Logger, options ...wire.Option) (*wire.App, error) {
	parts, err := wire.Open(ctx, cfg, log, options...)
	if errors.Is(err, wire.ErrNoTemporal) {
		return wire.OpenDatabase(ctx, cfg, log, options...)
	}
	return parts, err
}

// opening is wire.Open or one of its kind.
type opening func(context.Context, config.Config, *slog.Logger, ...wire.Option) (*wire.App, error)

func (a *app) open(ctx context.Context, with opening) (*wire.App, error) {
	cfg, err := a.findStack(ctx)
	if err != nil {
		return nil, err
	}
	return a.openAt(ctx, cfg, with)
}

func (a *app) openAt(ctx context.Context, cfg config.Config, with opening) (*wire.App, error) {
	// A command speaks for itself: of what its parts log, faults alone are shown.
	parts, err := with(ctx, cfg, slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: slog.LevelError})))
	if os.Getenv("HOLDFAST_DATABASE_URL") == "" && cfg.Cell == "" && (errors.Is(err, postgres.ErrUnreachable) || errors.Is(err, wire.ErrNoTemporal)) {
		return nil, devGone(err)
	}
	return parts, err
}

func devGone(err error) error {
	return fmt.Errorf("the dev stack does not answer; start it again with \"%s dev\" (%w)", program(), err)
}
