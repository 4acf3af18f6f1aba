// Command scale carries out the same order with one to four workers, and one more
// in which a worker is killed and another one is added.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"holdfast/bench/report"
	"holdfast/bench/stand"
)

func main() { stand.Main("scale", run, nil) }

type options struct {
	leads, most int
	out         string
}

// bench is a stand and what is measured on it.
type bench struct {
	options
	*stand.Stand
	report *report.Report
	series report.Series
}

func run(ctx context.Context) (err error) {
	var o options
	flag.IntVar(&o.leads, "leads", 20_000, "leads of an order")
	flag.IntVar(&o.most, "workers", 4, "the most workers")
	flag.StringVar(&o.out, "out", "results", "folder for the JSON result and the plot")
	flag.Parse()
	if o.leads < 1 || o.most < 2 {
		return errors.New("there is nothing to measure; give a lead or more and two workers or more")
	}
	s, err := stand.Start(ctx, stand.Options{Leads: o.leads, Workers: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	b := &bench{options: o, Stand: s, report: report.New("scale", fmt.Sprintf("One order of %d leads, by several workers", o.leads)), series: report.Series{Name: "workers of one core each"}}
	table := b.report.Table("", "workers", "what happens", "seconds", "leads/s")
	if _, err := b.order(ctx, 1, "first", false); err != nil { // greylisting hosts get to know us
		return err
	}
	for n := 1; n <= o.most; n++ {
		took, err := b.order(ctx, n, fmt.Sprintf("workers-%d", n), false)
		if err != nil {
			return err
		}
		pace := float64(o.leads) / took.Seconds()
		table.Add(n, "", took.Seconds(), pace)
		b.series.X, b.series.Y = append(b.series.X, float64(n)), append(b.series.Y, pace)
	}
	took, err := b.order(ctx, 2, "killed", true)
	if err != nil {
		return err
	}
	table.Add(2, "one is killed, one is added", took.Seconds(), float64(o.leads)/took.Seconds())
	return b.finish(ctx)
}

// order carries out an order with n workers of one core each. With a death, one of
// them is killed when a quarter is verified, and a new one starts.
func (b *bench) order(ctx context.Context, n int, org string, death bool) (time.Duration, error) {
	if err := b.Organization(ctx, org, int64(b.leads)); err != nil {
		return 0, err
	}
	var workers []*stand.Worker
	add := func() error {
		w, err := b.AddWorker("GOMAXPROCS=1")
		if err == nil {
			workers = append(workers, w)
		}
		return err
	}
	defer func() {
		for _, w := range workers {
			_ = w.Stop()
		}
	}()
	for range n {
		if err := add(); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	o, _, err := b.Submit(ctx, org, "order", b.leads)
	if err != nil {
		return 0, err
	}
	if death {
		if err := b.quarter(ctx, org, o.ID); err != nil {
			return 0, err
		}
		workers[0].Kill()
		workers = workers[1:]
		if err := add(); err != nil {
			return 0, err
		}
	}
	_, err = b.Settled(ctx, org, o.ID)
	return time.Since(began), err
}

// quarter waits until a quarter of an order is verified.
func (b *bench) quarter(ctx context.Context, org, id string) error {
	for ctx.Err() == nil {
		o, err := b.App.Book.Get(ctx, org, id)
		if err != nil {
			return err
		}
		if o.Status.Over() {
			return errors.New("the order was over before a worker could be killed; order more leads")
		}
		if o.Tally.Verified() >= int64(b.leads)/4 {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return ctx.Err()
}

// finish audits the books and tells the results.
func (b *bench) finish(ctx context.Context) error {
	if err := b.Audit(ctx); err != nil {
		return err
	}
	b.report.Note("Each order delivered and charged what its items say, and the audit of the books found nothing, the killed worker included. What it had begun is done again after its heartbeats have been missing.")
	b.report.Note("Workers, PostgreSQL, Temporal and the mail lab share the cores of this machine: with two cores a second worker adds what one core of a worker cannot use, and more workers add nothing.")
	if err := b.report.Print(os.Stdout); err != nil {
		return err
	}
	if _, err := report.Lines(b.out, "scale", report.Axes{Title: b.report.Title, X: "workers", Y: "leads a second"}, b.series); err != nil {
		return err
	}
	path, err := b.report.Save(b.out)
	stand.Note("written to %s", path)
	return err
}
