// Command size measures how an order's cost grows with its size: time,
// processor time, memory, rows and history for 1,000 to 1,000,000 leads, on
// real servers on loopback, beside a workflow with one activity per contact.
//
//	go run -C bench ./size -sizes 1000,10000
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/bench/report"
	"holdfast/bench/stand"
	"holdfast/internal/maillab"
)

func main() { stand.Main("size", benchmark, runBaseline) }

type options struct {
	sizes, baseline []int
	leads           int // of the catalogue: as many as the largest order
	runs            int
	latency         time.Duration
	profile, out    string
}

func parse() (o options, err error) {
	sizes := flag.String("sizes", "1000,10000,100000,1000000", "leads of the orders, in ascending order")
	baseline := flag.String("baseline", "1000,5000", "contacts of the baseline's orders; it ends at 51,200 events")
	flag.IntVar(&o.runs, "runs", 5, "orders of a size to take the median of; of large ones fewer")
	flag.DurationVar(&o.latency, "latency", 0, "round trip to the mail servers and name servers")
	flag.StringVar(&o.profile, "profile", "", "file for a CPU profile of the worker; the report then lists the statements of the database that took most, too")
	flag.StringVar(&o.out, "out", "results", "folder for the JSON result and the plot")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "Measures orders of different sizes.\n\nExample: go run -C bench ./size --sizes 1000,10000,100000 --runs 3\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	for text, list := range map[string]*[]int{*sizes: &o.sizes, *baseline: &o.baseline} {
		for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' }) {
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 {
				return o, fmt.Errorf("%q is no number of leads; give some from 1 on, such as 1000,10000", word)
			}
			*list = append(*list, n)
			o.leads = max(o.leads, n)
		}
	}
	if len(o.sizes) == 0 || o.runs < 1 {
		return o, errors.New("there is nothing to measure; give at least one size and one run")
	}
	slices.Sort(o.sizes)
	return o, nil
}

// bench is a stand and what was measured on it.
type bench struct {
	options
	*stand.Stand
	report *report.Report
	orders int // so far
}

func benchmark(ctx context.Context) (err error) {
	o, err := parse()
	if err != nil {
		return err
	}
	s, err := stand.Start(ctx, stand.Options{Leads: o.leads, Lab: maillab.Config{Latency: o.latency}, Profile: o.profile})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	b := &bench{options: o, Stand: s, report: report.New("size", "Orders by size: what a contact costs")}
	if err := b.all(ctx); err != nil {
		return err
	}
	if err := b.report.Print(os.Stdout); err != nil {
		return err
	}
	path, err := b.report.Save(o.out)
	stand.Note("written to %s", path)
	return err
}

// all measures the engine alone first: that makes it known to all greylisting
// hosts, and the orders after it need not wait for them. One order and one of
// the baseline's, not counted, let the worker's engines get to know the hosts.
func (b *bench) all(ctx context.Context) error {
	stand.Note("the engine alone, over %d addresses", b.leads)
	most, alone, err := b.EngineAlone(ctx, b.leads)
	if err != nil {
		return err
	}
	for _, run := range []func(context.Context, int) (cost, error){b.order, b.perContact} {
		if _, err := run(ctx, min(b.sizes[0], 1000)); err != nil {
			return err
		}
	}
	if b.profile != "" {
		if err := stand.ForgetStatements(ctx, b.App.Pool); err != nil {
			return err
		}
	}
	ours, err := b.medians(ctx, "an order of", b.sizes, 10_000, b.order)
	if err != nil {
		return err
	}
	if b.profile != "" {
		if err := stand.Statements(ctx, b.App.Pool, b.report, "Statements of all orders"); err != nil {
			return err
		}
	}
	baseline, err := b.medians(ctx, "one activity per contact,", b.baseline, 1000, b.perContact)
	if err != nil {
		return err
	}
	if err := b.Audit(ctx); err != nil {
		return err
	}
	b.tabulate(most, alone, ours, baseline)
	return b.plot(ours, baseline)
}

