// Command mutate makes faults in the product, one at a time, and runs the tests
// that should notice. The lists in mutants/ say which; README.md says how to write
// one. Nothing in the working tree changes: the compiler is given the faulty file
// in place of the good one.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

type result struct {
	Name    string  `json:"name"`
	File    string  `json:"file"`
	Why     string  `json:"why"`
	Outcome string  `json:"outcome"` // killed, survived, equivalent, broken
	By      string  `json:"by,omitempty"`
	Seconds float64 `json:"seconds"`
}

func main() {
	only := flag.String("only", "", "regular expression: mutants whose name, file or list matches")
	within := flag.Duration("within", 5*time.Minute, "for the tests of one mutant; one that takes longer is killed")
	out := flag.String("out", "", "file to add results to, a JSON object a line")
	list := flag.Bool("list", false, "list the mutants and run nothing")
	flag.Parse()
	if err := run(*only, *within, *out, *list); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(only string, within time.Duration, out string, listOnly bool) error {
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	mutants, err := readMutants("mutate/mutants")
	if err != nil {
		return err
	}
	chosen, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	counts := map[string]int{}
	for _, m := range mutants {
		if !chosen.MatchString(m.name + " " + m.file + " " + m.listing) {
			continue
		}
		if listOnly {
			fmt.Printf("%-44s %s\n", m.name, m.why)
			continue
		}
		r, err := try(root, m, within)
		if err != nil {
			return err
		}
		counts[r.Outcome]++
		fmt.Printf("%-10s %-44s %6.1f s  %s\n", r.Outcome, r.Name, r.Seconds, r.By)
		if err := keep(out, r); err != nil {
			return err
		}
	}
	if listOnly {
		return nil
	}
	fmt.Printf("\n%d killed, %d survived, %d equivalent, %d broken\n", counts["killed"], counts["survived"], counts["equivalent"], counts["broken"])
	if counts["survived"]+counts["broken"] > 0 {
		return errors.New("a mutant that survives is a gap in the tests: close it, or say in the list why it is equivalent")
	}
	return nil
}

func keep(out string, r result) error {
	if out == "" {
		return nil
	}
	f, err := os.OpenFile(out, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return json.NewEncoder(f).Encode(r)
}

var (
	failed   = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)
	panicked = regexp.MustCompile(`(?m)^panic: .*$`)
)

// try runs the tests of one mutant.
func try(root string, m mutant, within time.Duration) (result, error) {
	r := result{Name: m.name, File: m.file, Why: m.why}
	text, err := m.apply(root)
	if err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp("", "mutant")
	if err != nil {
		return r, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	faulty, overlay := filepath.Join(dir, "faulty.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, m.file): faulty}})
	if err != nil {
		return r, err
	}
	if err := errors.Join(os.WriteFile(faulty, []byte(text), 0o600), os.WriteFile(overlay, replace, 0o600)); err != nil {
		return r, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	args := []string{"test", "-overlay", overlay, "-count=1", "-failfast", "-timeout", within.String()}
	if m.run != "" {
		args = append(args, "-run", m.run)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, m.pkg)...)
	cmd.Dir = root
	began := time.Now()
	output, err := cmd.CombinedOutput()
	r.Seconds = time.Since(began).Seconds()
	r.Outcome, r.By = verdict(output, err, m)
	return r, nil
}

// verdict says what the tests made of a mutant, and which of them noticed.
func verdict(output []byte, err error, m mutant) (outcome, by string) {
	switch {
	case err == nil && m.same != "":
		return "equivalent", m.same
	case err == nil && bytes.Contains(output, []byte("no tests to run")):
		return "broken", "its tests do not exist"
	case err == nil:
		return "survived", m.why
	case bytes.Contains(output, []byte("[build failed]")) || bytes.Contains(output, []byte("[setup failed]")):
		return "broken", strings.ReplaceAll(string(bytes.TrimSpace(output[:min(len(output), 300)])), "\n", " ")
	}
	if found := failed.FindSubmatch(output); found != nil {
		return "killed", string(found[1])
	}
	if found := panicked.Find(output); found != nil {
		return "killed", string(found)
	}
	return "killed", "out of time"
}
