package workflows_test

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"

	"holdfast/internal/order"
	"holdfast/workflows"
)

// recordings are what there must be: orders of every kind of ending, small ones, and
// what else runs for long.
var recordings = []string{
	"order-settled", "order-rejected", "order-cut-short", "order-filled", "order-continued", "order-continued-again",
	"order-verified-list", "order-revealed", "order-revealed-on-file", "order-enriched", "order-exported", "order-pushed",
	"order-small-list", "order-small-rejected", "order-small-cancelled", "order-small-cut-short", "order-small-verified",
	"order-small-revealed", "order-small-on-file", "order-small-exported", "order-small-pushed", "order-small-away",
	"order-announced-list", "order-announced-rejected", "order-announced-cancelled", "order-announced-verified",
	"order-announced-revealed", "order-announced-enriched", "order-announced-exported", "order-announced-away",
	"ride-carried-out", "ride-handed-over", "ride-announced",
	"reset-scheduled", "reset-continued", "webhook-delivered",
	"order-on-test-clock", "order-small-on-test-clock", "test-clock-advanced", "reconciled",
}

// ofEveryKind are the ends of the names of recordings that orders of every kind have:
// what can come between, and orders that have not ended.
var ofEveryKind = []string{"cancelled", "paused", "waited", "retried", "failed", "open"}

// started is the first event of a recording.
func started(t *testing.T, path string) *history.WorkflowExecutionStartedEventAttributes {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	h := &history.History{}
	require.NoError(t, protojson.Unmarshal(data, h), path)
	return h.Events[0].GetWorkflowExecutionStartedEventAttributes()
}

func TestEveryKindHasRecordings(t *testing.T) {
	paths, err := filepath.Glob("testdata/replay/order-*.json")
	require.NoError(t, err)
	have := map[order.Kind][]string{}
	for _, path := range paths {
		var in workflows.OrderInput
		require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(started(t, path).GetInput(), &in), path)
		name := strings.TrimSuffix(path, ".json")
		if !in.Request.Small() {
			have[in.Request.Kind] = append(have[in.Request.Kind], name[strings.LastIndex(name, "-")+1:])
		}
	}
	for _, kind := range order.Kinds() {
		require.Subset(t, have[kind], ofEveryKind, "%s: add it to the kinds of workflows/record and record", kind)
	}
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

// A workflow that is registered without a recording is one whose changes no test
// compares with what runs already.
func TestEveryWorkflowHasARecording(t *testing.T) {
	paths, err := filepath.Glob("testdata/replay/*.json")
	require.NoError(t, err)
	var have []string
	for _, path := range paths {
		have = append(have, started(t, path).GetWorkflowType().GetName())
	}
	var registered registry
	workflows.Register(&registered)
	require.NotEmpty(t, registered.names)
	for _, name := range registered.names {
		require.Contains(t, have, name, "record it: see workflows/record")
	}
}

// registry notes the names of the workflows that are registered.
type registry struct {
	worker.WorkflowRegistry
	names []string
}

func (r *registry) RegisterWorkflowWithOptions(definition any, o workflow.RegisterOptions) {
	full := runtime.FuncForPC(reflect.ValueOf(definition).Pointer()).Name()
	r.names = append(r.names, cmp.Or(o.Name, full[strings.LastIndex(full, ".")+1:]))
}
