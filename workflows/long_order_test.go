package workflows_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"holdfast/internal/intake"
	"holdfast/internal/order"
	"holdfast/workflows"
)

// long starts an order whose runs may have only so many events, as intake would
// start it, and returns its ID.
func (s *stack) long(t *testing.T, sub intake.Submission, maxEvents int) string {
	t.Helper()
	in := order.Input{ID: order.ID(sub.Org, sub.Key), Org: sub.Org, Request: sub.Request}
	_, err := s.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: in.ID, TaskQueue: workflows.TaskQueue,
		TypedSearchAttributes: workflows.StartOptions(in).TypedSearchAttributes,
		Memo:                  map[string]any{"why": "a test"},
		Priority:              temporal.Priority{FairnessKey: in.Org},
	}, workflows.Order, workflows.OrderInput{Input: in, MaxEvents: maxEvents})
	require.NoError(t, err)
	return in.ID
}

// runs are the histories of all runs of an order that is over, first to last.
func (s *stack) runs(t *testing.T, id, first string) (runs [][]*history.HistoryEvent) {
	t.Helper()
	for next := first; next != ""; {
		var events []*history.HistoryEvent
		all := s.Temporal.GetWorkflowHistory(t.Context(), id, next, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		for all.HasNext() {
			event, err := all.Next()
			require.NoError(t, err)
			events = append(events, event)
		}
		runs = append(runs, events)
		next = events[len(events)-1].GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
	}
	return runs
}

func (s *stack) runID(t *testing.T, id string) string {
	t.Helper()
	d, err := s.Temporal.DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err)
	return d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}

// An order is paused while its worker is replaced, and resumed, continues
// several times on a real server and is submitted again; what comes of it is what one
// run would have come to.
func TestALongOrderContinuesOnARealServer(t *testing.T) {
	const count, maxEvents = stackLeads, 20
	ctx := t.Context()
	s := realStack(t)
	sub := intake.Submission{Org: s.org(t, "verified-leads", map[string]int64{"email": count}), Key: "long", Request: order.Request{Kind: order.LeadList, Count: count}}
	id := s.long(t, sub, maxEvents)
	first := s.runID(t, id)
	require.Eventually(t, func() bool { _, err := s.Intake.Pause(ctx, sub.Org, id); return err == nil }, time.Minute, time.Millisecond, "while it chooses its leads")
	var paused order.Progress
	require.Eventually(t, func() bool {
		var err error
		paused, err = s.Intake.Progress(ctx, id)
		return err == nil && paused.Waiting == "a call to resume it"
	}, time.Minute, 10*time.Millisecond)
	require.Less(t, paused.Done, int64(count))
	s.anotherWorker(t)
	still, err := s.Intake.Progress(ctx, id)
	require.NoError(t, err)
	require.Equal(t, paused.Waiting, still.Waiting, "another worker knows that it is paused")
	require.Equal(t, paused.Stages, still.Stages)
	require.InDelta(t, paused.Rate, still.Rate, 0.001, "the time that it is paused does not count")
	require.Nil(t, still.ETA, "it is unknown when it is resumed")
	resumed, err := s.Intake.Resume(ctx, sub.Org, id)
	require.NoError(t, err)
	require.True(t, resumed)

	require.Eventually(t, func() bool { return s.runID(t, id) != first }, time.Minute, 10*time.Millisecond, "it continues")
	again, err := s.Intake.Submit(ctx, sub)
	require.NoError(t, err, "the same request is answered in every run")
	require.Equal(t, id, again.ID)
	other := sub
	other.Request.Count = 7
	_, err = s.Intake.Submit(ctx, other)
	require.ErrorIs(t, err, intake.ErrKeyReused)

	o := s.over(t, id)
	require.Equal(t, order.Settled, o.Status)
	require.EqualValues(t, count, o.Tally.Verified())
	require.Equal(t, []order.Credit{{Type: "email", Held: count, Captured: o.Tally.Valid, Released: count - o.Tally.Valid}}, o.Credits)
	s.requireExact(t, o)
	s.requireTrue(t, o)

	runs := s.runs(t, id, first)
	require.Greater(t, len(runs), 3, "several runs")
	for i, events := range runs {
		require.Less(t, len(events), maxEvents+120, "run %d", i+1)
		started := events[0].GetWorkflowExecutionStartedEventAttributes()
		require.Equal(t, sub.Org, started.GetPriority().GetFairnessKey())
		require.Less(t, len(started.GetInput().GetPayloads()[0].GetData()), 20_000, "what it was handed is small")
	}
	d, err := s.Temporal.DescribeWorkflow(ctx, id, "")
	require.NoError(t, err)
	status, _ := d.TypedSearchAttributes.GetKeyword(workflows.AttrOrderStatus)
	require.Equal(t, "settled", status)
	who, _ := d.TypedSearchAttributes.GetKeyword(workflows.AttrOrganization)
	require.Equal(t, sub.Org, who)
	require.Contains(t, d.Memo.GetFields(), "why")

	end, err := s.Intake.Progress(ctx, id)
	require.NoError(t, err)
	require.EqualValues(t, count, end.Done)
	require.Equal(t, []order.Amount{{Type: "email", Amount: o.Tally.Valid}}, end.Charged)
	require.True(t, slices.IsSortedFunc(end.Stages, func(a, b order.StageTime) int { return a.At.Compare(b.At) }))
}

// Orders that continue after every batch are cancelled at any time, in between
// two runs as well; the books are exact.
func TestALongOrderIsCancelledWhileItContinues(t *testing.T) {
	const count = 3000
	s := realStack(t)
	var group sync.WaitGroup
	var ids []string
	for i := range int64(5) {
		org := s.org(t, "verified-leads", map[string]int64{"email": count})
		id := s.long(t, intake.Submission{Org: org, Key: "cancelled", Request: order.Request{Kind: order.LeadList, Count: count}}, 5)
		ids = append(ids, id)
		group.Go(func() {
			for {
				p, err := s.Intake.Progress(t.Context(), id)
				if err != nil || p.Stage == order.StageOver || (p.Total > 0 && p.Done >= i*500) {
					break
				}
			}
			if _, err := s.Intake.Cancel(t.Context(), org, id); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, id := range ids {
		o := s.over(t, id)
		require.Equal(t, order.Cancelled, o.Status)
		s.requireExact(t, o)
		s.requireTrue(t, o)
	}
}
