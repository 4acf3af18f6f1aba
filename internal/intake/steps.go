package intake

import (
	"context"
	"errors"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"holdfast/internal/orderbook"
	"holdfast/workflows"
)

// Cancel asks an order to stop: what was delivered stays, the rest of its hold
// is released. An order that waits for its refund is refunded at once. It
// returns when the request is noted; the order is over moments later. The
// request is noted in the book first, so that it outlives the workflow: one that
// is gone is started again, to end the order.
//
// It says whether this is the first request; others find nothing to do.
//
// Errors: orderbook.ErrNotFound, ErrOver.
func (in *Intake) Cancel(ctx context.Context, org, id string) (first bool, err error) {
	o, first, err := in.book.RequestCancel(ctx, org, id)
	if errors.Is(err, orderbook.ErrOver) {
		return false, ErrOver
	}
	if err != nil || o.Status.Over() {
		return false, err
	}
	if err := in.PassCancelOn(ctx, id); err != nil {
		return false, err
	}
	return first, in.mend(ctx, id)
}

// Pause keeps an order from beginning new batches: those under way are finished
// and charged. Once everything is verified only the parts of an export are held
// back. It says whether the order was not paused before.
//
// Errors: orderbook.ErrNotFound, ErrOver, ErrDelivered.
func (in *Intake) Pause(ctx context.Context, org, id string) (changed bool, err error) {
	return in.tell(ctx, org, id, workflows.UpdatePause)
}

// Resume lets a paused order go on, and makes an order that waits for an outage
// to end try again at once. It says whether there was anything to resume.
//
// Errors: orderbook.ErrNotFound, ErrOver.
func (in *Intake) Resume(ctx context.Context, org, id string) (changed bool, err error) {
	return in.tell(ctx, org, id, workflows.UpdateResume)
}

// tell sends a running order an update without arguments. The workflow refuses
// one that would change nothing, which leaves no trace in its history. A
// workflow that is gone is started again first.
func (in *Intake) tell(ctx context.Context, org, id, update string) (changed bool, err error) {
	o, err := in.book.Get(ctx, org, id)
	if err != nil {
		return false, err
	}
	if o.Status.Over() {
		return false, ErrOver
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	err = in.update(ctx, id, update)
	if isGone(err) { // perhaps because it is riding
		if err := in.awaitRide(ctx, id); err != nil {
			return false, err
		}
		err = in.update(ctx, id, update)
	}
	if isGone(err) {
		again, lost := in.takeUpLost(ctx, id)
		if lost != nil {
			return false, lost
		}
		if !again {
			return false, ErrOver
		}
		err = in.update(ctx, id, update)
	}
	var app *temporal.ApplicationError
	nothingToDo := errors.As(err, &app) && app.Type() == workflows.RefusedNothingToDo
	if err == nil || nothingToDo { // the workflow decides, the book shows it
		if err := in.book.NotePaused(ctx, id, update == workflows.UpdatePause); err != nil {
			return false, err
		}
	}
	switch {
	case nothingToDo:
		return false, nil
	case errors.As(err, &app) && app.Type() == workflows.RefusedDelivered:
		return false, ErrDelivered
	case isGone(err):
		return false, ErrOver
	case errors.Is(err, context.DeadlineExceeded):
		return false, ErrAway
	}
	return err == nil, err
}

func (in *Intake) update(ctx context.Context, id, name string) error {
	handle, err := in.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: name, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, nil)
}
