// Package workflows tells the story of an order, and nothing else: what happens
// in which order, what is waited for, what is undone. Everything that touches
// the world is an activity.
package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
	"holdfast/internal/order"
)

// Order holds credits, verifies candidates, charges what is valid as it comes,
// delivers it, and gives the rest back. Its workflow ID is the order's ID. The
// update "reserve" answers as soon as the credits are held or found missing,
// the query "progress" at any time. Cancelling it keeps what was delivered and
// releases the rest; so does a failure.
//
// Started again with the same input it takes up the order where it stands: all
// of its effects have keys. An order with a long history goes on in a new run,
// where it answers as before.
func Order(ctx workflow.Context, in OrderInput) (order.Order, error) {
	o, err := newOrderRun(ctx, in)
	if err != nil {
		return order.Order{}, err
	}
	err = o.run(ctx)
	if err := o.answerEveryone(ctx); err != nil {
		return order.Order{}, err
	}
	return o.Order, err
}

// orderRun is the state of one run of an order's workflow.
type orderRun struct {
	in        order.Input
	announced bool
	maxEvents int
	terms     order.Terms
	carried

	failure error              // set when the reservation could not be decided
	outage  *activities.Outage // nothing can be verified just now
	waited  bool               // for an outage to end, and verification has not worked since
	resumed bool               // the order was asked to go on
	pauses  pauses             // and resumptions, of this run
	begun   int                // batches and parts begun in this run
	waits   time.Time          // since when the order waits for something
	shown   order.Status       // by the search attribute
}

// run is the whole story.
func (o *orderRun) run(ctx workflow.Context) (err error) {
	// Registered before there is a hold, so that no step can leave one behind.
	defer func() {
		if err != nil && !workflow.IsContinueAsNewError(err) {
			err = o.giveBack(ctx, err)
		}
	}()

	if err := o.reserve(ctx); err != nil {
		return err
	}
	if o.Order.Status.Over() {
		return nil // rejected, or finished by an earlier run
	}
	if o.Reservation.RequestHash != o.in.Request.Hash() {
		return nil // another order's key: its submitter learns it, the order stays as it is
	}
	if o.cancelledBefore() {
		return temporal.NewCanceledError()
	}
	if !o.Order.Status.Delivered() {
		if err := o.selectLeads(ctx); err != nil {
			return err
		}
	}
	if !o.Order.Status.Delivered() {
		if err := o.verifyAndCharge(ctx); err != nil {
			return err
		}
		if err := o.handOver(ctx); err != nil {
			return err
		}
		if err := o.deliver(ctx); err != nil {
			return err
		}
	}
	if o.Order.Status == order.Settled {
		return nil
	}
	o.awaitRefund(ctx)
	return o.settle(ctx)
}

// reserve decides within the first workflow task whether the credits are held.
// It cannot be cancelled: what it did must be known.
func (o *orderRun) reserve(ctx workflow.Context) error {
	if o.Reservation != nil {
		return nil // the run before this one had its answer
	}
	o.enter(ctx, order.StageReserving)
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()

	var r order.Reservation
	err := workflow.ExecuteLocalActivity(reserving(ctx), a.Reserve, activities.ReserveInput{Input: o.in, Announce: o.announced}).Get(ctx, &r)
	if err != nil {
		o.failure = err
		return err
	}
	o.terms = r.Terms
	o.Reservation = &r
	o.Paused = o.Paused || r.Order.Paused // when the workflow before this one was lost
	return o.stands(ctx, r.Order)
}

// cancelledBefore reports whether the customer cancelled the order while no
// workflow of it was running.
func (o *orderRun) cancelledBefore() bool {
	return o.Order.CancelRequestedAt != nil && !o.Order.Status.Delivered()
}

// selectLeads freezes the candidates, so that every later step works on the
// same ones. A small order that keeps no submitter waiting is carried out in the
// same step, as far as it goes without waiting.
func (o *orderRun) selectLeads(ctx workflow.Context) error {
	if o.Round > 0 || o.Parts > 0 {
		return nil // the run before this one works on them
	}
	o.enter(ctx, order.StageSelecting)
	choosing := o.in.Request.Kind.Spec().Choosing(o.in.Request)
	var selected activities.Selection
	var err error
	if o.announced && o.small() && !o.in.Request.Kind.Spec().Exports {
		in := activities.CarryOutInput{Input: o.in, Terms: o.terms}
		err = o.book(carryingOut(ctx, o.in.Org, choosing+"; verify, charge and deliver what can be at once"), a.CarryOut, in, &selected)
	} else {
		in := activities.SelectInput{ID: o.in.ID, Org: o.in.Org, Member: o.in.Member, Terms: o.terms}
		err = o.book(bookkeeping(ctx, o.in.Org, choosing), a.SelectLeads, in, &selected)
	}
	if err != nil {
		return err
	}
	o.Decided = selected.Decided
	o.Progress.Total, o.Progress.More = selected.Selected, o.in.Request.Fill
	return o.stands(ctx, selected.Order)
}

