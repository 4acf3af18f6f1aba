// Command chaos runs the product in processes of its own, under load, while they
// are killed and frozen and their connections cut, and then proves that nothing is
// lost and nothing charged twice. README.md says what is done and checked.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"holdfast/internal/devstack"
	"holdfast/internal/ledger"
)

type options struct {
	seed    uint64
	span    time.Duration
	callers int
	pause   time.Duration
	report  string
}

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 0, "of the load and the faults; 0 = a new one, which is printed")
	flag.DurationVar(&o.span, "for", 2*time.Minute, "how long the faults go on")
	flag.IntVar(&o.callers, "callers", 6, "clients at the same time")
	flag.DurationVar(&o.pause, "pause", 1500*time.Millisecond, "the longest between two faults")
	flag.StringVar(&o.report, "report", "", "file to write the report to, as Markdown")
	flag.Parse()
	if o.seed == 0 {
		o.seed = rand.Uint64N(1_000_000)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	fmt.Printf("seed %d\n", o.seed)
	dir, err := devstack.TempDir("holdfast-chaos-")
	if err != nil {
		return err
	}
	s, err := startStack(ctx, dir)
	if s != nil && s.data != nil {
		defer func() { err = errors.Join(err, s.stop()) }()
	}
	if err != nil {
		return err
	}
	s.pause = o.pause
	c := &client{
		urls: s.urls, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 50}}, key: s.memberKey, admin: operatorKey,
		org: org, leads: s.leadIDs, orders: map[string]accepted{},
	}
	c.fund(ctx)
	heads, err := s.load(ctx, o, c)
	if err != nil {
		return err
	}
	took, err := s.settle(ctx, 6*time.Minute)
	if err != nil {
		return errors.Join(err, s.tail())
	}
	proofs, err := s.verify(ctx, c, heads)
	if err != nil {
		return err
	}
	return s.tell(o, c, took, proofs)
}

// fund gives credits once the servers answer.
func (c *client) fund(ctx context.Context) {
	const pack = 200_000
	rng := rand.New(rand.NewPCG(1, 1))
	if status, answer := c.insist(ctx, rng, c.admin, "/orgs/"+c.org+"/grants", "fund", map[string]any{"type": "email", "amount": pack, "source": "pack"}); status != http.StatusCreated {
		c.complain("the first grant was answered %d: %s", status, answer)
		return
	}
	c.granted += pack
}

// load lets clients work while faults happen, and exports heads midway.
func (s *stack) load(ctx context.Context, o options, c *client) (heads []ledger.Head, err error) {
	faulty, end := context.WithTimeout(ctx, o.span)
	defer end()
	last, cancel := context.WithTimeout(ctx, o.span+4*time.Minute) // for requests that were begun
	defer cancel()
	var working sync.WaitGroup
	for i := range o.callers {
		working.Go(func() { c.work(faulty, last, rand.New(rand.NewPCG(o.seed, uint64(i))), fmt.Sprint("c", i)) })
	}
	working.Go(func() { s.torment(faulty, rand.New(rand.NewPCG(o.seed, 1000))) })
	working.Go(func() {
		time.Sleep(o.span / 2)
		for heads == nil && last.Err() == nil {
			heads, err = ledger.Heads(last, s.rooms.Pool, "")
		}
	})
	working.Wait()
	return heads, err
}

// tail is what the product logged last.
func (s *stack) tail() error {
	text, err := os.ReadFile(s.dir + "/product.log")
	if err != nil {
		return err
	}
	return errors.New("the product logged last:\n" + string(text[max(0, len(text)-4000):]))
}

// tell prints the result, and writes the report.
func (s *stack) tell(o options, c *client, took time.Duration, proofs []proof) error {
	commit, _ := exec.Command("git", "describe", "--always", "--exclude", "*", "--abbrev=12", "--dirty=-modified").Output() //nolint:noctx // at the end
	var b strings.Builder
	failed := 0
	fmt.Fprintf(&b, "Seed %d, commit %s, %s of load by %d clients, %d faults. %d orders accepted, %d requests repeated, %d refused.\n",
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
	out := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, b.String())
	_ = out.Flush() // to a terminal
	for _, p := range proofs {
		for _, wrong := range p.wrong[:min(len(p.wrong), 10)] {
			fmt.Printf("WRONG: %s: %s\n", p.what, wrong)
		}
	}
	if o.report != "" {
		text := "# Reliability\n\nWritten by `make chaos ARGS=\"-report ../docs/reliability.md\"`; [`bench/chaos`](../bench/chaos/README.md) says what is done and checked.\n\n" +
			b.String() + fmt.Sprintf("\nAgain: `make chaos ARGS=\"-seed %d -for %s -callers %d -pause %s\"` (the load and the faults are the same; their timing is the machine's).\n", o.seed, o.span, o.callers, o.pause)
		if err := os.WriteFile(o.report, []byte(text), 0o644); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d contradictions; seed %d", failed, o.seed)
	}
	return nil
}
