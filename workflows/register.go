package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
)

// a names the activities; it is never called.
var a *activities.Activities

// Register adds all workflows to a worker. In a Worker Deployment an order and a
// ride stay with the build that began them, until they end or continue as a new
// run; what runs for ever or starts again soon goes on with the newest build.
func Register(w worker.WorkflowRegistry) {
	for behavior, list := range map[workflow.VersioningBehavior][]any{
		workflow.VersioningBehaviorPinned:      {Order, Ride},
		workflow.VersioningBehaviorAutoUpgrade: {MonthlyReset, WebhookDelivery, Reconcile, AdvanceTestClock},
	} {
		for _, definition := range list {
			w.RegisterWorkflowWithOptions(definition, workflow.RegisterOptions{VersioningBehavior: behavior})
		}
	}
}
