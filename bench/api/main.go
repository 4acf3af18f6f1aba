// Command api measures the HTTP API on a stack of its own: how many balances it
// answers beside a handler with one bare SELECT, how many orders it accepts
// beside the rate at which the Temporal server starts workflows, and how long
// the verification of one address takes. At the end every accepted order must
// be settled and the books must balance.
//
//	go run -C bench ./api
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"holdfast/bench/report"
	"holdfast/bench/stand"
	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/site"
	"holdfast/internal/wire"
	"holdfast/workflows"
)

const (
	leads         = 5000
	together      = 64               // callers of one organization that verify an address each
	rounds        = 3                // the ratio is the median of so many
	settledWithin = 90 * time.Second // what the accepted orders get after the last request
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	callers := flag.Int("callers", 16, "requests at a time")
	span := flag.Duration("time", 3*time.Second, "how long each measurement takes")
	out := flag.String("out", "results", "folder for the JSON result")
	only := flag.String("only", "", `measure one thing alone: "credits", "verify" or "orders"`)
	profiles := flag.String("profile", "", "folder for CPU profiles of what is measured; their statements are reported too")
	flag.Usage = func() {
		_, _ = fmt.Fprint(flag.CommandLine.Output(), "Measures the HTTP API.\n\nExample: go run -C bench ./api --callers 32\n\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(ctx, options{callers: *callers, span: *span, out: *out, only: *only, profiles: *profiles}); err != nil {
		fmt.Fprintln(os.Stderr, "api:", err)
		stop()
		os.Exit(1)
	}
}

func note(text string) { fmt.Fprintln(os.Stderr, text) }

type options struct {
	callers  int
	span     time.Duration
	out      string
	only     string
	profiles string
}

func run(ctx context.Context, o options) (err error) {
	var settings []string
	if o.profiles != "" {
		settings = append(settings, stand.CountStatements...)
	}
	dir, err := devstack.TempDir("holdfast-bench-")
	if err != nil {
		return err
	}
	servers, err := devstack.StartServers(ctx, config.Config{
		HTTPAddr: "127.0.0.1:0", Providers: []string{config.OwnEngine},
	}, devstack.ServerOptions{
		// Hosts that answer without delay: what they do to orders is measured elsewhere.
		Dir: dir, Lab: maillab.Config{Only: []maillab.Kind{maillab.Ordinary}}, Note: note,
		PostgresSettings: settings,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Stop(), os.RemoveAll(dir)) }()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	app, stop, err := wire.StartBeside(ctx, servers.Config, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	key, err := seed(ctx, app, servers.Lab)
	if err != nil {
		return err
	}
	idle := worker.New(app.Temporal, "bench", worker.Options{})
	idle.RegisterWorkflow(nothing)
	if err := idle.Start(); err != nil {
		return err
	}
	defer idle.Stop()
	server := httptest.NewServer(handler(app, log))
	defer server.Close()

	r := report.New("api", "HTTP API")
	b := &bench{
		options: o, url: server.URL, key: key,
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: max(o.callers, together)}},
		table:  r.Table("Requests", "what", "at a time", "per second", "p50 ms", "p99 ms", "errors"),
	}
	does := func(what string) bool { return o.only == "" || o.only == what }
	if does("credits") {
		if err := profile(ctx, b.profiles, "credits", r, app, func() error {
			b.balances(ctx, r, o.callers)
			return nil
		}); err != nil {
			return err
		}
	}
	if does("verify") { // before a rush of orders is still being carried out
		if err := b.verifications(ctx, r, app); err != nil {
			return err
		}
	}
	var accepted []string
	if does("orders") {
		if err := profile(ctx, b.profiles, "orders", r, app, func() error {
			accepted = b.orders(ctx, r, app, o.callers)
			return nil
		}); err != nil {
			return err
		}
	}
	return errors.Join(b.examine(ctx, r, app, accepted), r.Print(os.Stdout), save(r, o.out))
}

// handler is the API as it is served, without what a request a minute allows,
// and the bare handler beside it.
func handler(app *wire.App, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	c := site.API(app)
	c.Log = log
	mux.Handle("/", api.New(c))
	mux.HandleFunc("GET /bare", func(w http.ResponseWriter, r *http.Request) {
		var n int64
		if err := app.Pool.QueryRow(r.Context(), `SELECT available FROM credit_account WHERE owner = 'acme' AND pool = '' AND type = 'email'`).Scan(&n); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, `{"available":%d}`, n) // a client that is gone is no error
	})
	return mux
}

