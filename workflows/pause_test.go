package workflows_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"holdfast/activities"
	"holdfast/internal/order"
	"holdfast/workflows"
)

func TestAnOutagePausesTheOrderInsteadOfCallingEverythingUnknown(t *testing.T) {
	w := newWorld(t, 1500, 1500)
	var down atomic.Bool
	w.verifier.out = func(call int) bool {
		if call == 2 { // in the middle of the first round
			down.Store(true)
		}
		return down.Load()
	}
	env := w.env()
	in := input(1500)
	var paused order.Progress
	var held order.Order
	env.RegisterDelayedCallback(func() { paused, held = progress(t, env), w.stored(in.ID) }, 10*time.Second)
	env.RegisterDelayedCallback(func() { down.Store(false) }, 90*time.Second) // after the first try to recover
	run(env, in)

	require.NoError(t, env.GetWorkflowError())
	require.Contains(t, paused.Waiting, "verification to work again")
	require.Contains(t, paused.Waiting, "port 25 is closed")
	require.NotNil(t, paused.Until)
	require.Equal(t, order.Verifying, held.Status)
	require.Equal(t, order.Tally{Valid: 750, Invalid: 750}, w.stored(in.ID).Tally, "nothing is unknown for our own failure")
	w.requireBalance(750, 0)
	rows, _ := w.pool.Query(t.Context(), `
		SELECT topic FROM outbox WHERE payload ->> 'id' = $1 AND topic NOT IN ('order.reserved', 'order.completed', 'order.settled') ORDER BY id`, in.ID)
	topics, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"order.started", "order.outage", "order.resumed"}, topics, "once, however often it tried")
}

func TestAnOrderDoesNotBeginWhileNothingCanBeVerified(t *testing.T) {
	w := newWorld(t, 20, 20)
	var preflights atomic.Int32
	w.verifier.out = func(call int) bool { return call == 0 && preflights.Add(1) < 3 }
	env := w.env()
	var before order.Progress
	env.RegisterDelayedCallback(func() { before = progress(t, env) }, 30*time.Second)
	run(env, input(20))

	require.NoError(t, env.GetWorkflowError())
	require.Contains(t, before.Waiting, "port 25 is closed")
	require.EqualValues(t, 3, preflights.Load())
	require.Equal(t, 1, w.verifier.calls, "no address is asked for without need")
}

func TestResumeEndsTheWaitOfAnOutage(t *testing.T) {
	w := newWorld(t, 20, 20)
	var preflights atomic.Int32
	w.verifier.out = func(call int) bool { return call == 0 && preflights.Add(1) == 1 }
	env := w.env()
	start := env.Now()
	var completed time.Time
	env.RegisterDelayedCallback(func() { update(t, env, workflows.UpdateResume) }, 5*time.Second)
	env.RegisterDelayedCallback(func() {
		if w.stored(input(20).ID).Status == order.Completed {
			completed = env.Now()
		}
	}, 30*time.Second)
	run(env, input(20))

	require.NoError(t, env.GetWorkflowError())
	require.False(t, completed.IsZero(), "completed before the minute was over")
	require.Less(t, completed.Sub(start), time.Minute)
}

func TestAPausedOrderBeginsNoBatchUntilItIsResumed(t *testing.T) {
	w := newWorld(t, 40, 40)
	env := w.env()
	var paused order.Progress
	env.RegisterDelayedCallback(func() { update(t, env, workflows.UpdatePause) }, 0)
	env.RegisterDelayedCallback(func() {
		paused = progress(t, env)
		require.Zero(t, w.verifier.calls)
		update(t, env, workflows.UpdateResume)
	}, time.Hour)
	run(env, input(40))

	require.NoError(t, env.GetWorkflowError())
	require.Contains(t, paused.Waiting, "a call to resume it")
	require.Equal(t, 1, w.verifier.calls)
	w.requireBalance(20, 0)
}

