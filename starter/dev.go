package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/maillab"
	"holdfast/internal/netguard"
	"holdfast/internal/order"
)

// dev is a stack that is kept running.
type dev struct {
	*app
	dir       string
	named     string // the directory where another one than the default was chosen
	httpAddr  string
	readyFile string
	fresh     bool
	leads     int64
	latency   time.Duration
}

func (a *app) devCommand() *cobra.Command {
	d := &dev{app: a}
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Keep the whole stack running, with its data, until Ctrl-C",
		Long: `Starts PostgreSQL, Temporal with its UI, the mail lab, a worker and the HTTP
server, and keeps them running. Started again, it has its data and goes on with
the orders that were running.

All of it lives in one data directory, .holdfast/dev unless --data-dir or
HOLDFAST_DATA_DIR says otherwise. While the stack runs, the file ready.json in there says where it can
be reached; commands that are run in the same directory or below find it by
that, so no setting is needed. HOLDFAST_DATABASE_URL, TEMPORAL_ADDRESS and
HOLDFAST_DNS_SERVERS make it use what you have instead. Webhooks may go to
addresses of this machine.

When a server that it started ends by itself, it says which and ends too;
started again, it goes on with the orders that were running.`,
		Example: examples(
			"holdfast dev --leads 10000",
			"holdfast dev --data-dir /tmp/holdfast --http-addr 127.0.0.1:9000 --ready-file /tmp/ready.json"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Context())
			if err != nil {
				return err
			}
			if d.leads < 0 || d.leads > order.MaxCount {
				return usagef("--leads %d is not possible; give a number from 0 to %d", d.leads, order.MaxCount)
			}
			d.dir = cmp.Or(a.devDir(cfg), dataDir)
			if d.httpAddr != "" {
				cfg.HTTPAddr = d.httpAddr
			}
			if os.Getenv("HOLDFAST_LOG_LEVEL") == "" {
				cfg.LogLevel = "warn" // at a terminal, what goes well needs no line
			}
			if os.Getenv("HOLDFAST_DRAIN_WAIT") == "" {
				cfg.DrainWait = 0 // no balancer sends requests here
			}
			err = d.run(cmd.Context(), cfg)
			if cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil // Ctrl-C is how it ends
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&d.httpAddr, "http-addr", "", "address of the HTTP server; HOLDFAST_HTTP_ADDR or 127.0.0.1:8080 when left out")
	flags.StringVar(&d.readyFile, "ready-file", "", "file to write as well when all is up, with all addresses")
	flags.BoolVar(&d.fresh, "fresh", false, "delete existing data")
	flags.Int64Var(&d.leads, "leads", 0, "at the first start, import so many synthetic leads and give the organization acme 100,000 credits; from 10,000 on also make the organization globex, with a month of history")
	flags.DurationVar(&d.latency, "latency", 0, "round-trip time that the mail lab adds")
	return cmd
}

func (d *dev) run(ctx context.Context, cfg config.Config) error {
	began := time.Now()
	if err := cfg.CheckOperatorKey(); err != nil {
		return err
	}
	cfg.WebhookAllow = append(cfg.WebhookAllow, netguard.Loopback()...) // receivers under development are on this machine
	unlock, err := d.takeDir()
	if err != nil {
		return err
	}
	defer unlock()
	listener, err := listen(ctx, cfg.HTTPAddr, "HOLDFAST_HTTP_ADDR")
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // closed already when it served

	// A stack that was killed could not do it.
	if err := d.removeReady(); err != nil {
		return err
	}
	state, err := readState(d.dir)
	if err != nil {
		return err
	}
	cfg.Sandbox = true
	if cfg.OperatorKey == "" {
		cfg.OperatorKey = state.OperatorKey
	}
	s, err := d.startStack(ctx, cfg, d.dir,
		maillab.Config{Latency: d.latency, DNSAddr: state.DNSAddr, SMTPPort: state.SMTPPort}, cfg.Logger(d.err), d.tick)
	if err != nil {
		return err
	}
	stop := func() error {
		d.note("Stopping …")
		return s.stop()
	}
	if s.Lab != nil {
		state.DNSAddr, state.SMTPPort = s.Lab.DNSAddr(), s.Lab.SMTPPort()
	}
	_, err = s.parts.Intake.EnsureSchedule(ctx, resetEvery)
	_, reconciled := s.parts.Intake.EnsureReconcile(ctx, reconcileEvery)
	if err = errors.Join(err, reconciled, state.write(d.dir), d.seed(ctx, s)); err != nil {
		return errors.Join(err, stop())
	}
	at := s.addresses(listener.Addr().String())
	serving, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- serve(serving, listener, servedBy(s.parts, at), true) }()
	// The first one that ends stops the others.
	died := make(chan error, 1)
	go func() { died <- s.failed(serving) }()

	if err = d.announce(at, time.Since(began)); err == nil {
		select {
		case err = <-died:
			if ctx.Err() == nil {
				return errors.Join(err, d.removeReady(), s.abandon())
			}
			err = errors.Join(err, <-served)
		case err = <-served:
		}
	}
	cancel()
	return errors.Join(err, d.removeReady(), stop())
}

