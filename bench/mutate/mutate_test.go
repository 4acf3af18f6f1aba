package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

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
		"killed out of time":            {"panic: test timed out after 1m0s\n--- FAIL: TestX", failure, ""},
		"survived why":                  {"PASS", nil, ""},
		"equivalent it is the same":     {"PASS", nil, "it is the same"},
		"broken its tests do not exist": {"testing: warning: no tests to run\nPASS", nil, ""},
		"undecided the tests ended without naming one: oh": {"oh", failure, ""},
	} {
		outcome, by := verdict([]byte(c.output), c.err, mutant{why: "why", same: c.same})
		require.Equal(t, want, outcome+" "+by)
	}
}

// A test that fails without the mutant, too, has killed nothing.
func TestAKillIsConfirmedWithoutTheMutant(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod": "module lab\n\ngo 1.26\n",
		"lab.go": "package lab\n\nfunc Two() int { return 2 }\n\nfunc Loop() bool { return false }\n",
		"lab_test.go": `package lab

import "testing"

func TestTwo(t *testing.T) {
	if Two() != 2 {
		t.Fatal()
	}
}

func TestFails(t *testing.T) { t.Fatal() }

func TestEnds(t *testing.T) {
	for Loop() {
	}
}
`,
	} {
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o600))
	}
	b := &bench{root: root, dir: t.TempDir(), within: 3 * time.Second, clean: map[string]string{}, passed: map[string]time.Duration{}}
	three := mutant{name: "three", file: "lab.go", pkg: ".", old: "return 2", new: "return 3"}
	for want, m := range map[string]mutant{
		"killed TestTwo": three.with("^TestTwo$"),
		"undecided without the mutant: TestFails": three.with("^TestFails$"),
		"survived ":          three.with("^TestEnds$"),
		"killed out of time": mutant{name: "loop", file: "lab.go", pkg: ".", old: "return false", new: "return true"}.with("^TestEnds$"),
		"broken # lab":       mutant{name: "no Go", file: "lab.go", pkg: ".", old: "return 2", new: "return x"}.with("^TestTwo$"),
	} {
		r, err := b.try(m)
		require.NoError(t, err)
		require.Contains(t, r.Outcome+" "+r.By, want)
	}
}

func (m mutant) with(tests string) mutant {
	m.run = tests
	return m
}

// A run that was interrupted goes on where it ended.
func TestResultsAreKept(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mutate.json")
	book, err := openResults(file)
	require.NoError(t, err)
	dead, alive := mutant{name: "dead", old: "a", new: "b"}, mutant{name: "alive", old: "a", new: "c"}
	require.NoError(t, book.add(result{Name: "dead", Text: dead.hash(), Outcome: killed}))
	require.NoError(t, book.add(result{Name: "alive", Text: alive.hash(), Outcome: survived}))
	book, err = openResults(file)
	require.NoError(t, err)
	require.True(t, book.done(dead))
	require.False(t, book.done(alive), "a survivor is tried again")
	dead.new = "d"
	require.False(t, book.done(dead), "it is another mutant now")
	require.Equal(t, "2 mutants: 0 killed, 1 survived, 0 equivalent, 0 undecided, 0 broken, 1 not run", book.summary([]mutant{dead, alive}))
}
