// Command catalogue measures the catalogue and the order book on a PostgreSQL
// of its own, as `starter dev` runs it: importing leads, counting and selecting
// by criteria of every shape, revealing, enriching and exporting fields, taking
// in a list of a million rows, and taking a large order's items through their
// verdicts. With -compare it also times the same counts as plain SQL over
// ordinary indexes, which is what the facet index was chosen over.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/bench/report"
	"holdfast/bench/stand"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	leads := flag.Int("leads", 1_000_000, "leads in the catalogue")
	count := flag.Int64("count", 10_000, "leads an order selects")
	items := flag.Int64("items", 100_000, "items of the large order")
	fields := flag.Int64("fields", 100_000, "leads of an order for fields, besides one of 1,000")
	exported := flag.Int64("exported", 100_000, "leads of the large export, besides one of 10,000")
	rows := flag.Int64("rows", lead.MaxListRows, "rows of the large list")
	rounds := flag.Int("rounds", 5, "repetitions; the median is reported")
	compare := flag.Bool("compare", false, "also count with plain SQL over ordinary indexes")
	only := flag.String("only", "", "measure only this `part`, after the import, and print it: criteria, owning, fields, exports, list or order")
	dir := flag.String("out", "results", "folder for the JSON file")
	flag.Parse()

	work, err := os.MkdirTemp("", "holdfast-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // a temporary folder
	pool, _, closeDatabase, err := stand.Database(ctx, "")
	if err != nil {
		return err
	}
	defer closeDatabase() //nolint:errcheck // the server is not used again

	b := &bench{
		pool: pool, catalogue: lead.New(pool), book: orderbook.New(pool),
		count: *count, rounds: *rounds,
		report: report.New("catalogue", fmt.Sprintf("Catalogue of %d leads", *leads)),
	}
	if err := b.importing(ctx, filepath.Join(work, "leads.csv"), *leads); err != nil {
		return err
	}
	for _, part := range []struct {
		name    string
		measure func() error
	}{
		{"criteria", func() error { return b.criteria(ctx, *compare) }},
		{"owning", func() error { return b.owning(ctx) }},
		{"fields", func() error { return errors.Join(b.fields(ctx, 1000, *fields), b.countFields(ctx, 1000)) }},
		{"exports", func() error { return b.exports(ctx, 10_000, *exported) }},
		{"list", func() error { return b.largeList(ctx, *rows) }},
		{"order", func() error { return b.largeOrder(ctx, *items) }},
	} {
		if *only != "" && *only != part.name {
			continue
		}
		if err := part.measure(); err != nil {
			return err
		}
	}
	if err := b.report.Print(os.Stdout); err != nil || *only != "" {
		return err
	}
	_, err = b.report.Save(*dir)
	return err
}

type bench struct {
	pool      *pgxpool.Pool
	catalogue *lead.Catalogue
	book      *orderbook.Book
	report    *report.Report
	count     int64
	rounds    int
	orders    int
}

// median runs f a few times and returns the median duration in milliseconds.
func (b *bench) median(f func() error) (float64, error) {
	var times []float64
	for range b.rounds {
		began := time.Now()
		if err := f(); err != nil {
			return 0, err
		}
		times = append(times, report.Milliseconds(time.Since(began)))
	}
	return report.Median(times), nil
}

// importing writes a catalogue file, imports it twice and tells what it takes.
func (b *bench) importing(ctx context.Context, path string, leads int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // the file is read back below
	if err := maillab.WriteCatalogue(f, leads, maillab.CatalogueOptions{Seed: 1, Domains: max(2000, leads/50)}); err != nil {
		return err
	}
	table := b.report.Table("Import of a CSV file", "run", "leads", "seconds", "leads/s")
	for _, name := range []string{"into an empty catalogue", "the same file again"} {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		began := time.Now()
		got, err := b.catalogue.Import(ctx, f, lead.CSV, lead.ImportOptions{Progress: func(rows int64) {
			fmt.Fprintf(os.Stderr, "\rimporting %d", rows)
		}})
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr)
		seconds := time.Since(began).Seconds()
		table.Add(name, got.Rows, seconds, int64(float64(got.Rows)/seconds))
	}
	if _, err := b.pool.Exec(ctx, `VACUUM ANALYZE`); err != nil {
		return err
	}
	sizes := b.report.Table("Size on disk", "what", "MB", "bytes a lead")
	for what, sql := range map[string]string{
		"leads":         `SELECT pg_table_size('lead')`,
		"their indexes": `SELECT pg_indexes_size('lead')`,
		"facet index":   `SELECT pg_total_relation_size('lead_facet')`,
	} {
		var bytes int64
		if err := b.pool.QueryRow(ctx, sql).Scan(&bytes); err != nil {
			return err
		}
		sizes.Add(what, bytes>>20, bytes/int64(leads))
	}
	return nil
}

