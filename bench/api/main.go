// Command api measures the HTTP API on a stack of its own: how many balances it
// answers beside a bare SELECT handler, and how many orders it accepts beside
// the rate at which the Temporal server starts workflows. It ends with an audit
// of the ledger.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"

	"holdfast/bench/report"
	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/ledger"
	"holdfast/internal/postgres"
	"holdfast/internal/wire"
	"holdfast/workflows"
)

func main() {
	callers := flag.Int("callers", 16, "requests at a time")
	span := flag.Duration("time", 3*time.Second, "how long each measurement takes")
	out := flag.String("out", "bench/results", "directory for the results")
	flag.Parse()
	if err := run(context.Background(), *callers, *span, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, callers int, span time.Duration, out string) (err error) {
	dir, err := os.MkdirTemp("", "holdfast-bench-api")
	if err != nil {
		return err
	}
	servers, err := devstack.StartServers(ctx, config.Config{
		HTTPAddr: "127.0.0.1:0", Providers: []string{"smtp"}, MaxOrderCount: 1_000_000,
	}, devstack.ServerOptions{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Stop(), os.RemoveAll(dir)) }()
	if err := postgres.Migrate(ctx, servers.Config.DatabaseURL); err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	rooms, err := wire.Open(ctx, servers.Config, log)
	if err != nil {
		return err
	}
	defer rooms.Close()
	key, err := furnish(ctx, rooms)
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	worker := make(chan error, 1)
	go func() { worker <- wire.RunWorker(working, servers.Config, log) }()
	defer func() { stop(); err = errors.Join(err, <-worker) }()

	backend := api.New(api.Config{
		Accounts: rooms.Accounts, Ledger: rooms.Ledger, Billing: rooms.Billing, Book: rooms.Book, Catalogue: rooms.Catalogue,
		Intake: rooms.Intake, Webhooks: rooms.Webhooks, Log: log,
	})
	mux := http.NewServeMux()
	mux.Handle("/", backend)
	mux.HandleFunc("GET /bare", func(w http.ResponseWriter, r *http.Request) {
		var n int64
		if err := rooms.Pool.QueryRow(r.Context(), `SELECT available FROM credit_account WHERE owner = 'acme' AND pool = '' AND type = 'email'`).Scan(&n); err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, `{"available":%d}`, n) // a client that is gone is no error
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	b := &bench{url: server.URL, key: key, callers: callers, span: span, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}}

	r := report.New("api", "HTTP API")
	t := r.Table(fmt.Sprintf("%d callers", callers), "what", "per second", "p50 ms", "p99 ms", "errors")
	measure := func(what string, do func(n int64) error) float64 {
		rate, l, failed := b.load(do)
		t.Add(what, int64(rate), report.Milliseconds(l.Quantile(.5)), report.Milliseconds(l.Quantile(.99)), failed)
		return rate
	}
	var bare, credits float64
	for range 2 { // the first round warms up; both are shown
		bare = measure("bare SELECT handler", func(int64) error { return b.send(ctx, "GET", "/bare", "", "") })
		credits = measure("GET /credits", func(int64) error { return b.send(ctx, "GET", "/api/v1/credits", "", "") })
	}
	measure("Temporal alone: start a workflow", func(n int64) error {
		_, err := rooms.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: fmt.Sprint("bare-", n), TaskQueue: "nobody"}, workflows.WebhookDelivery, "")
		return err
	})
	measure("POST /orders", func(n int64) error {
		return b.send(ctx, "POST", "/api/v1/orders", fmt.Sprint("order-", n), `{"kind":"lead_list","count":1}`)
	})
	r.Note("GET /credits has %.0f%% of the throughput of a handler with one bare SELECT.", 100*credits/bare)
	audited, err := ledger.Audit(ctx, rooms.Pool, ledger.AuditOptions{})
	if err != nil {
		return err
	}
	r.Note("Audit afterwards: %d entries, %d problems.", audited.Entries, audited.Total)
	if err := r.Print(os.Stdout); err != nil {
		return err
	}
	path, err := r.Save(out)
	fmt.Fprintln(os.Stderr, path)
	if err == nil && !audited.Clean() {
		err = errors.New("the books do not balance")
	}
	return err
}

// furnish makes an organization with credits and returns a key of a member.
func furnish(ctx context.Context, rooms *wire.Rooms) (string, error) {
	if err := rooms.Accounts.EnsurePresets(ctx); err != nil {
		return "", err
	}
	if _, err := rooms.Accounts.CreateOrg(ctx, account.Org{ID: "acme", Name: "Acme", Plan: "verified-leads"}); err != nil {
		return "", err
	}
	if _, err := rooms.Accounts.CreateMember(ctx, account.Member{Org: "acme", ID: "ann", Name: "Ann", Role: account.RoleAdmin}); err != nil {
		return "", err
	}
	if _, err := rooms.Ledger.Grant(ctx, ledger.Grant{Owner: "acme", Key: "pack", Type: "email", Amount: 1_000_000, Source: ledger.SourcePack}); err != nil {
		return "", err
	}
	_, key, err := rooms.Accounts.CreateKey(ctx, "acme", "ann", "")
	return key, err
}

type bench struct {
	url, key string
	callers  int
	span     time.Duration
	client   *http.Client
}

// load lets the callers do something for the span and returns the rate, the
// latencies and how often it failed.
func (b *bench) load(do func(n int64) error) (perSecond float64, all report.Latencies, failed int64) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var count, errs atomic.Int64
	began := time.Now()
	for range b.callers {
		wg.Go(func() {
			var mine report.Latencies
			for time.Since(began) < b.span {
				start := time.Now()
				if do(count.Add(1)) != nil {
					errs.Add(1)
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	wg.Wait()
	return float64(len(all)) / time.Since(began).Seconds(), all, errs.Load()
}

func (b *bench) send(ctx context.Context, method, path, idempotencyKey, body string) error {
	request, err := http.NewRequestWithContext(ctx, method, b.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+b.key)
	request.Header.Set("Content-Type", "application/json")
	if idempotencyKey != "" {
		request.Header.Set("Idempotency-Key", idempotencyKey)
	}
	response, err := b.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return errors.New(response.Status)
	}
	return nil
}
