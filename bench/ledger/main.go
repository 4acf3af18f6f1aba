// Command ledger measures the credit ledger on a PostgreSQL of its own, with
// fsync on, next to pgbench on the same server in the same run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/bench/report"
	"holdfast/bench/stand"
	"holdfast/internal/ledger"
)

const usage = `Measures the credit ledger: operations per second and latencies, on one hot
organization and on many, next to pgbench on the same server in the same run.

    go run -C bench ./ledger                      about three minutes
    go run -C bench ./ledger -growth 10000000     the journal's growth to ten million entries
    go run -C bench ./ledger -seconds 1 -growth 0 a quick look
    go run -C bench ./ledger -only history        one part, printed only

Results: a table on stdout, JSON and plots in bench/results.

`

// settings are the command line.
type settings struct {
	url     string
	seconds float64
	growth  int64
	out     string
	profile string
	only    string
}

func main() {
	var s settings
	flag.Usage = func() {
		_, _ = fmt.Fprint(flag.CommandLine.Output(), usage)
		flag.PrintDefaults()
	}
	flag.StringVar(&s.url, "url", "", "PostgreSQL `URL` to use; default is a private server with fsync on")
	flag.Float64Var(&s.seconds, "seconds", 4, "`seconds` per figure")
	flag.Int64Var(&s.growth, "growth", 1_000_000, "let one organization's journal grow to so many `entries`; 0 leaves it out")
	flag.StringVar(&s.out, "out", "results", "`directory` for JSON and plots")
	flag.StringVar(&s.only, "only", "", "measure only this `part`: speed, captures, grants, credits, growth or history")
	flag.StringVar(&s.profile, "cpuprofile", "", "write a CPU profile of the Go side to this `file`")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, s settings) (err error) {
	if s.profile != "" {
		f, err := os.Create(s.profile)
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	pool, url, closeDatabase, err := stand.Database(ctx, s.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDatabase()) }()

	b := &benchmark{
		settings: s, pool: pool, url: url,
		length: time.Duration(s.seconds * float64(time.Second)),
		report: report.New("ledger", "Credit ledger: PostgreSQL with fsync on"),
	}
	var version string
	if err := pool.QueryRow(ctx, `SELECT current_setting('server_version')`).Scan(&version); err != nil {
		return err
	}
	b.report.Machine.PostgreSQL = version
	for _, part := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"yardsticks", b.yardsticks},
		{"speed", b.speed},
		{"captures", b.captures},
		{"grants", b.grants},
		{"credits", b.credits},
		{"growth", b.growth},
		{"history", b.history},
		{"audit", b.audit},
	} {
		if s.only != "" && s.only != part.name && !(s.only == "speed" && part.name == "yardsticks") {
			continue
		}
		if err := part.run(ctx); err != nil {
			return err
		}
	}
	if err := b.report.Print(os.Stdout); err != nil || s.only != "" {
		return err // a part is no result to keep
	}
	path, err := b.report.Save(s.out)
	if err != nil {
		return err
	}
	if err := b.plots(); err != nil {
		return err
	}
	_, err = fmt.Printf("\nwritten: %s and plots beside it\n", path)
	return err
}

type benchmark struct {
	settings
	pool   *pgxpool.Pool
	url    string
	length time.Duration
	report *report.Report

	oneRow  float64 // pgbench's one-row update, per second
	hot     report.Series
	single  report.Series // hot, without batches
	many    report.Series
	growing report.Series
}

// say tells on stderr what is being measured.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "… "+format+"\n", args...) }

// yardsticks runs pgbench on the same server.
func (b *benchmark) yardsticks(ctx context.Context) error {
	t := b.report.Table("Yardsticks (pgbench, prepared statements)", "load", "clients", "transactions/s", "mean ms")
	for _, y := range []yardstick{
		{name: "simple-update", clients: 64},
		{name: "one-row update", clients: 64, script: "UPDATE pgbench_branches SET bbalance = bbalance + 1 WHERE bid = 1;"},
	} {
		say("pgbench %s", y.name)
		tps, err := y.run(ctx, b.url, b.length)
		if err != nil {
			return err
		}
		t.Add(y.name, y.clients, tps, float64(y.clients)/tps*1000)
		b.oneRow = tps
	}
	return nil
}

