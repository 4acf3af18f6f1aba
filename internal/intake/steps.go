package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"holdfast/internal/idempotency"
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
	idempotency.Asks(ctx, update+" "+id)
	if again, err := in.book.Stepped(ctx, org, id); err != nil || again { // a copy that came late, perhaps after another step
		return false, err
	}
	noted, err := in.updateAnywhere(ctx, id, update)
	if err == nil && !noted { // an order of before it did that itself
		err = in.book.NotePaused(ctx, id, update == workflows.UpdatePause)
	}
	var app *temporal.ApplicationError
	nothingToDo := errors.As(err, &app) && app.Type() == workflows.RefusedNothingToDo
	if err == nil || nothingToDo {
		if noting := in.book.NoteStep(ctx, org, id); noting != nil {
			return false, noting
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

// updateAnywhere sends an update to the workflow of an order: its own,
// or that of its ride.
func (in *Intake) updateAnywhere(ctx context.Context, id, name string) (noted bool, err error) {
	noted, err = in.update(ctx, id, name)
	if isGone(err) { // perhaps because it is riding
		if err := in.awaitRide(ctx, id); err != nil {
			return false, err
		}
		noted, err = in.update(ctx, id, name)
	}
	if !isGone(err) {
		return noted, err
	}
	again, lost := in.takeUpLost(ctx, id)
	if lost != nil {
		return false, lost
	}
	if !again {
		return false, ErrOver
	}
	return in.update(ctx, id, name)
}

// update sends an update and waits until it is carried out. Copies of a request
// that has an idempotency key are one update. It reports whether the workflow has
// noted it in the book.
func (in *Intake) update(ctx context.Context, id, name string) (noted bool, err error) {
	handle, err := in.temporal.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: id, UpdateName: name, UpdateID: updateID(ctx, name), WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err != nil {
		return false, err
	}
	err = handle.Get(ctx, &noted)
	if errors.Is(err, temporal.ErrNoData) { // of a worker of before
		return false, nil
	}
	return noted, err
}

// updateID is the ID of the update that a request asks for; empty: a new one.
func updateID(ctx context.Context, name string) string {
	key := idempotency.Key(ctx)
	if key == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(key))
	return name + "/" + hex.EncodeToString(sum[:])
}
