package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A database whose clock was hours ahead when an order was completed does not keep
// its credits held for hours.
func TestARefundWaitsNoLongerThanItsPlanSays(t *testing.T) {
	now := time.Date(2026, 11, 27, 8, 0, 0, 0, time.UTC)
	for due, want := range map[time.Duration]time.Duration{
		5 * time.Minute: 5 * time.Minute, 3 * time.Minute: 3 * time.Minute, 3 * time.Hour: 5 * time.Minute, -time.Minute: -time.Minute,
	} {
		require.Equal(t, want, refundWait(now.Add(due), now, 5*time.Minute))
	}
}
