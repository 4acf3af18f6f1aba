package commit_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/commit"
)

type answer struct {
	n, square int
	err       error
}

// A database that says nothing any more holds up a turn for a while, not those that
// come later for ever.
func TestATurnEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		silent := true
		group := commit.NewGroup(3, func(ctx context.Context, _ string, calls []int) ([]int, error) {
			if silent {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return calls, nil
		})
		first, cancel := context.WithCancel(t.Context())
		for range 2 { // the second waits for the first one, and is carried out apart from it
			go func() { _, _ = group.Call(first, "acme", 1) }()
			synctest.Wait()
		}
		cancel()
		synctest.Wait()
		time.Sleep(10 * time.Minute)
		silent = false
		patient, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		n, err := group.Call(patient, "acme", 2)
		require.NoError(t, err)
		require.Equal(t, 2, n)
	})
}

// Calls that come while one is carried out share the next turn, those of other
// keys do not wait, and one that fails spoils no other.
func TestCallsThatComeTogetherShareATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		unlucky := errors.New("unlucky")
		var turns [][]int // of acme
		goOn := make(chan struct{})
		group := commit.NewGroup(3, func(_ context.Context, key string, calls []int) ([]int, error) {
			if key == "acme" {
				turns = append(turns, calls)
				<-goOn
			}
			squares := make([]int, len(calls))
			for i, n := range calls {
				if n == 13 {
					return nil, unlucky
				}
				squares[i] = n * n
			}
			return squares, nil
		})
		answers := make(chan answer, 7)
		call := func(n int) {
			go func() {
				square, err := group.Call(t.Context(), "acme", n)
				answers <- answer{n, square, err}
			}()
			synctest.Wait()
		}

		call(1)
		other, err := group.Call(t.Context(), "globex", 7)
		require.NoError(t, err)
		require.Equal(t, 49, other)

		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = group.Call(gone, "acme", 2)
		require.ErrorIs(t, err, context.Canceled, "a call waits no longer than its caller does")

		for n := 11; n <= 15; n++ {
			call(n)
		}
		close(goOn)
		synctest.Wait()
		require.Equal(t, [][]int{{1}, {2, 11, 12}, {13, 14, 15}, {13}, {14}, {15}}, turns)

		require.Len(t, answers, 6)
		for range 6 {
			a := <-answers
			want := answer{n: a.n, square: a.n * a.n}
			if a.n == 13 {
				want = answer{n: 13, err: unlucky}
			}
			require.Equal(t, want, a)
		}

		call(20)
		require.Equal(t, []int{20}, turns[len(turns)-1], "when none is under way, a call waits for nothing")
	})
}
