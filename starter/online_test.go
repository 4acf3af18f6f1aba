package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/billing"
	"holdfast/internal/config"
	"holdfast/internal/netguard"
	"holdfast/internal/outbox"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/site"
	"holdfast/internal/testclock"
	"holdfast/internal/webhook"
	"holdfast/internal/wire"
)

const testOperator = "op_of-the-tests"

// served is an API on a database of its own, without Temporal.
type served struct {
	parts *wire.App
	api   *api.API
}

func newServed(t *testing.T) served {
	t.Helper()
	parts, err := wire.OpenDatabase(t.Context(), config.Config{DatabaseURL: pgtest.NewURL(t), WebhookAllow: netguard.Loopback()}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(parts.Close)
	require.NoError(t, parts.Accounts.EnsurePresets(t.Context()))
	c := site.API(parts)
	c.OperatorKey = testOperator
	return served{parts, api.New(c)}
}

// alone makes commands that run here find nothing that is not the test's.
func alone(t *testing.T, env ...string) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "HOLDFAST_") && !strings.HasPrefix(name, "HOLDFAST_PGTEST") {
			t.Setenv(name, "")
			require.NoError(t, os.Unsetenv(name)) // set again when the test ends
		}
	}
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	t.Chdir(dir)
	for i := 0; i < len(env); i += 2 {
		t.Setenv(env[i], env[i+1])
	}
}

// TestCommandsOverHTTP: who has a key and no database can do what customers and
// support do; with an organization's key it needs not be named.
func TestCommandsOverHTTP(t *testing.T) {
	server := httptest.NewServer(newServed(t).api)
	t.Cleanup(server.Close)
	alone(t, "HOLDFAST_URL", server.URL, "HOLDFAST_API_KEY", testOperator)
	must := func(args ...string) outcome { t.Helper(); return here(t, "", args...).ok() }

	must("org", "create", "acme", "--plan", "prepaid-verification")
	must("member", "create", "ann", "--org", "acme", "--role", "admin")
	must("credits", "grant", "--org", "acme", "--type", "email", "--amount", "500", "--idempotency-key", "first")
	here(t, "", "credits").fails(exitUsage, `"org" not set`)
	here(t, "", "key", "list").fails(exitUsage, `"org" not set`)
	here(t, "", "credits", "--org", "missing").fails(exitFailed, "missing")
	require.Contains(t, must("me").stdout, "The key of the operator at "+server.URL)
	key := strings.TrimSpace(must("key", "create", "--org", "acme", "--member", "ann").stdout)
	require.Contains(t, must("report", "revenue", "--org", "acme").stdout, "month,org,currency")
	here(t, "", "report", "journal", "--org", "missing").fails(exitFailed, "missing")
	require.Contains(t, must("forget", "gone@example.com", "--lead", "L1").stdout, "added to everybody's suppression list")

	t.Setenv("HOLDFAST_API_KEY", key)
	require.Contains(t, must("me").stdout, "ann of acme, admin")
	require.Contains(t, must("login-link").stdout, server.URL+"/app/login/link?token=hl_")
	require.Contains(t, must("login-link", "--member", "ann", "--server", "https://holdfast.example/").stdout, "https://holdfast.example/app/login/link?token=hl_")
	here(t, "", "login-link", "--for", "25h").fails(exitFailed, "24 hours")
	here(t, "", "forget", "ann@example.com").fails(exitFailed, "role does not allow")
	var view billing.Credits
	must("credits", "--json").into(&view)
	require.EqualValues(t, 500, view.Credits[0].Available)
	require.Contains(t, must("credits", "history").stdout, "grant")
	require.Contains(t, must("credits", "grants").stdout, "pack")
	require.Contains(t, must("member", "list").stdout, "ann")
	require.Contains(t, must("key", "list").stdout, key[:11])
	must("member", "create", "bob")
	require.Contains(t, must("member", "update", "bob", "--role", "admin").stdout, "role admin")
	require.Contains(t, must("member", "budget", "bob", "--type", "email", "--amount", "20").stdout, "20")
	require.Contains(t, must("member", "remove", "bob").stdout, "removed")
	require.Contains(t, must("org", "show", "acme").stdout, "prepaid-verification")
	require.Contains(t, must("plan", "show", "prepaid-verification").stdout, "prepaid-verification")
	require.Contains(t, must("order", "list").stdout, "No orders")
	require.Contains(t, must("leads", "find").stdout, "0 leads")
	must("leads", "owned")
	must("purchases")
	require.Contains(t, must("bounces", "missing@nowhere.test").stdout, "not_delivered")

	// What a key may not do, and what there is not.
	here(t, "", "credits", "grant", "--type", "email", "--amount", "5", "--idempotency-key", "k").fails(exitFailed, "role does not allow")
	here(t, "", "org", "suspend", "acme").fails(exitFailed, "role does not allow")
	here(t, "", "order", "show", "ord_none").fails(exitFailed, "there is no order")
	o := here(t, "", "order", "show", "ord_none", "--json")
	require.Empty(t, o.stdout)
	o = here(t, "", "org", "suspend", "acme", "--json")
	require.Equal(t, exitFailed, o.code)
	var refused failure
	require.NoError(t, json.Unmarshal([]byte(o.stderr), &refused))
	require.Equal(t, "forbidden", refused.Code)
	require.Equal(t, http.StatusForbidden, refused.Status)
	require.NotEmpty(t, refused.RequestID)
	here(t, "", "credits", "--key", "hf_wrong").fails(exitFailed, "not known or has been revoked")
	here(t, "", "credits", "--url", "http://127.0.0.1:1", "--key", "k").fails(exitFailed, "does not answer")
}

