// Command order measures the main job: how fast an order is accepted, what small
// orders cost Temporal, and how long 10,000 leads take from there to delivery, on real servers on loopback.
//
//	go run -C bench ./order
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"holdfast/bench/report"
	"holdfast/bench/stand"
	"holdfast/internal/intake"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
)

func main() { stand.Main("order", run, nil) }

func parse() (o options, err error) {
	flag.IntVar(&o.leads, "leads", 10_000, "leads per order")
	flag.IntVar(&o.runs, "runs", 5, "orders to take the median of, at least 1")
	flag.IntVar(&o.accepts, "accepts", 300, "small orders to measure the acceptance with")
	flag.DurationVar(&o.latency, "latency", 0, "round trip to the mail servers and name servers")
	flag.BoolVar(&o.stock, "stock", false, "on a Temporal server with its own defaults; the result is order-stock")
	flag.StringVar(&o.out, "out", "results", "folder for the JSON result")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Measures the acceptance and the delivery of orders.\n\nExample: go run -C bench ./order --runs 3 --latency 20ms\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if o.leads < 1 || o.runs < 1 || o.accepts < 1 {
		return o, errors.New("there is nothing to measure; give numbers from 1 on")
	}
	return o, nil
}

type options struct {
	leads, runs, accepts int
	latency              time.Duration
	stock                bool
	out                  string
}

// bench is a stand and what is measured on it.
type bench struct {
	options
	*stand.Stand
	report *report.Report
}

func run(ctx context.Context) (err error) {
	o, err := parse()
	if err != nil {
		return err
	}
	s, err := stand.Start(ctx, stand.Options{Leads: o.leads, Lab: maillab.Config{Latency: o.latency}, Stock: o.stock})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	for i := range o.runs + 1 {
		if err := s.Organization(ctx, orgOf(i), 1_000_000); err != nil {
			return err
		}
	}
	b := &bench{options: o, Stand: s, report: report.New("order", "Orders: acceptance and delivery")}
	if o.stock {
		b.report = report.New("order-stock", "Orders on a Temporal server with its own defaults")
	}
	for _, step := range []func(context.Context) error{b.acceptance, b.small, b.delivery} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	if err := b.report.Print(os.Stdout); err != nil {
		return err
	}
	path, err := b.report.Save(o.out)
	stand.Note("written to %s", path)
	return err
}

func orgOf(i int) string { return fmt.Sprintf("org-%d", i) }

// Nothing is the yardstick for acceptance: a workflow that does nothing but
// answer an update, with the same server and client.
func Nothing(ctx workflow.Context) error {
	done := false
	if err := workflow.SetUpdateHandler(ctx, "answer", func(workflow.Context) error { done = true; return nil }); err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return done })
}

// acceptance measures how long a submitter waits for "reserved", alone and
// among eight.
func (b *bench) acceptance(ctx context.Context) error {
	idle := worker.New(b.App.Temporal, "bench", worker.Options{})
	idle.RegisterWorkflow(Nothing)
	if err := idle.Start(); err != nil {
		return err
	}
	defer idle.Stop()

	table := b.report.Table("Acceptance: from the request to “reserved”, ms", "", "callers", "n", "p50", "p99")
	for _, c := range []struct {
		name    string
		callers int
		call    func(ctx context.Context, key string) error
		settle  func(ctx context.Context, key string) error // before the next call, not measured
	}{
		{"empty workflow (yardstick)", 1, b.startNothing, breathe},
		{"order, one at a time", 1, b.submitSmall, b.awaitDelivery},
		{"empty workflow, back to back (yardstick)", 1, b.startNothing, nil},
		{"order, back to back", 1, b.submitSmall, nil},
		{"empty workflow, back to back (yardstick)", 8, b.startNothing, nil},
		{"order, back to back", 8, b.submitSmall, nil},
	} {
		latencies, err := measure(ctx, c.callers, b.accepts, func(i int) string {
			return fmt.Sprintf("%s/%d/%d", c.name, c.callers, i)
		}, c.call, c.settle)
		if err != nil {
			return err
		}
		table.Add(c.name, c.callers, len(latencies), latencies.Quantile(0.5), latencies.Quantile(0.99))
	}
	b.report.Note("Back to back, the next order is submitted while the ones before are still being carried out on the same two cores.")
	return nil
}

