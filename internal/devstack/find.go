package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// postgresPlaces are where packages put the server programs when not on PATH.
var postgresPlaces = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql*/bin",
	"/usr/local/opt/postgresql*/bin",
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
	"/usr/local/pgsql/bin",
	"/usr/libexec/postgresql*",
}

// findPostgres returns the directory of PostgreSQL's server programs: on PATH, or
// the newest of those in the usual places.
func findPostgres() (string, error) {
	if path, err := exec.LookPath("postgres"); err == nil {
		// Homebrew and Debian put links on PATH; the programs look beside themselves.
		if resolved, err := filepath.EvalSymlinks(path); err == nil && complete(filepath.Dir(resolved)) {
			return filepath.Dir(resolved), nil
		}
	}
	var found []string
	for _, pattern := range postgresPlaces {
		matches, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		slices.Reverse(matches) // 17 before 15
		for _, dir := range matches {
			if complete(dir) {
				found = append(found, dir)
			}
		}
	}
	if len(found) == 0 {
		return "", errors.New("no PostgreSQL server programs (initdb, postgres) were found: install them (`apt-get install postgresql`, `brew install postgresql@17`), or set HOLDFAST_DATABASE_URL to a server you have")
	}
	return found[0], nil
}

func complete(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode()&0o111 == 0 {
			return false
		}
	}
	return true
}

// freePort asks the kernel for a port on loopback that is free now.
func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // returns at once
	if err != nil {
		return 0, fmt.Errorf("no port is free on 127.0.0.1: %w", err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

// portFree returns one clear sentence when port on loopback is taken.
func portFree(port int) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // returns at once
	if err != nil {
		return fmt.Errorf("port %d on 127.0.0.1 is taken: stop what uses it or choose another", port)
	}
	return listener.Close()
}

// pickPort returns wanted when it is free, else the port used last time (so that
// a bookmark or an alias stays good), else any free one.
func pickPort(who string, wanted int, lastFile string) (int, error) {
	if wanted != 0 {
		if err := portFree(wanted); err != nil {
			return 0, fmt.Errorf("%s cannot listen: %w", who, err)
		}
		return wanted, nil
	}
	if text, err := os.ReadFile(lastFile); err == nil {
		if port, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && portFree(port) == nil {
			return port, nil
		}
	}
	return freePort()
}

// waitFor polls until ready says so, the patience ends or the context does.
func waitFor(ctx context.Context, patience time.Duration, ready func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("nothing happened for %s", patience))
	defer cancel()
	for !ready() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