// takeDir makes the data directory this stack's alone, and empties it where that is
// asked for.
func (d *dev) takeDir() (unlock func(), err error) {
	chosen := d.dir != dataDir
	if d.dir, err = filepath.Abs(d.dir); err != nil {
		return nil, err
	}
	if chosen {
		d.named = d.dir
	}
	if unlock, err = lockDir(d.dir); err != nil || !d.fresh {
		return unlock, err
	}
	if err := emptyDir(d.dir); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// readyFiles are the files that say where the stack can be reached.
func (d *dev) readyFiles() []string {
	files := []string{filepath.Join(d.dir, readyName)}
	if d.readyFile != "" {
		files = append(files, d.readyFile)
	}
	return files
}

func (d *dev) removeReady() error {
	var errs []error
	for _, path := range d.readyFiles() {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// announce writes the ready files and tells the person at the terminal.
func (d *dev) announce(at addresses, elapsed time.Duration) error {
	for _, path := range d.readyFiles() {
		if err := writeJSONFile(path, at); err != nil {
			return err
		}
	}
	if d.json {
		return d.printJSON(at)
	}
	d.heading("Holdfast is up after %s; Ctrl-C stops it, the data stays", took(elapsed))
	d.say("  Holdfast      %s", d.paint(cyan, at.Dashboard))
	if at.TemporalUI != "" {
		d.say("  Temporal UI   %s", d.paint(cyan, at.TemporalUI))
	}
	d.say("  addresses     %s", d.readyFiles()[0])
	d.say("\nTry in another terminal:\n%s", suggestions(d.named))
	return nil
}

// devState is what a dev stack keeps over a restart besides its databases: the
// mail lab stays where running orders look for it.
type devState struct {
	OperatorKey string `json:"operator_key"`
	DNSAddr     string `json:"dns_addr"`
	SMTPPort    int    `json:"smtp_port"`
}

const stateName = "state.json"

func readState(dir string) (devState, error) {
	state := devState{OperatorKey: "op_" + rand.Text()}
	path := filepath.Join(dir, stateName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err != nil {
		return state, fmt.Errorf("%s cannot be read; start with --fresh to throw the data away: %w", path, err)
	}
	return state, nil
}

func (s devState) write(dir string) error { return writeJSONFile(filepath.Join(dir, stateName), s) }

// writeJSONFile writes a file that only its owner may read.
func writeJSONFile(path string, v any) error {
	return writeFile(path, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	})
}

// lockDir makes sure that one dev stack at a time uses a directory. The lock
// ends with the process, however it ends.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL runs as another user
		return nil, fmt.Errorf("the data directory cannot be made: %w", err)
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the data directory cannot be used: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("another dev stack is running in %s; stop it or choose another --data-dir", dir), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

// emptyDir throws away what a dev stack keeps in its directory, except for the
// lock.
func emptyDir(dir string) error {
	if err := devstack.RemovePostgres(filepath.Join(dir, "postgres")); err != nil {
		return fmt.Errorf("the old data cannot be thrown away: %w", err)
	}
	for _, name := range []string{"temporal", stateName, readyName} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("the old data cannot be thrown away: %w", err)
		}
	}
	return nil
}
