package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"holdfast/internal/netguard"
	"holdfast/internal/stacktest"
	"holdfast/internal/wire"
	"holdfast/workflows"
)

const cellsOperator = "operator-key-of-both-cells-0123456789"

// twoCells is an address behind which two cells are, with a database, a namespace
// and a worker each.
type twoCells struct {
	*world
	base     string
	temporal string            // its address
	urls     map[string]string // of the databases
}

// startCells starts them: the first one from an installation that was alone before.
func startCells(t *testing.T) *twoCells {
	t.Helper()
	s, err := stacktest.Start(t.Context(), stacktest.Options{Namespaces: []string{"cell-b"}, NoWorker: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop()) })
	first := s.Config.DatabaseURL
	elsewhere(t, first, func(conn *pgx.Conn) {
		_, err := conn.Exec(t.Context(), `CREATE DATABASE cell_b`)
		require.NoError(t, err)
	})
	second, err := url.Parse(first)
	require.NoError(t, err)
	second.Path = "/cell_b"

	alone := newWorld(t, "HOLDFAST_DATABASE_URL="+first, "TEMPORAL_ADDRESS="+s.Config.TemporalAddress)
	alone.run("migrate").ok()
	alone.run("org", "create", "elder").ok()

	w := &twoCells{temporal: s.Config.TemporalAddress, urls: map[string]string{"a": first, "b": second.String()}}
	file := filepath.Join(t.TempDir(), "cells.json")
	text, err := json.Marshal([]map[string]string{
		{"name": "a", "database_url": first}, {"name": "b", "database_url": second.String(), "temporal_namespace": "cell-b"},
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))
	w.world = newWorld(t, "HOLDFAST_CELLS="+file, "TEMPORAL_ADDRESS="+s.Config.TemporalAddress,
		"HOLDFAST_TEMPORAL_UI=http://temporal.test/", "HOLDFAST_OPERATOR_KEY="+cellsOperator, "HOLDFAST_SANDBOX=true", "HOLDFAST_DRAIN_WAIT=0s",
		"HOLDFAST_WEBHOOK_ALLOW=127.0.0.0/8")
	w.run("org", "list", "--cell", "b").fails(exitFailed, "migrate")
	w.run("migrate").ok()
	w.run("migrate").ok() // again, which changes nothing

	// The catalogues have the same leads, under other numbers.
	var leads bytes.Buffer
	require.NoError(t, s.Lab.World().WriteCatalogue(&leads, 300, 0.5))
	w.feed("id,email\nb1,b1@nowhere.invalid\nb2,b2@nowhere.invalid\n", "import", "-", "--cell", "b").ok()
	for _, cell := range []string{"a", "b"} {
		w.feed(leads.String(), "import", "-", "--cell", cell).ok()
	}
	w.feed(leads.String(), "import", "-").fails(exitFailed, "choose one with --cell")

	for _, name := range []string{"a", "b"} {
		cfg := s.Config
		cfg.Cells, cfg.WebhookAllow = file, netguard.Loopback()
		require.Error(t, wire.RunWorker(t.Context(), cfg, slog.New(slog.DiscardHandler)), "a worker works in one cell")
		cfg, err := cfg.InCell(name)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
		ended := make(chan error, 1)
		go func() { ended <- wire.RunWorker(ctx, cfg, slog.New(slog.DiscardHandler)) }()
		t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	}
	w.base = w.balanced(2)
	return w
}

// balanced is the address of a balancer that hands requests to each of several
// servers in turn.
func (w *twoCells) balanced(servers int) string {
	w.t.Helper()
	var proxies []*httputil.ReverseProxy
	for range servers {
		serving, base := startServe(w.world)
		w.t.Cleanup(func() { require.Zero(w.t, serving.signal(syscall.SIGTERM), serving.output.String()) })
		at, err := url.Parse(base)
		require.NoError(w.t, err)
		proxies = append(proxies, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(at)
			r.Out.Host = r.In.Host // forms of the dashboard are checked against it
		}})
	}
	var turn atomic.Int64
	balancer := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		proxies[turn.Add(1)%int64(servers)].ServeHTTP(rw, r)
	}))
	w.t.Cleanup(balancer.Close)
	return balancer.URL
}

