// Command scale carries out the same order with one to six workers, each on a host
// of its own with a limit of CPU, and one more in which workers are killed and added.
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
	cores       float64
	out         string
}

// bench is a stand and what is measured on it.
type bench struct {
	options
	*stand.Stand
	report *report.Report
	table  *report.Table
	series report.Series
}

func run(ctx context.Context) (err error) {
	var o options
	flag.IntVar(&o.leads, "leads", 100_000, "leads of an order")
	flag.IntVar(&o.most, "workers", 6, "the most workers")
	flag.Float64Var(&o.cores, "cores", 0.1, "what a worker has of a core; 0: no hosts, one core of Go each")
	flag.StringVar(&o.out, "out", "results", "folder for the JSON result and the plot")
	flag.Parse()
	if o.leads < 1 || o.most < 2 {
		return errors.New("there is nothing to measure; give a lead or more and two workers or more")
	}
	var hosts *stand.Hosts
	if o.cores > 0 {
		if hosts, err = stand.MakeHosts(o.cores); err != nil {
			stand.Note("Workers have no hosts of their own: %v", err)
			o.cores, hosts = 0, nil
		} else {
			defer func() { err = errors.Join(err, hosts.Close()) }()
		}
	}
	where := "one core of Go each"
	if o.cores > 0 {
		where = fmt.Sprintf("%g of a core each", o.cores)
	}
	s, err := stand.Start(ctx, stand.Options{Leads: o.leads, Workers: true, Cluster: true, Hosts: hosts})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	b := &bench{options: o, Stand: s, report: report.New("scale", fmt.Sprintf("One order of %d leads, by several workers", o.leads)), series: report.Series{Name: "workers, " + where}}
	b.table = b.report.Table("", "workers", "what happens", "seconds to 95 %", "to the end", "leads/s to 95 %")
	if err := b.measure(ctx); err != nil {
		return err
	}
	return b.finish(ctx)
}

// measure carries out the orders, after one in which greylisting hosts get to know
// the addresses of all.
func (b *bench) measure(ctx context.Context) error {
	if _, err := b.order(ctx, "first", b.most, 0, nil); err != nil {
		return err
	}
	for n := 1; n <= b.most; n += min(n, 2) {
		took, err := b.order(ctx, fmt.Sprintf("workers-%d", n), n, 0, nil)
		if err != nil {
			return err
		}
		pace := b.note(n, "", took)
		b.series.X, b.series.Y = append(b.series.X, float64(n)), append(b.series.Y, pace)
	}
	took, err := b.order(ctx, "roles", 2, b.most-2, nil)
	if err != nil {
		return err
	}
	b.note(b.most, fmt.Sprintf("2 carry out orders, %d verify alone", b.most-2), took)
	took, err = b.order(ctx, "killed", 2, 0, []event{{0.1, added}, {0.2, killed}, {0.3, added}, {0.4, added}, {0.5, killed}, {0.6, added}, {0.7, killed}})
	if err != nil {
		return err
	}
	b.note(2, "4 are added and 3 killed", took)
	return nil
}

// took is how long an order took from its submission until nearly all was verified,
// and until it was settled. What comes last waits for greylisting and slow hosts,
// however many workers there are.
type took struct{ most, all time.Duration }

// nearly is the share of an order that throughput is measured over.
const nearly = 0.95

func (b *bench) note(workers int, what string, t took) float64 {
	pace := nearly * float64(b.leads) / t.most.Seconds()
	b.table.Add(workers, what, t.most.Seconds(), t.all.Seconds(), pace)
	stand.Note("%d workers %s: %.1f s, %.1f s to the end, %.0f leads/s", workers, what, t.most.Seconds(), t.all.Seconds(), pace)
	return pace
}

// event is what happens to the workers when this share of the order is verified.
type event struct {
	at   float64
	what change
}

type change int

const (
	added  change = iota
	killed        // the one that has run longest
)

// order carries out an order with n workers of all roles, and with others that
// verify alone, while things happen.
func (b *bench) order(ctx context.Context, org string, n, verify int, events []event) (t took, err error) {
	if err := b.Organization(ctx, org, int64(b.leads)); err != nil {
		return t, err
	}
	var workers []*stand.Worker
	add := func(env ...string) error {
		if b.cores == 0 {
			env = append(env, "GOMAXPROCS=1")
		}
		w, err := b.AddWorker(env...)
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
	for i := range n + verify {
		role := "HOLDFAST_WORKER_ROLE=all"
		if i >= n {
			role = "HOLDFAST_WORKER_ROLE=verify"
		} else if verify > 0 {
			role = "HOLDFAST_WORKER_ROLE=orders,webhook"
		}
		if err := add(role); err != nil {
			return t, err
		}
	}
	for _, w := range workers {
		if err := w.Ready(ctx); err != nil {
			return t, err
		}
	}
	began := time.Now()
	o, _, err := b.Submit(ctx, org, "order", b.leads)
	if err != nil {
		return t, err
	}
	for _, e := range events {
		if err := b.share(ctx, org, o.ID, e.at); err != nil {
			return t, err
		}
		switch e.what {
		case added:
			err = add()
		case killed:
			workers[0].Kill()
			workers = workers[1:]
		}
		if err != nil {
			return t, err
		}
	}
	if err := b.share(ctx, org, o.ID, nearly); err != nil {
		return t, err
	}
	t.most = time.Since(began)
	_, err = b.Settled(ctx, org, o.ID)
	t.all = time.Since(began)
	return t, err
}

// share waits until this share of an order is verified.
func (b *bench) share(ctx context.Context, org, id string, share float64) error {
	for ctx.Err() == nil {
		o, err := b.App.Book.Get(ctx, org, id)
		if err != nil {
			return err
		}
		if o.Status.Over() && share < nearly {
			return errors.New("the order was over before all had happened to its workers; order more leads")
		}
		if float64(o.Tally.Verified()) >= share*float64(b.leads) {
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
	b.report.Note("Each order delivered and charged what its items say, and the audit of the books found nothing, the killed workers included. What they had begun is done again after their heartbeats have been missing.")
	b.report.Note("With hosts, each worker is in a network namespace with an address and a name for mail hosts of its own, and in a control group with its share of CPU. PostgreSQL, the four services of Temporal and the mail lab share what is left of the machine's cores.")
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
