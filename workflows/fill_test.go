package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"holdfast/internal/order"
	"holdfast/internal/suppression"
)

func fill(count int64) order.Input {
	in := input(count)
	in.Request.Fill = true
	return in
}

func TestRule_X2_AnOrderRunsUntilSoManyValidLeadsAreDelivered(t *testing.T) {
	w := newWorld(t, 2000, 700)
	in := fill(700)
	env := w.env()
	run(env, in)

	require.NoError(t, env.GetWorkflowError())
	o := w.stored(in.ID)
	require.Equal(t, order.Settled, o.Status)
	require.EqualValues(t, 700, o.Tally.Valid, "not one more, not one less")
	require.Equal(t, o.Selected, o.Tally.Verified())
	require.Equal(t, []order.Credit{{Type: "email", Held: 700, Captured: 700}}, o.Credits)
	w.requireDelivered(in.ID, 700)
	w.requireBalance(0, 0)
}

func TestAnExhaustedCatalogueEndsAFilledOrderHonestly(t *testing.T) {
	w := newWorld(t, 100, 500)
	in := fill(80)
	env := w.env()
	run(env, in)

	require.NoError(t, env.GetWorkflowError())
	o := w.stored(in.ID)
	require.EqualValues(t, 100, o.Selected)
	require.Equal(t, order.Tally{Valid: 50, Invalid: 50}, o.Tally)
	require.Equal(t, []order.Credit{{Type: "email", Held: 80, Captured: 50, Released: 30}}, o.Credits)
	w.requireBalance(450, 0)
}

// What waits for a greylisting host may yet be valid: it is not replaced before
// its last round, or more would be valid than credits are held for.
func TestFillingCountsOnWhatIsGreylisted(t *testing.T) {
	w := newWorld(t, 3000, 600)
	w.verifier.greylisted = 4
	in := fill(600)
	var waiting order.Progress
	env := w.env()
	env.RegisterDelayedCallback(func() { waiting = progress(t, env) }, time.Minute)
	run(env, in)

	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, int64(600), waiting.Tally.Valid+waiting.Greylisted, "it waits when all could come")
	o := w.stored(in.ID)
	require.EqualValues(t, 600, o.Tally.Valid)
	require.EqualValues(t, 600, o.Credits[0].Captured)
	w.requireBalance(0, 0)
}

func TestOwnedLeadsAreIncludedFreeWhereAsked(t *testing.T) {
	w := newWorld(t, 40, 100)
	first := input(40)
	env := w.env()
	run(env, first)
	require.NoError(t, env.GetWorkflowError())
	w.requireBalance(80, 0)

	again := input(40)
	again.ID, again.Request.IncludeOwned = order.ID(org, "again"), true
	env = w.env()
	run(env, again)
	require.NoError(t, env.GetWorkflowError())
	o := w.stored(again.ID)
	require.EqualValues(t, 40, o.Selected)
	require.Equal(t, order.Tally{Valid: 20, Invalid: 20, AlreadyOwned: 20}, o.Tally)
	require.Zero(t, o.Credits[0].Captured)
	w.requireDelivered(again.ID, 20)
	w.requireBalance(80, 0)
}

func TestSuppressedContactsAreNeitherVerifiedNorDelivered(t *testing.T) {
	w := newWorld(t, 40, 100)
	_, err := suppression.New(w.pool).Add(t.Context(), org, "customers already", []string{"domain1.test", "valid.3@domain3.test"})
	require.NoError(t, err)
	in := fill(40)
	env := w.env()
	run(env, in)
	require.NoError(t, env.GetWorkflowError())
	require.EqualValues(t, 40-3-1, w.stored(in.ID).Selected, "1, 18 and 35 are at domain1, and number 3")
	for _, row := range w.delivered(in.ID) {
		require.NotContains(t, row, "domain1.test")
		require.NotContains(t, row, "valid.3@")
	}
}

func TestAFilledOrderStartedAgainTakesUpWhereItStands(t *testing.T) {
	w := newWorld(t, 3000, 1000)
	in := fill(900)
	gone := temporal.NewNonRetryableApplicationError("terminated", "terminated", nil)
	first := w.env()
	first.OnActivity(w.acts.DeliverOrder, mock.Anything, mock.Anything).Return(order.Order{}, gone)
	first.OnActivity(w.acts.ReleaseHold, mock.Anything, mock.Anything).Return(order.Order{}, gone)
	run(first, in)
	before := w.stored(in.ID)
	require.Equal(t, order.Verifying, before.Status)
	asked := w.verifier.calls

	second := w.env()
	run(second, in)
	require.NoError(t, second.GetWorkflowError())
	require.Equal(t, asked, w.verifier.calls, "nothing is verified twice")
	o := w.stored(in.ID)
	require.Equal(t, before.Selected, o.Selected)
	require.EqualValues(t, 900, o.Credits[0].Captured)
	w.requireBalance(100, 0)
}