// ask sends a request of the API and returns the answer and the cell that gave it.
func (w *twoCells) ask(want int, method, path, key, body string, headers ...string) (text, cell string) {
	w.t.Helper()
	request, err := http.NewRequestWithContext(w.t.Context(), method, w.base+"/api/v1"+path, strings.NewReader(body))
	require.NoError(w.t, err)
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(w.t, err)
	defer func() { _ = response.Body.Close() }()
	read, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	require.Equal(w.t, want, response.StatusCode, "%s %s: %s", method, path, read)
	return string(read), response.Header.Get("Holdfast-Cell")
}

// newOrg makes an organization with an admin and credits, and returns its key and
// its cell.
func (w *twoCells) newOrg(org, plan string, headers ...string) (key, cell string) {
	w.t.Helper()
	_, cell = w.ask(201, "POST", "/orgs", cellsOperator, fmt.Sprintf(`{"id":%q,"name":%q,"plan":%q}`, org, strings.ToUpper(org), plan), headers...)
	_, there := w.ask(201, "POST", "/orgs/"+org+"/members", cellsOperator, `{"id":"ann","name":"Ann","role":"admin"}`)
	require.Equal(w.t, cell, there)
	w.ask(201, "POST", "/orgs/"+org+"/grants", cellsOperator, `{"type":"email","amount":500,"source":"pack"}`, "Idempotency-Key", "first "+org)
	text, _ := w.ask(201, "POST", "/orgs/"+org+"/keys", cellsOperator, `{"member":"ann","role":"admin"}`)
	var made struct{ Key string }
	require.NoError(w.t, json.Unmarshal([]byte(text), &made))
	return made.Key, cell
}

// listed are the ids on all pages of a list of the operator's.
func (w *twoCells) listed(path, field string) (ids []string) {
	w.t.Helper()
	at := path
	for {
		text, _ := w.ask(200, "GET", at, cellsOperator, "")
		var page map[string]json.RawMessage
		require.NoError(w.t, json.Unmarshal([]byte(text), &page))
		var things []struct{ ID string }
		require.NoError(w.t, json.Unmarshal(page[field], &things))
		for _, thing := range things {
			ids = append(ids, thing.ID)
		}
		var cursor string
		if page["next_cursor"] == nil {
			return ids
		}
		require.NoError(w.t, json.Unmarshal(page["next_cursor"], &cursor))
		at = path + "&cursor=" + url.QueryEscape(cursor)
	}
}

// order carries out an order of an organization until it has a status.
func (w *twoCells) order(key string, leads int, until string) (id string) {
	w.t.Helper()
	text, _ := w.ask(201, "POST", "/orders", key, fmt.Sprintf(`{"kind":"lead_list","count":%d}`, leads), "Idempotency-Key", fmt.Sprint("order ", leads))
	var o struct{ ID, Status string }
	require.NoError(w.t, json.Unmarshal([]byte(text), &o))
	require.Eventually(w.t, func() bool {
		text, _ := w.ask(200, "GET", "/orders/"+o.ID, key, "")
		require.NoError(w.t, json.Unmarshal([]byte(text), &o))
		return o.Status == until
	}, eventually, 50*time.Millisecond)
	return o.ID
}

// page shows a page of the dashboard.
func page(t *testing.T, browser *http.Client, at string) string {
	t.Helper()
	response, err := browser.Get(at)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, "%s: %s", at, text)
	return string(text)
}

