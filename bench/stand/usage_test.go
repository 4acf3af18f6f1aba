package stand

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProcessorTimesIncludeThoseOfChildrenThatHaveEnded(t *testing.T) {
	p, err := parseStat("4242 (a (strange) name) S 17 4242 4242 0 -1 4194304 1 2 3 4 100 20 3 1 20 0 7 0 12345 1 2\n")
	require.NoError(t, err)
	require.Equal(t, process{pid: 4242, parent: 17, name: "a (strange) name", cpu: 1240 * time.Millisecond}, p)

	_, err = parseStat("4242 postgres S 17")
	require.ErrorContains(t, err, "no line of process times")
}

func TestProcessesBelowThisOneAreFound(t *testing.T) {
	list := map[int]process{1: {pid: 1}, 5: {pid: 5, parent: 1}, 6: {pid: 6, parent: 5}, 7: {pid: 7, parent: 6}, 8: {pid: 8, parent: 1}}
	require.True(t, below(list, list[7], 5))
	require.False(t, below(list, list[8], 5))
	require.False(t, below(list, list[5], 5))
}
