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
	"holdfast/internal/site"
	"holdfast/internal/telemetry"
	"holdfast/internal/wire"
)

// closeWithin is what open requests get to finish.
const closeWithin = 10 * time.Second

func (a *app) serveCommand() *cobra.Command {
	return &cobra.Command{
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

With HOLDFAST_HTTP_TLS_CERT and HOLDFAST_HTTP_TLS_KEY it speaks HTTPS; a renewed
certificate is used without a restart.

SIGTERM and Ctrl-C stop it in steps: /readyz says "draining" for
HOLDFAST_DRAIN_WAIT (3s), then open requests get 10 seconds to finish.`,
		Example: examples("holdfast serve"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.serveAll(cmd.Context())
		},
	}
}

// serveAll serves the public address and, unless it is the same, that of the
// metrics.
func (a *app) serveAll(ctx context.Context) error {
	shown, err := telemetry.New(ctx, "holdfast-serve")
	if err != nil {
		return err
	}
	defer shown.Close(context.WithoutCancel(ctx))
	rooms, err := a.open(ctx, func(ctx context.Context, cfg config.Config, _ *slog.Logger, _ ...wire.Option) (*wire.Rooms, error) {
		return wire.Open(ctx, cfg, cfg.Logger(a.err), wire.WithTelemetry(shown))
	})
	if err != nil {
		return err
	}
	defer rooms.Close()
	cfg := rooms.Config
	if err := cfg.CheckOperatorKey(); err != nil {
		return err
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
		defer shown.Serve(inside, rooms.Log)()
		a.note("Metrics are at http://%s/metrics.", inside.Addr())
	}
	a.note("Serving on %s://%s; Ctrl-C stops.", scheme(cfg), address)
	return serve(ctx, listener, rooms, addresses{}, public)
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
// finish. at is what the dashboard shows of the stack; metrics are served too
// where withMetrics is set.
func serve(ctx context.Context, listener net.Listener, rooms *wire.Rooms, at addresses, withMetrics bool) error {
	backend := newAPI(rooms)
	mux := newMux(rooms, backend, at)
	if withMetrics {
		rooms.Telemetry.HandleMetrics(mux)
	}
	rooms.Telemetry.SetReady(rooms.Ready)
	server := &http.Server{
		Handler:           rooms.Telemetry.HTTP(mux),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(rooms.Log.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(backend.Drain)
	closed := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		rooms.Telemetry.DrainFor(rooms.Config.DrainWait)
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
	c := site.API(rooms)
	c.OperatorKey, c.RequestsPerMinute, c.Metrics = rooms.Config.OperatorKey, rooms.Config.RequestsPerMinute, rooms.Telemetry.Registry
	return api.New(c)
}

// newMux is everything that is served. at is what the dashboard shows of
// the stack; its fields may be empty.
func newMux(rooms *wire.Rooms, backend *api.API, at addresses) *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("/", backend)
	rooms.Telemetry.HandleHealth(mux)
	mountDashboard(mux, rooms, backend, at)
	return mux
}
