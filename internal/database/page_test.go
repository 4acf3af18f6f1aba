package database_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/database"
)

// Each row is read exactly one time, in order.
func TestPagesByNumber(t *testing.T) {
	stored := []int64{7, 9, 40, 41, 1000}
	for _, base := range []int{10, 36} {
		var read []int64
		cursor := ""
		for first := true; first || cursor != ""; first = false {
			below, ok := database.Below(cursor, base)
			require.True(t, ok)
			var rows []int64
			for i := len(stored) - 1; i >= 0 && len(rows) <= 2; i-- {
				if stored[i] < below {
					rows = append(rows, stored[i])
				}
			}
			rows, cursor = database.Cut(rows, 2, base, func(n int64) int64 { return n })
			read = append(read, rows...)
		}
		require.Equal(t, []int64{1000, 41, 40, 9, 7}, read)
	}
	first, ok := database.Below("", 10)
	require.True(t, ok)
	require.EqualValues(t, math.MaxInt64, first)
	for _, bad := range []string{"!", "-3", "0", "99999999999999999999"} {
		_, ok := database.Below(bad, 10)
		require.False(t, ok, bad)
	}
}
