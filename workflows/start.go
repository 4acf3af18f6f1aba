package workflows

import (
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"holdfast/internal/order"
)

// StartOptions are those of an order's workflow. A running order is joined. A
// settled one is not run again, a failed or cancelled one finds in the books that
// it is over.
func StartOptions(in order.Input) client.StartWorkflowOptions {
	return client.StartWorkflowOptions{
		ID:                       in.ID,
		TaskQueue:                TaskQueue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE_FAILED_ONLY,
		TypedSearchAttributes:    attributesOf(in),
		StaticSummary:            in.Summary(),
		StaticDetails:            in.Details(),
		Priority:                 temporal.Priority{FairnessKey: in.Org},
	}
}

// handedOver are the options of an order's workflow that a ride starts: the same,
// but that the order is taken up where it stands, however its last workflow ended.
func handedOver(in order.Input) workflow.ChildWorkflowOptions {
	own := StartOptions(in)
	return workflow.ChildWorkflowOptions{
		WorkflowID:            own.ID,
		TaskQueue:             own.TaskQueue,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		TypedSearchAttributes: own.TypedSearchAttributes,
		StaticSummary:         own.StaticSummary,
		StaticDetails:         own.StaticDetails,
		Priority:              own.Priority,
	}
}
