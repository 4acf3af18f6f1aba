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
	"os/signal"
	"regexp"
	"sync"
	"syscall"
	"time"

	"holdfast/bench/report"
	"holdfast/internal/devstack"
	"holdfast/internal/ledger"
)

type options struct {
	seed    uint64
	span    time.Duration
	callers int
	think   time.Duration
	pause   time.Duration
	atOnce  int
	settle  time.Duration
	only    string
	report  string
	soak    string
}

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 0, "of the load and the faults; 0 = a new one, which is printed")
	flag.DurationVar(&o.span, "for", 2*time.Minute, "how long the faults go on")
	flag.IntVar(&o.callers, "callers", 8, "clients at the same time")
	flag.DurationVar(&o.think, "think", 100*time.Millisecond, "the longest that a client waits between two pieces of work")
	flag.DurationVar(&o.pause, "pause", 1500*time.Millisecond, "the longest between two faults")
	flag.IntVar(&o.atOnce, "at-once", 2, "faults at the same time, at most")
	flag.DurationVar(&o.settle, "settle", 15*time.Minute, "how long everything may take to settle after the last request")
	flag.StringVar(&o.only, "only", "", "regular expression: kinds of faults")
	flag.StringVar(&o.report, "report", "", "Markdown file to write the report to, in place of the one that is there")
	flag.StringVar(&o.soak, "soak", "", "JSON file to write what the product takes over time to, with a plot beside it; without faults, unless -only chooses some")
	flag.Parse()
	if o.soak != "" && o.only == "" {
		o.only = "^$"
	}
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
	only, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	if o.report != "" { // found out now, not after the run
		if err := report.CheckPart(o.report, o.part()); err != nil {
			return err
		}
	}
	dir, err := devstack.TempDir("holdfast-chaos-")
	if err != nil {
		return err
	}
	s, err := startStack(ctx, dir)
	if s.data != nil {
		defer func() { err = errors.Join(err, s.stop()) }()
	}
	if err != nil {
		return err
	}
	s.pause = o.pause
	c := &client{
		urls: s.urls, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 50}}, admin: operatorKey,
		leads: s.leadIDs, known: s.known, customers: s.customers, orders: map[string]accepted{}, done: map[string]int{}, errors: s.seen.errors,
		think: o.think,
	}
	c.fund(ctx)
	telling, stopTelling := context.WithCancel(ctx)
	defer stopTelling()
	go s.tellProgress(telling, o, c)
	var samples []sample
	sampling, sampled := context.WithCancel(ctx)
	var watch sync.WaitGroup
	if o.soak != "" {
		watch.Go(func() { samples = s.soak(sampling, max(o.span/120, time.Second)) })
	}
	watch.Go(func() { s.watchMetrics(sampling) })
	heads, err := s.load(ctx, o, c, only)
	sampled()
	stopTelling()
	watch.Wait()
	if err != nil {
		return errors.Join(err, s.tail())
	}
	if err := tellSoak(o, samples); err != nil { // before the proofs, which take long after a long run
		return err
	}
	took, err := s.settle(ctx, o.settle)
	if err != nil {
		return errors.Join(err, s.tail())
	}
	proofs, err := s.verify(ctx, c, heads)
	if err != nil {
		return err
	}
	if err := s.tell(o, c, took, proofs); err != nil {
		return errors.Join(err, s.tail())
	}
	return nil
}

// part is the part of the report that the run writes.
func (o options) part() string {
	if o.soak != "" {
		return "soak"
	}
	return "chaos"
}

func tellSoak(o options, samples []sample) error {
	if o.soak == "" {
		return nil
	}
	text, err := describeSoak(o.soak, samples)
	fmt.Println(text)
	if err != nil || o.report == "" {
		return err
	}
	return report.ReplacePart(o.report, o.part(), text)
}

// fund gives credits and uploads lists once the servers answer.
func (c *client) fund(ctx context.Context) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, w := range c.customers {
		for kind, amount := range map[string]int64{"email": 200_000, "phone": 50_000} {
			if w.org != "acme" {
				amount = 50
			}
			status, answer := c.insist(ctx, rng, request{
				path: "/orgs/" + w.org + "/grants", key: c.admin, idem: "fund-" + kind, body: map[string]any{"type": kind, "amount": amount, "source": "pack"}, what: "grant",
			})
			if status != http.StatusCreated {
				c.complain("the first grant was answered %d: %s", status, answer)
			}
			w.credit(granted, amount)
		}
		c.upload(ctx, rng, w, "fund-list")
	}
}

// load lets clients work while faults happen, and exports heads midway.
func (s *stack) load(ctx context.Context, o options, c *client, only *regexp.Regexp) (heads []ledger.Head, err error) {
	faulty, end := context.WithTimeout(ctx, o.span)
	defer end()
	last, cancel := context.WithTimeout(ctx, o.span+8*time.Minute) // for requests that were begun
	defer cancel()
	random := func(stream int) *rand.Rand { return rand.New(rand.NewPCG(o.seed, uint64(stream))) }
	var working sync.WaitGroup
	for i := range o.callers {
		working.Go(func() { c.work(faulty, last, random(i), fmt.Sprint("c", i)) })
	}
	working.Go(func() { c.tick(faulty, last, random(900), s.clockwork) })
	working.Go(func() { c.erase(faulty, last, random(901), s.erasable) })
	for i := range o.atOnce {
		working.Go(func() { s.torment(faulty, random(1000+i), only.MatchString) })
	}
	working.Go(func() {
		time.Sleep(o.span / 2)
		for heads == nil && last.Err() == nil {
			heads, err = ledger.Heads(last, s.app.Pool, "")
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
