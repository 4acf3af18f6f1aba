package cell

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.VerifyNoLeaks(m) }

// pair are two registered cells; each answers with its name.
func pair(t *testing.T) (cells []Cell, router *Router) {
	t.Helper()
	for _, name := range []string{"a", "b"} {
		cells = append(cells, Cell{name, pgtest.New(t), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.ParseForm()
			_, _ = w.Write([]byte(name))
		})})
	}
	require.NoError(t, NewDirectory(cells[0].Pool).Register(t.Context(), cells))
	router, err := NewRouter(t.Context(), cells, "the operator", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return cells, router
}

// seed makes an organization with a member, a key and credits.
func seed(t *testing.T, pool *pgxpool.Pool, org string) (key string) {
	t.Helper()
	accounts := account.New(pool)
	require.NoError(t, accounts.EnsurePresets(t.Context()))
	_, err := accounts.CreateOrg(t.Context(), account.Org{ID: org, Name: org, Plan: "verified-leads"})
	require.NoError(t, err)
	_, err = accounts.CreateMember(t.Context(), account.Member{Org: org, ID: "ann", Name: "Ann"})
	require.NoError(t, err)
	_, key, err = accounts.CreateKey(t.Context(), org, "ann", "")
	require.NoError(t, err)
	books := ledger.New(pool)
	defer books.Close()
	_, err = books.Grant(t.Context(), ledger.Grant{Owner: org, Key: "first", Type: "email", Amount: 100, Source: ledger.SourcePack})
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `UPDATE outbox SET published_at = now()`) // as a worker does
	require.NoError(t, err)
	return key
}

// asked is the answer to a request with a key.
func asked(t *testing.T, router *Router, key, method, path, body string, headers ...string) (int, string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	answer := httptest.NewRecorder()
	router.ServeHTTP(answer, request)
	return answer.Code, answer.Body.String()
}

func moveOf(t *testing.T, cells []Cell, org, to string) *Move {
	t.Helper()
	return &Move{
		Directory: NewDirectory(cells[0].Pool), Org: org, Cells: cells, To: to,
		Audit: func(ctx context.Context, pool *pgxpool.Pool) (ledger.Report, error) {
			report, err := ledger.Audit(ctx, pool, ledger.AuditOptions{Owner: org, Also: []ledger.Check{account.CheckLedger}})
			t.Log(report.Findings)
			return report, err
		},
		Note: t.Logf,
	}
}

