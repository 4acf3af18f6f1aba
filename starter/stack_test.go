package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startWithin is what a stack gets to come up on a busy machine. The Temporal
// server is built before (make test does), or within it.
const startWithin = 10 * time.Minute

// process is a command that keeps running in a test.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	output *lockedBuffer // both outputs
	ended  chan struct{}
	err    error // read after ended
}

type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}

// start starts a command; when the test ends it is asked to stop.
func (w *world) start(args ...string) *process {
	w.t.Helper()
	p := &process{t: w.t, cmd: w.command(context.Background(), args...), output: &lockedBuffer{}, ended: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	require.NoError(w.t, p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	w.t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		<-p.ended
		if w.t.Failed() {
			w.t.Logf("%q said:\n%s", args, p.output.String())
		}
	})
	return p
}

// says waits until the command has printed something.
func (p *process) says(text string) {
	p.t.Helper()
	p.until(func() bool { return strings.Contains(p.output.String(), text) }, "it does not say "+text)
}

// until waits for a condition while the command runs.
func (p *process) until(condition func() bool, otherwise string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		if condition() {
			return true
		}
		select {
		case <-p.ended:
			require.FailNow(p.t, "it has ended", "%s\n%s", otherwise, p.output.String())
		default:
		}
		return false
	}, startWithin, 20*time.Millisecond, otherwise)
}

// signal sends a signal and answers with the exit code.
func (p *process) signal(sig syscall.Signal) int {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(sig))
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		require.FailNow(p.t, "it does not stop", p.output.String())
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return exitSignal + int(status.Signal())
	}
	return exitCode(p.t, p.err)
}

// temporary is a directory that every user of this machine can reach, as the
// one who runs PostgreSQL must.
func temporary(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "holdfast-test-") //nolint:usetesting // t.TempDir is closed to other users
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

// nothingLeft demands that no process works in a directory any more.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	list, err := exec.CommandContext(t.Context(), "ps", "-A", "-ww", "-o", "pid=,args=").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(list)) {
		require.NotContains(t, line, dir, "a process is left behind")
	}
}

// emptyDirectory demands that nothing is left in a directory.
func emptyDirectory(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	require.Empty(t, left, "files are left behind")
}
