package devstack

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/sdk/client"

	"holdfast/internal/config"
	"holdfast/internal/order"
)

// The process that started the servers is killed with SIGKILL. They end with it (where the
// kernel does that), and a new start in the same directory has all their data:
// the row that was committed, the workflow that was running.
func TestServersSurviveAKill(t *testing.T) {
	ctx := t.Context()
	dir := newDir(t)
	helper, up := startHelper(t, dir)

	conn, err := pgx.Connect(ctx, up.DatabaseURL)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, `CREATE TABLE kept (n int)`)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, `INSERT INTO kept VALUES (7)`)
	require.NoError(t, err)
	temporal := dial(t, up.TemporalAddress)
	_, err = temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "kept", TaskQueue: "unused"}, "Waits")
	require.NoError(t, err)
	temporal.Close()

	require.NoError(t, helper.Process.Kill())
	_ = helper.Wait()
	if runtime.GOOS == "linux" {
		requireGone(t, up.PIDs...)
	}

	began := time.Now()
	servers, err := StartServers(ctx, config.Config{DNSServers: []string{"127.0.0.1:53"}}, ServerOptions{Dir: dir, Note: func(text string) { t.Log(text) }})
	require.NoError(t, err)
	t.Logf("started again in %s", time.Since(began))
	t.Cleanup(func() { require.NoError(t, servers.Stop()) })
	require.Equal(t, up.DatabaseURL, servers.Config.DatabaseURL, "the address stays")
	require.Equal(t, up.TemporalAddress, servers.Config.TemporalAddress, "the address stays")

	conn, err = pgx.Connect(ctx, servers.Postgres.SocketURL)
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.Background()) }()
	var n int
	require.NoError(t, conn.QueryRow(ctx, `SELECT n FROM kept`).Scan(&n))
	require.Equal(t, 7, n)
	described, err := dial(t, servers.Config.TemporalAddress).DescribeWorkflowExecution(ctx, "kept", "")
	require.NoError(t, err)
	require.Equal(t, enums.WORKFLOW_EXECUTION_STATUS_RUNNING, described.WorkflowExecutionInfo.Status)
}

// Servers of a run that ended without stopping them, and that the kernel did not
// stop either, are stopped by the next run in the same directory.
func TestLeftoversAreStopped(t *testing.T) {
	ctx := t.Context()
	dir := newDir(t)
	var notes []string
	start := func() *Servers {
		s, err := StartServers(ctx, config.Config{DNSServers: []string{"127.0.0.1:53"}}, ServerOptions{Dir: dir, Note: func(text string) { notes = append(notes, text) }})
		require.NoError(t, err)
		return s
	}
	first := start()
	second := start()
	defer func() { require.NoError(t, second.Stop()) }()
	requireGone(t, first.Postgres.server.cmd.Process.Pid, first.Temporal.server.cmd.Process.Pid)
	require.Contains(t, notes, "stopping the PostgreSQL that an earlier run left behind")
	require.Contains(t, notes, "stopping the Temporal server that an earlier run left behind")
	require.Equal(t, first.Config, second.Config)
	require.ErrorContains(t, first.Failed(ctx), "stopped")
}

// The dev server is the one that workflows need.
func TestTemporalIsPrepared(t *testing.T) {
	ctx := t.Context()
	dir := newDir(t)
	server, err := StartTemporal(ctx, TemporalOptions{Dir: dir, Note: func(text string) { t.Log(text) }})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Stop()) }()
	require.FileExists(t, filepath.Join(dir, "temporal.db-wal"), "a commit does not wait for the disk")
	attributes, err := dial(t, server.Address).OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: "default"})
	require.NoError(t, err)
	want := map[string]enums.IndexedValueType{}
	for _, a := range order.Attributes {
		want[a.Name] = enums.INDEXED_VALUE_TYPE_KEYWORD
	}
	require.Equal(t, want, attributes.CustomAttributes)
}

// What is there already is used and left alone.
func TestServersThatAreThere(t *testing.T) {
	dir := newDir(t)
	cfg := config.Config{DatabaseURL: "postgres://there/db", TemporalAddress: "there:7233", DNSServers: []string{"127.0.0.1:53"}}
	servers, err := StartServers(t.Context(), cfg, ServerOptions{Dir: dir})
	require.NoError(t, err)
	require.False(t, servers.Postgres.Started)
	require.False(t, servers.Temporal.Started)
	cfg.SMTPAllow = servers.Config.SMTPAllow
	require.Equal(t, cfg, servers.Config)
	require.Equal(t, "[127.0.0.0/8 ::1/128]", fmt.Sprint(servers.Config.SMTPAllow), "name servers on loopback are a lab's")
	require.Nil(t, servers.Postgres.Done())
	require.NoError(t, servers.Stop())
}

func dial(t *testing.T, address string) client.Client {
	t.Helper()
	c, err := client.Dial(client.Options{HostPort: address})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}
