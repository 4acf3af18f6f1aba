package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"holdfast/internal/order"
	"holdfast/workflows"
)

// runThrough runs an order through as many runs as it takes, each with a history
// that is too long from its first event. setup prepares a run, numbered from 1.
func (w *world) runThrough(in order.Input, setup func(run int, env *testsuite.TestWorkflowEnvironment)) (runs int, last *testsuite.TestWorkflowEnvironment) {
	w.t.Helper()
	next := workflows.OrderInput{Input: in}
	for runs = 1; runs < 100; runs++ {
		env := w.env()
		env.SetContinueAsNewSuggested(true)
		if setup != nil {
			setup(runs, env)
		}
		env.ExecuteWorkflow(workflows.Order, next)
		require.True(w.t, env.IsWorkflowCompleted())
		var again *workflow.ContinueAsNewError
		if !errors.As(env.GetWorkflowError(), &again) {
			return runs, env
		}
		next = workflows.OrderInput{}
		require.NoError(w.t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &next))
	}
	w.t.Fatal("the order continues without end")
	return 0, nil
}

func TestAContinuedOrderEndsAsIfItHadBeenOneRun(t *testing.T) {
	w := newWorld(t, 3000, 3500)
	w.verifier.greylisted = 6
	in := input(3000)
	var before order.Progress
	looked := 0
	runs, env := w.runThrough(in, func(run int, env *testsuite.TestWorkflowEnvironment) {
		if run == 1 {
			return
		}
		var look func()
		look = func() {
			if _, err := env.QueryWorkflow(workflows.QueryProgress); err != nil { // its first task has not run yet
				env.RegisterDelayedCallback(look, time.Millisecond)
				return
			}
			p := progress(t, env)
			require.EqualValues(t, 3000, p.Total)
			require.GreaterOrEqual(t, p.Done, before.Done, "what is done stays done")
			require.Equal(t, order.StageReserving, p.Stages[0].Stage)
			before, looked = p, looked+1
		}
		env.RegisterDelayedCallback(look, time.Millisecond)
	})

	require.NoError(t, env.GetWorkflowError())
	require.Greater(t, runs, 5)
	require.Positive(t, looked)
	o := w.stored(in.ID)
	require.Equal(t, order.Settled, o.Status)
	require.Equal(t, order.Tally{Valid: 1500, Invalid: 1500}, o.Tally)
	require.Equal(t, []order.Credit{{Type: "email", Held: 3000, Captured: 1500, Released: 1500}}, o.Credits)
	w.requireDelivered(in.ID, 1500)
	w.requireBalance(2000, 0)
	p := progress(t, env)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 1500}}, p.Charged)
	var stages []order.Stage
	for i, s := range p.Stages {
		stages = append(stages, s.Stage)
		require.True(t, i == 0 || !s.At.Before(p.Stages[i-1].At), "in their order")
	}
	require.Equal(t, []order.Stage{
		order.StageReserving, order.StageSelecting, order.StageVerifying, order.StageDelivering, order.StageRefunding, order.StageOver,
	}, stages, "each once")
}

func TestAFilledOrderKeepsItsSelectionsWhenItContinues(t *testing.T) {
	w := newWorld(t, 3000, 900)
	in := fill(900)
	runs, env := w.runThrough(in, nil)
	require.NoError(t, env.GetWorkflowError())
	require.Greater(t, runs, 3)
	o := w.stored(in.ID)
	require.EqualValues(t, 900, o.Tally.Valid)
	require.Equal(t, []order.Credit{{Type: "email", Held: 900, Captured: 900}}, o.Credits)
	w.requireBalance(0, 0)
}

// The answer of the first run is the answer of every run.
func TestEveryRunAnswersTheSubmitterAlike(t *testing.T) {
	w := newWorld(t, 1500, 1500)
	var answers []order.Reservation
	runs, env := w.runThrough(input(1500), func(_ int, env *testsuite.TestWorkflowEnvironment) {
		env.RegisterDelayedCallback(func() {
			env.UpdateWorkflow(workflows.UpdateReserve, workflows.UpdateReserve, &testsuite.TestUpdateCallback{
				OnAccept: func() {}, OnReject: func(err error) { require.NoError(t, err) },
				OnComplete: func(value any, err error) {
					require.NoError(t, err)
					answers = append(answers, value.(order.Reservation))
				},
			})
		}, 0)
	})
	require.NoError(t, env.GetWorkflowError())
	require.Greater(t, runs, 1)
	require.Len(t, answers, runs)
	require.Equal(t, order.Reserved, answers[0].Order.Status)
	for _, again := range answers[1:] {
		require.True(t, answers[0].Order.CreatedAt.Equal(again.Order.CreatedAt))
		again.Order.CreatedAt = answers[0].Order.CreatedAt // the same moment, in another time zone
		require.Equal(t, answers[0], again)
	}
}

func TestAPauseOutlivesTheRunItCameIn(t *testing.T) {
	w := newWorld(t, 1500, 1500)
	asked := 0
	_, env := w.runThrough(input(1500), func(run int, env *testsuite.TestWorkflowEnvironment) {
		switch run {
		case 1:
			w.verifier.during = func(call int) error {
				if call == 1 {
					env.RegisterDelayedCallback(func() { update(t, env, workflows.UpdatePause) }, 0) // an activity must not touch env
				}
				return nil
			}
		case 2:
			asked = w.verifier.calls
			env.RegisterDelayedCallback(func() {
				require.Contains(t, progress(t, env).Waiting, "a call to resume it")
				require.Equal(t, asked, w.verifier.calls, "no batch begins")
				update(t, env, workflows.UpdateResume)
			}, time.Hour)
		}
	})
	require.NoError(t, env.GetWorkflowError())
	require.Greater(t, w.verifier.calls, asked)
	require.Equal(t, order.Settled, w.stored(input(1500).ID).Status)
	w.requireBalance(750, 0)
}

// A cancellation goes before continuing, and one that comes in a later run
// keeps what earlier runs charged.
func TestACancelledOrderDoesNotContinue(t *testing.T) {
	for _, cancelIn := range []int{1, 2} {
		w := newWorld(t, 2000, 2000)
		runs, _ := w.runThrough(input(2000), func(run int, env *testsuite.TestWorkflowEnvironment) {
			if run != cancelIn {
				return
			}
			first := w.verifier.calls + 1
			w.verifier.during = func(call int) error {
				if call == first {
					env.CancelWorkflow()
				}
				return nil
			}
		})
		require.Equal(t, cancelIn, runs)
		o := w.stored(input(2000).ID)
		require.Equal(t, order.Cancelled, o.Status)
		w.requireExact(o)
		if cancelIn == 2 {
			require.Positive(t, o.Credits[0].Captured)
		}
	}
}
