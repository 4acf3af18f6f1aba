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
	"regexp"
	"strings"
	"time"
)

// What became of a mutant.
const (
	killed     = "killed"
	survived   = "survived"
	equivalent = "equivalent"
	broken     = "broken"    // it does not compile, or its tests do not exist
	undecided  = "undecided" // its tests fail without it, too: nothing is proven
)

// bench runs tests with and without a mutant, both on the same machine under the
// same load.
type bench struct {
	root, dir string
	within    time.Duration
	clean     map[string]string        // test programs without a mutant, by package
	passed    map[string]time.Duration // tests that passed without a mutant, by command
}

// try runs the tests of one mutant.
func (b *bench) try(m mutant) (result, error) {
	r := result{Name: m.name, File: m.file, Why: m.why, Tests: strings.TrimSpace(m.pkg + " " + m.run), Text: m.hash()}
	text, err := m.apply(b.root)
	if err != nil {
		return r, err
	}
	program := filepath.Join(b.dir, "mutant.test")
	defer func() { _ = os.Remove(program) }()
	output, err := b.compile(m, text, program)
	if err != nil {
		r.Outcome, r.By = broken, brief(output)
		return r, nil
	}
	began := time.Now()
	output, err = b.execute(program, m.pkg, m.run)
	r.Seconds = time.Since(began).Seconds()
	r.Outcome, r.By = verdict(output, err, m)
	if r.Outcome == killed {
		b.confirm(m, output, &r)
	}
	return r, nil
}

// confirm runs the test that killed a mutant, or all of its tests if they ran out
// of time, without the mutant. They must pass.
func (b *bench) confirm(m mutant, output []byte, r *result) {
	tests := m.run
	found := failed.FindSubmatch(output)
	late := bytes.Contains(output, []byte("panic: test timed out"))
	if found != nil && !late {
		top, _, _ := strings.Cut(string(found[1]), "/")
		tests = "^" + top + "$"
	}
	command := m.pkg + " " + tests
	took, known := b.passed[command]
	if late || !known {
		began := time.Now()
		if err := b.passes(m.pkg, tests); err != nil {
			r.Outcome, r.By = undecided, "without the mutant: "+err.Error()
			return
		}
		took = time.Since(began)
		b.passed[command] = took
	}
	if late {
		r.By = fmt.Sprintf("out of time after %s; without the mutant the tests took %s", b.within, took.Round(time.Second))
	}
}

// passes runs tests without a mutant.
func (b *bench) passes(pkg, tests string) error {
	program, ok := b.clean[pkg]
	if !ok {
		program = filepath.Join(b.dir, fmt.Sprintf("clean%d.test", len(b.clean)))
		cmd := exec.Command("go", "test", "-c", "-vet=off", "-o", program, pkg) //nolint:noctx // the compiler ends
		cmd.Dir = b.root
		if output, err := cmd.CombinedOutput(); err != nil {
			return errors.New(brief(output))
		}
		b.clean[pkg] = program
	}
	if output, err := b.execute(program, pkg, tests); err != nil {
		_, by := verdict(output, err, mutant{})
		return errors.New(by)
	}
	return nil
}

// compile makes the test program of a mutant: the faulty text stands in place of
// the file.
func (b *bench) compile(m mutant, text, program string) ([]byte, error) {
	faulty, overlay := filepath.Join(b.dir, "faulty.go"), filepath.Join(b.dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(b.root, m.file): faulty}})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.WriteFile(faulty, []byte(text), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return []byte(err.Error()), err
	}
	cmd := exec.Command("go", "test", "-c", "-vet=off", "-overlay", overlay, "-o", program, m.pkg) //nolint:noctx // the compiler ends
	cmd.Dir = b.root
	return cmd.CombinedOutput()
}

// execute runs a test program in the directory of its package, as go test does.
func (b *bench) execute(program, pkg, tests string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), b.within+30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-test.run", tests, "-test.failfast", "-test.timeout", b.within.String())
	cmd.Dir = filepath.Join(b.root, pkg)
	cmd.WaitDelay = 5 * time.Second // servers that the tests started may hold the output open
	return cmd.CombinedOutput()
}

var (
	failed   = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	panicked = regexp.MustCompile(`(?m)^panic: .*$`)
)

// verdict says what the tests made of a mutant, and which of them noticed.
func verdict(output []byte, err error, m mutant) (outcome, by string) {
	switch {
	case bytes.Contains(output, []byte("no tests to run")):
		return broken, "its tests do not exist"
	case err == nil && m.same != "":
		return equivalent, m.same
	case err == nil:
		return survived, m.why
	case bytes.Contains(output, []byte("panic: test timed out")):
		return killed, "out of time"
	}
	if found := failed.FindSubmatch(output); found != nil {
		return killed, string(found[1])
	}
	if found := panicked.Find(output); found != nil {
		return killed, string(found)
	}
	return undecided, "the tests ended without naming one: " + brief(output)
}

func brief(output []byte) string {
	return strings.ReplaceAll(string(bytes.TrimSpace(output[:min(len(output), 300)])), "\n", " ")
}
