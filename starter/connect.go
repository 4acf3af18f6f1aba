package main

import (
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

// findStack says which stack a command shall use: the one of the environment
// or, where HOLDFAST_DATABASE_URL is not set, the dev stack that runs in the
// working directory or above it.
func findStack(ctx context.Context) (config.Config, error) {
	cfg, err := config.Load(ctx)
	if err != nil || cfg.DatabaseURL != "" {
		return cfg, err
	}
	dev, err := findDev()
	if err != nil {
		return cfg, err
	}
	cfg.DatabaseURL = dev.DatabaseURL
	if cfg.TemporalAddress == "" {
		cfg.TemporalAddress = dev.TemporalAddress
	}
	return cfg, nil
}

// findDev reads the ready file of the dev stack that runs in the working
// directory or above it.
func findDev() (addresses, error) {
	none := fmt.Errorf("no stack was found: start one with \"%s dev\" in another terminal, or set HOLDFAST_DATABASE_URL and TEMPORAL_ADDRESS", program())
	dir, err := os.Getwd()
	if err != nil {
		return addresses{}, none
	}
	for {
		path := filepath.Join(dir, dataDir, readyName)
		text, err := os.ReadFile(path)
		if err == nil {
			var found addresses
			if err := json.Unmarshal(text, &found); err != nil {
				return addresses{}, fmt.Errorf("%s is not a ready file; restart \"%s dev\": %w", path, program(), err)
			}
			return found, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return addresses{}, fmt.Errorf("%s cannot be read: %w", path, err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return addresses{}, none
		}
		dir = parent
	}
}

// openRooms connects a command to PostgreSQL and Temporal.
func openRooms(ctx context.Context) (*wire.Rooms, error) { return open(ctx, wire.Open) }

// openDatabase connects a command to PostgreSQL alone.
func openDatabase(ctx context.Context) (*wire.Rooms, error) { return open(ctx, wire.OpenDatabase) }

// openWhatAnswers connects a command to both, or to PostgreSQL alone while
// Temporal is away; the rooms have no Intake then.
func openWhatAnswers(ctx context.Context) (*wire.Rooms, error) {
	rooms, err := openRooms(ctx)
	if errors.Is(err, wire.ErrNoTemporal) {
		return openDatabase(ctx)
	}
	return rooms, err
}

// opener connects a command to what it works with.
type opener func(context.Context) (*wire.Rooms, error)

func open(ctx context.Context, with func(context.Context, config.Config, *slog.Logger, ...wire.Option) (*wire.Rooms, error)) (*wire.Rooms, error) {
	cfg, err := findStack(ctx)
	if err != nil {
		return nil, err
	}
	// A command speaks for itself; what its parts log would only be in the way.
	rooms, err := with(ctx, cfg, slog.New(slog.DiscardHandler))
	if os.Getenv("HOLDFAST_DATABASE_URL") == "" && (errors.Is(err, postgres.ErrUnreachable) || errors.Is(err, wire.ErrNoTemporal)) {
		return nil, fmt.Errorf("the dev stack does not answer; start it again with \"%s dev\" (%w)", program(), err)
	}
	return rooms, err
}
