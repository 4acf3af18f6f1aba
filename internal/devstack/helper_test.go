package devstack

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"holdfast/internal/config"
)

const helperEnv = "HOLDFAST_DEVSTACK_HELPER"

// TestMain turns the test program into one that starts the servers in the
// directory it is given and then does nothing, so that a test can kill it.
func TestMain(m *testing.M) {
	dir := os.Getenv(helperEnv)
	if dir == "" {
		goleak.VerifyTestMain(m)
		return
	}
	servers, err := StartServers(context.Background(), config.Config{DNSServers: []string{"127.0.0.1:53"}}, ServerOptions{Dir: dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(running{
		DatabaseURL: servers.Config.DatabaseURL, TemporalAddress: servers.Config.TemporalAddress,
		PIDs: []int{servers.Postgres.server.cmd.Process.Pid, servers.Temporal.server.cmd.Process.Pid},
	})
	select {}
}

// running is what the helper prints when its servers are up.
type running struct {
	DatabaseURL     string
	TemporalAddress string
	PIDs            []int
}

// startHelper starts a process that owns servers in dir.
func startHelper(t *testing.T, dir string) (*exec.Cmd, running) {
	t.Helper()
	program, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), helperEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	var up running
	require.NoError(t, json.NewDecoder(out).Decode(&up), "the helper's servers did not start")
	return cmd, up
}

// newDir is a directory such as `mktemp -d` makes: for its owner alone.
func newDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "holdfast-test-") //nolint:usetesting // t.TempDir's names are too long for a Unix socket
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func requireGone(t *testing.T, pids ...int) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, pid := range pids {
			if syscall.Kill(pid, 0) == nil {
				return false
			}
		}
		return true
	}, 20*time.Second, 20*time.Millisecond, "processes %v are still there", pids)
}
