package stand

import (
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
)

// Cost is what Temporal does for a workflow.
type Cost struct {
	Tasks   int // workflow tasks that were completed
	Actions int // that Temporal Cloud would bill, as far as a history shows them
}

// costOf counts by https://docs.temporal.io/cloud/actions: starting a workflow, an
// update, a timer, an upsert of search attributes, a signal and each start of an
// activity are an action each, and all local activities of one workflow task
// together are one. Search attributes given at the start, version markers and
// their search attribute are none. Not in a history, and not counted, are
// heartbeats, retries of activities and queries; an order of some seconds has none.
func costOf(events []*history.HistoryEvent) Cost {
	var c Cost
	local := map[int64]bool{} // workflow tasks with local activities
	for _, e := range events {
		switch e.GetEventType() {
		case enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			c.Tasks++
		case enums.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED,
			enums.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
			enums.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
			enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
			enums.EVENT_TYPE_TIMER_STARTED:
			c.Actions++
		case enums.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
			fields := e.GetUpsertWorkflowSearchAttributesEventAttributes().GetSearchAttributes().GetIndexedFields()
			if _, version := fields["TemporalChangeVersion"]; !version {
				c.Actions++
			}
		case enums.EVENT_TYPE_MARKER_RECORDED:
			marker := e.GetMarkerRecordedEventAttributes()
			if task := marker.GetWorkflowTaskCompletedEventId(); marker.GetMarkerName() == "LocalActivity" && !local[task] {
				local[task] = true
				c.Actions++
			}
		default: // costs nothing
		}
	}
	return c
}
