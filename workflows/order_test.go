package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"holdfast/internal/order"
	"holdfast/workflows"
)

func TestOrderChargesOnlyWhatIsValidAndRefundsTheRestLater(t *testing.T) {
	w := newWorld(t, 2000, 2500)
	env := w.env()
	in := input(2000)
	var whileRefunding order.Order
	env.RegisterDelayedCallback(func() {
		whileRefunding = w.stored(in.ID)
		w.requireBalance(500, 1000)
	}, 4*time.Minute)

	start := env.Now()
	run(env, in)

	require.NoError(t, env.GetWorkflowError())
	require.GreaterOrEqual(t, env.Now().Sub(start), 5*time.Minute, "the refund waits for the plan's delay")
	require.Equal(t, order.Completed, whileRefunding.Status)
	require.Equal(t, []order.Credit{{Type: "email", Held: 2000, Captured: 1000}}, whileRefunding.Credits)

	var result order.Order
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, order.Settled, result.Status)
	require.Equal(t, order.Tally{Valid: 1000, Invalid: 1000}, result.Tally)
	require.Equal(t, []order.Credit{{Type: "email", Held: 2000, Captured: 1000, Released: 1000}}, result.Credits)
	w.requireBalance(1500, 0)
	w.requireDelivered(in.ID, 1000)
}

func TestOrderThatCreditsDoNotCoverIsRejectedAndHoldsNothing(t *testing.T) {
	w := newWorld(t, 100, 60)
	env := w.env()
	run(env, input(100))

	require.NoError(t, env.GetWorkflowError(), "missing credits are an answer, not an error")
	var result order.Order
	require.NoError(t, env.GetWorkflowResult(&result))
	require.Equal(t, order.Rejected, result.Status)
	require.Equal(t, order.CodeInsufficientCredits, result.Failure.Code)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 40}}, result.Failure.Missing)
	w.requireBalance(60, 0)
}

func TestReserveUpdateAnswersWithTheReservation(t *testing.T) {
	w := newWorld(t, 10, 100)
	env := w.env()
	var answers []order.Reservation
	ask := func() {
		env.UpdateWorkflow(workflows.UpdateReserve, workflows.UpdateReserve, &testsuite.TestUpdateCallback{
			OnAccept: func() {}, OnReject: func(err error) { require.NoError(t, err) },
			OnComplete: func(value any, err error) {
				require.NoError(t, err)
				answers = append(answers, value.(order.Reservation))
			},
		})
	}
	env.RegisterDelayedCallback(ask, 0)
	run(env, input(10))

	require.NoError(t, env.GetWorkflowError())
	require.Len(t, answers, 1)
	require.Equal(t, order.Reserved, answers[0].Order.Status)
	require.Equal(t, input(10).Request.Hash(), answers[0].RequestHash)
	require.Equal(t, []order.Credit{{Type: "email", Held: 10}}, answers[0].Order.Credits)
}

func TestOrderWithFewerLeadsThanAskedForRefundsTheDifference(t *testing.T) {
	w := newWorld(t, 30, 100)
	env := w.env()
	run(env, input(100))

	require.NoError(t, env.GetWorkflowError())
	var result order.Order
	require.NoError(t, env.GetWorkflowResult(&result))
	require.EqualValues(t, 30, result.Selected)
	require.Equal(t, []order.Credit{{Type: "email", Held: 30, Captured: 15, Released: 15}}, result.Credits, "no more is held than can be selected")
	w.requireBalance(85, 0)
}

func TestOrderThatFindsNoLeadDeliversNothingAndRefundsAll(t *testing.T) {
	w := newWorld(t, 5, 100)
	env := w.env()
	in := input(50)
	in.Request.Criteria = order.Criteria{Country: []string{"FR"}}
	run(env, in)

	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, order.Settled, w.stored(in.ID).Status)
	w.requireBalance(100, 0)
	w.requireDelivered(in.ID, 0)
}

func TestASecondOrderGetsOnlyLeadsTheOrganizationDoesNotOwn(t *testing.T) {
	w := newWorld(t, 40, 100)
	first, second := input(40), input(40)
	second.ID = order.ID(org, "second")
	for _, in := range []order.Input{first, second} {
		env := w.env()
		run(env, in)
		require.NoError(t, env.GetWorkflowError())
	}
	require.EqualValues(t, 20, w.stored(second.ID).Selected, "the twenty valid ones are owned already")
	w.requireDelivered(second.ID, 0)
	w.requireBalance(80, 0)
}

// What an open order may still deliver is not selected by another one.
func TestOpenOrdersDoNotShareLeads(t *testing.T) {
	w := newWorld(t, 40, 100)
	first, second := input(40), input(40)
	second.ID = order.ID(org, "second")
	w.verifier.during = func(call int) error {
		if call != 1 {
			return nil
		}
		w.verifier.during = nil
		env := w.env() // all of the second order runs while the first one verifies
		run(env, second)
		return env.GetWorkflowError()
	}
	env := w.env()
	run(env, first)

	require.NoError(t, env.GetWorkflowError())
	o := w.stored(first.ID)
	require.Zero(t, o.Tally.AlreadyOwned)
	require.Equal(t, []order.Credit{{Type: "email", Held: 40, Captured: 20, Released: 20}}, o.Credits)
	w.requireDelivered(first.ID, 20)
	w.requireDelivered(second.ID, 0)
	w.requireBalance(80, 0)
}

