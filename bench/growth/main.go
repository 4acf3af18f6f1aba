// Command growth measures whether what an order does gets slower as a database
// fills up with what never goes away: facts of what was charged, and items of
// orders that are over. It fills a PostgreSQL of its own by SQL, step by step,
// and at each step captures, selects, and reads balances and history.
//
//	go run -C bench ./growth
//	go run -C bench ./growth -facts 1000000,100000000 takes an hour and 40 GB
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/bench/report"
	"holdfast/bench/stand"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
)

const (
	leads         = 200_000 // in the catalogue
	organizations = 1000    // that share the facts and items
	org           = "org-0000"
	captured      = 1000   // facts of a capture
	selected      = 10_000 // leads of a selection
	itemsOf       = 5      // facts for each item
	journal       = 3000   // entries of the organization that is measured
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	sizes := flag.String("facts", "1000000,10000000", "facts in the database, `step` by step; there is an item for every fifth")
	rounds := flag.Int("rounds", 25, "repetitions; the median is reported")
	out := flag.String("out", "results", "folder for the JSON result and the plot")
	flag.Usage = func() {
		_, _ = fmt.Fprint(flag.CommandLine.Output(), "Measures whether orders get slower as the database fills up.\n\nExample: go run -C bench ./growth -facts 1000000,20000000\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(ctx, *sizes, *rounds, *out); err != nil {
		fmt.Fprintln(os.Stderr, "growth:", err)
		stop()
		os.Exit(1)
	}
}

func note(format string, args ...any) { fmt.Fprintf(os.Stderr, "… "+format+"\n", args...) }

func run(ctx context.Context, list string, rounds int, out string) (err error) {
	var sizes []int64
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < organizations {
			return fmt.Errorf("%q is no number of facts of at least %d; give several with commas between", text, organizations)
		}
		sizes = append(sizes, n)
	}
	pool, _, closeDatabase, err := stand.Database(ctx, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDatabase()) }()
	b := &bench{pool: pool, catalogue: lead.New(pool), ledger: ledger.New(pool), rounds: rounds, series: map[string]*report.Series{}}
	defer b.ledger.Close()
	if err := b.seed(ctx); err != nil {
		return err
	}
	r := report.New("growth", "What orders do as the database fills up")
	table := r.Table(fmt.Sprintf("Median of %d", rounds), "facts", "items", "GB", "capture 1,000 ms", "select 10,000 ms", "balances ms", "history ms")
	for _, size := range sizes {
		if err := b.fill(ctx, size); err != nil {
			return err
		}
		if err := b.measure(ctx, table, size); err != nil {
			return err
		}
	}
	for _, what := range steps {
		y := b.series[what].Y
		r.Note("%s: %.2f times as long with %d facts as with %d.", what, y[len(y)-1]/y[0], sizes[len(sizes)-1], sizes[0])
	}
	if err := r.Print(os.Stdout); err != nil {
		return err
	}
	if _, err := r.Save(out); err != nil {
		return err
	}
	lines := make([]report.Series, len(steps))
	for i, what := range steps {
		lines[i] = *b.series[what]
	}
	_, err = report.Lines(out, "growth", report.Axes{Title: "What orders do as the database fills up", X: "facts", Y: "ms", LogX: true, LogY: true}, lines...)
	return err
}

// steps are what is measured, in the order of the table.
var steps = []string{"capture", "select", "balances", "history"}

type bench struct {
	pool      *pgxpool.Pool
	catalogue *lead.Catalogue
	ledger    *ledger.Ledger
	rounds    int
	filled    int64 // facts
	n         int   // keys given out
	series    map[string]*report.Series
}

func (b *bench) exec(ctx context.Context, sql string, args ...any) error {
	_, err := b.pool.Exec(ctx, sql, args...)
	return err
}