// seed makes a catalogue and an organization with credits and returns the key
// of a member.
func seed(ctx context.Context, app *wire.App, lab *maillab.Lab) (string, error) {
	var file bytes.Buffer
	if err := lab.World().WriteCatalogue(&file, leads, 0.5); err != nil {
		return "", err
	}
	if _, err := app.Catalogue.Import(ctx, &file, lead.CSV, lead.ImportOptions{}); err != nil {
		return "", err
	}
	if err := app.Accounts.EnsurePresets(ctx); err != nil {
		return "", err
	}
	leadsPlan, err := app.Accounts.Plan(ctx, "verified-leads", 0)
	if err != nil {
		return "", err
	}
	verifyPlan, err := app.Accounts.Plan(ctx, "prepaid-verification", 0)
	if err != nil {
		return "", err
	}
	quick := *leadsPlan
	quick.ID, quick.RefundDelay = "quick", time.Second
	quick.Actions = maps.Clone(leadsPlan.Actions)
	quick.Actions["verify"] = verifyPlan.Actions["verify"]
	if _, err := app.Accounts.SavePlan(ctx, &quick); err != nil {
		return "", err
	}
	if _, err := app.Accounts.CreateOrg(ctx, account.Org{ID: "acme", Name: "Acme", Plan: quick.ID}); err != nil {
		return "", err
	}
	if _, err := app.Accounts.CreateMember(ctx, account.Member{Org: "acme", ID: "ann", Name: "Ann"}); err != nil {
		return "", err
	}
	if _, err := app.Ledger.Grant(ctx, ledger.Grant{Owner: "acme", Key: "pack", Type: "email", Amount: 1_000_000, Source: ledger.SourcePack}); err != nil {
		return "", err
	}
	_, key, err := app.Accounts.CreateKey(ctx, "acme", "ann", "")
	return key, err
}

// balances compares GET /credits with the bare handler, in turns.
func (b *bench) balances(ctx context.Context, r *report.Report, callers int) {
	var ratios []float64
	for range rounds {
		bare := b.measure("handler with one bare SELECT", callers, func(int64) error { return b.send(ctx, http.MethodGet, "/bare", "", "", nil) })
		credits := b.measure("GET /credits", callers, func(int64) error { return b.send(ctx, http.MethodGet, "/api/v1/credits", "", "", nil) })
		ratios = append(ratios, credits/bare)
	}
	r.Note("GET /credits has %.0f%% of the throughput of a handler with one bare SELECT (median of %d).", 100*report.Median(ratios), rounds)
}

// orders places orders for a lead each, which are carried out at the same time, and
// returns the ids of those that were accepted.
func (b *bench) orders(ctx context.Context, r *report.Report, app *wire.App, callers int) []string {
	bare := b.empty(ctx, app, callers)
	starts := b.measure("Temporal alone: start a workflow", callers, func(n int64) error {
		_, err := app.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: fmt.Sprint("bare-", n), TaskQueue: "unused"}, workflows.WebhookDelivery, "")
		return err
	})
	var mu sync.Mutex
	var accepted []string
	orders := b.measure("POST /orders, and carry them out", callers, func(n int64) error {
		var o order.Order
		err := b.send(ctx, http.MethodPost, "/api/v1/orders", fmt.Sprint("order-", n), `{"kind":"lead_list","count":1}`, &o)
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			accepted = append(accepted, o.ID)
		}
		return err
	})
	r.Note("The API accepts %.1f orders a second while the worker carries them out on the same machine: %.2f times what Temporal alone does with empty workflows; without carrying them out it starts %.0f a second.", orders, orders/bare, starts)
	return accepted
}

// examine waits for the orders to be settled and proves the books.
func (b *bench) examine(ctx context.Context, r *report.Report, app *wire.App, accepted []string) error {
	began := time.Now()
	lost := len(accepted)
	for ; lost > 0 && time.Since(began) < settledWithin; time.Sleep(100 * time.Millisecond) {
		if err := app.Pool.QueryRow(ctx, `
			SELECT cardinality($1::text[]) - count(*) FROM orders WHERE id = ANY ($1) AND status = 'settled'`, accepted).Scan(&lost); err != nil {
			return err
		}
	}
	r.Note("%d orders accepted, %d of them not settled %.1f s after the last request.", len(accepted), lost, time.Since(began).Seconds())
	audited, err := ledger.Audit(ctx, app.Pool, ledger.AuditOptions{})
	if err != nil {
		return err
	}
	r.Note("Audit of the ledger afterwards: %d entries, %d problems.", audited.Entries, audited.Total)
	if lost > 0 || !audited.Clean() || b.failed > 0 {
		return fmt.Errorf("%d requests failed, %d orders were lost, %d problems in the books", b.failed, lost, audited.Total)
	}
	return nil
}

func save(r *report.Report, out string) error {
	path, err := r.Save(out)
	note("written to " + path)
	return err
}