// cost is what one order took.
type cost struct {
	leads, runs int
	wall        time.Duration // from reserved to delivered
	cpu         stand.CPU     // until it was settled
	bytes       int64         // by which the database grew
	tables      []string      // that have grown, most first
	grown       map[string]stand.Bytes
	peak        int64 // bytes of the worker's resident memory
	stand.History
}

// µs is a duration by the contact, in microseconds.
func (c cost) µs(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 / float64(c.leads) }

// medians measures orders of each size, those above a quick one less often, and
// keeps of each size the order with the median wall time.
func (b *bench) medians(ctx context.Context, what string, sizes []int, quick int, run func(context.Context, int) (cost, error)) ([]cost, error) {
	var list []cost
	for _, size := range sizes {
		runs := max(1, min(b.runs, b.runs*quick/size))
		var costs []cost
		for range runs {
			stand.Note("%s %d contacts", what, size)
			c, err := run(ctx, size)
			if err != nil {
				return nil, err
			}
			costs = append(costs, c)
		}
		slices.SortFunc(costs, func(a, b cost) int { return int(a.wall - b.wall) })
		median := costs[len(costs)/2]
		median.runs = runs
		list = append(list, median)
	}
	return list, nil
}

func (b *bench) order(ctx context.Context, leads int) (cost, error) {
	return b.measure(ctx, leads, func(org string) (string, error) {
		o, _, err := b.Submit(ctx, org, "order", leads)
		return o.ID, err
	})
}

func (b *bench) perContact(ctx context.Context, leads int) (cost, error) {
	return b.measure(ctx, leads, func(org string) (string, error) { return startBaseline(ctx, b.Stand, org, int64(leads)) })
}

// measure measures an order by an organization of its own, so that all leads
// are new to it.
func (b *bench) measure(ctx context.Context, leads int, start func(org string) (id string, err error)) (cost, error) {
	c := cost{leads: leads}
	b.orders++
	org := fmt.Sprintf("org-%d", b.orders)
	if err := b.Organization(ctx, org, int64(leads)); err != nil {
		return c, err
	}
	size, err := b.DatabaseSize(ctx)
	if err != nil {
		return c, err
	}
	tables, err := b.TableSizes(ctx)
	if err != nil {
		return c, err
	}
	if err := b.ForgetPeak(); err != nil {
		return c, err
	}
	before, err := b.CPU()
	if err != nil {
		return c, err
	}
	id, err := start(org)
	if err != nil {
		return c, err
	}
	o, err := b.Settled(ctx, org, id)
	if err != nil {
		return c, err
	}
	c.wall = o.CompletedAt.Sub(o.CreatedAt)
	after, err := b.CPU()
	if err != nil {
		return c, err
	}
	c.cpu = after.Minus(before)
	if c.peak, err = b.PeakMemory(); err != nil {
		return c, err
	}
	grown, err := b.DatabaseSize(ctx)
	if err != nil {
		return c, err
	}
	c.bytes = grown - size
	tablesAfter, err := b.TableSizes(ctx)
	if err != nil {
		return c, err
	}
	c.tables, c.grown = stand.Grown(tables, tablesAfter)
	c.History, err = b.History(ctx, id)
	return c, err
}