// speed measures operations per second by callers, organizations and batching.
func (b *benchmark) speed(ctx context.Context) error {
	batched := ledger.New(b.pool)
	defer batched.Close()
	unbatched := ledger.New(b.pool, ledger.WithBatchSize(1), ledger.WithWorkers(12))
	defer unbatched.Close()
	hot, err := fund(ctx, batched, "hot", 1)
	if err != nil {
		return err
	}
	many, err := fund(ctx, batched, "many", 1000)
	if err != nil {
		return err
	}
	t := b.report.Table("Operations per second (an order of hold, capture, release counts as three)",
		"load", "organizations", "callers", "operations/s", "p50 ms", "p99 ms", "× one-row update")
	type load struct {
		name   string
		ledger *ledger.Ledger
		series *report.Series
	}
	for _, c := range []struct {
		owners  []string
		step    step
		callers []int
		loads   []load // one after the other, to be compared with each other
	}{
		{hot, holdAndSettle, []int{1, 8, 64, 512}, []load{
			{"hold+settle", batched, &b.hot}, {"hold+settle, no batches", unbatched, &b.single},
		}},
		{many, holdAndSettle, []int{1, 8, 64, 512}, []load{
			{"hold+settle", batched, &b.many}, {"hold+settle, no batches", unbatched, nil},
		}},
		{hot, chargeOnce, []int{1, 64, 512}, []load{{"charge (reveal)", batched, nil}}},
		{many, chargeOnce, []int{64}, []load{{"charge (reveal)", batched, nil}}},
	} {
		for _, callers := range c.callers {
			for _, load := range c.loads {
				say("%s, %d organizations, %d callers", load.name, len(c.owners), callers)
				f, err := b.measure(ctx, load.ledger, c.owners, callers, c.step)
				if err != nil {
					return err
				}
				t.Add(load.name, len(c.owners), callers, f.perSecond, f.p50, f.p99, f.perSecond/b.oneRow)
				if load.series != nil {
					load.series.X = append(load.series.X, float64(callers))
					load.series.Y = append(load.series.Y, f.perSecond)
				}
			}
		}
	}
	return nil
}

// measure runs a load on a server that has done with the load before: vacuum,
// statistics and write-back that a heavy load leaves behind would be paid for by
// the next figure, several times over where that is a single caller's.
func (b *benchmark) measure(ctx context.Context, l *ledger.Ledger, owners []string, callers int, s step) (figure, error) {
	for _, tidy := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
		if _, err := b.pool.Exec(ctx, tidy); err != nil {
			return figure{}, fmt.Errorf("the server cannot be tidied up between two loads (a superuser's work): %w", err)
		}
	}
	return run(ctx, l, owners, callers, b.length, s)
}

// captures measures the capture of ten thousand facts in one operation.
func (b *benchmark) captures(ctx context.Context) error {
	l := ledger.New(b.pool)
	defer l.Close()
	owners, err := fund(ctx, l, "facts", 1)
	if err != nil {
		return err
	}
	say("capture of 10,000 facts")
	f, err := b.measure(ctx, l, owners, 1, captureFacts(10_000))
	if err != nil {
		return err
	}
	t := b.report.Table("Capture of 10,000 new facts in one operation", "p50 ms", "p99 ms", "facts/s")
	t.Add(f.p50, f.p99, 10_000*float64(time.Second)/float64(f.p50))
	return nil
}

// growth lets one organization's journal grow and measures again and again.
func (b *benchmark) growth(ctx context.Context) error {
	if b.settings.growth <= 0 {
		return nil
	}
	l := ledger.New(b.pool)
	defer l.Close()
	owners, err := fund(ctx, l, "growing", 1)
	if err != nil {
		return err
	}
	t := b.report.Table("Growth of one organization's journal (64 callers, hold+settle)",
		"entries", "operations/s", "p50 ms", "p99 ms")
	for size := int64(10_000); ; size = min(size*10, b.settings.growth) {
		say("growth to %d entries", size)
		before := time.Now()
		entries, err := grow(ctx, b.pool, owners[0], size)
		if err != nil {
			return err
		}
		say("  %d entries after %.1f s", entries, time.Since(before).Seconds())
		f, err := b.measure(ctx, l, owners, 64, holdAndSettle)
		if err != nil {
			return err
		}
		t.Add(entries, f.perSecond, f.p50, f.p99)
		b.growing.X = append(b.growing.X, float64(entries))
		b.growing.Y = append(b.growing.Y, f.perSecond)
		if size >= b.settings.growth {
			return nil
		}
	}
}

// audit proves the books that all of this left behind.
func (b *benchmark) audit(ctx context.Context) error {
	say("audit")
	start := time.Now()
	peak := watchMemory()
	r, err := ledger.Audit(ctx, b.pool, ledger.AuditOptions{})
	memory := peak()
	if err != nil {
		return err
	}
	if !r.Clean() {
		return fmt.Errorf("the books do not balance: %+v", r.Findings)
	}
	took := time.Since(start)
	t := b.report.Table("Audit of everything above", "entries", "holds", "facts", "seconds", "entries/s", "heap MB")
	t.Add(r.Entries, r.Holds, r.Facts, took.Seconds(), float64(r.Entries)/took.Seconds(), memory)
	return nil
}

func (b *benchmark) plots() error {
	b.hot.Name, b.single.Name, b.many.Name = "one organization", "one organization, no batches", "1,000 organizations"
	yardstick := report.Series{
		Name: "pgbench: one-row update, 64 clients", Dashed: true,
		X: []float64{1, 512}, Y: []float64{b.oneRow, b.oneRow},
	}
	if _, err := report.Lines(b.out, "ledger-callers", report.Axes{
		Title: "Credit ledger", X: "callers", Y: "operations/s", LogX: true,
	}, b.hot, b.many, b.single, yardstick); err != nil {
		return err
	}
	if len(b.growing.X) == 0 {
		return nil
	}
	b.growing.Name = "64 callers, one organization"
	_, err := report.Lines(b.out, "ledger-growth", report.Axes{
		Title: "Cost stays flat as the journal grows", X: "journal entries", Y: "operations/s", LogX: true,
	}, b.growing)
	return err
}