// An order that was paused when its workflow was lost is resumed while the new
// workflow finds out how it stands: the resumption counts.
func TestAResumptionThatComesBeforeTheOrderIsTakenUpCounts(t *testing.T) {
	for _, count := range []int64{40, 1500} { // small, large
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			w := newWorld(t, int(count), count)
			_, err := w.acts.Reserve(t.Context(), activities.ReserveInput{Input: input(count)}) // by the workflow that was lost
			require.NoError(t, err)
			require.NoError(t, w.book.NotePaused(t.Context(), input(count).ID, true))
			require.True(t, w.stored(input(count).ID).Paused)

			env := w.env()
			env.RegisterDelayedCallback(func() { update(t, env, workflows.UpdateResume) }, 0)
			run(env, input(count))
			require.NoError(t, env.GetWorkflowError())
			require.Equal(t, order.Settled, w.stored(input(count).ID).Status)
			w.requireBalance(count/2, 0)
		})
	}
}

// The book has pauses and resumptions as they came, also where they came at the
// same time: an order that is started again believes it.
func TestPausesAreNotedAsTheyCame(t *testing.T) {
	w := newWorld(t, 1500, 1500)
	env := w.env()
	env.RegisterDelayedCallback(func() {
		for i, name := range []string{workflows.UpdatePause, workflows.UpdateResume} {
			env.UpdateWorkflow(name, fmt.Sprint(i), &testsuite.TestUpdateCallback{
				OnAccept: func() {}, OnReject: func(err error) { require.NoError(t, err) },
				OnComplete: func(_ any, err error) { require.NoError(t, err) },
			})
		}
	}, 0)
	run(env, input(1500))
	require.NoError(t, env.GetWorkflowError())
	require.False(t, w.stored(input(1500).ID).Paused)
	rows, _ := w.pool.Query(t.Context(), `SELECT topic FROM outbox WHERE topic IN ('order.paused', 'order.resumed') ORDER BY id`)
	topics, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"order.paused", "order.resumed"}, topics)
}

func TestAPausedOrderCanBeCancelled(t *testing.T) {
	w := newWorld(t, 40, 40)
	env := w.env()
	env.RegisterDelayedCallback(func() { update(t, env, workflows.UpdatePause) }, 0)
	env.RegisterDelayedCallback(env.CancelWorkflow, time.Hour)
	run(env, input(40))
	require.Equal(t, order.Cancelled, w.stored(input(40).ID).Status)
	w.requireBalance(40, 0)
}

func update(t *testing.T, env *testsuite.TestWorkflowEnvironment, name string) {
	env.UpdateWorkflow(name, name+env.Now().String(), &testsuite.TestUpdateCallback{
		OnAccept:   func() {},
		OnReject:   func(err error) { require.NoError(t, err) },
		OnComplete: func(_ any, err error) { require.NoError(t, err) },
	})
}

// An outage that lasts longer than an order waits ends it: what has no verdict
// is unknown and free, and no credits are held without end.
func TestAnOutageThatLastsTooLongEndsTheOrder(t *testing.T) {
	for name, from := range map[string]int{"before the first address": 0, "in the middle": 2} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1500, 1500)
			w.acts.OutageLimit = 2 * time.Hour
			var tries atomic.Int32
			w.verifier.out = func(call int) bool {
				down := from == 0 || call >= from
				if down {
					tries.Add(1)
				}
				return down
			}
			env := w.env()
			start := env.Now()
			run(env, input(1500))

			require.NoError(t, env.GetWorkflowError())
			o := w.stored(input(1500).ID)
			require.Equal(t, order.Settled, o.Status)
			require.NotZero(t, o.Tally.Unknown)
			require.EqualValues(t, 1500, o.Tally.Unknown+o.Tally.Valid+o.Tally.Invalid)
			w.requireBalance(1500-o.Tally.Valid, 0)
			require.LessOrEqual(t, env.Now().Sub(start), 3*time.Hour)
			require.LessOrEqual(t, tries.Load(), int32(60), "it tries so often at most")
			for _, r := range o.Reasons {
				if r.Verdict == "unknown" {
					require.Equal(t, "connect_failed", r.Reason)
				}
			}
		})
	}
}
