package workflows_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"holdfast/workflows"
)

// recordings are what there must be: orders of every kind and of every kind of
// ending, what can come between, orders that have not ended, and what else runs
// for long.
var recordings = []string{
	"order-settled", "order-rejected", "order-cancelled", "order-cut-short", "order-filled", "order-continued", "order-continued-again",
	"order-verified-list", "order-revealed", "order-revealed-on-file", "order-enriched", "order-exported", "order-pushed",
	"order-small-list", "order-small-rejected", "order-small-cancelled", "order-small-cut-short", "order-small-verified",
	"order-small-revealed", "order-small-on-file", "order-small-exported", "order-small-pushed", "order-small-away",
	"order-verified-cancelled", "order-enriched-cancelled",
	"order-paused", "order-verified-paused", "order-revealed-paused", "order-enriched-paused", "order-exported-paused", "order-waited", "order-revealed-waited", "order-enriched-waited", "order-exported-waited",
	"order-retried", "order-verified-retried", "order-revealed-retried", "order-enriched-retried", "order-exported-retried",
	"order-failed", "order-verified-failed", "order-revealed-failed", "order-enriched-failed", "order-exported-failed",
	"order-open", "order-verified-open", "order-revealed-open", "order-enriched-open", "order-exported-open",
	"ride-carried-out", "ride-handed-over",
	"reset-scheduled", "reset-continued", "webhook-delivered",
}

// Workflows that were recorded earlier replay on today's code. A recording that
// no longer does is an order that would be stuck after the next deployment: the
// change needs workflow.GetVersion, not a new recording. See workflows/record.
func TestRecordedHistoriesReplay(t *testing.T) {
	for _, name := range recordings {
		require.FileExists(t, filepath.Join("testdata", "replay", name+".json"), "run: go run ./workflows/record -only %s", name)
	}
	paths, err := filepath.Glob("testdata/replay/*.json")
	require.NoError(t, err)
	tracing, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{Tracer: sdktrace.NewTracerProvider().Tracer("test")})
	require.NoError(t, err)
	for _, path := range paths {
		for name, interceptors := range map[string][]interceptor.WorkerInterceptor{"plain": nil, "traced": {tracing}} {
			t.Run(filepath.Base(path)+" "+name, func(t *testing.T) {
				replayer, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{Interceptors: interceptors})
				require.NoError(t, err)
				workflows.Register(replayer)
				require.NoError(t, replayer.ReplayWorkflowHistoryFromJSONFile(log.NewStructuredLogger(slog.New(slog.DiscardHandler)), path))
			})
		}
	}
}
