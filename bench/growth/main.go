// Command growth measures whether what an order does gets slower as a database
// fills up with what never goes away: facts of what was charged, and items of
// orders that are over. It fills a database of its own for each size by SQL, and
// then captures, selects, and reads balances and history in all of them by turns.
//
//	go run -C bench ./growth
//	go run -C bench ./growth -facts 1000000,100000000 -dir /var/tmp/growth takes 40 GB
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/bench/report"
	"holdfast/internal/devstack"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/postgres"
)

const (
	leads         = 200_000 // in the catalogue
	organizations = 1000    // that share the facts and items
	org           = "org-0000"
	captured      = 1000      // facts of a capture
	selected      = 10_000    // leads of a selection
	itemsOf       = 5         // facts for each item
	journal       = 3000      // entries of the organization that is measured
	atOnce        = 5_000_000 // facts that a statement inserts
)

type options struct {
	sizes    []int64 // facts
	rounds   int
	dir, out string
	fillOnly bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	sizes := flag.String("facts", "1000000,10000000", "facts in the databases, one database for each `size`; there is an item for every fifth")
	flag.IntVar(&o.rounds, "rounds", 25, "repetitions; the median is reported")
	flag.StringVar(&o.dir, "dir", "", "folder that keeps the databases for the next run; without it they are removed at the end")
	flag.BoolVar(&o.fillOnly, "fill", false, "only fill the databases in -dir, to measure them later")
	flag.StringVar(&o.out, "out", "results", "folder for the JSON result and the plot")
	flag.Usage = func() {
		_, _ = fmt.Fprint(flag.CommandLine.Output(), "Measures whether orders get slower as the database fills up.\n\nExample: go run -C bench ./growth -facts 1000000,20000000\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := o.run(ctx, *sizes); err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		stop()
		os.Exit(1)
	}
}

func note(format string, args ...any) { fmt.Fprintf(os.Stderr, "… "+format+"\n", args...) }

func (o options) run(ctx context.Context, list string) (err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < organizations {
			return fmt.Errorf("%q is no number of facts of at least %d; give several with commas between", text, organizations)
		}
		o.sizes = append(o.sizes, n)
	}
	server, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: o.dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	filled := make([]*database, len(o.sizes))
	for i, size := range o.sizes {
		if filled[i], err = open(ctx, server, size); err != nil {
			return err
		}
		defer filled[i].close()
	}
	if o.fillOnly {
		return nil
	}
	return o.measure(ctx, filled)
}

// measure does each step in all databases by turns, so that what else happens on
// the machine meets all of them alike.
func (o options) measure(ctx context.Context, databases []*database) error {
	for _, what := range steps {
		note("%s, %d times in each database", what, o.rounds)
		for round := range o.rounds + 1 {
			for _, d := range databases {
				began := time.Now()
				if err := d.do(ctx, what); err != nil {
					return err
				}
				if round > 0 { // the first reads what the databases before it have pushed out of memory
					d.took[what] = append(d.took[what], report.Milliseconds(time.Since(began)))
				}
			}
		}
	}
	r := report.New("growth", "What orders do as the database fills up")
	table := r.Table(fmt.Sprintf("Median of %d", o.rounds), "facts", "items", "GB", "capture 1,000 ms", "select 10,000 ms", "balances ms", "history ms")
	lines := make([]report.Series, len(steps))
	for _, d := range databases {
		gigabytes, err := d.size(ctx)
		if err != nil {
			return err
		}
		row := []any{d.facts, d.facts / itemsOf, gigabytes}
		for i, what := range steps {
			median := report.Median(d.took[what])
			row = append(row, median)
			lines[i].Name = what
			lines[i].X, lines[i].Y = append(lines[i].X, float64(d.facts)), append(lines[i].Y, median)
		}
		table.Add(row...)
	}
	for _, line := range lines {
		last := len(line.Y) - 1
		r.Note("%s: %.2f times as long with %.0f facts as with %.0f.", line.Name, line.Y[last]/line.Y[0], line.X[last], line.X[0])
	}
	if err := r.Print(os.Stdout); err != nil {
		return err
	}
	if _, err := r.Save(o.out); err != nil {
		return err
	}
	_, err := report.Lines(o.out, "growth", report.Axes{Title: "What orders do as the database fills up", X: "facts", Y: "ms", LogX: true, LogY: true}, lines...)
	return err
}

// steps are what is measured, in the order of the table.
var steps = []string{"capture", "select", "balances", "history"}

// database is one that holds so many facts.
type database struct {
	facts     int64
	pool      *pgxpool.Pool
	catalogue *lead.Catalogue
	ledger    *ledger.Ledger
	took      map[string][]float64 // milliseconds, by step
}

