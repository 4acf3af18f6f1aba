package stand

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
)

// Recorded orders, counted by hand: one of one address is a start, an update, two
// workflow tasks with local activities, an activity and an upsert.
func TestActionsThatTemporalCloudBills(t *testing.T) {
	for name, want := range map[string]Cost{
		"order-small-verified": {Tasks: 2, Actions: 6},
		"order-small-on-file":  {Tasks: 1, Actions: 4},
		"order-small-rejected": {Tasks: 1, Actions: 4},
	} {
		file, err := os.ReadFile("../../workflows/testdata/replay/" + name + ".json")
		require.NoError(t, err)
		var h history.History
		require.NoError(t, temporalproto.CustomJSONUnmarshalOptions{}.Unmarshal(file, &h))
		require.Equal(t, want, costOf(h.GetEvents()), name)
	}
}
