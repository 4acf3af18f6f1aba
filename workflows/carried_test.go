package workflows

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/activities"
	"holdfast/internal/order"
)

// What one run hands to the next stays far below what Temporal takes, 2 MB,
// however large the order is and however many of its hosts say "later".
func TestWhatARunHandsOnIsSmall(t *testing.T) {
	for _, given := range []struct {
		items, greylisted int64 // of each batch of a thousand
		atMost            int
	}{
		{1_000_000, 0, 3_000},
		{1_000_000, 30, 10_000},
		{1_000_000, 1000, 150_000},
		{10_000_000, 30, 100_000},
		{10_000_000, 1000, 150_000},
	} {
		batches := split(1, given.items)
		half := len(batches) / 2
		for i := range batches[:half] {
			batches[i].Open = false
			batches[i].BatchResult = activities.BatchResult{
				Done: 1000 - given.greylisted, Greylisted: given.greylisted, RetryAt: time.Now(),
				Tally: order.Tally{Valid: 500, Invalid: 500 - given.greylisted/2},
			}
		}
		left := condense(batches)
		requireSameItems(t, batches, left)
		data, err := json.Marshal(carried{Batches: left})
		require.NoError(t, err)
		require.Less(t, len(data), given.atMost, "%d items, %d greylisted in each thousand: %d batches", given.items, given.greylisted, len(left))
		t.Logf("%d items, %d in 1000 greylisted: %d batches, %d bytes", given.items, given.greylisted, len(left), len(data))

		requireSameItems(t, batches, unfold(left))
		requireSameItems(t, regroup(batches), condense(regroup(batches)))
	}
}

// What any worker may ask for again is not lost beside what some are to ask for: a
// worker of an older build, and a verification service, name no task queue.
func TestJoinedBatchesKeepWhoAsksAgain(t *testing.T) {
	anyone := batch{From: 1, To: 10, BatchResult: activities.BatchResult{Greylisted: 3}}
	some := batch{From: 11, To: 20, BatchResult: activities.BatchResult{Greylisted: 2, Queues: []string{"holdfast-verify:a"}}}
	done := batch{From: 21, To: 30, BatchResult: activities.BatchResult{Done: 10}}
	for _, batches := range [][]batch{{anyone, some, done}, {some, anyone, done}, {done, some, anyone}} {
		joined := batches[0]
		for _, next := range batches[1:] {
			joined.add(next)
		}
		require.ElementsMatch(t, []string{"", "holdfast-verify:a"}, joined.Queues)
	}
	anyone.add(done)
	require.Nil(t, anyone.Queues, "as older builds have it")
}

// requireSameItems demands that two lists of batches are about the same items,
// and say the same of them.
func requireSameItems(t *testing.T, want, got []batch) {
	t.Helper()
	sum := func(batches []batch) (s batch, open int64) {
		for i, b := range batches {
			require.True(t, i == 0 || b.From == batches[i-1].To+1, "one after the other")
			s.add(b)
			if b.Open {
				open += b.To - b.From + 1
			}
		}
		return s, open
	}
	wanted, wantedOpen := sum(want)
	is, open := sum(got)
	require.Equal(t, wantedOpen, open)
	require.Equal(t, wanted, is)
}
