// Command reset measures the monthly reset: how long one sweep takes over many
// due subscriptions, on real servers on loopback, and whether its memory grows
// with their number.
//
//	go run -C bench ./reset
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"holdfast/bench/report"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/ledger"
	"holdfast/internal/postgres"
	"holdfast/internal/wire"
	"holdfast/workflows"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var o options
	sizes := flag.String("sizes", "10000,100000", "due subscriptions of each sweep")
	flag.StringVar(&o.out, "out", "results", "folder for the JSON result")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Measures the monthly reset.\n\nExample: go run -C bench ./reset --sizes 1000,10000\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	err := o.parse(*sizes)
	if err == nil {
		err = run(ctx, o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "reset:", err)
		stop()
		os.Exit(1)
	}
}

type options struct {
	sizes []int
	out   string
}

func (o *options) parse(sizes string) error {
	for word := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no number of subscriptions; give some from 1 on, such as 1000,10000", word)
		}
		o.sizes = append(o.sizes, n)
	}
	return nil
}

// bench is a stack with a worker.
type bench struct {
	app    *wire.App
	report *report.Report
	table  *report.Table
	worlds int // how often the organizations were replaced
}

func run(ctx context.Context, o options) (err error) {
	dir, err := devstack.TempDir("holdfast-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	servers, err := devstack.StartServers(ctx, config.Config{HTTPAddr: "127.0.0.1:0"}, devstack.ServerOptions{Dir: dir, Note: note})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Stop()) }()
	if err := postgres.Migrate(ctx, servers.Config.DatabaseURL); err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	app, err := wire.Open(ctx, servers.Config, quiet)
	if err != nil {
		return err
	}
	defer app.Close()
	if err := app.Accounts.EnsurePresets(ctx); err != nil {
		return err
	}
	working, stopWorker := context.WithCancel(ctx)
	var background errgroup.Group
	background.Go(func() error { return wire.RunWorker(working, servers.Config, quiet) })
	defer func() {
		stopWorker()
		err = errors.Join(err, background.Wait())
	}()

	b := &bench{app: app, report: report.New("reset", "Monthly reset: one sweep over due subscriptions")}
	b.table = b.report.Table("One sweep: two credit types each, granted, rolled over or expired",
		"", "subscriptions", "seconds", "subscriptions/s", "pages", "peak heap MB")
	for _, n := range o.sizes {
		if err := b.size(ctx, n); err != nil {
			return err
		}
	}
	if err := b.audit(ctx); err != nil {
		return err
	}
	b.report.Note("The heap is what the garbage collector found in use in the worker and the benchmark, which are one process here.")
	if err := b.report.Print(os.Stdout); err != nil {
		return err
	}
	path, err := b.report.Save(o.out)
	note("written to " + path)
	return err
}

func note(text string) { fmt.Fprintln(os.Stderr, text) }

// size measures n new subscriptions: their first allotment, and the reset a
// month later, of organizations with one subscription each and of licences in
// large organizations.
func (b *bench) size(ctx context.Context, n int) error {
	for _, kind := range []struct {
		name, plan string
		members    int // per organization; 0 = the organizations' own subscriptions
	}{
		{"organizations", "rollover-boost", 0},
		{"licences, 500 in an organization", "licence-monthly", 500},
	} {
		begin := time.Date(2099, 1, 31, 0, 0, 0, 0, time.UTC)
		if err := b.seed(ctx, kind.plan, n, kind.members, begin); err != nil {
			return err
		}
		for month, what := range []string{"first allotment", "a month later"} {
			if err := b.sweep(ctx, kind.name+", "+what, n, begin.AddDate(0, 0, 28*month)); err != nil {
				return err
			}
		}
	}
	return nil
}

// seed replaces all organizations by new ones with n subscriptions that fall
// due at begin. Written in three statements, for it is not what is measured.
func (b *bench) seed(ctx context.Context, planID string, n, members int, begin time.Time) error {
	b.worlds++
	prefix := fmt.Sprintf("w%d-", b.worlds)
	orgs, seats := n, 0
	if members > 0 {
		orgs, seats = (n+members-1)/members, n
	}
	p, err := b.app.Accounts.Plan(ctx, planID, 0)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		sql  string
		args []any
	}{
		{`TRUNCATE organization CASCADE`, nil},
		{`INSERT INTO organization (id, name, time_zone, created_at)
			SELECT $1 || i, 'Organization ' || i, 'UTC', $3 FROM generate_series(1, $2::int) i`, []any{prefix, orgs, begin}},
		{`INSERT INTO plan_change (org, generation, plan_id, plan_version, at_period_end, applied_at)
			SELECT id, 0, $1, $2, false, now() FROM organization`, []any{p.ID, p.Version}},
		{`INSERT INTO member (org, id, name, role, created_at)
			SELECT $1 || (i / $3::int + 1), 'm' || i, 'Member ' || i, 'member', $4
			FROM generate_series(0, $2::int - 1) i`, []any{prefix, seats, max(members, 1), begin}},
		{`INSERT INTO subscription (org, member, anchor, next_period, due_at, created_at)
			SELECT org, id, created_at, 0, created_at, created_at FROM member
			UNION ALL
			SELECT id, '', created_at, 0, created_at, created_at FROM organization WHERE $1::int = 0`, []any{members}},
		{`ANALYZE organization, plan_change, member, subscription`, nil},
	} {
		if _, err := b.app.Pool.Exec(ctx, step.sql, step.args...); err != nil {
			return err
		}
	}
	return nil
}

// sweep runs one reset of all that is due and adds a row about it.
func (b *bench) sweep(ctx context.Context, what string, n int, at time.Time) error {
	watching, stop := context.WithCancel(ctx)
	peak := make(chan uint64, 1)
	go func() { peak <- peakHeap(watching) }()
	began := time.Now()
	run, err := b.app.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: fmt.Sprintf("reset-%d-%d", b.worlds, at.Unix()), TaskQueue: workflows.TaskQueue,
	}, workflows.MonthlyReset, workflows.ResetInput{At: at})
	var tally workflows.ResetTally
	if err == nil {
		err = run.Get(ctx, &tally)
	}
	took := time.Since(began)
	stop()
	heap := <-peak
	if err != nil {
		return err
	}
	if tally.Reset != n || tally.Failed > 0 {
		return fmt.Errorf("%s: %d of %d subscriptions were reset and %d failed", what, tally.Reset, n, tally.Failed)
	}
	b.table.Add(what, n, took.Seconds(), float64(n)/took.Seconds(), tally.Pages, float64(heap)/1e6)
	note(fmt.Sprintf("%s: %d in %s", what, n, took.Round(10*time.Millisecond)))
	return nil
}

// peakHeap is the most memory that was in use until ctx ends, as the garbage
// collector saw it.
func peakHeap(ctx context.Context) (peak uint64) {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		metrics.Read(sample)
		peak = max(peak, sample[0].Value.Uint64())
		select {
		case <-tick.C:
		case <-ctx.Done():
			return peak
		}
	}
}

// audit proves that after all sweeps the books balance.
func (b *bench) audit(ctx context.Context) error {
	audited, err := ledger.Audit(ctx, b.app.Pool, ledger.AuditOptions{})
	if err != nil {
		return err
	}
	if !audited.Clean() {
		return fmt.Errorf("the books do not balance: %v", audited.Findings)
	}
	b.report.Note("Audit: %d journal entries of %d organizations, no findings.", audited.Entries, audited.Owners)
	return nil
}
