package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readyWithin is what /readyz gives the database and Temporal to answer.
const readyWithin = 2 * time.Second

// Check says how the parts of a process are and whether it can do its work.
type Check func(context.Context) (state map[string]string, ready bool)

// SetReady says that the process has started, and how /readyz finds out whether
// it still works.
func (t *Telemetry) SetReady(check Check) { t.check.Store(&check) }

// Drain makes /readyz say that the process is about to stop: nothing new should
// be sent to it.
func (t *Telemetry) Drain() { t.draining.Store(true) }

// DrainFor drains, and waits until those who ask /readyz have noticed.
func (t *Telemetry) DrainFor(wait time.Duration) {
	t.Drain()
	time.Sleep(wait)
}

// HandleHealth adds /healthz and /readyz.
func (t *Telemetry) HandleHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyWithin)
		defer cancel()
		state, ready := t.ready(ctx)
		code := http.StatusOK
		if !ready {
			code = http.StatusServiceUnavailable
		}
		writeJSON(w, code, state)
	})
}

func (t *Telemetry) ready(ctx context.Context) (state map[string]string, ready bool) {
	check := t.check.Load()
	switch {
	case t.draining.Load():
		return map[string]string{"status": "draining"}, false
	case check == nil:
		return map[string]string{"status": "starting"}, false
	}
	return (*check)(ctx)
}

// HandleMetrics adds /metrics and /debug/pprof: what is not for the public.
func (t *Telemetry) HandleMetrics(mux *http.ServeMux) {
	mux.Handle("GET /metrics", promhttp.InstrumentMetricHandler(t.Registry,
		promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, Registry: t.Registry})))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// Listen opens the address that variable names. Where another process of this
// machine has the default, as a second worker finds it, a free port is taken.
func Listen(ctx context.Context, address, byDefault, variable string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) && address == byDefault {
		listener, err = config.Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("the address %s cannot be listened on; stop what uses it or set %s: %w", address, variable, err)
	}
	return listener, nil
}

// Serve answers on listener until stop is called: health, metrics and profiles.
func (t *Telemetry) Serve(listener net.Listener, log *slog.Logger) (stop func()) {
	mux := http.NewServeMux()
	t.HandleHealth(mux)
	t.HandleMetrics(mux)
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Warn("Health and metrics are no longer served.", "error", err)
		}
	}()
	return func() {
		_ = server.Close() // what reads a profile of a process that ends has no use for the rest
		<-done
	}
}

// writeJSON writes a small JSON document; a client that is gone is no error.
func writeJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}
