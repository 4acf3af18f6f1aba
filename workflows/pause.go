package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
	"holdfast/internal/order"
)

const (
	firstRecovery = time.Minute      // after which verification is tried again in an outage
	lastRecovery  = 15 * time.Minute // the pause between two tries grows up to this
)

// preflight asks, before any address is verified, whether verification can work
// at all, and waits until it does.
func (o *orderRun) preflight(ctx workflow.Context) error {
	for {
		if err := workflow.ExecuteActivity(verifying(ctx, o.in.Org, "can anything be verified?"), a.Preflight).Get(ctx, &o.outage); err != nil {
			return err
		}
		if o.outage == nil {
			o.Since = time.Time{}
			o.noteRecovered(ctx)
			return nil
		}
		if o.endsWaiting(ctx) {
			return nil
		}
		if err := o.awaitRecovery(ctx); err != nil {
			return err
		}
	}
}

// outageLimit is the version that orders got when they learned to end their
// wait: one that has waited longer before goes on as it did.
const outageLimit = "outage-limit"

// endsWaiting reports whether an outage has lasted as long as an order waits.
// What has no verdict then ends as unknown, free for the customer, instead of
// holding credits without end.
func (o *orderRun) endsWaiting(ctx workflow.Context) bool {
	now := workflow.Now(ctx)
	if o.Since.IsZero() {
		o.Since = now
	}
	if o.outage.Limit <= 0 || now.Sub(o.Since) < o.outage.Limit {
		return false
	}
	if !o.knows(ctx, outageLimit) {
		return false
	}
	workflow.GetLogger(ctx).Warn("Nothing could be verified for too long; what has no verdict ends as unknown.", "reason", o.outage.Reason)
	o.Ending, o.outage = o.outage, nil
	return true
}

// awaitRecovery pauses an order while nothing can be verified at any host: our port is closed, our address is listed, DNS is down. It goes on by
// itself after a while, or at once when it is resumed.
func (o *orderRun) awaitRecovery(ctx workflow.Context) error {
	outage := *o.outage
	wait := min(firstRecovery<<min(o.Recoveries, 4), lastRecovery)
	if outage.Limit > 0 { // tried once more at the limit
		wait = max(min(wait, outage.Limit-workflow.Now(ctx).Sub(o.Since)), time.Second)
	}
	o.Recoveries++
	what := "verification to work again: " + outage.Message
	o.waitFor(ctx, what, workflow.Now(ctx).Add(wait))
	o.resumed = false
	_, err := workflow.AwaitWithOptions(ctx, workflow.AwaitOptions{
		Timeout: wait, TimerOptions: workflow.TimerOptions{Summary: "outage: " + outage.Reason},
	}, func() bool { return o.resumed })
	o.outage, o.waited = nil, true
	o.waitFor(ctx, "", time.Time{})
	return err
}

// notingRecoveries is the version since which orders note in the book that an
// outage has ended.
const notingRecoveries = "note-recoveries"

// noteRecovered lets the book show that an outage has ended, and announce it.
// Should that fail, the order goes on all the same. Orders of every size ask for
// their version: some have waited through outages before there was this one.
func (o *orderRun) noteRecovered(ctx workflow.Context) {
	if !o.waited {
		return
	}
	o.waited = false
	if workflow.GetVersion(ctx, notingRecoveries, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		return
	}
	if err := workflow.ExecuteLocalActivity(noting(ctx), a.NoteRecovered, o.in.ID).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Info("That the outage has ended was not noted.", "reason", err)
	}
}

// awaitResume holds back new batches while the order is paused.
func (o *orderRun) awaitResume(ctx workflow.Context) error {
	if !o.Paused {
		return nil
	}
	o.waitFor(ctx, "a call to resume it", time.Time{})
	err := workflow.Await(ctx, func() bool { return !o.Paused })
	o.waitFor(ctx, "", time.Time{})
	return err
}

// notingPauses is the version since which an order notes its pauses in the book
// itself, in the order in which they came.
const notingPauses = "note-pauses"

// listenForPauses answers the updates pause and resume. Batches under way are
// finished and charged; no new ones begin. Resuming also ends the wait of an
// outage. An update that would change nothing is refused before it enters the
// history.
func (o *orderRun) listenForPauses(ctx workflow.Context) error {
	if err := workflow.SetUpdateHandlerWithOptions(ctx, UpdatePause, func(ctx workflow.Context) (noted bool, err error) {
		return o.setPaused(ctx, true)
	}, workflow.UpdateHandlerOptions{Validator: o.mayPause}); err != nil {
		return err
	}
	return workflow.SetUpdateHandlerWithOptions(ctx, UpdateResume, func(ctx workflow.Context) (noted bool, err error) {
		return o.setPaused(ctx, false)
	}, workflow.UpdateHandlerOptions{Validator: o.mayResume})
}

func (o *orderRun) mayPause() error {
	switch o.Progress.Stage {
	case order.StageRefunding, order.StageOver:
		return temporal.NewApplicationError("the order is delivered", RefusedDelivered)
	case order.StageReserving, order.StageSelecting, order.StageVerifying, order.StageDelivering:
	}
	if o.Paused {
		return temporal.NewApplicationError("the order is paused", RefusedNothingToDo)
	}
	return nil
}

// mayResume lets an order be resumed that is not reserved yet: whether it was
// paused when its last workflow was lost is not known before.
func (o *orderRun) mayResume() error {
	if o.Reservation != nil && !o.Paused && o.outage == nil {
		return temporal.NewApplicationError("the order is not paused", RefusedNothingToDo)
	}
	return nil
}

// pauses counts the pauses and resumptions of a run. Handlers that wait for the same
// thing do not go on in the order in which they came, so each waits for its turn.
type pauses struct{ asked, made, noted int }

// setPaused pauses the order or resumes it, and notes it in the book. Several calls
// are noted as they came, so that the book never ends with an older one: a workflow
// that is started again believes it. It reports false for an order that leaves the
// note to the caller, as orders did before.
func (o *orderRun) setPaused(ctx workflow.Context, paused bool) (noted bool, err error) {
	if workflow.GetVersion(ctx, notingPauses, workflow.DefaultVersion, 1) == workflow.DefaultVersion {
		o.Paused, o.resumed = paused, o.resumed || !paused
		return false, nil
	}
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	turn := o.pauses.asked
	o.pauses.asked++
	// One that comes before the reservation waits for it: the book may say that the
	// order is paused.
	known := func() bool { return (o.Reservation != nil || o.failure != nil) && o.pauses.made == turn }
	if err := workflow.Await(ctx, known); err != nil {
		return true, err
	}
	o.Paused, o.resumed = paused, o.resumed || !paused
	o.pauses.made++
	if err := workflow.Await(ctx, func() bool { return o.pauses.noted == turn }); err != nil {
		return true, err
	}
	defer func() { o.pauses.noted++ }()
	summary := "note that the order is resumed"
	if paused {
		summary = "note that the order is paused"
	}
	in := activities.NotePausedInput{OrderID: o.in.ID, Paused: paused}
	return true, book(bookkeeping(ctx, o.in.Org, summary), true, a.NotePaused, in, nil)
}
