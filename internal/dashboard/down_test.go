package dashboard_test

import (
	"log/slog"
	"net"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"holdfast/internal/api"
	"holdfast/internal/dashboard"
	"holdfast/internal/intake"
	"holdfast/internal/offer"
	"holdfast/internal/reconcile"
	"holdfast/internal/site"
)

// TestDatabaseHangs: a page whose database does not answer ends, and says so.
func TestDatabaseHangs(t *testing.T) {
	f := setup(t, "quick")
	b := f.as("ann")
	t.Cleanup(dashboard.PageWithin(300 * time.Millisecond))
	tx, err := app.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), `LOCK TABLE session, api_key IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	said := b.get("/app/o/" + f.org)
	require.Equal(t, 503, said.status)
	require.Contains(t, said.body, "The page took too long")
	require.Contains(t, said.body, "</html>")
	require.NotContains(t, said.body, "Log out")
	login := f.browser().post("/app/login", url.Values{"key": {"hf_nonsense"}})
	require.Equal(t, 500, login.status)
	require.Contains(t, login.body, "The login failed on our side")
}

// silent is the address of a server that takes connections and never answers.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l.Addr().String()
}

// TestTemporalIsDown: the operator's pages are shown all the same, and an order
// that is not answered can be asked for again, as the same one.
func TestTemporalIsDown(t *testing.T) {
	f := setup(t, "quick")
	f.grant(10)
	down, err := client.NewLazyClient(client.Options{HostPort: silent(t), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(down.Close)
	c := site.API(app)
	c.Log, c.OperatorKey = slog.New(slog.DiscardHandler), operatorKey
	c.Intake = intake.New(down, app.Accounts, app.Book, offer.New(app.Accounts, app.Ledger, app.Catalogue, app.Book), app.Webhooks, 0)
	pages := site.Dashboard(app, api.New(c))
	pages.Log, pages.Reconcile = c.Log, reconcile.New(app.Pool, app.Book, app.Ledger, c.Intake, c.Log)
	server := httptest.NewServer(dashboard.New(pages))
	t.Cleanup(server.Close)
	f.url = server.URL
	operator := f.with(operatorKey)
	for _, page := range []string{"/app/operator", "/app/operator/system"} {
		said := operator.get(page)
		require.Equal(t, 200, said.status, page)
		require.Contains(t, said.body, "Temporal does not answer", page)
	}
	b := f.as("jane")
	at := "/app/o/" + f.org
	form := fields(b.send(at+"/new/quote", url.Values{"kind": {"lead_list"}, "count": {"3"}}).body, "/new/place")
	said := b.post(at+"/new/place", form)
	require.Equal(t, 503, said.status, said.body)
	require.Contains(t, said.body, "press the button again")
	require.Equal(t, form.Get("key"), fields(said.body, "/new/place").Get("key"), "the same order")
}
