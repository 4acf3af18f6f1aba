package workflows_test

import (
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"

	"holdfast/workflows"
)

// Workflows that were recorded earlier replay on today's code. A recording that
// no longer does is an order that would be stuck after the next deployment: the
// change needs workflow.GetVersion, not a new recording. See workflows/record.
func TestRecordedHistoriesReplay(t *testing.T) {
	recordings, err := filepath.Glob("testdata/replay/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, recordings, "there is no recording: run go run ./workflows/record")
	for _, recording := range recordings {
		t.Run(filepath.Base(recording), func(t *testing.T) {
			replayer := worker.NewWorkflowReplayer()
			workflows.Register(replayer)
			require.NoError(t, replayer.ReplayWorkflowHistoryFromJSONFile(
				log.NewStructuredLogger(slog.New(slog.DiscardHandler)), recording))
		})
	}
}