var shapes = []struct {
	name     string
	criteria order.Criteria
	sql      string // the same over ordinary columns
}{
	{"everybody", order.Criteria{}, `true`},
	{"one country", order.Criteria{Country: []string{"US"}}, `country = 'US'`},
	{
		"country, title word",
		order.Criteria{Country: []string{"US"}, Title: "engineer"},
		`country = 'US' AND to_tsvector('simple', title) @@ 'engineer'::tsquery`,
	},
	{
		"five broad criteria",
		order.Criteria{
			Country: []string{"US", "DE", "GB"}, Industry: []string{"software", "manufacturing", "retail"},
			Seniority: []string{"senior", "manager", "director"}, HeadcountMin: 50, HasPhone: true,
		},
		`country IN ('US', 'DE', 'GB') AND lower(industry) IN ('software', 'manufacturing', 'retail')
			AND lower(seniority) IN ('senior', 'manager', 'director') AND headcount >= 50 AND phone <> ''`,
	},
	{"headcount 100 to 1,000", order.Criteria{HeadcountMin: 100, HeadcountMax: 1000}, `headcount BETWEEN 100 AND 1000`},
	{
		"two title words, department",
		order.Criteria{Title: "senior engineer", Department: []string{"engineering"}},
		`to_tsvector('simple', title) @@ 'senior & engineer'::tsquery AND lower(department) = 'engineering'`,
	},
	{"phone and direct email", order.Criteria{HasPhone: true, HasDirectEmail: true}, `phone <> '' AND direct_email <> ''`},
	{
		"a city, a title word",
		order.Criteria{City: []string{"Berlin"}, Title: "director"},
		`lower(city) = 'berlin' AND to_tsvector('simple', title) @@ 'director'::tsquery`,
	},
	{"none", order.Criteria{Country: []string{"US"}, City: []string{"Atlantis"}}, `country = 'US' AND lower(city) = 'atlantis'`},
}

// criteria times counting and selecting by criteria of different shapes.
func (b *bench) criteria(ctx context.Context, compare bool) error {
	columns := []string{"criteria", "leads that match", "count ms", "preview ms", fmt.Sprintf("select %d ms", b.count)}
	if compare {
		columns = append(columns, "count by ordinary indexes ms")
		for _, sql := range []string{
			`CREATE INDEX compare_country ON lead (country)`,
			`CREATE INDEX compare_industry ON lead (lower(industry))`,
			`CREATE INDEX compare_seniority ON lead (lower(seniority))`,
			`CREATE INDEX compare_department ON lead (lower(department))`,
			`CREATE INDEX compare_city ON lead (lower(city))`,
			`CREATE INDEX compare_headcount ON lead (headcount)`,
			`CREATE INDEX compare_title ON lead USING gin (to_tsvector('simple', title))`,
			`ANALYZE lead`,
		} {
			if _, err := b.pool.Exec(ctx, sql); err != nil {
				return err
			}
		}
	}
	table := b.report.Table(fmt.Sprintf("Criteria, median of %d", b.rounds), columns...)
	for _, shape := range shapes {
		var counted lead.Counted
		counting, err := b.median(func() (err error) {
			counted, err = b.catalogue.Count(ctx, lead.Selection{Criteria: shape.criteria})
			return err
		})
		if err != nil {
			return err
		}
		previewing, err := b.median(func() error {
			_, err := b.catalogue.Preview(ctx, lead.Viewer{}, shape.criteria, 20)
			return err
		})
		if err != nil {
			return err
		}
		selecting, err := b.median(func() error { return b.selectOne(ctx, "acme", shape.criteria) })
		if err != nil {
			return err
		}
		row := []any{shape.name, counted.Leads, counting, previewing, selecting}
		if compare {
			plain, err := b.median(func() error {
				var n int64
				if err := b.pool.QueryRow(ctx, `SELECT count(*) FROM lead WHERE `+shape.sql).Scan(&n); err != nil {
					return err
				}
				if n != counted.Leads {
					return fmt.Errorf("plain SQL counts %d leads for %q, the facet index %d", n, shape.name, counted.Leads)
				}
				return nil
			})
			if err != nil {
				return err
			}
			row = append(row, plain)
		}
		table.Add(row...)
	}
	return nil
}