// deliver counts, closes the list and publishes it.
func (o *orderRun) deliver(ctx workflow.Context) error {
	o.enter(ctx, order.StageDelivering)
	in := activities.DeliverInput{OrderID: o.in.ID, Org: o.in.Org, RefundDelay: o.terms.RefundDelay}

	var delivered order.Order
	if err := o.book(bookkeeping(ctx, o.in.Org, "count and deliver the list"), a.DeliverOrder, in, &delivered); err != nil {
		return err
	}
	o.Progress.Tally = delivered.Tally
	return o.stands(ctx, delivered)
}

// awaitRefund waits for the plan's refund delay when there is anything to give
// back. A cancelled order is refunded at once.
func (o *orderRun) awaitRefund(ctx workflow.Context) {
	rest := o.rest()
	if len(rest) == 0 || o.Order.RefundAt == nil || (o.small() && o.terms.RefundDelay == 0) {
		return
	}
	o.enter(ctx, order.StageRefunding)
	what := "refund of " + amounts(rest)
	if o.Order.TestClock {
		o.awaitTestClock(ctx, what)
		return
	}
	wait := refundWait(*o.Order.RefundAt, workflow.Now(ctx), o.terms.RefundDelay)
	if wait <= 0 {
		return
	}
	o.waitFor(ctx, what, *o.Order.RefundAt)
	timer := workflow.NewTimerWithOptions(ctx, wait, workflow.TimerOptions{Summary: what})
	if err := timer.Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Info("The refund delay was cut short.", "reason", err)
	}
	o.waitFor(ctx, "", time.Time{})
}

// refundWait is how long a refund waits: until it is due by the database's clock,
// and never longer than the plan says, as it would after that clock was ahead.
func refundWait(due, now time.Time, delay time.Duration) time.Duration {
	return min(due.Sub(now), delay)
}

// settle releases what is left of the hold.
func (o *orderRun) settle(ctx workflow.Context) error {
	return o.release(ctx, order.Settled, nil)
}

// giveBack ends an order that cannot go on: what was delivered stays delivered
// and charged, the rest is released at once. The cause is returned, so that the
// workflow ends as cancelled or failed; but an order whose list was closed by
// then is settled, for any cause.
func (o *orderRun) giveBack(ctx workflow.Context, cause error) error {
	if err := ctx.Err(); err != nil {
		cause = err // what failed since the order was cancelled was not tried again
	}
	status, failure := order.Cancelled, (*order.Failure)(nil)
	if !temporal.IsCanceledError(cause) {
		status, failure = order.Failed, failureOf(cause)
	}
	if err := o.release(ctx, status, failure); err != nil {
		return err
	}
	if o.Order.Status == order.Settled {
		return nil
	}
	return cause
}

// release ends the order in the given status and gives back what its hold
// still has, whether or not the workflow has been cancelled.
func (o *orderRun) release(ctx workflow.Context, status order.Status, failure *order.Failure) error {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	in := activities.ReleaseInput{
		OrderID: o.in.ID, Org: o.in.Org, Member: o.in.Member, Kind: o.in.Request.Kind,
		Plan: o.terms.Plan, PlanVersion: o.terms.PlanVersion, Terms: o.terms,
		At: workflow.Now(ctx), Status: status, Failure: failure,
	}
	var ended order.Order
	summary := "release what was not charged"
	if err := o.book(givingBack(ctx, o.in.Org, summary), a.ReleaseHold, in, &ended); err != nil {
		return err
	}
	o.enter(ctx, order.StageOver)
	return o.stands(ctx, ended)
}

// rest is what the hold still has.
func (o *orderRun) rest() []order.Amount {
	var rest []order.Amount
	for _, c := range o.Order.Credits {
		if n := c.Held - c.Captured - c.Released; n > 0 {
			rest = append(rest, order.Amount{Type: c.Type, Amount: n})
		}
	}
	return rest
}
