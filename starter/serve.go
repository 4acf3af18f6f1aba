package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"go.temporal.io/sdk/client"

	"holdfast/internal/api"
	"holdfast/internal/postgres"
	"holdfast/internal/verdicts"
	"holdfast/internal/verify"
	"holdfast/internal/wire"
)

const (
	readyWithin = 2 * time.Second  // what /readyz gives the database and Temporal to answer
	closeWithin = 10 * time.Second // what open requests get to finish
)

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Serve the API over HTTP",
		Long: `Serves on HOLDFAST_HTTP_ADDR (127.0.0.1:8080): the API below /api/v1, described
at /openapi.json and /docs, and metrics at /metrics. /healthz says that the
process lives, /readyz that PostgreSQL and Temporal answer it, that the schema is
its own and that the clocks agree to 5 minutes. HOLDFAST_OPERATOR_KEY is the key that may do all; without it there is
no operator.`,
		Example: examples("holdfast serve"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rooms, err := openRooms(cmd.Context())
			if err != nil {
				return err
			}
			defer rooms.Close()
			rooms.Log = rooms.Config.Logger(a.err)
			listener, err := listen(cmd.Context(), rooms.Config.HTTPAddr)
			if err != nil {
				return err
			}
			a.note("Serving on http://%s; Ctrl-C stops.", listener.Addr())
			return serve(cmd.Context(), listener, rooms, addresses{})
		},
	}
}

// listen opens the HTTP address.
func listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the address %s cannot be listened on; stop what uses it or set HOLDFAST_HTTP_ADDR: %w", address, err)
	}
	return listener, nil
}

// serve answers requests until ctx is done, then ends event streams and lets
// open requests finish. at is what the landing page tells of the stack.
func serve(ctx context.Context, listener net.Listener, rooms *wire.Rooms, at addresses) error {
	backend := newAPI(rooms)
	server := &http.Server{
		Handler:           newMux(rooms, backend, at),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(rooms.Log.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(backend.Drain)
	closed := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeWithin)
		defer cancel()
		closed <- server.Shutdown(ctx)
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("the HTTP server stopped: %w", err)
	}
	return <-closed
}

func newAPI(rooms *wire.Rooms) *api.API {
	return api.New(api.Config{
		Accounts: rooms.Accounts, Ledger: rooms.Ledger, Billing: rooms.Billing, Book: rooms.Book,
		Catalogue: rooms.Catalogue, Intake: rooms.Intake, Webhooks: rooms.Webhooks, Erasures: rooms.Erasures, Log: rooms.Log,
		OperatorKey: rooms.Config.OperatorKey, RequestsPerMinute: rooms.Config.RequestsPerMinute,
		Metrics: []prometheus.Collector{rooms.Reconcile, countOutages(rooms)},
	})
}

// newMux is everything that is served. at is what the landing page tells of
// the stack; its fields may be empty.
func newMux(rooms *wire.Rooms, backend *api.API, at addresses) *http.ServeMux {
	mux := http.NewServeMux()
	identity := &identityWatch{check: func(ctx context.Context) (verify.IdentityReport, error) {
		return verify.CheckIdentity(ctx, wire.EngineConfig(rooms.Config))
	}}
	mux.Handle("/", backend)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
		defer cancel()
		state := map[string]string{"status": "ready", "database": "ok", "temporal": "ok"}
		if rooms.Config.SMTPHelo != "" { // without one nothing is verified in the world
			state["identity"] = identity.state()
		}
		code := http.StatusOK
		fail := func(part, what string, err error) {
			rooms.Log.Warn("Not ready.", "part", part, "error", err)
			state["status"], state[part] = "not ready", what
			code = http.StatusServiceUnavailable
		}
		if err := rooms.Pool.Ping(ctx); err != nil {
			fail("database", "does not answer", err)
		} else if err := postgres.CheckVersion(ctx, rooms.Pool); err != nil {
			fail("schema", "is not this program's", err)
		} else if err := rooms.Ledger.CheckClock(ctx); err != nil {
			fail("clock", "differs from the database's by more than 5 minutes", err)
		}
		if _, err := rooms.Temporal.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
			fail("temporal", "does not answer", err)
		}
		if outage, _, err := verdicts.Outages(ctx, rooms.Pool); err == nil && outage != nil && code == http.StatusOK {
			state["status"], state["verification"] = "degraded", outage.Message
		}
		writeJSON(w, code, state)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if err := landing.Execute(w, at); err != nil {
			rooms.Log.Warn("The landing page was not written.", "error", err)
		}
	})
	return mux
}

// writeJSON writes a small JSON document; a client that is gone is no error.
func writeJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

var landing = template.Must(template.New("landing").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Holdfast</title>
<style>
  :root { color-scheme: light dark }
  body { font: 16px/1.6 system-ui, sans-serif; max-width: 38rem; margin: 12vh auto; padding: 0 1.5rem }
  h1 { letter-spacing: -.02em; margin-bottom: 0 }
  p { opacity: .75; margin-top: .2rem }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: .4rem 1.5rem; margin-top: 2rem }
  dt { opacity: .6 } dd { margin: 0 }
</style>
<h1>Holdfast</h1>
<p>An order holds credits, verifies contacts, charges only what was delivered valid, and gives the rest back.</p>
<dl>
<dt>API</dt><dd><a href="/docs">/docs</a></dd>
{{with .TemporalUI}}<dt>Orders in Temporal</dt><dd><a href="{{.}}">{{.}}</a></dd>{{end}}
{{with .DNSAddr}}<dt>Mail lab</dt><dd>DNS {{.}}, SMTP port {{$.SMTPPort}}</dd>{{end}}
<dt>Alive</dt><dd><a href="/healthz">/healthz</a></dd>
<dt>Ready</dt><dd><a href="/readyz">/readyz</a></dd>
</dl>
</html>
`))

// countOutages counts the outages of verification that workers have noted.
func countOutages(rooms *wire.Rooms) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "holdfast_verification_outages_total", Help: "Times that a worker could verify nothing, whichever mail host it asked.",
	}, func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), readyWithin)
		defer cancel()
		_, count, err := verdicts.Outages(ctx, rooms.Pool)
		if err != nil {
			rooms.Log.Warn("The outages of verification could not be counted.", "error", err)
		}
		return float64(count)
	})
}
