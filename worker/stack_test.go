package main_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/postgres"
	"holdfast/internal/wire"
)

// startServers starts real servers, with these Temporal namespaces besides
// default, and opens the rooms in the default one.
func startServers(t *testing.T, lab maillab.Config, namespaces ...string) (*devstack.Servers, *wire.Rooms) {
	ctx := t.Context()
	servers, err := devstack.StartServers(ctx, config.Config{
		HTTPAddr: "127.0.0.1:0", GreylistRetry: time.Second, VerdictCache: true, MaxOrderCount: order.MaxCount,
	}, devstack.ServerOptions{
		Dir: t.TempDir(), Lab: lab, Namespaces: namespaces, Note: func(text string) { t.Log(text) },
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, servers.Stop()) })
	require.NoError(t, postgres.Migrate(ctx, servers.Config.DatabaseURL))
	return servers, openRooms(t, servers.Config)
}

func openRooms(t *testing.T, cfg config.Config) *wire.Rooms {
	rooms, err := wire.Open(t.Context(), cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(rooms.Close)
	return rooms
}

// stock imports leads and makes the plan that orders run under: the preset,
// with a refund that does not wait long.
func stock(t *testing.T, rooms *wire.Rooms, lab *maillab.Lab, leads int) {
	ctx := t.Context()
	require.NoError(t, rooms.Accounts.EnsurePresets(ctx))
	p, err := rooms.Accounts.Plan(ctx, "verified-leads", 0)
	require.NoError(t, err)
	quick := *p
	quick.RefundDelay = 100 * time.Millisecond
	_, err = rooms.Accounts.SavePlan(ctx, &quick)
	require.NoError(t, err)
	var file bytes.Buffer
	require.NoError(t, lab.World().WriteCatalogue(&file, leads, 0.5))
	_, err = rooms.Catalogue.Import(ctx, &file, lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
}

// furnish creates an organization with credits.
func furnish(ctx context.Context, rooms *wire.Rooms, org string, credits int64) error {
	if _, err := rooms.Accounts.CreateOrg(ctx, account.Org{ID: org, Name: org, Plan: "verified-leads"}); err != nil {
		return err
	}
	if _, err := rooms.Ledger.Grant(ctx, ledger.Grant{Owner: org, Key: "pack", Type: "email", Amount: credits, Source: ledger.SourcePack}); err != nil {
		return err
	}
	return rooms.Billing.CatchUp(ctx, org, time.Now()) // arms the alerts, which the first touch would do
}

// buildWorker builds the program that runs in production.
func buildWorker(t *testing.T) (program string) {
	program = filepath.Join(t.TempDir(), "holdfast-worker")
	build, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput()
	require.NoError(t, err, string(build))
	return program
}

// workerProcess is a worker that runs.
type workerProcess struct {
	process *os.Process
	wait    func() error // until it has ended; any number of times
}

// startWorker starts one, which ends with the test at the latest.
func startWorker(t *testing.T, program string, cfg config.Config) (workerProcess, error) {
	cmd := exec.Command(program)
	cmd.Env = append(wire.WorkerEnv(cfg), "HOLDFAST_LOG_LEVEL=error")
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
