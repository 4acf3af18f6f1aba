package workflows_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"holdfast/activities"
	"holdfast/internal/intake"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/workflows"
)

// lostOrder is an order whose workflow was terminated right after it was
// accepted: some of its hosts ask to come back a second later, so that it cannot
// be over by then.
func (s *stack) lostOrder(t *testing.T) (sub intake.Submission, o order.Order) {
	t.Helper()
	org := s.org(t, "verified-leads", map[string]int64{"email": 2000})
	sub = intake.Submission{Org: org, Key: "lost", Request: order.Request{Kind: order.LeadList, Count: 2000}}
	o, err := s.Intake.Submit(t.Context(), sub)
	require.NoError(t, err)
	require.NoError(t, s.Temporal.TerminateWorkflow(t.Context(), o.ID, "", "lost"))
	o, err = s.Book.Get(t.Context(), org, o.ID)
	require.NoError(t, err)
	require.False(t, o.Status.Over())
	require.Eventually(t, func() bool { // Temporal lists what runs a moment late
		running, err := s.Intake.RunningOrders(t.Context())
		return err == nil && !running[o.ID]
	}, 30*time.Second, 10*time.Millisecond)
	return sub, o
}

// endsAs demands that an order that was lost ends, in a status and with exact
// books.
func (s *stack) endsAs(t *testing.T, id string, want order.Status) {
	t.Helper()
	o := s.over(t, id)
	require.Equal(t, want, o.Status, "%+v", o.Failure)
	s.requireExact(t, o)
	s.requireTrue(t, o)
	require.Equal(t, o.Credits[0].Released, s.available(t, o.Org, "", "email"))
}

// A workflow that has delivered what the book has not, because the database was
// restored, must not end the order: another one takes it up and needs its credits.
func TestAWorkflowAheadOfTheBookReleasesNothing(t *testing.T) {
	w := newWorld(t, 10, 100)
	in := input(10)
	_, err := w.acts.Reserve(t.Context(), activities.ReserveInput{Input: in})
	require.NoError(t, err)
	_, err = w.acts.ReleaseHold(t.Context(), activities.ReleaseInput{OrderID: in.ID, Org: in.Org, Status: order.Settled})
	require.ErrorContains(t, err, "order recover --after-restore")
	w.requireBalance(90, 10)
	require.Equal(t, order.Reserved, w.stored(in.ID).Status)

	_, err = w.acts.ReleaseHold(t.Context(), activities.ReleaseInput{OrderID: in.ID, Org: in.Org, Status: order.Cancelled})
	require.NoError(t, err)
	w.requireBalance(100, 0)
}

func TestALostOrderIsTakenUpAgain(t *testing.T) {
	s := realStack(t)
	for name, c := range map[string]struct {
		again func(t *testing.T, sub intake.Submission, o order.Order)
		want  order.Status
	}{
		"by reconciling": {func(t *testing.T, _ intake.Submission, o order.Order) {
			found, err := s.Reconcile.Find(t.Context())
			require.NoError(t, err)
			require.Len(t, found, 1)
			require.Equal(t, o.ID, found[0].OrderID)
			run, err := s.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: workflows.TaskQueue}, workflows.Reconcile)
			require.NoError(t, err)
			var done activities.Reconciled
			require.NoError(t, run.Get(t.Context(), &done))
			require.EqualValues(t, 1, done.Recovered)
			require.Zero(t, done.Failed)
		}, order.Settled},
		"by an operator": {func(t *testing.T, _ intake.Submission, o order.Order) {
			recovered, err := s.Reconcile.Recover(t.Context(), o.ID)
			require.NoError(t, err)
			require.True(t, recovered)
			recovered, err = s.Reconcile.Recover(t.Context(), o.ID)
			require.NoError(t, err)
			require.False(t, recovered, "it is running")
		}, order.Settled},
		"by the same key": {func(t *testing.T, sub intake.Submission, o order.Order) {
			_, err := s.Pool.Exec(t.Context(), `UPDATE orders SET created_at = created_at - interval '1 minute' WHERE id = $1`, o.ID)
			require.NoError(t, err)
			again, err := s.Intake.Submit(t.Context(), sub)
			require.NoError(t, err)
			require.Equal(t, o.ID, again.ID)
		}, order.Settled},
		"by resuming it": {func(t *testing.T, _ intake.Submission, o order.Order) {
			_, err := s.Intake.Resume(t.Context(), o.Org, o.ID)
			require.NoError(t, err)
		}, order.Settled},
		"by cancelling it": {func(t *testing.T, _ intake.Submission, o order.Order) {
			first, err := s.Intake.Cancel(t.Context(), o.Org, o.ID)
			require.NoError(t, err)
			require.True(t, first)
		}, order.Cancelled},
		"by reconciling what was cancelled": {func(t *testing.T, _ intake.Submission, o order.Order) {
			_, first, err := s.Book.RequestCancel(t.Context(), o.Org, o.ID) // and the process died
			require.NoError(t, err)
			require.True(t, first)
			done, err := s.Reconcile.Run(t.Context())
			require.NoError(t, err)
			require.EqualValues(t, 1, done.Recovered)
			require.True(t, done.Lost[0].Cancelled)
		}, order.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			sub, o := s.lostOrder(t)
			c.again(t, sub, o)
			s.endsAs(t, o.ID, c.want)
			_, err := s.Reconcile.Recover(t.Context(), o.ID)
			require.ErrorIs(t, err, orderbook.ErrOver)
		})
	}
	stats, err := s.Reconcile.Stats(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, stats.Recovered)
	require.EqualValues(t, 2, stats.Runs)
}

