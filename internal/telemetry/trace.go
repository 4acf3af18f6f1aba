package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	temporalotel "go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"

	"holdfast/internal/build"
)

// tracing is where spans go; nil where they are off.
type tracing struct {
	all   *sdktrace.TracerProvider
	below *sdktrace.TracerProvider // begins no trace: what runs in the background makes none
}

// variables are those that turn tracing on. The others of OpenTelemetry say how.
var variables = []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"}

func wanted() bool {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return false
	}
	for _, name := range variables {
		if os.Getenv(name) != "" {
			return true
		}
	}
	return false
}

// startTracing follows the standard OTEL_* variables.
func startTracing(ctx context.Context, service string) (*tracing, error) {
	if !wanted() {
		return nil, nil //nolint:nilnil // off
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("the OTEL_* settings cannot be followed: %w", err)
	}
	described, err := resource.New(ctx, resource.WithHost(), resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", service), attribute.String("service.version", build.Read().ID())),
		resource.WithFromEnv()) // the last word: OTEL_SERVICE_NAME
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("the OTEL_* settings cannot be followed: %w", err)
	}
	spans := sdktrace.WithSpanProcessor(sdktrace.NewBatchSpanProcessor(exporter))
	return &tracing{
		all:   sdktrace.NewTracerProvider(spans, sdktrace.WithResource(described)),
		below: sdktrace.NewTracerProvider(spans, sdktrace.WithResource(described), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample()))),
	}, nil
}

// Close sends the spans that are left.
func (t *Telemetry) Close(ctx context.Context) {
	if t.tracing != nil {
		_ = t.tracing.all.Shutdown(ctx) // a receiver that is away is no error of ours
	}
}

// propagator carries a trace from one process to another.
var propagator = propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})

// HTTP makes each request a span, except for those of probes and scrapes.
func (t *Telemetry) HTTP(next http.Handler) http.Handler {
	if t.tracing == nil {
		return next
	}
	named := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r)
		r.Pattern = "" // of the outermost mux, which sends everything on; the API names the span
	})
	return otelhttp.NewHandler(named, "request",
		otelhttp.WithTracerProvider(t.tracing.all), otelhttp.WithPropagators(propagator),
		otelhttp.WithFilter(func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }))
}

// Interceptors make spans of workflows and activities, and carry the trace in
// the headers that Temporal keeps with them: commands of workflows stay as they
// are.
func (t *Telemetry) Interceptors() ([]interceptor.ClientInterceptor, error) {
	if t == nil || t.tracing == nil {
		return nil, nil
	}
	i, err := temporalotel.NewTracingInterceptor(temporalotel.TracerOptions{
		Tracer: t.tracing.all.Tracer("temporal-sdk-go"), TextMapPropagator: propagator, AllowInvalidParentSpans: true,
	})
	if err != nil {
		return nil, err
	}
	return []interceptor.ClientInterceptor{i}, nil
}

// Queries makes spans of SQL statements, without their parameters; nil where
// there is no tracing.
func (t *Telemetry) Queries() pgx.QueryTracer {
	if t == nil || t.tracing == nil {
		return nil
	}
	return otelpgx.NewTracer(otelpgx.WithTracerProvider(t.tracing.below), otelpgx.WithDisableConnectionDetailsInAttributes())
}

// Tracer begins spans below others; nil where there is no tracing.
func (t *Telemetry) Tracer() trace.Tracer {
	if t == nil || t.tracing == nil {
		return nil
	}
	return t.tracing.below.Tracer("holdfast")
}