// Each table is one that moves or one that stays.
func TestEachTableIsKnown(t *testing.T) {
	t.Parallel()
	known := slices.Clone(stay)
	for _, p := range parts {
		known = append(known, p.table)
	}
	rows, err := pgtest.New(t).Query(t.Context(), `
		SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'`)
	require.NoError(t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.ElementsMatch(t, tables, known, "add a new table to parts, where it has rows of organizations, or to stay")
}

func TestRequestsFindTheirCell(t *testing.T) {
	t.Parallel()
	cells, router := pair(t)
	acme, birch := seed(t, cells[0].Pool, "acme"), seed(t, cells[1].Pool, "birch")
	for _, c := range []struct {
		name, key, method, path, body string
		headers                       []string
		code                          int
		cell                          string
	}{
		{"a key", acme, "GET", "/api/v1/credits", "", nil, 200, "a"},
		{"a key of the other cell", birch, "GET", "/api/v1/credits", "", nil, 200, "b"},
		{"a key decides, not the name", birch, "GET", "/api/v1/credits?org=acme", "", []string{Header, "a"}, 200, "b"},
		{"an unknown key", "hf_no", "GET", "/api/v1/credits", "", nil, 200, "a"},
		{"no key", "", "GET", "/api/v1/credits", "", nil, 200, "a"},
		{"the operator, an organization in the path", "the operator", "GET", "/api/v1/orgs/birch/members", "", nil, 200, "b"},
		{"the operator, an organization in the query", "the operator", "GET", "/api/v1/credits?org=birch", "", nil, 200, "b"},
		{"the operator, an organization that is nowhere", "the operator", "GET", "/api/v1/orgs/missing", "", nil, 200, "a"},
		{"the operator names a cell", "the operator", "GET", "/api/v1/orgs", "", []string{Header, "b"}, 200, "b"},
		{"the operator names none", "the operator", "GET", "/api/v1/reports/revenue.csv", "", nil, 422, ""},
		{"the operator names a wrong one", "the operator", "GET", "/api/v1/orgs", "", []string{Header, "c"}, 422, ""},
		{"the operator's own", "the operator", "GET", "/api/v1/me", "", nil, 200, "a"},
		{"a new organization", "the operator", "POST", "/api/v1/orgs", `{"id":"cedar"}`, []string{Header, "b"}, 200, "b"},
		{"again, in another cell", "the operator", "POST", "/api/v1/orgs", `{"id":"cedar"}`, []string{Header, "a"}, 409, ""},
		{"again", "the operator", "POST", "/api/v1/orgs", `{"id":"cedar"}`, nil, 200, "b"},
		{"one that is there", "the operator", "POST", "/api/v1/orgs", `{"id":"birch"}`, []string{Header, "a"}, 200, "b"},
		{"no JSON", "the operator", "POST", "/api/v1/orgs", `{`, nil, 200, "a"},
		{"a plan, in all cells", "the operator", "PUT", "/api/v1/plans/x", `{}`, nil, 200, "a"},
		{"an event of Stripe", "", "POST", "/api/v1/integrations/stripe/webhook", `{"data":{"object":{"metadata":{"holdfast_org":"birch"}}}}`, nil, 200, "b"},
		{"one of a customer", "", "POST", "/api/v1/integrations/stripe/webhook", `{"data":{"object":{"customer":{"id":"cus_b"}}}}`, nil, 200, "b"},
		{"one of no organization", "", "POST", "/api/v1/integrations/stripe/webhook", `{"data":{"object":{"customer":"cus_x"}}}`, nil, 200, "a"},
		{"a login with a key", "", "POST", "/app/login", "key=" + birch, nil, 200, "b"},
		{"a login of the operator", "", "POST", "/app/login", "key=the+operator", nil, 200, "a"},
		{"a page without a session", "", "GET", "/app/o/birch", "", nil, 200, "a"},
	} {
		if c.name == "an event of Stripe" {
			_, err := cells[1].Pool.Exec(t.Context(), `INSERT INTO payment_customer (customer, org) VALUES ('cus_b', 'birch')`)
			require.NoError(t, err)
		}
		code, cell := asked(t, router, c.key, c.method, c.path, c.body, c.headers...)
		require.Equal(t, c.code, code, "%s: %s", c.name, cell)
		if code == http.StatusOK {
			require.Equal(t, c.cell, cell, c.name)
		}
	}
}

// A list of the operator's goes through all cells, page by page.
func TestAListGoesThroughAllCells(t *testing.T) {
	t.Parallel()
	cells, _ := pair(t)
	for i := range cells {
		cells[i].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Query().Get("limit") + " " + r.URL.Query().Get("cursor") {
			case "1 ":
				_, _ = w.Write([]byte(`{"orgs":["` + cells[i].Name + ` 1"],"next_cursor":"x/y"}`))
			case "1 x/y":
				_, _ = w.Write([]byte(`{"orgs":["` + cells[i].Name + ` 2"]}`))
			default:
				w.WriteHeader(http.StatusUnprocessableEntity)
			}
		})
	}
	router, err := NewRouter(t.Context(), cells, "the operator", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	var orgs []string
	cursor := ""
	for {
		code, text := asked(t, router, "the operator", "GET", "/api/v1/orgs?limit=1&cursor="+url.QueryEscape(cursor), "")
		require.Equal(t, http.StatusOK, code, text)
		var page struct {
			Orgs []string `json:"orgs"`
			Next string   `json:"next_cursor"`
		}
		require.NoError(t, json.Unmarshal([]byte(text), &page))
		orgs = append(orgs, page.Orgs...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	require.Equal(t, []string{"a 1", "a 2", "b 1", "b 2"}, orgs)
	for _, wrong := range []string{"c/", "x/y", "a/z"} {
		code, _ := asked(t, router, "the operator", "GET", "/api/v1/orgs?limit=1&cursor="+url.QueryEscape(wrong), "")
		require.Equal(t, http.StatusUnprocessableEntity, code, wrong)
	}
}

// What all cells have to have alike is written to all; a refusal is passed on.
func TestEverywhere(t *testing.T) {
	t.Parallel()
	cells, _ := pair(t)
	var got []string
	refused := false
	for i := range cells {
		cells[i].Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, cells[i].Name+" "+bodyField(r, "x"))
			if refused && i == 1 {
				w.WriteHeader(http.StatusConflict)
			}
			_, _ = w.Write([]byte(`{"leads":1,"items":2}`))
		})
	}
	router, err := NewRouter(t.Context(), cells, "the operator", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	code, text := asked(t, router, "the operator", "POST", "/api/v1/erasures", `{"x":"y"}`)
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"leads":2,"items":4}`, text)
	require.Equal(t, []string{"a y", "b y"}, got)
	refused = true
	code, _ = asked(t, router, "the operator", "PUT", "/api/v1/plans/x", `{}`)
	require.Equal(t, http.StatusConflict, code)
}

// A move that ends anywhere leaves the organization in one cell, and the next one
// goes on or undoes it.
func TestAMoveIsTakenUp(t *testing.T) {
	t.Parallel()
	cells, router := pair(t)
	key := seed(t, cells[0].Pool, "acme")
	directory := NewDirectory(cells[0].Pool)
	require.NoError(t, directory.Register(t.Context(), cells))
	has := func(cell int) (rows int) {
		require.NoError(t, cells[cell].Pool.QueryRow(t.Context(), `SELECT count(*) FROM credit_entry WHERE owner = 'acme'`).Scan(&rows))
		return rows
	}
	entries := has(0)
	require.Positive(t, entries)
	closed := Place{Cell: "a", MovingTo: "b"}
	require.NoError(t, directory.change(t.Context(), "acme", Place{Cell: "a"}, closed))
	code, text := asked(t, router, key, "GET", "/api/v1/credits", "")
	require.Equal(t, http.StatusServiceUnavailable, code, text)

	// It ended after the copy, before the directory was changed.
	copyOf(t, cells, "acme")
	require.Equal(t, entries, has(1))
	require.NoError(t, moveOf(t, cells, "acme", "a").Run(t.Context()), "undone")
	require.Equal(t, []int{entries, 0}, []int{has(0), has(1)})
	_, cell := asked(t, router, key, "GET", "/api/v1/credits", "")
	require.Equal(t, "a", cell)

	copyOf(t, cells, "acme")
	require.NoError(t, directory.change(t.Context(), "acme", Place{Cell: "a"}, closed))
	require.NoError(t, moveOf(t, cells, "acme", "b").Run(t.Context()), "gone on with")
	require.Equal(t, []int{0, entries}, []int{has(0), has(1)})
	_, cell = asked(t, router, key, "GET", "/api/v1/credits", "")
	require.Equal(t, "b", cell)

	// It ended after the directory was changed: both have rows, one is asked.
	slices.Reverse(cells)
	copyOf(t, cells, "acme")
	slices.Reverse(cells)
	require.NoError(t, directory.change(t.Context(), "acme", Place{Cell: "b"}, Place{Cell: "b", LeftIn: "a"}))
	_, cell = asked(t, router, key, "GET", "/api/v1/credits", "")
	require.Equal(t, "b", cell)
	require.NoError(t, directory.Register(t.Context(), cells))
	require.NoError(t, moveOf(t, cells, "acme", "b").Run(t.Context()))
	require.Equal(t, []int{0, entries}, []int{has(0), has(1)})
}

// copyOf copies an organization from the first cell to the second one.
func copyOf(t *testing.T, cells []Cell, org string) {
	t.Helper()
	m := moveOf(t, cells, org, cells[1].Name)
	require.NoError(t, pgx.BeginFunc(t.Context(), cells[0].Pool, func(from pgx.Tx) error {
		return pgx.BeginFunc(t.Context(), cells[1].Pool, func(to pgx.Tx) error {
			_, err := m.copyAll(t.Context(), from, to, m.To)
			return err
		})
	}))
}

func TestAMoveIsRefused(t *testing.T) {
	t.Parallel()
	cells, router := pair(t)
	key := seed(t, cells[0].Pool, "acme")
	seed(t, cells[1].Pool, "birch")
	require.NoError(t, NewDirectory(cells[0].Pool).Register(t.Context(), cells))
	exec := func(statement string) {
		_, err := cells[0].Pool.Exec(t.Context(), statement)
		require.NoError(t, err)
	}
	refused := func(what string) {
		t.Helper()
		err := moveOf(t, cells, "acme", "b").Run(t.Context())
		require.ErrorIs(t, err, ErrMove)
		require.ErrorContains(t, err, what)
		_, cell := asked(t, router, key, "GET", "/api/v1/credits", "")
		require.Equal(t, "a", cell, "it is as it was")
	}
	exec(`UPDATE outbox SET published_at = NULL WHERE org = 'acme'`)
	exec(`INSERT INTO outbox (org, topic, key, payload) VALUES ('acme', 'credits.low', 'x', '{}')`)
	refused("not published")
	exec(`UPDATE outbox SET published_at = now()`)
	exec(`UPDATE credit_account SET available = available + 1 WHERE owner = 'acme'`)
	refused("do not balance")
	exec(`UPDATE credit_account SET available = available - 1 WHERE owner = 'acme'`)
	exec(`UPDATE plan SET hash = repeat('0', 64) WHERE id = 'verified-leads'`)
	refused("another one in cell b")

	// A writer that waits for the move would write where the organization was.
	books := ledger.New(cells[0].Pool)
	defer books.Close()
	written := make(chan error, 1)
	interrupted := moveOf(t, cells, "acme", "b")
	_, err := cells[1].Pool.Exec(t.Context(), `DELETE FROM plan_change WHERE plan_id = 'verified-leads'`)
	require.NoError(t, err)
	_, err = cells[1].Pool.Exec(t.Context(), `DELETE FROM plan WHERE id = 'verified-leads'`)
	require.NoError(t, err)
	audit := interrupted.Audit
	interrupted.Audit = func(ctx context.Context, pool *pgxpool.Pool) (ledger.Report, error) {
		if pool == cells[1].Pool {
			go func() {
				_, err := books.Grant(ctx, ledger.Grant{Owner: "acme", Key: "late", Type: "email", Amount: 5, Source: ledger.SourcePack})
				written <- err
			}()
			require.Eventually(t, func() bool {
				var waiting int
				err := cells[0].Pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0`).Scan(&waiting)
				return err == nil && waiting > 0
			}, 20*time.Second, 10*time.Millisecond)
		}
		return audit(ctx, pool)
	}
	require.ErrorContains(t, interrupted.Run(t.Context()), "wants to write")
	require.NoError(t, <-written)
	kept, err := ledger.Heads(t.Context(), cells[0].Pool, "acme")
	require.NoError(t, err)
	require.Len(t, kept, 1)
	moved, err := ledger.Heads(t.Context(), cells[1].Pool, "acme")
	require.NoError(t, err)
	require.Empty(t, moved)

	require.ErrorIs(t, moveOf(t, cells, "missing", "b").Run(t.Context()), ErrMove)
	require.ErrorIs(t, moveOf(t, cells, "acme", "c").Run(t.Context()), ErrMove)
	stopped, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	require.Error(t, moveOf(t, cells, "acme", "b").Run(stopped))
	_, cell := asked(t, router, key, "GET", "/api/v1/credits", "")
	require.Equal(t, "a", cell)
}