// open opens the database of a size on a server, and fills it unless it is full.
func open(ctx context.Context, server *devstack.Postgres, facts int64) (*database, error) {
	name := fmt.Sprint("growth_", facts)
	admin, err := pgxpool.New(ctx, server.URL)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	var full bool
	if err := admin.QueryRow(ctx, `SELECT coalesce((SELECT shobj_description(oid, 'pg_database') = 'full' FROM pg_database WHERE datname = $1), false)`, name).Scan(&full); err != nil {
		return nil, err
	}
	if !full {
		if _, err := admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name); err != nil {
			return nil, err
		}
		if _, err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
			return nil, err
		}
	}
	at, err := url.Parse(server.URL)
	if err != nil {
		return nil, err
	}
	at.Path = "/" + name
	if err := postgres.Migrate(ctx, at.String()); err != nil {
		return nil, err
	}
	d := &database{facts: facts, took: map[string][]float64{}}
	if d.pool, err = postgres.Open(ctx, at.String()); err != nil {
		return nil, err
	}
	d.catalogue, d.ledger = lead.New(d.pool), ledger.New(d.pool)
	if full {
		return d, nil
	}
	if err = d.seed(ctx); err == nil {
		err = d.fill(ctx)
	}
	if err == nil {
		err = d.exec(ctx, "COMMENT ON DATABASE "+name+" IS 'full'")
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *database) close() {
	d.ledger.Close()
	d.pool.Close()
}

func (d *database) exec(ctx context.Context, sql string, args ...any) error {
	_, err := d.pool.Exec(ctx, sql, args...)
	return err
}

// size is what the database takes, in GB.
func (d *database) size(ctx context.Context) (float64, error) {
	var bytes int64
	err := d.pool.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&bytes)
	return float64(bytes) / (1 << 30), err
}

// seed makes a catalogue and an organization with credits and a history.
func (d *database) seed(ctx context.Context) error {
	note("importing %d leads", leads)
	file, err := os.CreateTemp("", "holdfast-growth-*.csv")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	defer func() { _ = file.Close() }()
	if err := maillab.WriteCatalogue(file, leads, maillab.CatalogueOptions{Seed: 1, Domains: leads / 50}); err != nil {
		return err
	}
	if _, err := file.Seek(0, 0); err != nil {
		return err
	}
	if _, err := d.catalogue.Import(ctx, file, lead.CSV, lead.ImportOptions{}); err != nil {
		return err
	}
	if _, err := d.ledger.Grant(ctx, ledger.Grant{Owner: org, Key: "pack", Type: "email", Amount: 1_000_000_000, Source: ledger.SourcePack}); err != nil {
		return err
	}
	for range journal {
		if err := d.charge(ctx, 1); err != nil {
			return err
		}
	}
	return nil
}

func (d *database) charge(ctx context.Context, facts int) error {
	line := ledger.ChargeLine{Type: "email", Pools: []string{""}, UnitCost: 1, Facts: make([]ledger.Fact, facts)}
	for i := range line.Facts {
		line.Facts[i].Subject = uuid.New()
	}
	charged, err := d.ledger.Charge(ctx, ledger.Charge{
		Owner: org, Key: "charge-" + uuid.NewString(), Lines: []ledger.ChargeLine{line}, Memo: ledger.Memo{Action: "reveal"},
	})
	if err == nil && !charged.Charged {
		err = fmt.Errorf("%s has no credits left; grant it more", org)
	}
	return err
}

// fill adds facts and items. Each organization has its share of both, also the
// one that is measured.
func (d *database) fill(ctx context.Context) error {
	each := d.facts / organizations
	for from, step := int64(0), max(1, int64(organizations*atOnce)/d.facts); from < organizations; from += step {
		note("%d of %d facts", from*each, d.facts)
		to := min(from+step, organizations) - 1
		if err := d.exec(ctx, `
			INSERT INTO credit_fact (owner, type, scope, subject, seq, cost)
			SELECT format('org-%s', lpad(o::text, 4, '0')), 'email', '', md5(o || '/' || n)::uuid, 1, 1
			FROM generate_series($1::bigint, $2::bigint) o, generate_series(1, $3::bigint) n ORDER BY 1, 4`, from, to, each); err != nil {
			return err
		}
		if err := d.exec(ctx, `
			INSERT INTO order_item (order_id, n, lead_no, field, value, fingerprint, already_owned, verdict, reason, mx_host, checked_at, delivered_at)
			SELECT 'ord_' || o, n, n, 'email', 'person' || n || '@company' || o || '.test', md5(o || '/' || n)::uuid, false,
				'valid', 'accepted', 'mx.company.test', now(), now()
			FROM generate_series($1::bigint, $2::bigint) o, generate_series(1, $3::bigint) n`, from, to, each/itemsOf); err != nil {
			return err
		}
	}
	for _, tidy := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
		if err := d.exec(ctx, tidy); err != nil {
			return err
		}
	}
	return nil
}

func (d *database) do(ctx context.Context, what string) error {
	switch what {
	case "capture":
		return d.charge(ctx, captured)
	case "select":
		_, err := d.catalogue.Select(ctx, lead.Selection{
			OrderID: "ord_growth_" + uuid.NewString(), Org: org, Criteria: order.Criteria{Country: []string{"US"}}, Count: selected, FactType: "email",
		})
		return err
	case "balances":
		_, err := d.ledger.Balances(ctx, org)
		return err
	}
	_, err := d.ledger.History(ctx, ledger.HistoryFilter{Owner: org, Limit: 100})
	return err
}
