package workflows

import (
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
)

// small reports whether the order does its bookkeeping within workflow tasks.
func (o *orderRun) small() bool { return o.Reservation != nil && o.Reservation.Small }

// book carries out a step on our own database: a large order's as an activity, a
// small order's within the workflow task that comes to it, which costs the
// Temporal server a fifth. What is begun there is seen through, cancelled or not.
// A step that does not succeed there at once is given to an activity, which waits
// for a database that is away and keeps no workflow task open for it.
func (o *orderRun) book(ctx workflow.Context, step, in, result any) error {
	return book(ctx, o.small(), step, in, result)
}

func book(ctx workflow.Context, small bool, step, in, result any) error {
	if small {
		err := within(ctx, step, in, result)
		if err == nil || !mayPass(err) {
			return err
		}
		workflow.GetLogger(ctx).Info("A step did not succeed within the workflow task; an activity takes it over.", "reason", err)
	}
	return workflow.ExecuteActivity(ctx, step, in).Get(ctx, result)
}

// within carries a step out within the workflow task.
func within(ctx workflow.Context, step, in, result any) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	return workflow.ExecuteLocalActivity(ctx, step, in).Get(ctx, result)
}

// mayPass reports whether what kept a step from succeeding may pass by itself:
// all but a cancellation and what an activity says would fail again.
func mayPass(err error) bool {
	_, refused := activities.Refused(err)
	return !refused && !temporal.IsCanceledError(err)
}

// knows reports whether the order runs under code that has a change. A small
// order knows all that were made before there were small ones: asking would cost
// each of them two events.
func (o *orderRun) knows(ctx workflow.Context, change string) bool {
	return o.small() || workflow.GetVersion(ctx, change, workflow.DefaultVersion, 1) != workflow.DefaultVersion
}
