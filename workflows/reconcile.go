package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
)

// reconciling names the activities of Reconcile; it is never called.
var reconciling *activities.ReconcileActivities

// Reconcile takes up again every open order that no workflow is running for. It
// is started by a schedule; a run that fails is made up for by the next one.
func Reconcile(ctx workflow.Context) (activities.Reconciled, error) {
	var done activities.Reconciled
	options := workflow.WithScheduleToCloseTimeout(
		bookkeeping(ctx, reconcileFairness, "compare open orders with running workflows"), workflowLookup)
	if err := workflow.ExecuteActivity(options, reconciling.Reconcile).Get(ctx, &done); err != nil {
		return done, err
	}
	workflow.SetCurrentDetails(ctx, fmt.Sprintf("%d open orders: %d were taken up again, %d could not be; %d holds released",
		done.Open, done.Recovered, done.Failed, done.Released))
	return done, nil
}
