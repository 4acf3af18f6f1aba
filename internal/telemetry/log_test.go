package telemetry_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"

	"holdfast/internal/telemetry"
)

// Lines of a workflow or an activity name the order, once, in each way
// in which Temporal's logger passes its workflow on.
func TestLogLinesNameTheOrder(t *testing.T) {
	var out bytes.Buffer
	plain := telemetry.WithTraceIDs(slog.New(slog.NewJSONHandler(&out, nil)))
	sdk := log.NewStructuredLogger(plain)
	line := func(write func()) map[string]any {
		out.Reset()
		write()
		var fields map[string]any
		require.NoError(t, json.Unmarshal(out.Bytes(), &fields), out.String())
		return fields
	}
	for name, write := range map[string]func(){
		"in the call":    func() { sdk.Info("x", "WorkflowID", "ord_1", "Attempt", 2) },
		"in the logger":  func() { log.With(sdk, "WorkflowID", "ord_1").Info("x") },
		"named already":  func() { sdk.Info("x", "WorkflowID", "ride_9", "order", "ord_1") },
		"named by both":  func() { log.With(sdk, "WorkflowID", "ord_2").Info("x", "order", "ord_1") },
		"a plain logger": func() { plain.Info("x", "order", "ord_1") },
	} {
		require.Equal(t, "ord_1", line(write)["order"], name)
	}
	require.NotContains(t, line(func() { sdk.Info("x", "WorkflowID", "monthly-reset") }), "order")
}
