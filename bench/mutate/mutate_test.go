package main

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
)

// Each mutant still applies: its text stands once in its file. One that does not
// says that the code has changed, and wants a look.
func TestMutantsApply(t *testing.T) {
	list, err := readMutants("mutants")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(list), 100)
	names := map[string]bool{}
	var stale []error
	for _, m := range list {
		_, err := m.apply("../..")
		stale = append(stale, err)
		require.NotEmpty(t, m.pkg, m.name)
		require.NotEmpty(t, m.why, m.name)
		require.False(t, names[m.name], "two mutants are called %s", m.name)
		names[m.name] = true
	}
	require.NoError(t, errors.Join(stale...))
}

func TestVerdicts(t *testing.T) {
	failure := errors.New("exit status 1")
	for want, c := range map[string]struct {
		output string
		err    error
		same   string
	}{
		"killed TestX":                  {"--- FAIL: TestX (0.00s)\nFAIL", failure, ""},
		"killed panic: oh":              {"panic: oh\n\ngoroutine 1", failure, ""},
		"survived why":                  {"ok  \tpkg", nil, ""},
		"equivalent it is the same":     {"ok  \tpkg", nil, "it is the same"},
		"broken its tests do not exist": {"ok  \tpkg 0.1s [no tests to run]", nil, ""},
		"broken x [build failed]":       {"x [build failed]", failure, ""},
	} {
		outcome, by := verdict([]byte(c.output), c.err, mutant{why: "why", same: c.same})
		require.Equal(t, want, outcome+" "+by)
	}
}