func TestGreylistedAddressesAreAskedAgainAfterADurableTimer(t *testing.T) {
	w := newWorld(t, 1200, 1200)
	w.verifier.greylisted = 3 // the three batches of the first round
	env := w.env()
	in := input(1200)
	var waiting order.Progress
	env.RegisterDelayedCallback(func() { waiting = progress(t, env) }, time.Minute)
	run(env, in)

	require.NoError(t, env.GetWorkflowError())
	require.Contains(t, waiting.Waiting, "round 2 of 3 for 120 greylisted addresses")
	require.EqualValues(t, 1080, waiting.Done)
	require.EqualValues(t, 120, waiting.Greylisted)
	require.Equal(t, 4, w.verifier.calls, "the second round is one batch for the greylisted ones of three")
	require.Equal(t, order.Tally{Valid: 600, Invalid: 600}, w.stored(in.ID).Tally)
	w.requireBalance(600, 0)
}

// The clocks of workers, of the database and of Temporal differ. An address whose
// host said "later" waits for as long as it should, whichever of the two is wrong.
func TestGreylistedAddressesWaitForNoOtherClock(t *testing.T) {
	for _, ahead := range []time.Duration{3 * time.Hour, -3 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			w := newWorld(t, 50, 50)
			w.verifier.greylisted, w.verifier.ahead = 1, ahead
			env := w.env()
			var waiting, after order.Progress
			env.RegisterDelayedCallback(func() { waiting = progress(t, env) }, 4*time.Minute)
			env.RegisterDelayedCallback(func() { after = progress(t, env) }, 6*time.Minute)
			run(env, input(50))

			require.NoError(t, env.GetWorkflowError())
			require.Contains(t, waiting.Waiting, "round 2 of 3 for 5 greylisted addresses")
			require.NotContains(t, after.Waiting, "greylisted")
			require.Equal(t, order.Tally{Valid: 25, Invalid: 25}, w.stored(input(50).ID).Tally)
		})
	}
}

func TestAddressesGreylistedForGoodStayUnknownAndFree(t *testing.T) {
	w := newWorld(t, 100, 100)
	w.verifier.greylisted = 1000
	env := w.env()
	in := input(100)
	run(env, in)

	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 3, w.verifier.calls)
	o := w.stored(in.ID)
	require.EqualValues(t, 1, o.Tally.Unknown, "one in ten, three times over")
	require.Equal(t, o.Tally.Valid, o.Credits[0].Captured)
	require.Contains(t, o.Reasons, order.Reason{Verdict: "unknown", Reason: "greylisted", Count: 1})
}

func TestAnOrderThatCannotReserveTellsItsSubmitterAndHoldsNothing(t *testing.T) {
	w := newWorld(t, 10, 100)
	env := w.env()
	in := input(10)
	in.Org = "missing"
	run(env, in)

	var app *temporal.ApplicationError
	require.ErrorAs(t, env.GetWorkflowError(), &app)
	require.Equal(t, "not_found", app.Type())
	require.Contains(t, app.Message(), "missing")
	w.requireBalance(100, 0)
}

func TestAnOrderStartedAgainTakesUpWhereItStands(t *testing.T) {
	w := newWorld(t, 1500, 2000)
	in := input(1500)

	// The first workflow is gone in the middle, as if an operator had terminated
	// it: its hold is open, one batch is charged.
	first := w.env()
	first.OnActivity(w.acts.DeliverOrder, mock.Anything, mock.Anything).Return(order.Order{}, errors.New("away")).Maybe()
	first.OnActivity(w.acts.ReleaseHold, mock.Anything, mock.Anything).Return(order.Order{}, temporal.NewNonRetryableApplicationError("terminated", "terminated", nil))
	first.RegisterDelayedCallback(first.CancelWorkflow, time.Hour)
	run(first, in)
	require.Equal(t, order.Verifying, w.stored(in.ID).Status)

	second := w.env()
	run(second, in)
	require.NoError(t, second.GetWorkflowError())
	require.Equal(t, order.Settled, w.stored(in.ID).Status)
	w.requireBalance(1250, 0)
	w.requireDelivered(in.ID, 750)

	third := w.env()
	run(third, in)
	require.NoError(t, third.GetWorkflowError(), "a settled order has nothing left to do")
	w.requireBalance(1250, 0)
}

func TestAKeyUsedForAnotherRequestLeavesTheFirstOrderAlone(t *testing.T) {
	w := newWorld(t, 20, 100)
	in := input(20)
	env := w.env()
	run(env, in)
	require.NoError(t, env.GetWorkflowError())
	before := w.stored(in.ID)

	in.Request.Count = 7
	again := w.env()
	run(again, in)
	require.NoError(t, again.GetWorkflowError())
	require.Equal(t, before, w.stored(in.ID))
}

// requireDelivered checks that the delivered items are as many as were charged.
func (w *world) requireDelivered(id string, want int64) {
	w.t.Helper()
	p, err := w.book.Progress(w.t.Context(), id, 1, 1<<40)
	require.NoError(w.t, err)
	require.Equal(w.t, want, p.Delivered, "delivered items")
}

func progress(t *testing.T, env *testsuite.TestWorkflowEnvironment) order.Progress {
	value, err := env.QueryWorkflow(workflows.QueryProgress)
	require.NoError(t, err)
	var p order.Progress
	require.NoError(t, value.Get(&p))
	return p
}
