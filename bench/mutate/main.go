// Command mutate makes faults in the product, one at a time, and runs the tests
// that should notice. The lists in mutants/ say which; README.md says how to write
// one. Nothing in the working tree changes: the compiler is given the faulty file
// in place of the good one.
package main

import (
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

type options struct {
	only   string
	within time.Duration
	out    string
	list   bool
	report string
}

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "regular expression: mutants whose name, file or list matches")
	flag.DurationVar(&o.within, "within", 3*time.Minute, "for the tests of one mutant")
	flag.StringVar(&o.out, "out", "results/mutate.json", "file of results; a mutant that it has as killed or equivalent is not run again")
	flag.BoolVar(&o.list, "list", false, "list the mutants and run nothing")
	flag.StringVar(&o.report, "report", "", "Markdown file to write the table of results to, without running anything")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(o options) error {
	mutants, err := readMutants("mutate/mutants")
	if err != nil {
		return err
	}
	pattern, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	var chosen []mutant
	for _, m := range mutants {
		if pattern.MatchString(m.name + " " + m.file + " " + m.listing) {
			chosen = append(chosen, m)
		}
	}
	if o.list {
		for _, m := range chosen {
			fmt.Printf("%-44s %s\n", m.name, m.why)
		}
		return nil
	}
	book, err := openResults(o.out)
	if err != nil {
		return err
	}
	if o.report != "" {
		return book.report(o.report, mutants)
	}
	return tryAll(o, chosen, book)
}

func tryAll(o options, chosen []mutant, book *results) error {
	root, err := filepath.Abs("..")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	commit, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output() //nolint:noctx // a moment
	if err != nil {
		return fmt.Errorf("the commit is unknown: %w", err)
	}
	b := &bench{root: root, dir: dir, within: o.within, clean: map[string]string{}, passed: map[string]time.Duration{}}
	open := 0
	for _, m := range chosen {
		if book.done(m) {
			continue
		}
		r, err := b.try(m)
		if err != nil {
			return err
		}
		r.Commit = strings.TrimSpace(string(commit))
		fmt.Printf("%-10s %-44s %6.1f s  %s\n", r.Outcome, r.Name, r.Seconds, r.By)
		if err := book.add(r); err != nil {
			return err
		}
		if r.Outcome != killed && r.Outcome != equivalent {
			open++
		}
	}
	fmt.Printf("\n%s\n", book.summary(chosen))
	if open > 0 {
		return errors.New("a mutant that survives is a gap in the tests: close it, or say in the list why it is equivalent")
	}
	return nil
}
