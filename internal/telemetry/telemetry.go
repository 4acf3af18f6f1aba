// Package telemetry is what a process shows of itself: health, metrics, profiles
// and traces. The worker and serve share it. See README.md.
package telemetry

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	temporalotel "go.temporal.io/sdk/contrib/opentelemetry"

	"holdfast/internal/build"
)

// Telemetry belongs to one process, or to one stack in a process.
type Telemetry struct {
	// Registry has all metrics. Parts of the process register theirs.
	Registry *prometheus.Registry

	tracing  *tracing
	sdk      *metric.MeterProvider // what Temporal's SDK counts, in Registry
	check    atomic.Pointer[Check]
	draining atomic.Bool
}

// seconds are the buckets of all histograms of durations.
var seconds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// New returns telemetry of a process with this name: its own metrics and, where
// OTEL_* variables are set, traces.
func New(ctx context.Context, service string) (*Telemetry, error) {
	t := &Telemetry{Registry: prometheus.NewRegistry()}
	var err error
	if t.tracing, err = startTracing(ctx, service); err != nil {
		return nil, err
	}
	b := build.Read()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "holdfast_build_info", Help: "1; the labels say which build runs.",
		ConstLabels: prometheus.Labels{"commit": b.ID(), "go": b.Go},
	})
	info.Set(1)
	t.Registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(t.Registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		return nil, err
	}
	t.sdk = metric.NewMeterProvider(metric.WithReader(exporter), metric.WithView(
		metric.NewView(metric.Instrument{Kind: metric.InstrumentKindHistogram}, metric.Stream{
			Aggregation: metric.AggregationExplicitBucketHistogram{Boundaries: seconds},
		})))
	return t, nil
}

// SDKMetrics is where a Temporal client and its workers count.
func (t *Telemetry) SDKMetrics() temporalotel.MetricsHandler {
	return temporalotel.NewMetricsHandler(temporalotel.MetricsHandlerOptions{
		Meter: t.sdk.Meter("temporal-sdk-go"), UseMonotonicCounters: true, OnError: func(error) {},
	})
}