// login opens a session of the dashboard with a key.
func (w *twoCells) login(key string) *http.Client {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(w.t, err)
	browser := &http.Client{Jar: jar}
	response, err := browser.PostForm(w.base+"/app/login", url.Values{"key": {key}})
	require.NoError(w.t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	require.NotContains(w.t, string(text), `name="key"`, "it is logged in")
	return browser
}

// rows are the rows about an organization in the tables that name it.
func (w *twoCells) rows(cell, org string) (n int) {
	w.t.Helper()
	elsewhere(w.t, w.urls[cell], func(conn *pgx.Conn) {
		rows, err := conn.Query(w.t.Context(), `
			SELECT quote_ident(table_name), column_name::text FROM information_schema.columns
			WHERE table_schema = 'public' AND column_name IN ('org', 'owner') AND table_name <> 'cell_org'`)
		require.NoError(w.t, err)
		type table struct{ Name, Column string }
		tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
		require.NoError(w.t, err)
		for _, one := range tables {
			var here int
			require.NoError(w.t, conn.QueryRow(w.t.Context(), `SELECT count(*) FROM `+one.Name+` WHERE `+one.Column+` = $1`, org).Scan(&here))
			n += here
		}
	})
	return n
}

// TestCells runs two cells behind one address: what organizations do works in both,
// none sees the other's, and an organization moves from one to the other.
func TestCells(t *testing.T) {
	t.Parallel()
	w := startCells(t)
	for _, refund := range []string{"300ms", "1h"} {
		w.ask(200, "PUT", "/plans/refund-"+refund, cellsOperator, fmt.Sprintf(`{"id":"refund-%s","name":"Refund","period":"month","credits":{"email":{"allotment":40,"at_period_end":"expire"}},
			"actions":{"lead_list":{"charges":[{"type":"email","amount":1,"per":"contact","scope":"once_per_organization"}],"billable":["valid"]}},
			"refund":{"delay":%q}}`, refund, refund))
	}
	keyB, cell := w.newOrg("birch", "refund-300ms")
	require.Equal(t, "b", cell, "it has fewer organizations")
	keyA, cell := w.newOrg("acme", "refund-300ms", "Holdfast-Cell", "a")
	require.Equal(t, "a", cell)
	w.ask(409, "POST", "/orgs", cellsOperator, `{"id":"acme","name":"Again","plan":"refund-300ms"}`, "Holdfast-Cell", "b")
	_, cell = w.ask(200, "GET", "/orgs/elder", cellsOperator, "")
	require.Equal(t, "a", cell, "it was there before there were cells")

	orders := map[string]string{}
	for key, in := range map[string]string{keyA: "a", keyB: "b"} {
		orders[in] = w.order(key, 60, "settled")
		_, cell := w.ask(200, "GET", "/credits", key, "")
		require.Equal(t, in, cell)
		_, cell = w.ask(200, "GET", "/orders/"+orders[in], cellsOperator, "")
		require.Equal(t, in, cell, "the operator need not say where an order is")
	}
	t.Run("apart", func(t *testing.T) {
		w.ask(404, "GET", "/orders/"+orders["b"], keyA, "")
		w.ask(404, "GET", "/orgs/birch", keyA, "")
		w.ask(404, "GET", "/credits?org=birch", keyA, "")
		w.ask(404, "GET", "/credits?org=acme", keyB, "", "Holdfast-Cell", "a")
		w.ask(401, "GET", "/credits", "hf_unknown", "")
		require.Zero(t, w.rows("a", "birch"))
		require.Zero(t, w.rows("b", "acme"))
	})
	t.Run("the operator", func(t *testing.T) {
		text, _ := w.ask(422, "GET", "/reports/revenue.csv", cellsOperator, "")
		require.Contains(t, text, "Holdfast-Cell")
		require.ElementsMatch(t, []string{"elder", "acme", "birch"}, w.listed("/orgs?limit=1", "orgs"), "lists go through all cells")
		require.ElementsMatch(t, []string{orders["a"], orders["b"]}, w.listed("/orders?limit=1", "orders"))
		w.ask(422, "GET", "/orgs", cellsOperator, "", "Holdfast-Cell", "c")
		text, _ = w.ask(200, "GET", "/orgs", cellsOperator, "", "Holdfast-Cell", "b")
		require.Contains(t, text, "birch")
		require.NotContains(t, text, "acme")
		require.Contains(t, w.run("org", "list", "--cell", "a").ok().stdout, "elder")
		for _, org := range []string{"elder", "acme", "birch"} {
			require.Contains(t, w.run("org", "list").ok().stdout, org)
		}
		require.Contains(t, w.run("credits", "--org", "birch").ok().stdout, "email", "in this process, too")
		text, _ = w.ask(200, "POST", "/erasures", cellsOperator, `{"emails":["b1@nowhere.invalid"]}`)
		require.JSONEq(t, `{"leads":1,"items":0,"list_rows":0,"verdicts":0,"suppressed":3}`, text, "in both cells; one has the lead, and its id is suppressed, too")
	})
	t.Run("resets", func(t *testing.T) {
		for _, in := range []string{"a", "b"} {
			org := "timed-" + in
			key, cell := w.newOrg(org, "refund-300ms", "Holdfast-Cell", in)
			require.Equal(t, in, cell)
			var clock struct{ ID string }
			w.run("clock", "create", "--org", org, "--at", time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "--json").ok().into(&clock)
			w.run("clock", "advance", clock.ID, "--to", time.Now().AddDate(0, 0, 40).UTC().Format(time.RFC3339), "--wait", "--cell", in).ok()
			text, _ := w.ask(200, "GET", "/credits/history?kind=expire", key, "")
			require.Contains(t, text, `"amount":40`, text)
			w.run("schedule", "ensure", "--cell", in).ok()
			require.Contains(t, w.run("schedule", "show", "--cell", in).ok().stdout, "monthly-reset")
		}
	})
	t.Run("dashboard", func(t *testing.T) { w.dashboard(t, keyA, keyB) })
	t.Run("ready", func(t *testing.T) {
		_, body := get(t, w.base+"/readyz")
		require.JSONEq(t, `{"status":"ready","database":"ok","temporal":"ok","cell b":"ready"}`, body)
	})
	t.Run("views of Temporal", func(t *testing.T) { w.views(t) })
	t.Run("move", func(t *testing.T) { w.move(t, keyB, orders["b"]) })

	var report auditReport
	w.run("audit", "--json").ok().into(&report)
	require.True(t, report.Balanced)
	require.Equal(t, int64(7), report.Owners)
}

// views asks Temporal every query that is offered to people.
func (w *twoCells) views(t *testing.T) {
	t.Helper()
	w.ask(201, "POST", "/orgs", cellsOperator, `{"id":"poor","name":"Poor","plan":"refund-1h"}`, "Holdfast-Cell", "b")
	w.ask(201, "POST", "/orgs/poor/members", cellsOperator, `{"id":"ann","name":"Ann","role":"admin"}`)
	w.ask(402, "POST", "/orders?org=poor", cellsOperator, `{"kind":"lead_list","count":300,"member":"ann"}`, "Idempotency-Key", "too many")
	temporal := dialTemporal(t, w.temporal, "cell-b")
	found := map[string]int64{}
	require.Eventually(t, func() bool {
		for _, view := range append(slices.Clone(workflows.Views), workflows.ViewOf("birch"), workflows.ViewOf("acme")) {
			list, err := temporal.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: view.Query})
			require.NoError(t, err, view.Query)
			found[view.Name] = list.GetCount()
		}
		return found["rejected orders"] == 1 // the list follows a little later
	}, eventually, 50*time.Millisecond)
	require.Equal(t, int64(1), found["settled orders"], "a rejected one is none of them")
	require.Equal(t, int64(1), found["orders of birch"])
	require.Zero(t, found["orders of acme"], "it is in the other cell's namespace")
}

