package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A server that dies takes the dev stack with it, at once and with its name, and
// nothing is left behind; the next start has the data.
func TestDevEndsWhenAServerDies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dir = temporary(t)
	for _, c := range []struct{ pidFile, says string }{
		{"postgres/data/postmaster.pid", "PostgreSQL has stopped (signal: killed)."},
		{"temporal/temporal.pid", "The Temporal server has stopped (signal: killed)."},
	} {
		dev, _ := startDev(w)
		text, err := os.ReadFile(filepath.Join(w.dir, dataDir, c.pidFile))
		require.NoError(t, err)
		line, _, _ := strings.Cut(string(text), "\n")
		pid, err := strconv.Atoi(line)
		require.NoError(t, err)
		killed := time.Now()
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		select {
		case <-dev.ended:
		case <-time.After(startWithin):
			require.Fail(t, "it goes on", dev.output.String())
		}
		t.Logf("ended after %s", time.Since(killed))
		require.Less(t, time.Since(killed), 8*time.Second, "2 s on a machine that does nothing else; with everything drained it was 15")
		require.Equal(t, exitFailed, exitCode(t, dev.err))
		require.Contains(t, dev.output.String(), c.says)
		require.NoFileExists(t, filepath.Join(w.dir, dataDir, readyName))
		nothingLeft(t, w.dir)
	}
}