// seed makes a catalogue and an organization with credits and a history.
func (b *bench) seed(ctx context.Context) error {
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
	if _, err := b.catalogue.Import(ctx, file, lead.CSV, lead.ImportOptions{}); err != nil {
		return err
	}
	if _, err := b.ledger.Grant(ctx, ledger.Grant{Owner: org, Key: "pack", Type: "email", Amount: 1_000_000_000, Source: ledger.SourcePack}); err != nil {
		return err
	}
	for range journal {
		if err := b.charge(ctx, 1); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) charge(ctx context.Context, facts int) error {
	b.n++
	line := ledger.ChargeLine{Type: "email", Pools: []string{""}, UnitCost: 1, Facts: make([]ledger.Fact, facts)}
	for i := range line.Facts {
		line.Facts[i].Subject = uuid.New()
	}
	charged, err := b.ledger.Charge(ctx, ledger.Charge{
		Owner: org, Key: fmt.Sprint("charge-", b.n), Lines: []ledger.ChargeLine{line}, Memo: ledger.Memo{Action: "reveal"},
	})
	if err == nil && !charged.Charged {
		err = fmt.Errorf("%s has no credits left; grant it more", org)
	}
	return err
}

// fill adds facts and items until there are so many facts. Each organization has
// its share of both, also the one that is measured.
func (b *bench) fill(ctx context.Context, facts int64) error {
	note("filling up to %d facts and %d items", facts, facts/itemsOf)
	from, to := b.filled/organizations, facts/organizations
	b.filled = facts
	if err := b.exec(ctx, `
		INSERT INTO credit_fact (owner, type, scope, subject, seq, cost)
		SELECT format('org-%s', lpad(o::text, 4, '0')), 'email', '', md5(o || '/' || n)::uuid, 1, 1
		FROM generate_series(0, $3::bigint - 1) o, generate_series($1::bigint + 1, $2::bigint) n ORDER BY 1, 4`, from, to, int64(organizations)); err != nil {
		return err
	}
	if err := b.exec(ctx, `
		INSERT INTO order_item (order_id, n, lead_no, field, value, fingerprint, already_owned, verdict, reason, mx_host, checked_at, delivered_at)
		SELECT format('ord_%s_%s', o, $1::bigint), n, n, 'email', 'person' || n || '@company' || o || '.test', md5(o || '/' || n)::uuid, false,
			'valid', 'accepted', 'mx.company.test', now(), now()
		FROM generate_series(0, $3::bigint - 1) o, generate_series($1::bigint + 1, $2::bigint) n`, from/itemsOf, to/itemsOf, int64(organizations)); err != nil {
		return err
	}
	for _, tidy := range []string{"VACUUM (ANALYZE)", "CHECKPOINT"} {
		if err := b.exec(ctx, tidy); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) measure(ctx context.Context, table *report.Table, facts int64) error {
	var bytes int64
	if err := b.pool.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&bytes); err != nil {
		return err
	}
	row := []any{facts, facts / itemsOf, float64(bytes) / (1 << 30)}
	for _, what := range steps {
		note("%s with %d facts", what, facts)
		var took []float64
		for range b.rounds {
			began := time.Now()
			if err := b.do(ctx, what); err != nil {
				return err
			}
			took = append(took, report.Milliseconds(time.Since(began)))
		}
		median := report.Median(took)
		row = append(row, median)
		if b.series[what] == nil {
			b.series[what] = &report.Series{Name: what}
		}
		b.series[what].X = append(b.series[what].X, float64(facts))
		b.series[what].Y = append(b.series[what].Y, median)
	}
	table.Add(row...)
	return nil
}

func (b *bench) do(ctx context.Context, what string) error {
	switch what {
	case "capture":
		return b.charge(ctx, captured)
	case "select":
		b.n++
		_, err := b.catalogue.Select(ctx, lead.Selection{
			OrderID: fmt.Sprint("ord_growth_", b.n), Org: org, Criteria: order.Criteria{Country: []string{"US"}}, Count: selected, FactType: "email",
		})
		return err
	case "balances":
		_, err := b.ledger.Balances(ctx, org)
		return err
	}
	_, err := b.ledger.History(ctx, ledger.HistoryFilter{Owner: org, Limit: 100})
	return err
}