func (b *bench) selectOne(ctx context.Context, org string, criteria order.Criteria) error {
	_, err := b.catalogue.Select(ctx, lead.Selection{
		OrderID: b.nextOrder(), Org: org, Criteria: criteria, Count: b.count, FactType: "email",
	})
	return err
}

// owning times an organization that owns a good part of the catalogue already:
// the first count of a process, later ones, and one after a thousand more leads
// were charged, beside the plain SQL that counts the same.
func (b *bench) owning(ctx context.Context) error {
	books := ledger.New(b.pool)
	defer books.Close()
	table := b.report.Table("An organization that owns much", "leads owned", "first count ms", "first of a process ms", "count ms", "count after 1,000 more ms", "plain SQL ms", fmt.Sprintf("select %d ms", b.count))
	for _, percent := range []int{1, 10, 50} {
		org := fmt.Sprintf("owner%d", percent)
		if _, err := b.pool.Exec(ctx, `
			INSERT INTO credit_fact (owner, type, scope, subject, seq, cost)
			SELECT $1, 'email', '', email_key, 1, 1 FROM lead WHERE hashtext(id) & 127 < $2::int * 128 / 100 AND email_key IS NOT NULL ON CONFLICT DO NOTHING`, org, percent); err != nil {
			return err
		}
		if _, err := b.pool.Exec(ctx, `ANALYZE credit_fact`); err != nil {
			return err
		}
		if _, err := books.Grant(ctx, ledger.Grant{Owner: org, Key: "pack", Type: "email", Amount: 1_000_000, Source: ledger.SourcePack}); err != nil {
			return err
		}
		var counted lead.Counted
		count := func() (err error) {
			counted, err = b.catalogue.Count(ctx, lead.Selection{Org: org, FactType: "email"})
			return err
		}
		began := time.Now()
		if err := count(); err != nil {
			return err
		}
		first := report.Milliseconds(time.Since(began))
		process, err := b.median(func() error {
			_, err := lead.New(b.pool).Count(ctx, lead.Selection{Org: org, FactType: "email"})
			return err
		})
		if err != nil {
			return err
		}
		later, err := b.median(count)
		if err != nil {
			return err
		}
		var after []float64
		for round := range b.rounds {
			if err := b.chargeMore(ctx, books, org, round); err != nil {
				return err
			}
			began := time.Now()
			if err := count(); err != nil {
				return err
			}
			after = append(after, report.Milliseconds(time.Since(began)))
		}
		var owned int64
		began = time.Now()
		if err := b.pool.QueryRow(ctx, `
			SELECT count(*) FROM credit_fact f JOIN lead l ON l.email_key = f.subject
			WHERE f.owner = $1 AND f.type = 'email' AND f.scope = '' AND NOT f.reversed`, org).Scan(&owned); err != nil {
			return err
		}
		plain := report.Milliseconds(time.Since(began))
		if owned != counted.AlreadyOwned {
			return fmt.Errorf("plain SQL counts %d leads that %s owns, the catalogue %d", owned, org, counted.AlreadyOwned)
		}
		selecting, err := b.median(func() error { return b.selectOne(ctx, org, order.Criteria{}) })
		if err != nil {
			return err
		}
		table.Add(owned, first, process, later, report.Median(after), plain, selecting)
	}
	return nil
}

