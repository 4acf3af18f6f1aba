// Command fairness measures many customers at once: what small orders have to
// wait for while a large one is carried out, with a Temporal server that heeds
// fairness keys and with one that ignores them, and how a rush of orders is
// accepted.
//
//	go run -C bench ./fairness -large 1000000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/bench/report"
	"holdfast/bench/stand"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
)

func main() { stand.Main("fairness", benchmark, nil) }

type options struct {
	large, small, smalls int
	rush, rushLeads      int
	pace                 float64
	latency              time.Duration
	profile, out         string
}

func parse() (o options, err error) {
	flag.IntVar(&o.large, "large", 100_000, "leads of the large order")
	flag.IntVar(&o.small, "small", 1000, "leads of each small order")
	flag.IntVar(&o.smalls, "smalls", 49, "organizations with a small order")
	flag.IntVar(&o.rush, "rush", 500, "orders that are submitted in the same moment")
	flag.Float64Var(&o.pace, "pace", 4, "orders a second, of a fifth as many that come one after the other")
	flag.IntVar(&o.rushLeads, "rush-leads", 10, "leads of each of these and of those that come at a pace")
	flag.DurationVar(&o.latency, "latency", 0, "round trip to the mail servers and name servers")
	flag.StringVar(&o.profile, "profile", "", "file for a CPU profile of the worker")
	flag.StringVar(&o.out, "out", "results", "folder for the JSON result")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Measures small orders beside a large one, and a rush of orders.\n\nExample: go run -C bench ./fairness --large 1000000\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if o.large < 1 || o.small < 1 || o.smalls < 1 || o.rush < 5 || o.rushLeads < 1 || o.pace <= 0 {
		return o, errors.New("there is nothing to measure; give numbers from 1 on, and a rush of at least 5 orders")
	}
	return o, nil
}

// bench is a stand and what is measured on it.
type bench struct {
	options
	*stand.Stand
	report *report.Report
	beside *report.Table
	orgs   int // created so far
}

func benchmark(ctx context.Context) error {
	o, err := parse()
	if err != nil {
		return err
	}
	r := report.New("fairness", "Many customers at once")
	beside := r.Table(fmt.Sprintf("Orders of %d leads by %d organizations in the same moment: from submission to delivery", o.small, o.smalls),
		"Temporal server", "small orders", "median s", "max s", "median, × without", "max, × without", "large order beside them, leads/s")
	for _, unfair := range []bool{false, true} {
		if err := on(ctx, &bench{options: o, report: r, beside: beside}, unfair); err != nil {
			return err
		}
	}
	r.Note(stand.Audited)
	r.Note("The large order has %d leads and is a good way into its verification when the small ones come. "+
		"All share the same cores, with the servers and the mail lab; alone, one small order has them for itself.", o.large)
	if err := r.Print(os.Stdout); err != nil {
		return err
	}
	path, err := r.Save(o.out)
	stand.Note("written to %s", path)
	return err
}

// on measures on one kind of Temporal server.
func on(ctx context.Context, b *bench, unfair bool) (err error) {
	server := "heeds fairness keys"
	if unfair {
		server = "ignores fairness keys"
	}
	stand.Note("a Temporal server that %s", server)
	b.Stand, err = stand.Start(ctx, stand.Options{
		Leads: max(b.large, b.small), Lab: maillab.Config{Latency: b.latency}, Unfair: unfair, Profile: b.profile,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Stop()) }()
	// Greylisting hosts get to know us, the worker's engine the hosts.
	if _, _, err := b.EngineAlone(ctx, b.large); err != nil {
		return err
	}
	if _, err := b.together(ctx, 1); err != nil {
		return err
	}

	var alone report.Latencies
	for range 5 {
		took, err := b.together(ctx, 1)
		if err != nil {
			return err
		}
		alone = append(alone, took...)
	}
	without, err := b.together(ctx, b.smalls)
	if err != nil {
		return err
	}
	with, rate, err := b.besideLarge(ctx)
	if err != nil {
		return err
	}
	b.add(server, "one, alone", alone, nil, 0)
	b.add(server, fmt.Sprintf("%d, without a large one", b.smalls), without, nil, 0)
	b.add(server, fmt.Sprintf("%d, beside a large one", b.smalls), with, without, rate)
	if !unfair {
		if err := b.arrivals(ctx); err != nil {
			return err
		}
	}
	return b.Audit(ctx)
}

func (b *bench) add(server, what string, took, without report.Latencies, rate float64) {
	var median, longest, large any = "", "", ""
	if without != nil {
		median = took.Quantile(0.5).Seconds() / without.Quantile(0.5).Seconds()
		longest = took.Quantile(1).Seconds() / without.Quantile(1).Seconds()
		large = rate
	}
	b.beside.Add(server, what, took.Quantile(0.5).Seconds(), took.Quantile(1).Seconds(), median, longest, large)
}