// Test clocks are made, looked at and deleted over HTTP; TestDev advances one.
func TestClockCommandsOverHTTP(t *testing.T) {
	s := newServed(t)
	c := site.API(s.parts)
	c.OperatorKey, c.Sandbox = testOperator, true
	server := httptest.NewServer(api.New(c))
	t.Cleanup(server.Close)
	alone(t, "HOLDFAST_URL", server.URL, "HOLDFAST_API_KEY", testOperator)
	must := func(args ...string) outcome { t.Helper(); return here(t, "", args...).ok() }
	var made testclock.Clock
	must("clock", "create", "--org", "rehearsal", "--at", "2028-01-31T09:00:00Z", "--json").into(&made)
	require.Equal(t, "rehearsal", made.Org)
	require.Contains(t, must("clock", "show", made.ID).stdout, "for rehearsal")
	require.Contains(t, must("clock", "list").stdout, made.ID)
	require.Contains(t, must("clock", "delete", made.ID).stdout, "deleted")
	here(t, "", "clock", "show", made.ID).fails(exitFailed, "no such test clock")
	here(t, "", "clock", "create", "--org", "rehearsal").fails(exitUsage, `"at" not set`)
	here(t, "", "clock", "create", "--org", "rehearsal", "--at", "soon").fails(exitUsage, "is no time")
}

