package main_test

import (
	"bytes"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// A worker takes no arguments: what it does not know starts none on the live
// queues.
func TestTheWorkerExplainsItselfAndRefusesArguments(t *testing.T) {
	run := func(args ...string) (code int, stdout, stderr string) {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = []string{"HOLDFAST_DATABASE_URL=postgres://missing@127.0.0.1:1/none", "TEMPORAL_ADDRESS=127.0.0.1:1"}
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		var exit *exec.ExitError
		if err := cmd.Run(); err != nil {
			require.ErrorAs(t, err, &exit)
			return exit.ExitCode(), out.String(), errs.String()
		}
		return 0, out.String(), errs.String()
	}
	code, out, errs := run("--help")
	require.Zero(t, code)
	require.Contains(t, out, "HOLDFAST_DATABASE_URL")
	require.Contains(t, out, "holdfast-verify")
	require.Contains(t, out, "holdfast-webhook")
	require.Empty(t, errs)

	code, out, _ = run("--version")
	require.Zero(t, code)
	require.Regexp(t, `^holdfast-worker version commit \S+ of \S+, built with go1\.\S+\n$`, out)

	for _, args := range [][]string{{"start"}, {"help-me"}, {"--nonsense"}, {"-x"}, {"--version=maybe"}} {
		code, out, errs = run(args...)
		require.Equal(t, 2, code, "%q: %s", args, errs)
		require.Empty(t, out)
		require.NotContains(t, errs, "no server answers", "%q was not understood, and yet it started", args)
	}
	_, _, errs = run("start")
	require.Equal(t, "holdfast-worker: \"start\" is not known: it takes no arguments; see holdfast-worker --help\n", errs)

	code, _, errs = run()
	require.Equal(t, 1, code)
	require.Contains(t, errs, "no server answers at 127.0.0.1:1")
}