// The file of cells is checked against the databases.
func TestCellsAreNotMixedUp(t *testing.T) {
	t.Parallel()
	cells, _ := pair(t)
	quiet := slog.New(slog.DiscardHandler)
	swapped := []Cell{{Name: "a", Pool: cells[1].Pool}, {Name: "b", Pool: cells[0].Pool}}
	_, err := NewRouter(t.Context(), swapped, "", quiet)
	require.ErrorContains(t, err, "is that of the cell")
	require.ErrorContains(t, NewDirectory(swapped[0].Pool).Register(t.Context(), swapped), "is that of the cell")
	turned := []Cell{cells[1], cells[0]}
	_, err = NewRouter(t.Context(), turned, "", quiet)
	require.ErrorContains(t, err, "not in the directory")
	require.ErrorContains(t, NewDirectory(turned[0].Pool).Register(t.Context(), turned), "keep the order")
	seed(t, cells[0].Pool, "acme")
	seed(t, cells[1].Pool, "acme")
	require.ErrorContains(t, NewDirectory(cells[0].Pool).Register(t.Context(), cells), "in other cells")
}

// What is written while the rows are copied is not deleted with the old ones, and a
// copy that is not like the original takes no place.
func TestADisturbedMoveIsRefused(t *testing.T) {
	t.Parallel()
	cells, router := pair(t)
	key := seed(t, cells[0].Pool, "acme")
	require.NoError(t, NewDirectory(cells[0].Pool).Register(t.Context(), cells))
	for _, c := range []struct {
		in         int // the cell
		disturbs   string
		says, then string
	}{
		{0, `INSERT INTO login_link (hash, org, member, expires_at) VALUES (sha256('late'), 'acme', 'ann', now())`, "were written while", `DELETE FROM login_link`},
		{1, `UPDATE credit_owner SET head = sha256('another') WHERE owner = 'acme'`, "not like the original", ``},
	} {
		m := moveOf(t, cells, "acme", "b")
		audit := m.Audit
		m.Audit = func(ctx context.Context, pool *pgxpool.Pool) (ledger.Report, error) {
			report, err := audit(ctx, pool)
			if pool == cells[1].Pool { // the rows are copied, and proved just now
				_, err := cells[c.in].Pool.Exec(ctx, c.disturbs)
				require.NoError(t, err)
			}
			return report, err
		}
		err := m.Run(t.Context())
		require.ErrorIs(t, err, ErrMove)
		require.ErrorContains(t, err, c.says)
		_, cell := asked(t, router, key, "GET", "/api/v1/credits", "")
		require.Equal(t, "a", cell, "it is as it was")
		var rows int
		require.NoError(t, cells[1].Pool.QueryRow(t.Context(), `SELECT count(*) FROM credit_entry WHERE owner = 'acme'`).Scan(&rows))
		require.Zero(t, rows)
		if c.then != "" {
			_, err := cells[0].Pool.Exec(t.Context(), c.then)
			require.NoError(t, err)
		}
	}
	require.NoError(t, moveOf(t, cells, "acme", "b").Run(t.Context()))
}