// The lists, webhooks and suppressions of a customer.
func TestCommandsAboutEventsAndLists(t *testing.T) {
	server := httptest.NewServer(newServed(t).api)
	t.Cleanup(server.Close)
	alone(t, "HOLDFAST_URL", server.URL+"/api/v1/", "HOLDFAST_API_KEY", testOperator)
	must := func(args ...string) outcome { t.Helper(); return here(t, "", args...).ok() }
	must("org", "create", "acme", "--plan", "prepaid-verification")
	must("member", "create", "ann", "--org", "acme", "--role", "admin")
	key := strings.TrimSpace(must("key", "create", "--org", "acme", "--member", "ann").stdout)
	require.Contains(t, must("suppression", "add", "everybody.example").stdout, "1 entry added", "the operator's, for all organizations")
	t.Setenv("HOLDFAST_API_KEY", key)

	var made newWebhook
	must("webhook", "create", "http://localhost:3000/hook", "--event", "list.ready", "--json").into(&made)
	require.True(t, strings.HasPrefix(made.Secret, "whsec_"))
	require.Contains(t, must("webhook", "list").stdout, made.ID)
	require.Contains(t, must("webhook", "update", made.ID, "--pause").stdout, "paused")
	require.Contains(t, must("webhook", "show", made.ID).stdout, "paused")
	var rotated newWebhook
	must("webhook", "rotate", made.ID, "--json").into(&rotated)
	require.NotEqual(t, made.Secret, rotated.Secret)
	must("webhook", "deliveries", made.ID)
	here(t, "", "webhook", "create", "http://10.0.0.1/hook").fails(exitFailed, "HOLDFAST_WEBHOOK_ALLOW")

	list := strings.TrimSpace(here(t, "Name,Email\nAnn,ann@x.test\n", "list", "upload", "-").ok().stdout)
	require.Contains(t, must("list", "list").stdout, list)
	require.Contains(t, must("list", "show", list).stdout, list)
	var events eventPage
	must("event", "list", "--type", "list.ready", "--json").into(&events)
	require.Len(t, events.Events, 1)
	require.NoError(t, outbox.Fits(outbox.ListReady, events.Events[0].Data))
	require.Contains(t, must("event", "show", events.Events[0].ID).stdout, list)
	require.Contains(t, must("list", "delete", list).stdout, "deleted")
	require.Contains(t, must("webhook", "delete", made.ID).stdout, "deleted")

	require.Contains(t, must("suppression", "add", "ann@example.com", "partner.example").stdout, "2 entries added")
	require.Contains(t, must("suppress", "remove", "ann@example.com").stdout, "1 entry removed")
	require.Contains(t, here(t, "bob@example.com\n", "suppression", "upload", "-").ok().stdout, "1 entry added; the list has 2 entries")
	must("suppression", "list")
	var suppressed map[string]bool
	must("suppression", "check", "bob@example.com", "x@everybody.example", "ann@example.com", "--json").into(&suppressed)
	require.Equal(t, map[string]bool{"bob@example.com": true, "x@everybody.example": true, "ann@example.com": false}, suppressed)
}

// A profile is for its owner alone; what is configured otherwise comes before it.
func TestLogin(t *testing.T) {
	server := httptest.NewServer(newServed(t).api)
	t.Cleanup(server.Close)
	alone(t)
	here(t, "", "org", "list").fails(exitFailed, "log in with")
	here(t, "", "login", "--url", server.URL).fails(exitUsage, "no key")
	here(t, "wrong\n", "login", "--url", server.URL).fails(exitFailed, "not known or has been revoked")
	require.Contains(t, here(t, testOperator+"\n", "login", "--url", server.URL).ok().stdout, "as the operator")
	path, err := profilePath()
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	here(t, "", "org", "create", "acme").ok()
	require.Contains(t, here(t, "", "org", "list").ok().stdout, "acme")
	here(t, "", "org", "list", "--key", "hf_other").fails(exitFailed, "not known")
	here(t, "", "org", "list", "--url", "http://127.0.0.1:1").fails(exitFailed, "no API key for http://127.0.0.1:1")

	// A key that is no API key makes a request happen once, as it did before.
	grant := []string{"credits", "grant", "--org", "acme", "--type", "email", "--key", "welcome", "--amount"}
	here(t, "", append(grant, "5")...).ok()
	here(t, "", append(grant, "6")...).fails(exitFailed, "idempotency key")

	require.NoError(t, os.Chmod(path, 0o644))
	here(t, "", "org", "list").fails(exitFailed, "chmod 600")
	here(t, "", "logout").ok()
	here(t, "", "org", "list").fails(exitFailed, "No stack was found")
}

