package workflows

import (
	"go.temporal.io/sdk/worker"

	"holdfast/activities"
)

// a names the activities; it is never called.
var a *activities.Activities

// Register adds all workflows to a worker.
func Register(w worker.WorkflowRegistry) {
	w.RegisterWorkflow(Order)
	w.RegisterWorkflow(Ride)
	w.RegisterWorkflow(MonthlyReset)
	w.RegisterWorkflow(WebhookDelivery)
	w.RegisterWorkflow(Reconcile)
}