// chargeMore charges a thousand leads from all over the catalogue, as an order
// does for a part of its items.
func (b *bench) chargeMore(ctx context.Context, books *ledger.Ledger, org string, round int) error {
	rows, err := b.pool.Query(ctx, `SELECT email_key FROM lead WHERE email_key IS NOT NULL ORDER BY hashtext(id || $1) LIMIT 1000`, fmt.Sprint(round))
	if err != nil {
		return err
	}
	subjects, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return err
	}
	facts := make([]ledger.Fact, len(subjects))
	for i, subject := range subjects {
		facts[i].Subject = subject
	}
	_, err = books.Charge(ctx, ledger.Charge{
		Owner: org, Key: fmt.Sprintf("more %d", round),
		Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{""}, Facts: facts, UnitCost: 1}},
	})
	return err
}

// largeOrder takes one order's items through their verdicts and delivery, a
// thousand at a time, one batch after the other.
func (b *bench) largeOrder(ctx context.Context, items int64) error {
	table := b.report.Table("A large order", "step", "items", "seconds", "µs an item")
	const id = "ord_large"
	if _, err := b.book.Create(ctx, orderbook.NewOrder{
		ID: id, Org: "large", Request: order.Request{Kind: order.LeadList, Count: items}, Status: order.Reserved,
	}); err != nil {
		return err
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"select", func() error {
			selected, err := b.catalogue.Select(ctx, lead.Selection{OrderID: id, Org: "large", Count: items, FactType: "email"})
			if err != nil {
				return err
			}
			items = selected.Items
			return b.book.Start(ctx, id, items)
		}},
		{"verdicts", func() error {
			return inBatches(items, func(from, to int64) error { return b.writeVerdicts(ctx, id, from, to) })
		}},
		{"delivery", func() error {
			return inBatches(items, func(from, to int64) error {
				billable, err := b.book.Billable(ctx, id, from, to, []string{"valid"})
				if err != nil {
					return err
				}
				_, err = b.book.Deliver(ctx, id, billable)
				return err
			})
		}},
		{"tally", func() error { _, _, err := b.book.Tally(ctx, id); return err }},
		{"results as CSV", func() error {
			return b.catalogue.WriteResults(ctx, io.Discard, id, lead.CSV, lead.ResultOptions{})
		}},
	} {
		began := time.Now()
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
		took := time.Since(began)
		table.Add(step.name, items, took.Seconds(), float64(took.Microseconds())/float64(items))
	}
	var bytes int64
	if err := b.pool.QueryRow(ctx, `SELECT pg_total_relation_size('order_item') / (SELECT count(*) FROM order_item)`).Scan(&bytes); err != nil {
		return err
	}
	b.report.Note("An order item takes %d bytes on disk, its index and the space to grow included.", bytes)
	return nil
}

// inBatches calls f for each batch of the items of an order.
func inBatches(items int64, f func(from, to int64) error) error {
	const batch = 1000
	for from := int64(1); from <= items; from += batch {
		if err := f(from, min(items, from+batch-1)); err != nil {
			return err
		}
	}
	return nil
}

// writeVerdicts makes the odd ones of some items valid and the others invalid.
func (b *bench) writeVerdicts(ctx context.Context, id string, from, to int64) error {
	now := time.Now()
	pending, err := b.book.Pending(ctx, id, from, to, now)
	if err != nil {
		return err
	}
	verdicts := make([]orderbook.Verdict, len(pending))
	for i, item := range pending {
		verdicts[i] = orderbook.Verdict{
			N: item.N, Verdict: "valid", Reason: "accepted", MXHost: "mx1.mail.example.test", SMTPCode: 250,
			SMTPEnhanced: "2.1.5", SMTPText: "2.1.5 Recipient OK", CheckedAt: now,
		}
		if item.N%2 == 0 {
			verdicts[i].Verdict, verdicts[i].Reason = "invalid", "no_such_user"
		}
	}
	return b.book.WriteVerdicts(ctx, id, verdicts)
}