// organization creates the next one, with plenty of credits.
func (b *bench) organization(ctx context.Context) (string, error) {
	b.orgs++
	id := fmt.Sprintf("org-%d", b.orgs)
	return id, b.Organization(ctx, id, 10_000_000)
}

// together has n organizations order in the same moment, and returns how long
// each waited for its leads.
func (b *bench) together(ctx context.Context, n int) (report.Latencies, error) {
	ids := make([]string, n)
	for i := range ids {
		var err error
		if ids[i], err = b.organization(ctx); err != nil {
			return nil, err
		}
	}
	stand.Note("%d small orders", n)
	took := make(report.Latencies, n)
	orders, ctx := errgroup.WithContext(ctx)
	for i, org := range ids {
		orders.Go(func() error {
			began := time.Now()
			o, _, err := b.Submit(ctx, org, "order", b.small)
			if err != nil {
				return err
			}
			if o, err = b.Settled(ctx, org, o.ID); err != nil {
				return err
			}
			took[i] = o.CompletedAt.Sub(began)
			return nil
		})
	}
	return took, orders.Wait()
}

// besideLarge is together while a large order is carried out, and how many
// leads of that one were verified by the second.
func (b *bench) besideLarge(ctx context.Context) (took report.Latencies, rate float64, err error) {
	org, err := b.organization(ctx)
	if err != nil {
		return nil, 0, err
	}
	large, _, err := b.Submit(ctx, org, "order", b.large)
	if err != nil {
		return nil, 0, err
	}
	var before order.Progress
	for before.Done < int64(b.large)/20 {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
		if before, err = b.App.Intake.Progress(ctx, large.ID); err != nil {
			return nil, 0, err
		}
	}
	began := time.Now()
	if took, err = b.together(ctx, b.smalls); err != nil {
		return nil, 0, err
	}
	after, err := b.App.Intake.Progress(ctx, large.ID)
	if err != nil {
		return nil, 0, err
	}
	rate = float64(after.Done-before.Done) / time.Since(began).Seconds()
	if after.Status.Delivered() {
		return nil, 0, fmt.Errorf("the large order was delivered before the small ones; give more than %d leads with -large", b.large)
	}
	if _, err := b.App.Intake.Cancel(ctx, org, large.ID); err != nil {
		return nil, 0, err
	}
	_ = b.App.Temporal.GetWorkflow(ctx, large.ID, "").Get(ctx, nil) // its error says that it was cancelled
	return took, rate, ctx.Err()
}

// arrivals has many orders of few leads come, ten from each organization, all
// in the same moment or at a pace.
func (b *bench) arrivals(ctx context.Context) error {
	table := b.report.Table(fmt.Sprintf("Orders of %d leads, ten by each organization: how long they wait", b.rushLeads),
		"orders come", "orders", "reserved p50 ms", "p99 ms", "delivered p50 ms", "p99 ms", "orders/s")
	for _, row := range []struct {
		how  string
		n    int
		pace float64
	}{
		{"in the same moment", b.rush, 0},
		{fmt.Sprintf("%g a second", b.pace), b.rush / 5, b.pace},
	} {
		stand.Note("%d orders, %s", row.n, row.how)
		began := time.Now()
		reserved, delivered, err := b.arrive(ctx, row.n, row.pace)
		if err != nil {
			return err
		}
		table.Add(row.how, row.n, reserved.Quantile(0.5), reserved.Quantile(0.99),
			delivered.Quantile(0.5), delivered.Quantile(0.99), float64(row.n)/time.Since(began).Seconds())
	}
	return nil
}

// arrive makes n orders arrive, so many a second whether or not earlier ones are
// done, or with 0 all at once.
func (b *bench) arrive(ctx context.Context, n int, pace float64) (reserved, delivered report.Latencies, err error) {
	const each = 10
	orgs := make([]string, (n+each-1)/each)
	for i := range orgs {
		if orgs[i], err = b.organization(ctx); err != nil {
			return nil, nil, err
		}
	}
	reserved, delivered = make(report.Latencies, n), make(report.Latencies, n)
	orders, ctx := errgroup.WithContext(ctx)
	start := time.Now()
	for i := range n {
		if pace > 0 {
			select {
			case <-time.After(time.Until(start.Add(time.Duration(float64(i) / pace * float64(time.Second))))):
			case <-ctx.Done():
			}
		}
		orders.Go(func() error {
			began, org := time.Now(), orgs[i/each]
			o, took, err := b.Submit(ctx, org, fmt.Sprint(i), b.rushLeads)
			if err != nil {
				return err
			}
			reserved[i] = took
			if o, err = b.Settled(ctx, org, o.ID); err != nil {
				return err
			}
			delivered[i] = o.CompletedAt.Sub(began)
			return nil
		})
	}
	return reserved, delivered, orders.Wait()
}
