package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"holdfast/bench/report"
)

type result struct {
	Name    string  `json:"name"`
	File    string  `json:"file"`
	Why     string  `json:"why"`
	Tests   string  `json:"tests"`
	Text    string  `json:"text"`    // hash of what the mutant is
	Outcome string  `json:"outcome"` // see the constants
	By      string  `json:"by,omitempty"`
	Seconds float64 `json:"seconds"`
	Commit  string  `json:"commit"`
}

// results are kept in a file, which is written after each mutant, so that a run
// that was interrupted goes on where it ended.
type results struct {
	file string
	all  map[string]result // by name
}

func openResults(file string) (*results, error) {
	book := &results{file: file, all: map[string]result{}}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return book, nil
	}
	if err != nil {
		return nil, err
	}
	var list []result
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, r := range list {
		book.all[r.Name] = r
	}
	return book, nil
}

// hash tells a mutant from another one of the same name.
func (m mutant) hash() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{m.file, m.old, m.new, m.same}, "\x00")))
	return hex.EncodeToString(sum[:6])
}

// done says whether a mutant needs no run.
func (b *results) done(m mutant) bool {
	r, ok := b.all[m.name]
	return ok && r.Text == m.hash() && (r.Outcome == killed || r.Outcome == equivalent)
}

func (b *results) add(r result) error {
	b.all[r.Name] = r
	list := make([]result, 0, len(b.all))
	for _, r := range b.all {
		list = append(list, r)
	}
	slices.SortFunc(list, func(x, y result) int { return strings.Compare(x.File+x.Name, y.File+y.Name) })
	text, err := json.MarshalIndent(list, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.file+".new", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(b.file+".new", b.file)
}

// of returns the results of mutants that are in the lists as they were run.
func (b *results) of(mutants []mutant) (list []result, counts map[string]int) {
	counts = map[string]int{}
	for _, m := range mutants {
		r, ok := b.all[m.name]
		if !ok || r.Text != m.hash() {
			counts["not run"]++
			continue
		}
		counts[r.Outcome]++
		list = append(list, r)
	}
	return list, counts
}

func (b *results) summary(mutants []mutant) string {
	_, counts := b.of(mutants)
	parts := []string{}
	for _, outcome := range []string{killed, survived, equivalent, undecided, broken, "not run"} {
		parts = append(parts, fmt.Sprintf("%d %s", counts[outcome], outcome))
	}
	return fmt.Sprintf("%d mutants: %s", len(mutants), strings.Join(parts, ", "))
}

// report writes a table of the results.
func (b *results) report(file string, mutants []mutant) error {
	list, counts := b.of(mutants)
	var text strings.Builder
	commits := map[string]bool{}
	for _, r := range list {
		commits[r.Commit] = true
	}
	fmt.Fprintf(&text, "%s. That is %d of %d that are not equivalent and were run. Commits: %s. Each killing test passed without the mutant in the same run.\n\n| file | mutant | what it would mean | killed by |\n|---|---|---|---|\n", b.summary(mutants), counts[killed], len(list)-counts[equivalent], strings.Join(slices.Sorted(maps.Keys(commits)), ", "))
	for _, r := range list {
		by := r.By
		if r.Outcome != killed {
			by = "**" + r.Outcome + "**: " + by
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s |\n", r.File, r.Name, r.Why, by)
	}
	return report.ReplacePart(file, "mutants", text.String())
}