// Where only the database is configured, commands are the same; there is no
// second implementation.
func TestCommandsOnTheDatabaseAlone(t *testing.T) {
	s := newServed(t)
	alone(t, "HOLDFAST_DATABASE_URL", s.parts.Config.DatabaseURL, "TEMPORAL_ADDRESS", "127.0.0.1:1")
	here(t, "", "org", "create", "acme").ok()
	here(t, "", "credits", "grant", "--org", "acme", "--type", "email", "--amount", "5", "--key", "old-script").ok()
	var orgs []account.Org
	here(t, "", "org", "list", "--json").ok().into(&orgs)
	require.Len(t, orgs, 1)
	here(t, "", "key", "list").fails(exitUsage, `"org" not set`)
	here(t, "", "order", "pause", "ord_1").fails(exitFailed, "Temporal cannot be reached")
}

// TestListen: events are printed and forwarded in order, signed, also those that
// happened while the server was away.
func TestListen(t *testing.T) {
	s := newServed(t)
	_, err := s.parts.Accounts.CreateOrg(t.Context(), account.Org{ID: "acme", Name: "Acme", Plan: "prepaid-verification"})
	require.NoError(t, err)
	address, stopServer := serveAt(t, "127.0.0.1:0", s.api)
	secret := "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0cw=="
	verifier, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	came := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		var event webhook.Event
		if err != nil || json.Unmarshal(body, &event) != nil {
			t.Error("not a signed event", err)
			return
		}
		came <- event.Type
	}))
	t.Cleanup(receiver.Close)
	happen := func(topic, apart string) {
		t.Helper()
		event, err := outbox.New("acme", topic, outbox.Org{Org: "acme", At: time.Now()}, apart)
		require.NoError(t, err)
		require.NoError(t, pgx.BeginFunc(t.Context(), s.parts.Pool, func(tx pgx.Tx) error { return outbox.Write(t.Context(), tx, event) }))
	}
	next := func(topic string) {
		t.Helper()
		select {
		case got := <-came:
			require.Equal(t, topic, got)
		case <-time.After(time.Minute):
			require.Fail(t, "the event did not come", topic)
		}
	}
	happen(outbox.OrgResumed, "before")

	alone(t, "HOLDFAST_URL", "http://"+address, "HOLDFAST_API_KEY", testOperator)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var output lockedBuffer
	ended := make(chan error, 1)
	go func() {
		ended <- newCLI(&bytes.Buffer{}, &output, &output).execute(ctx, []string{"listen", "--org", "acme", "--forward", receiver.URL, "--secret", secret})
	}()
	says := func(text string) {
		t.Helper()
		require.Eventually(t, func() bool { return strings.Contains(output.String(), text) }, time.Minute, 10*time.Millisecond, output.String())
	}
	says("Listening")
	happen(outbox.OrgSuspended, "1")
	next(outbox.OrgSuspended)

	stopServer()
	says("Trying again")
	happen(outbox.OrgResumed, "2")
	happen(outbox.OrgClosed, "3")
	_, stopServer = serveAt(t, address, s.api)
	defer stopServer()
	next(outbox.OrgResumed)
	next(outbox.OrgClosed)
	says("org.closed")
	cancel()
	require.NoError(t, <-ended)
	require.Empty(t, came, "each once, and nothing from before")

	// What happens while no command listens comes to the next one, from where this one ended.
	happen(outbox.OrgSuspended, "4")
	_, since, found := strings.Cut(output.String(), "--since ")
	require.True(t, found, output.String())
	again, stop := context.WithCancel(t.Context())
	defer stop()
	go func() {
		ended <- newCLI(&bytes.Buffer{}, &output, &output).execute(again, []string{
			"listen", "--org", "acme", "--forward", receiver.URL, "--secret", secret, "--since", strings.Fields(since)[0],
		})
	}()
	next(outbox.OrgClosed) // the last one comes again
	next(outbox.OrgSuspended)
	stop()
	require.NoError(t, <-ended)
}

// serveAt serves at an address until it is stopped, with all of its connections.
func serveAt(t *testing.T, address string, handler http.Handler) (at string, stop func()) {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", address)
	require.NoError(t, err)
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(listener) }()
	stop = sync.OnceFunc(func() { _ = server.Close() })
	t.Cleanup(stop)
	return listener.Addr().String(), stop
}
