package workflows

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
	"holdfast/internal/order"
)

// RideInput starts the workflow Ride.
type RideInput struct {
	Orders    []order.Input `json:"orders"`              // of one organization, as they came
	Announced bool          `json:"announced,omitempty"` // the submitters wait for announcements
}

// RideID is the ID of a ride's workflow.
func RideID(name string) string { return "ride/" + name }

// Ride carries out small orders that came together, each as if it were alone: it
// has its own hold, charge and end in the books. What they share is this
// workflow, its tasks and one verification. The update "reserve" answers as soon
// as all of them are reserved, rejected or refused. An order that has to wait for
// anything, or that cannot go on, gets a workflow of its own, which goes on where
// the books say it stands; so does one whose ride is lost.
func Ride(ctx workflow.Context, in RideInput) error {
	r := &rideRun{org: in.Orders[0].Org, ride: activities.Ride{ID: workflow.GetInfo(ctx).WorkflowExecution.ID, Orders: in.Orders, Announce: in.Announced}}
	if err := workflow.SetUpdateHandler(ctx, UpdateReserve, r.answer); err != nil {
		return err
	}
	err := r.carryOut(ctx)
	r.handOver(ctx)
	through, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if err := workflow.Await(through, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return err
	}
	return err
}

// rideRun is the state of a ride.
type rideRun struct {
	org     string
	ride    activities.Ride
	boarded []activities.Boarded
	failure error            // it could not begin
	open    []activities.Leg // not over yet
}

func (r *rideRun) answer(ctx workflow.Context) ([]activities.Boarded, error) {
	if err := workflow.Await(ctx, func() bool { return r.boarded != nil || r.failure != nil }); err != nil {
		return nil, err
	}
	slim := slices.Clone(r.boarded)
	for i := range slim {
		slim[i].Terms = nil // they are not used again
	}
	return slim, r.failure
}

// carryOut reserves the orders, verifies their items and finishes those that
// have all verdicts. A worker that verifies, too, has done all of it when it has
// reserved them.
func (r *rideRun) carryOut(ctx workflow.Context) error {
	var boarded []activities.Boarded
	summary := fmt.Sprintf("reserve %d orders", len(r.ride.Orders))
	if err := book(bookkeeping(ctx, r.org, summary), true, a.Board, r.ride, &boarded); err != nil {
		r.failure = err
		return err
	}
	r.boarded = boarded
	verify, tried := false, false
	for i, b := range boarded {
		if b.Rides {
			r.open = append(r.open, b.Leg(r.ride.Orders[i]))
			verify, tried = verify || b.Decided < b.Selected, tried || b.Tried
		}
	}
	if len(r.open) == 0 || tried { // what is open has to wait
		return nil
	}
	final := make([]bool, len(r.open))
	if verify {
		summary := fmt.Sprintf("verify the items of %d orders", len(r.open))
		if err := workflow.ExecuteActivity(verifying(ctx, r.org, summary), a.VerifyRide, r.open).Get(ctx, &final); err != nil {
			return err
		}
	} else {
		for i := range final {
			final[i] = true
		}
	}
	return r.finish(ctx, final)
}

// finish charges, delivers and ends what has all its verdicts.
func (r *rideRun) finish(ctx workflow.Context, final []bool) error {
	var waiting, ready []activities.Leg
	for i, leg := range r.open {
		if final[i] {
			ready = append(ready, leg)
		} else {
			waiting = append(waiting, leg)
		}
	}
	if len(ready) == 0 {
		return nil
	}
	through, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	var over []bool
	summary := fmt.Sprintf("charge and deliver %d orders", len(ready))
	if err := book(bookkeeping(through, r.org, summary), true, a.FinishRide, ready, &over); err != nil {
		return err
	}
	for i, leg := range ready {
		if !over[i] {
			waiting = append(waiting, leg)
		}
	}
	r.open = waiting
	return nil
}

// handOver gives each order that is not over a workflow of its own, at any end
// of the ride.
func (r *rideRun) handOver(ctx workflow.Context) {
	ctx, _ = workflow.NewDisconnectedContext(ctx) // never cancelled: that would cancel the orders' workflows
	starting := map[string]workflow.Future{}
	var ids []string // of starting, in order
	for i, b := range r.boarded {
		if b.Rides && !r.isOpen(b.OrderID) || !b.Rides && b.Terms == nil {
			continue
		}
		in := r.ride.Orders[i]
		own := workflow.WithChildOptions(ctx, handedOver(in))
		ids = append(ids, in.ID)
		starting[in.ID] = workflow.ExecuteChildWorkflow(own, Order, OrderInput{Input: in}).GetChildWorkflowExecution()
	}
	for _, id := range ids {
		if err := starting[id].Get(ctx, nil); err != nil { // it runs already, or reconciling starts it
			workflow.GetLogger(ctx).Warn("An order of a ride got no workflow of its own.", "order", id, "reason", err)
		}
	}
}

func (r *rideRun) isOpen(id string) bool {
	for _, leg := range r.open {
		if leg.ID == id {
			return true
		}
	}
	return false
}
