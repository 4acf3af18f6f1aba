package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/dashboard"
	"holdfast/internal/site"
	"holdfast/internal/telemetry"
	"holdfast/internal/wire"
)

// closeWithin is what open requests get to finish.
const closeWithin = 10 * time.Second

func (a *app) serveCommand() *cobra.Command {
	var withWorker bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the API over HTTP",
		Long: `Serves on HOLDFAST_HTTP_ADDR (127.0.0.1:8080): the API below /api/v1, described
at /openapi.json and /docs. /healthz says that the process lives, /readyz that
PostgreSQL and Temporal answer it, that the schema is its own and that the clocks
agree to 5 minutes. HOLDFAST_OPERATOR_KEY is the key that may do everything;
without it there is no operator.

Metrics (/metrics) and profiles (/debug/pprof) are not public: they are on
HOLDFAST_METRICS_ADDR (127.0.0.1:9465). Set it to HOLDFAST_HTTP_ADDR to have them
on the same port.

With HOLDFAST_CELLS it serves all cells of that file: each request goes to the cell
of its organization (docs/scale.md).

With --worker it is a worker too, with the settings of holdfast-worker: one process
is all that a small installation needs. A small order takes less time so, because
Temporal hands it over with the answer to its start. Further workers may run beside
it.

With HOLDFAST_HTTP_TLS_CERT and HOLDFAST_HTTP_TLS_KEY it speaks HTTPS; a renewed
certificate is used without a restart.

SIGTERM and Ctrl-C stop it in steps: /readyz says "draining" for
HOLDFAST_DRAIN_WAIT (3s), then open requests get 10 seconds to finish, then the
worker stops.`,
		Example: examples("holdfast serve", "holdfast serve --worker"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serveAll(cmd.Context(), withWorker)
		},
	}
	cmd.Flags().BoolVar(&withWorker, "worker", false, "carry out orders in this process, too")
	return cmd
}

// serveAll serves the public address and, unless it is the same, that of the
// metrics.
func (a *app) serveAll(ctx context.Context, withWorker bool) error {
	shown, err := telemetry.New(ctx, "holdfast-serve")
	if err != nil {
		return err
	}
	defer shown.Close(context.WithoutCancel(ctx))
	served, err := a.openServed(ctx, shown)
	if err != nil {
		return err
	}
	defer served.close()
	cfg := served.cfg
	if err := cfg.CheckOperatorKey(); err != nil {
		return err
	}
	if withWorker && served.parts == nil {
		return usagef("--worker works in one cell; name it with --cell, or start workers by themselves")
	}
	listener, err := listen(ctx, cfg.HTTPAddr, "HOLDFAST_HTTP_ADDR")
	if err != nil {
		return err
	}
	address := listener.Addr()
	if listener, err = secured(listener, cfg.HTTPTLSCert, cfg.HTTPTLSKey); err != nil {
		return err
	}
	public := cfg.MetricsAddr == cfg.HTTPAddr
	if !public {
		inside, err := telemetry.Listen(ctx, cfg.MetricsAddr, config.DefaultMetricsAddr, "HOLDFAST_METRICS_ADDR")
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		defer shown.Serve(inside, served.log)()
		a.note("Metrics are at http://%s/metrics.", inside.Addr())
	}
	a.note("Serving on %s://%s; Ctrl-C stops.", scheme(cfg), address)
	if withWorker {
		return served.besideWorker(ctx, func(ctx context.Context) error { return serve(ctx, listener, served, public) })
	}
	return serve(ctx, listener, served, public)
}

// besideWorker runs a worker while serve serves. The worker stops last, because what
// is still answered may need it; when it stops by itself, serving ends.
func (i *installation) besideWorker(ctx context.Context, serve func(context.Context) error) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	serving, end := context.WithCancel(ctx)
	defer end()
	worked := make(chan error, 1)
	go func() {
		defer end()
		worked <- i.parts.RunWorker(working, i.log)
	}()
	err := serve(serving)
	stop()
	return errors.Join(err, <-worked)
}

// installation is what is served; all cells behind one address are one.
type installation struct {
	cfg     config.Config
	parts   *wire.App // nil where there are several cells
	log     *slog.Logger
	shown   *telemetry.Telemetry
	handler http.Handler
	ready   telemetry.Check
	drain   func() // ends event streams
	close   func()
}

// openServed opens the installation that is configured; all cells, where there
// are several and none is chosen.
func (a *app) openServed(ctx context.Context, shown *telemetry.Telemetry) (*installation, error) {
	cfg, err := config.Load(ctx)
	if err != nil {
		return nil, err
	}
	open := func(ctx context.Context, cfg config.Config, _ *slog.Logger, _ ...wire.Option) (*wire.App, error) {
		return wire.Open(ctx, cfg, cfg.Logger(a.err), wire.WithTelemetry(shown))
	}
	cells, err := a.severalCells(cfg)
	if err != nil {
		return nil, err
	}
	if cells != nil {
		return a.openServedCells(ctx, cfg, cells, open, shown)
	}
	parts, err := a.open(ctx, open)
	if err != nil {
		return nil, err
	}
	return servedBy(parts, addresses{}), nil
}

// servedBy is one installation. at is what the dashboard shows of the stack; its
// fields may be empty.
func servedBy(parts *wire.App, at addresses) *installation {
	backend := newAPI(parts)
	return &installation{
		cfg: parts.Config, parts: parts, log: parts.Log, shown: parts.Telemetry, handler: newMux(parts, backend, at, nil),
		ready: parts.Ready, drain: backend.Drain, close: parts.Close,
	}
}

// listen opens an HTTP address, which a variable names.
func listen(ctx context.Context, address, variable string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("the address %s cannot be listened on; stop what uses it or set %s: %w", address, variable, err)
	}
	return listener, nil
}

// serve answers requests until ctx is done. Then it is not ready, waits until
// those who send requests have noticed, ends event streams and lets open requests
// finish. Metrics are served too where withMetrics is set.
func serve(ctx context.Context, listener net.Listener, of *installation, withMetrics bool) error {
	mux := http.NewServeMux()
	mux.Handle("/", of.handler)
	of.shown.HandleHealth(mux)
	if withMetrics {
		of.shown.HandleMetrics(mux)
	}
	of.shown.SetReady(of.ready)
	server := newServer(of.shown.HTTP(mux), of.log)
	server.RegisterOnShutdown(of.drain)
	closed := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		of.shown.DrainFor(of.cfg.DrainWait)
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

// newServer bounds what clients may take, on every route.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           usualPatience.with(handler),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

func newAPI(parts *wire.App) *api.API {
	c := site.API(parts)
	c.OperatorKey, c.RequestsPerMinute, c.Metrics = parts.Config.OperatorKey, parts.Config.RequestsPerMinute, parts.Metrics()
	return api.New(c)
}

// newMux is everything that an installation serves. at is what the dashboard shows
// of the stack; its fields may be empty.
func newMux(parts *wire.App, backend *api.API, at addresses, cells *dashboard.Cells) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/", backend)
	mountDashboard(mux, parts, backend, at, cells)
	return mux
}
