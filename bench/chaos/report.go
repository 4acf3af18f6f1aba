package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"holdfast/bench/report"
)

// tellEvery is how often a run says how far it is.
const tellEvery = 15 * time.Second

// tellProgress says how far the load is, until ctx is done.
func (s *stack) tellProgress(ctx context.Context, o options, c *client) {
	began := time.Now()
	every := time.NewTicker(tellEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		s.mu.Lock()
		faults := len(s.happened)
		s.mu.Unlock()
		c.mu.Lock()
		orders, problems := len(c.orders), len(c.problems)
		c.mu.Unlock()
		what := "under faults"
		if time.Since(began) > o.span {
			what = "finishing the requests that were begun"
		}
		note(fmt.Sprintf("%s of %s, %s: %d faults, %d orders accepted, %d requests repeated, %d contradictions so far",
			time.Since(began).Round(time.Second), o.span, what, faults, orders, c.repeated.Load(), problems))
	}
}

// tell prints the result, and writes the report.
func (s *stack) tell(o options, c *client, took time.Duration, proofs []proof) error {
	text, failed := s.describe(o, c, took, proofs)
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, text)
	_ = out.Flush() // to a terminal
	for _, p := range proofs {
		for _, wrong := range p.wrong[:min(len(p.wrong), 10)] {
			fmt.Printf("WRONG: %s: %s\n", p.what, wrong)
		}
	}
	if o.report != "" && o.soak == "" {
		if err := report.ReplacePart(o.report, o.part(), text); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d contradictions; seed %d", failed, o.seed)
	}
	return nil
}

func (s *stack) describe(o options, c *client, took time.Duration, proofs []proof) (text string, failed int) {
	commit, _ := exec.Command("git", "describe", "--always", "--exclude", "*", "--abbrev=12", "--dirty=-modified").Output() //nolint:noctx // at the end
	var b strings.Builder
	fmt.Fprintf(&b, "Seed %d, commit %s, %s of load by %d clients, **%d faults, %d orders accepted**, %d requests repeated, %d refused for missing credits or because an order was over.\n",
		o.seed, strings.TrimSpace(string(commit)), o.span, o.callers, len(s.happened), len(c.orders), c.repeated.Load(), c.refused.Load())
	fmt.Fprintf(&b, "Everything had settled %s after the last request, without a hand on it.\n\n", took.Round(time.Second))
	b.WriteString("| proof | looked at | contradictions |\n|---|--:|--:|\n")
	for _, p := range proofs {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", p.what, p.of, len(p.wrong))
		failed += len(p.wrong)
	}
	b.WriteString("\n| fault | times | next order accepted after, median | worst |\n|---|--:|--:|--:|\n")
	for _, row := range recovery(s.happened, c.accepts) {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	b.WriteString("\n| request | answered |\n|---|--:|\n")
	for _, what := range slices.Sorted(maps.Keys(c.done)) {
		fmt.Fprintf(&b, "| %s | %d |\n", what, c.done[what])
	}
	fmt.Fprintf(&b, "\nAgain: `make chaos ARGS=\"-seed %d -for %s -callers %d -think %s -pause %s -at-once %d\"`. The load and the faults are the same; their timing is the machine's.\n",
		o.seed, o.span, o.callers, o.think, o.pause, o.atOnce)
	return b.String(), failed
}
