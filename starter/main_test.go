package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// built is where the program under test is built for real, when a test needs it.
var built string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "holdfast-starter-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	built = dir
	return m.Run()
}

// binary is the program under test.
var binary = sync.OnceValue(func() string {
	path := filepath.Join(built, "holdfast")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", path, ".")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		panic(fmt.Errorf("the program could not be built: %w", err))
	}
	return path
})

// here runs a command to its end within the test's process: quicker, and without
// a world of its own.
func here(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(args, strings.NewReader(stdin), &stdout, &stderr)
	return outcome{t, args, code, stdout.String(), stderr.String()}
}

// world is where commands run in a test: a directory of their own and an
// environment that nothing leaks into.
type world struct {
	t   *testing.T
	dir string
	env []string
}

func newWorld(t *testing.T, env ...string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir()}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HOLDFAST_") && !strings.HasPrefix(v, "TEMPORAL_") {
			w.env = append(w.env, v)
		}
	}
	// A configuration file of Temporal's, if there is one, is not read.
	w.env = append(w.env, "TEMPORAL_CONFIG_FILE="+filepath.Join(w.dir, "none.toml"), "XDG_CONFIG_HOME="+filepath.Join(w.dir, "config"))
	w.env = append(w.env, env...)
	return w
}

// outcome is how a command ended.
type outcome struct {
	t              *testing.T
	args           []string
	code           int
	stdout, stderr string
}

func (w *world) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary(), args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	return cmd
}

// run runs a command to its end.
func (w *world) run(args ...string) outcome { return w.feed("", args...) }

// feed runs a command to its end with something on its standard input.
func (w *world) feed(stdin string, args ...string) outcome {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	cmd := w.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	err := cmd.Run()
	require.NoError(w.t, ctx.Err(), "%q took too long: %s", args, stderr.String())
	return outcome{w.t, args, exitCode(w.t, err), stdout.String(), stderr.String()}
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	return exit.ExitCode()
}

// ok demands that a command succeeded.
func (o outcome) ok() outcome {
	o.t.Helper()
	require.Zero(o.t, o.code, "%q: %s%s", o.args, o.stdout, o.stderr)
	return o
}

// fails demands an exit code and one plain sentence on the standard error.
func (o outcome) fails(code int, contains string) {
	o.t.Helper()
	require.Equal(o.t, code, o.code, "%q: %s%s", o.args, o.stdout, o.stderr)
	require.Empty(o.t, o.stdout, "%q", o.args)
	lines := strings.Split(strings.TrimSuffix(o.stderr, "\n"), "\n")
	last := lines[len(lines)-1]
	if slices.Contains(o.args, "--json") {
		var f failure
		require.NoError(o.t, json.Unmarshal([]byte(last), &f), "%q: %s", o.args, last)
		require.Equal(o.t, code, f.ExitCode)
		require.NotEmpty(o.t, f.Code)
		last = f.Detail
	}
	require.Contains(o.t, strings.ToLower(last), strings.ToLower(contains), "%q", o.args)
	require.Equal(o.t, sentence(errors.New(last)), last, "%q: not a sentence", o.args)
	for _, line := range lines[:len(lines)-1] {
		require.Contains(o.t, line, "Idempotency key: ", "%q says more than one sentence", o.args)
	}
}

// into decodes the JSON on the standard output, all of it.
func (o outcome) into(v any) {
	o.t.Helper()
	dec := json.NewDecoder(strings.NewReader(o.stdout))
	require.NoError(o.t, dec.Decode(v), "%q: %s", o.args, o.stdout)
	require.False(o.t, dec.More(), "%q prints more than one JSON value: %s", o.args, o.stdout)
}