func (w *twoCells) dashboard(t *testing.T, keyA, keyB string) {
	t.Helper()
	require.Contains(t, page(t, w.login(keyA), w.base+"/app/"), "ACME")
	require.Contains(t, page(t, w.login(keyB), w.base+"/app/"), "BIRCH")
	operator := w.login(cellsOperator)
	for _, org := range []string{"acme", "birch"} {
		require.Contains(t, page(t, operator, w.base+"/app/o/"+org), strings.ToUpper(org))
		require.Contains(t, page(t, operator, w.base+"/app/o/"+org+"/orders"), "settled")
	}
	list := page(t, operator, w.base+"/app/operator")
	for _, org := range []string{"acme", "birch", "elder"} {
		require.Contains(t, list, "/app/o/"+org+`"`, "organizations of all cells")
	}
	for _, namespace := range []string{"default", "cell-b"} {
		require.Contains(t, list, `http://temporal.test/namespaces/`+namespace+`/workflows?query=OrderStatus`)
	}
	for _, path := range []string{"orders", "events"} {
		list = page(t, operator, w.base+"/app/operator/"+path)
		require.Contains(t, list, "/app/o/acme/", path)
		require.Contains(t, list, "/app/o/birch/", path)
	}
	list = page(t, operator, w.base+"/app/operator/events?org=birch")
	require.NotContains(t, list, "/app/o/acme/events")
	for _, path := range []string{"system", "verification"} {
		list = page(t, operator, w.base+"/app/operator/"+path)
		require.Contains(t, list, "ell a<", path)
		require.Contains(t, list, "ell b<", path)
	}

	var link struct{ Token string }
	text, _ := w.ask(201, "POST", "/orgs/birch/login-links", cellsOperator, `{"member":"ann"}`)
	require.NoError(t, json.Unmarshal([]byte(text), &link))
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar}
	response, err := browser.PostForm(w.base+"/app/login/link", url.Values{"token": {link.Token}})
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Contains(t, page(t, browser, w.base+"/app/"), "BIRCH")
}

