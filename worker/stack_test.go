package main_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/postgres"
	"holdfast/internal/stacktest"
	"holdfast/internal/wire"
)

// lanes are the Temporal namespaces in which workers of one test run side by side.
const lanes = 13

func laneName(i int) string { return fmt.Sprintf("lane-%d", i) }

// kindLanes are those of the test of all kinds of orders.
const kindLanes = 3

func kindLane(i int) string { return fmt.Sprintf("kinds-%d", i) }

// servers are PostgreSQL and Temporal for all tests of this package: a test has a
// database, a mail lab and a Temporal namespace of its own.
var servers = sync.OnceValues(func() (*stacktest.Stack, error) {
	namespaces := []string{"kill", "rush", "health", "greylist"}
	for i := range lanes {
		namespaces = append(namespaces, laneName(i))
	}
	for i := range kindLanes {
		namespaces = append(namespaces, kindLane(i))
	}
	var err error
	running, err = stacktest.Start(context.Background(), stacktest.Options{Namespaces: namespaces, NoWorker: true})
	return running, err
})

var running *stacktest.Stack // once a test has asked for it

// program is the worker that runs in production, built once.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "holdfast-worker-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		program = filepath.Join(dir, "holdfast-worker")
		if out, err := exec.CommandContext(context.Background(), "go", "build", "-ldflags=-s -w", "-o", program, ".").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "the worker could not be built: %v\n%s", err, out)
			return 1
		}
		code := m.Run()
		if running != nil {
			if err := running.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				return 1
			}
		}
		return code
	}())
}

// stack is what a test has of its own on the servers.
type stack struct {
	cfg config.Config // of its workers
	app *wire.App
	lab *maillab.Lab
}

func newStack(t *testing.T, namespace string, lab maillab.Config) *stack {
	ctx := t.Context()
	on, err := servers()
	require.NoError(t, err)
	s := &stack{cfg: on.Config}
	s.lab, err = maillab.Start(lab)
	require.NoError(t, err)
	t.Cleanup(s.lab.Close)
	database, err := url.Parse(s.cfg.DatabaseURL)
	require.NoError(t, err)
	_, err = on.App.Pool.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{namespace}.Sanitize())
	require.NoError(t, err)
	database.Path = "/" + namespace
	s.cfg.DatabaseURL, s.cfg.TemporalNamespace = database.String(), namespace
	s.cfg.DNSServers, s.cfg.SMTPPort, s.cfg.VerdictCache = []string{s.lab.DNSAddr()}, s.lab.SMTPPort(), true
	require.NoError(t, postgres.Migrate(ctx, s.cfg.DatabaseURL))
	s.app = openApp(t, s.cfg)
	return s
}

func openApp(t *testing.T, cfg config.Config) *wire.App {
	app, err := wire.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(app.Close)
	return app
}

// seed imports leads and makes the plan that orders run under: the preset,
// with a refund that does not wait long.
func (s *stack) seed(t *testing.T, leads int) {
	ctx, app := t.Context(), s.app
	require.NoError(t, app.Accounts.EnsurePresets(ctx))
	p, err := app.Accounts.Plan(ctx, "verified-leads", 0)
	require.NoError(t, err)
	quick := *p
	quick.RefundDelay = 100 * time.Millisecond
	_, err = app.Accounts.SavePlan(ctx, &quick)
	require.NoError(t, err)
	var file bytes.Buffer
	require.NoError(t, s.lab.World().WriteCatalogue(&file, leads, 0.5))
	_, err = app.Catalogue.Import(ctx, &file, lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
}

// createOrg creates an organization with credits.
func createOrg(ctx context.Context, app *wire.App, org string, credits int64) error {
	if _, err := app.Accounts.CreateOrg(ctx, account.Org{ID: org, Name: org, Plan: "verified-leads"}); err != nil {
		return err
	}
	if _, err := app.Ledger.Grant(ctx, ledger.Grant{Owner: org, Key: "pack", Type: "email", Amount: credits, Source: ledger.SourcePack}); err != nil {
		return err
	}
	return app.Billing.CatchUp(ctx, org, time.Now()) // arms the alerts, which the first touch would do
}

// workerProcess is a worker that runs.
type workerProcess struct {
	process *os.Process
	wait    func() error // until it has ended; any number of times
}

// startWorker starts one with more in its environment, which ends with the test at
// the latest.
func startWorker(t *testing.T, cfg config.Config, env ...string) (workerProcess, error) {
	cmd := exec.Command(program)
	cmd.Env = append(wire.WorkerEnv(cfg), "HOLDFAST_LOG_LEVEL=error", "HOLDFAST_WEBHOOK_ALLOW=127.0.0.1/32")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return workerProcess{}, err
	}
	w := workerProcess{process: cmd.Process, wait: sync.OnceValue(cmd.Wait)}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = w.wait()
	})
	return w, nil
}

// kill ends the worker at once, as the kernel would.
func (w workerProcess) kill() {
	_ = w.process.Signal(syscall.SIGKILL)
	_ = w.wait()
}