// breathe gives the server the time that an order takes.
func breathe(ctx context.Context, _ string) error {
	select {
	case <-time.After(100 * time.Millisecond):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// awaitDelivery waits until the order with this key has been delivered.
func (b *bench) awaitDelivery(ctx context.Context, key string) error {
	for {
		o, err := b.App.Book.Get(ctx, orgOf(0), order.ID(orgOf(0), key))
		if err != nil || o.Status.Delivered() {
			return err
		}
		if err := breathe(ctx, key); err != nil {
			return err
		}
	}
}

func (b *bench) startNothing(ctx context.Context, key string) error {
	start := b.App.Temporal.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
		ID: key, TaskQueue: "bench", WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
	}, Nothing)
	handle, err := b.App.Temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start,
		UpdateOptions:          client.UpdateWorkflowOptions{UpdateName: "answer", WaitForStage: client.WorkflowUpdateStageCompleted},
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, nil)
}

func (b *bench) submitSmall(ctx context.Context, key string) error {
	o, err := b.App.Intake.Submit(ctx, intake.Submission{Org: orgOf(0), Key: key, Request: order.Request{
		Kind: order.LeadList, Count: 1, Criteria: order.Criteria{Country: []string{"ZZ"}}, // finds no lead: acceptance alone
	}})
	if err == nil && o.Status == order.Rejected {
		return fmt.Errorf("order %s is %s", o.ID, o.Status)
	}
	return err
}

func measure(ctx context.Context, callers, n int, key func(int) string, call, settle func(context.Context, string) error) (report.Latencies, error) {
	latencies := make(report.Latencies, n)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(callers)
	for i := range n {
		group.Go(func() error {
			began := time.Now()
			err := call(ctx, key(i))
			latencies[i] = time.Since(began)
			if err == nil && settle != nil {
				err = settle(ctx, key(i))
			}
			return err
		})
	}
	return latencies, group.Wait()
}

// delivery measures whole orders, each by an organization of its own, beside
// the verification engine alone on the same addresses.
func (b *bench) delivery(ctx context.Context) error {
	var total, first, engine, events, bytes []float64
	table := b.report.Table(fmt.Sprintf("Delivery of %d leads at %s round trip (medians of %d)", b.leads, b.latency, b.runs),
		"", "seconds", "leads/s", "events", "KB of history")
	greeting, err := b.deliverOnce(ctx, orgOf(0))
	if err != nil {
		return err
	}
	for i := range b.runs {
		_, alone, err := b.EngineAlone(ctx, b.leads)
		if err != nil {
			return err
		}
		engine = append(engine, alone.Seconds())
		d, err := b.deliverOnce(ctx, orgOf(i+1))
		if err != nil {
			return err
		}
		total, first = append(total, d.delivered.Seconds()), append(first, d.firstRound.Seconds())
		events, bytes = append(events, float64(d.MaxEvents)), append(bytes, float64(d.MaxBytes)/1024)
	}
	n := float64(b.leads)
	table.Add("first order, greylisting hosts make it wait", greeting.delivered.Seconds(), n/greeting.delivered.Seconds(), greeting.MaxEvents, float64(greeting.MaxBytes)/1024)
	table.Add("engine alone, one pass (yardstick)", report.Median(engine), n/report.Median(engine), "", "")
	table.Add("order, accepted → first pass verified", report.Median(first), n/report.Median(first), "", "")
	table.Add("order, accepted → delivered", report.Median(total), n/report.Median(total), report.Median(events), report.Median(bytes))
	b.report.Note("The first order meets greylisting hosts for the first time, waits for them (%s) and asks them again; the later ones, and the engine alone, are known to them. All charges are included.", b.Servers.Config.GreylistRetry)
	return nil
}

type delivered struct {
	delivered, firstRound time.Duration
	stand.History
}

func (b *bench) deliverOnce(ctx context.Context, org string) (delivered, error) {
	began := time.Now()
	o, err := b.App.Intake.Submit(ctx, intake.Submission{Org: org, Key: "big", Request: order.Request{Kind: order.LeadList, Count: int64(b.leads)}})
	if err != nil {
		return delivered{}, err
	}
	var d delivered
	for {
		p, err := b.App.Intake.Progress(ctx, o.ID)
		if err != nil {
			return d, err
		}
		if d.firstRound == 0 && p.Total > 0 && p.Done+p.Greylisted >= p.Total {
			d.firstRound = time.Since(began)
		}
		if p.Status.Delivered() {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if o, err = b.Settled(ctx, org, o.ID); err != nil {
		return d, err
	}
	d.delivered = o.CompletedAt.Sub(o.CreatedAt)
	d.History, err = b.History(ctx, o.ID)
	return d, err
}
