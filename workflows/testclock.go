package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
)

// SignalTimeMoved says to an order that the test clock of its organization has
// moved.
const SignalTimeMoved = "time-moved"

// TestClockID is the ID of the workflow that advances a test clock.
func TestClockID(clock string) string { return "test-clock-" + clock }

// advancing names the activity of AdvanceTestClock; it is never called.
var advancing *activities.TestClockActivities

// SignalAdvance asks AdvanceTestClock to look at where the clock is to go. It comes
// with the start, so that an advance is not lost that is asked for while the
// workflow of the one before ends.
const SignalAdvance = "advance"

// AdvanceTestClock leads a test clock to the time that is noted with it. The
// activity goes on where it was, however often it is interrupted.
func AdvanceTestClock(ctx workflow.Context, clock string) error {
	asked := workflow.GetSignalChannel(ctx, SignalAdvance)
	options := workflow.WithStartToCloseTimeout(givingBack(ctx, clock, "advance "+clock), 24*time.Hour)
	for asked.ReceiveAsync(nil) {
		for asked.ReceiveAsync(nil) { // one walk answers all of them
			continue
		}
		if err := workflow.ExecuteActivity(options, advancing.WalkTestClock, clock).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

// awaitTestClock waits until the organization's own time has come to that of the
// refund: no timer knows it. Each move of the clock that concerns the order is
// signalled; the clock itself decides, so that a signal may come early or twice.
func (o *orderRun) awaitTestClock(ctx workflow.Context, what string) {
	o.waitFor(ctx, what, *o.Order.RefundAt)
	moved := workflow.GetSignalChannel(ctx, SignalTimeMoved)
	for {
		var due bool
		if err := o.book(bookkeeping(ctx, o.in.Org, "look at the test clock"), a.RefundDue, o.in.ID, &due); err != nil || due {
			break
		}
		workflow.NewSelector(ctx).
			AddReceive(moved, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) }).
			AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {}).
			Select(ctx)
		if ctx.Err() != nil {
			break
		}
	}
	o.waitFor(ctx, "", time.Time{})
}