// A workflow that is lost between its hold and its order leaves a hold
// without an order.
func TestAHoldWithoutAnOrderIsReleased(t *testing.T) {
	s := realStack(t)
	ctx := t.Context()
	org := s.org(t, "verified-leads", map[string]int64{"email": 100})
	id := order.ID(org, "half")
	held, err := s.Ledger.Hold(ctx, ledger.Hold{Owner: org, Key: id + "/hold", HoldID: id, Lines: []ledger.Line{{Type: "email", Amount: 60, Pools: []string{""}}}})
	require.NoError(t, err)
	require.True(t, held.Held)
	require.EqualValues(t, 40, s.available(t, org, "", "email"))

	found, err := s.Reconcile.Find(ctx)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Empty(t, found[0].Status)
	require.EqualValues(t, 40, s.available(t, org, "", "email"), "looking changes nothing")
	done, err := s.Reconcile.Run(ctx)
	require.NoError(t, err)
	require.EqualValues(t, 1, done.Released)
	require.EqualValues(t, 100, s.available(t, org, "", "email"))
	found, err = s.Reconcile.Find(ctx)
	require.NoError(t, err)
	require.Empty(t, found)
}

// Equal requests that come together are answered alike, and one that has nothing
// to do leaves no trace in the history.
func TestEqualStepsOfAnOrderAnswerAlike(t *testing.T) {
	s := realStack(t)
	ctx := t.Context()
	org := s.org(t, "verified-leads", map[string]int64{"email": 2000})
	o, err := s.Intake.Submit(ctx, intake.Submission{Org: org, Key: "steps", Request: order.Request{Kind: order.LeadList, Count: 2000}})
	require.NoError(t, err)
	events := func() int64 {
		d, err := s.Temporal.DescribeWorkflowExecution(ctx, o.ID, "")
		require.NoError(t, err)
		return d.GetWorkflowExecutionInfo().GetHistoryLength()
	}
	for _, step := range []struct {
		name string
		do   func(ctx context.Context, org, id string) (bool, error)
		over bool
	}{{"pause", s.Intake.Pause, false}, {"cancel", s.Intake.Cancel, true}} {
		t.Run(step.name, func(t *testing.T) {
			var changed [4]bool
			var errs [4]error
			var all sync.WaitGroup
			for i := range changed {
				all.Go(func() { changed[i], errs[i] = step.do(ctx, org, o.ID) })
			}
			all.Wait()
			n := 0
			for i := range changed {
				require.NoError(t, errs[i])
				if changed[i] {
					n++
				}
			}
			require.Equal(t, 1, n, "one of them changed something")
			if step.over {
				require.Error(t, s.Temporal.GetWorkflow(ctx, o.ID, "").Get(ctx, nil))
			} else {
				require.Eventually(t, func() bool { // what is under way is finished
					before := events()
					time.Sleep(300 * time.Millisecond)
					return events() == before
				}, time.Minute, time.Millisecond)
			}
			before := events()
			again, err := step.do(ctx, org, o.ID)
			require.NoError(t, err)
			require.False(t, again)
			require.Equal(t, before, events(), "nothing enters the history")
		})
	}
	s.requireExact(t, s.over(t, o.ID))
	_, err = s.Intake.Pause(ctx, org, o.ID)
	require.ErrorIs(t, err, intake.ErrOver)
}