func (b *bench) tabulate(most, alone time.Duration, ours, baseline []cost) {
	time := b.report.Table("Time for a contact", "", "contacts", "runs", "seconds", "contacts/s",
		"µs", "CPU µs", "worker", "PostgreSQL", "Temporal", "mail lab")
	space := b.report.Table("Space", "", "contacts", "database B/contact", "worker peak MB", "history runs", "events of the longest", "KB of the longest", "history B/contact")
	n := float64(b.leads)
	for _, yardstick := range []struct {
		name     string
		contacts float64
		took     float64
	}{{"engine alone, 95 of 100 (yardstick)", n * 95 / 100, most.Seconds()}, {"engine alone, all", n, alone.Seconds()}} {
		time.Add(yardstick.name, int64(yardstick.contacts), 1, yardstick.took, yardstick.contacts/yardstick.took, yardstick.took/yardstick.contacts*1e6, "", "", "", "", "")
	}
	for _, group := range []struct {
		name  string
		costs []cost
	}{{"order", ours}, {"one activity per contact", baseline}} {
		for _, c := range group.costs {
			time.Add(group.name, c.leads, c.runs, c.wall.Seconds(), float64(c.leads)/c.wall.Seconds(), c.µs(c.wall),
				c.µs(c.cpu.Ours()), c.µs(c.cpu.Worker), c.µs(c.cpu.Postgres), c.µs(c.cpu.Temporal), c.µs(c.cpu.Lab))
			space.Add(group.name, c.leads, float64(c.bytes)/float64(c.leads), float64(c.peak)/(1<<20),
				c.Runs, c.MaxEvents, float64(c.MaxBytes)/1024, float64(c.Bytes)/float64(c.leads))
		}
	}
	b.compare(ours, baseline)
	b.byTable(ours[len(ours)-1])
	b.report.Note("CPU is user and system time of the worker's process, of PostgreSQL with all its backends and of Temporal, until the order is settled; " +
		"the mail lab, which stands for the world and takes part of the same cores, comes beside it. " +
		"The database is pg_database_size: items, journal, facts, events, with indexes, without the log. Memory is the kernel's count of the worker's resident peak during the order.")
	b.report.Note(stand.Audited)
	b.report.Note("Of 100 addresses the engine's last five are at hosts that have asked for a slower pace; the orders meet them with other work under way.")
	b.report.Note("All hosts are known to the engine, greylisting ones too, so that no order waits for them. Each order is an organization's first; the catalogue has %d leads.", b.leads)
}

// byTable says where the bytes of the largest order went.
func (b *bench) byTable(c cost) {
	table := b.report.Table(fmt.Sprintf("Bytes of a contact in an order of %d", c.leads), "table", "rows", "indexes")
	n := float64(c.leads)
	for _, name := range c.tables {
		if g := c.grown[name]; float64(g.Rows+g.Indexes)/n >= 0.5 {
			table.Add(name, float64(g.Rows)/n, float64(g.Indexes)/n)
		}
	}
}

// compare says what the largest order costs beside one of 10,000, and what the
// baseline costs beside an order.
func (b *bench) compare(ours, baseline []cost) {
	table := b.report.Table("Cost of a contact, compared", "", "time", "CPU", "database", "history")
	add := func(name string, c, to cost) {
		table.Add(name, c.µs(c.wall)/to.µs(to.wall), c.µs(c.cpu.Ours())/to.µs(to.cpu.Ours()),
			float64(c.bytes)/float64(c.leads)/(float64(to.bytes)/float64(to.leads)),
			float64(c.Bytes)/float64(c.leads)/(float64(to.Bytes)/float64(to.leads)))
	}
	last := ours[len(ours)-1]
	for _, c := range ours {
		if c.leads == 10_000 && last.leads > c.leads {
			add(fmt.Sprintf("an order of %d : one of 10000", last.leads), last, c)
		}
		for _, base := range baseline {
			if base.leads == c.leads {
				add(fmt.Sprintf("one activity per contact : an order, %d contacts", c.leads), base, c)
			}
		}
	}
}

func (b *bench) plot(ours, baseline []cost) error {
	line := func(name string, costs []cost, of func(cost) time.Duration, dashed bool) report.Series {
		s := report.Series{Name: name, Dashed: dashed}
		for _, c := range costs {
			s.X, s.Y = append(s.X, float64(c.leads)), append(s.Y, c.µs(of(c)))
		}
		return s
	}
	wall, cpu := func(c cost) time.Duration { return c.wall }, func(c cost) time.Duration { return c.cpu.Ours() }
	_, err := report.Lines(b.out, "size", report.Axes{
		Title: "Cost of a contact by the size of its order", X: "contacts in the order", Y: "µs per contact", LogX: true, LogY: true, LegendRight: true,
	},
		line("order, wall", ours, wall, false), line("order, CPU", ours, cpu, true),
		line("activity per contact, wall", baseline, wall, false), line("activity per contact, CPU", baseline, cpu, true))
	return err
}