// move moves an organization from b to a, which is refused while an order is open.
func (w *twoCells) move(t *testing.T, key, settled string) {
	t.Helper()
	busy, cell := w.newOrg("busy", "refund-1h", "Holdfast-Cell", "b")
	require.Equal(t, "b", cell)
	open := w.order(busy, 10, "completed")
	w.run("org", "move", "busy", "--to", "a", "--wait", "0s").fails(exitFailed, "open orders (1)")
	_, cell = w.ask(200, "GET", "/orders/"+open, busy, "")
	require.Equal(t, "b", cell, "it is as it was")
	require.Zero(t, w.rows("a", "busy"))
	w.run("org", "move", "birch", "--to", "c").fails(exitFailed, `no cell "c"`)

	hook := w.refusing(key)
	w.order(key, 59, "settled")
	require.Eventually(t, func() bool { // an attempt has failed, the next one waits
		text, _ := w.ask(200, "GET", "/webhooks/"+hook.id+"/deliveries", key, "")
		return strings.Contains(text, `"pending"`) && strings.Contains(text, `"code":503`)
	}, eventually, 50*time.Millisecond)

	session := w.login(key)
	heads := filepath.Join(w.dir, "heads.txt")
	require.NoError(t, os.WriteFile(heads, []byte(w.run("audit", "--head").ok().stdout), 0o600))
	before := w.all(key, settled)
	w.run("org", "move", "birch", "--to", "a", "--wait", "0s").ok()
	require.Equal(t, before, w.all(key, settled), "it has what it had")
	require.Zero(t, w.rows("b", "birch"))
	_, cell = w.ask(200, "GET", "/credits", key, "")
	require.Equal(t, "a", cell)
	require.Contains(t, page(t, session, w.base+"/app/"), "BIRCH", "who was logged in still is")
	w.run("audit", "--against", heads).ok()
	next := w.order(key, 61, "settled")
	require.NotEqual(t, settled, next)
	hook.open.Store(true)
	require.Eventually(t, func() bool { return hook.taken.Load() == 2 }, eventually, 50*time.Millisecond, "the new cell goes on with the deliveries")
	w.run("org", "move", "birch", "--to", "a").ok() // it is there
	w.run("org", "move", "birch", "--to", "b", "--wait", "0s").ok()
	require.Zero(t, w.rows("a", "birch"))
	_, cell = w.ask(200, "GET", "/orders/"+next, key, "")
	require.Equal(t, "b", cell)
	w.order(key, 62, "settled")
}

// inbox is a receiver of webhooks that answers 503 until it is open.
type inbox struct {
	id    string
	open  atomic.Bool
	taken atomic.Int64 // events that it has taken, however often they came
}

// refusing registers one for settled orders.
func (w *twoCells) refusing(key string) *inbox {
	w.t.Helper()
	e := new(inbox)
	var seen sync.Map
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !e.open.Load() {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if _, again := seen.LoadOrStore(r.Header.Get("webhook-id"), true); !again {
			e.taken.Add(1)
		}
	}))
	w.t.Cleanup(receiver.Close)
	text, _ := w.ask(201, "POST", "/webhooks", key, fmt.Sprintf(`{"url":%q,"events":["order.settled"]}`, receiver.URL))
	var made struct{ ID string }
	require.NoError(w.t, json.Unmarshal([]byte(text), &made))
	e.id = made.ID
	return e
}

// all is what an organization sees of its credits and of an order.
func (w *twoCells) all(key, order string) string {
	w.t.Helper()
	var all strings.Builder
	for _, path := range []string{"/credits", "/credits/history", "/orders", "/orders/" + order, "/orders/" + order + "/results.csv", "/events", "/orgs/birch", "/orgs/birch/members"} {
		text, _ := w.ask(200, "GET", path, key, "")
		all.WriteString(path + "\n" + text + "\n")
	}
	return all.String()
}
