package activities

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/ledger"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

const (
	ridersAtOnce = 8               // orders of a ride that a step works on at a time
	rideVerifies = 2 * time.Second // after which a slow mail host no longer keeps the other orders of a ride waiting
)

// Ride is orders of one organization that came together, in the order in which
// they came.
type Ride struct {
	ID     string        `json:"id"`
	Orders []order.Input `json:"orders"`
}

// Boarded is what became of an order when its ride began.
type Boarded struct {
	OrderID     string       `json:"order_id"`
	RequestHash string       `json:"request_hash,omitempty"`
	Refused     *Refusal     `json:"refused,omitempty"` // there is no order
	Rides       bool         `json:"rides,omitempty"`   // the ride carries it out
	Terms       *order.Terms `json:"terms,omitempty"`
	Selected    int64        `json:"selected,omitempty"`
	Decided     int64        `json:"decided,omitempty"`
}

// Refusal is why an order cannot be made, as border would have said it.
type Refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"`
}

// Board reserves the orders of a ride and selects their items. Credits that do
// not suffice for all are given to those that came first. An order that was given
// up, or that exists already, does not ride.
func (a *Activities) Board(ctx context.Context, ride Ride) ([]Boarded, error) {
	defer beat(ctx, alive)()
	lines, err := a.Book.Lines(ctx, ride.ID)
	if err != nil {
		return nil, border(err)
	}
	boarded := make([]Boarded, len(ride.Orders))
	reserved, err := a.reserveAll(ctx, ride, lines, boarded)
	if err != nil {
		return nil, err
	}
	var all errgroup.Group
	all.SetLimit(ridersAtOnce)
	for i, in := range ride.Orders {
		if !boarded[i].Rides {
			continue
		}
		all.Go(func() error {
			selected, err := a.SelectLeads(ctx, SelectInput{Input: in, Terms: reserved[i].Terms})
			if temporary(err) {
				return err
			}
			boarded[i].Rides = err == nil // else it fails in a workflow of its own
			boarded[i].Selected, boarded[i].Decided = selected.Selected, selected.Decided
			return nil
		})
	}
	return boarded, all.Wait()
}

// reserveAll reserves the orders of a ride, one after the other where the ledger
// is concerned.
func (a *Activities) reserveAll(ctx context.Context, ride Ride, lines map[string]bool, boarded []Boarded) ([]order.Reservation, error) {
	reserved := make([]order.Reservation, len(ride.Orders))
	offers := make([]*offer.Offer, len(ride.Orders))
	err := each(ride, func(i int, in order.Input) error {
		boarded[i].OrderID = in.ID
		if !lines[in.ID] {
			return nil
		}
		var err error
		reserved[i], offers[i], err = a.knownOrOffer(ctx, in)
		return refused(err, &boarded[i])
	})
	if err != nil {
		return nil, err
	}
	var asked []int
	var holds []ledger.Hold
	for i, o := range offers {
		if o != nil {
			asked, holds = append(asked, i), append(holds, holdOf(ride.Orders[i], *o))
		}
	}
	held := make([]ledger.Held, len(ride.Orders))
	for k, h := range a.Ledger.HoldAll(ctx, holds) {
		held[asked[k]] = h
	}
	return reserved, each(ride, func(i int, in order.Input) error {
		var err error
		switch {
		case offers[i] != nil && errors.Is(held[i].Err, ledger.ErrPeriodOver): // in between; it is offered again
			reserved[i], err = a.Reserve(ctx, in)
		case offers[i] != nil && held[i].Err != nil:
			err = reserving(held[i].Err)
		case offers[i] != nil:
			reserved[i], err = a.enter(ctx, in, *offers[i], held[i].Result)
		}
		if err != nil {
			return refused(err, &boarded[i])
		}
		r := reserved[i]
		boarded[i].RequestHash = r.RequestHash
		boarded[i].Rides = r.RequestHash == in.Request.Hash() && (r.Order.Status == order.Reserved || r.Order.Status == order.Verifying)
		if boarded[i].Rides {
			boarded[i].Terms = &r.Terms
		}
		return nil
	})
}

// knownOrOffer is the reservation of an order that is in the book, else what it
// is accepted under.
func (a *Activities) knownOrOffer(ctx context.Context, in order.Input) (order.Reservation, *offer.Offer, error) {
	known, err := a.Book.Get(ctx, in.Org, in.ID)
	if err == nil {
		r, err := a.reservation(ctx, known, in)
		return r, nil, err
	}
	if !errors.Is(err, orderbook.ErrNotFound) {
		return order.Reservation{}, nil, border(err)
	}
	o, err := a.desk().Offer(ctx, in)
	if err != nil {
		return order.Reservation{}, nil, reserving(err)
	}
	return order.Reservation{}, &o, nil
}

// Leg is an order of a ride on its way.
type Leg struct {
	order.Input
	Terms    order.Terms `json:"terms"`
	Selected int64       `json:"selected"`
	Decided  int64       `json:"decided"`
}

// VerifyRide verifies the items of a ride's orders. It says which orders have all
// their verdicts; others wait for hosts that said "later" or are slow, or for an
// outage.
func (a *Activities) VerifyRide(ctx context.Context, legs []Leg) ([]bool, error) {
	brief, stop := context.WithTimeout(ctx, rideVerifies)
	defer stop()
	final := make([]bool, len(legs))
	var all errgroup.Group // not limited: the engine sees all addresses at once
	for i, leg := range legs {
		all.Go(func() error {
			if leg.Decided > 0 && leg.Decided >= leg.Selected || leg.Selected == 0 {
				final[i] = true
				return nil
			}
			result, err := a.VerifyBatch(brief, BatchInput{OrderID: leg.ID, From: 1, To: leg.Selected, Preflight: true})
			if temporary(err) && (brief.Err() == nil || ctx.Err() != nil) {
				return err
			}
			final[i] = err == nil && result.Outage == nil && result.Greylisted == 0
			return nil
		})
	}
	return final, all.Wait()
}

// FinishRide charges and delivers orders whose items have their verdicts, and
// ends those that nothing is refunded of later. It says which are over: others
// wait for their refund, or are to be cancelled, paused or failed.
func (a *Activities) FinishRide(ctx context.Context, legs []Leg) ([]bool, error) {
	defer beat(ctx, alive)()
	over := make([]bool, len(legs))
	var all errgroup.Group
	all.SetLimit(ridersAtOnce)
	for i, leg := range legs {
		all.Go(func() (err error) {
			over[i], err = a.finish(ctx, leg)
			if temporary(err) {
				return err
			}
			return nil
		})
	}
	return over, all.Wait()
}

func (a *Activities) finish(ctx context.Context, leg Leg) (over bool, err error) {
	now, err := a.Book.Get(ctx, leg.Org, leg.ID)
	if err != nil {
		return false, border(err)
	}
	if now.Status.Over() || now.CancelRequestedAt != nil || now.Paused {
		return now.Status.Over(), nil
	}
	if !now.Status.Delivered() {
		capture := CaptureInput{
			OrderID: leg.ID, Org: leg.Org, Member: leg.Member, Kind: leg.Request.Kind, Terms: leg.Terms, Ranges: []Range{{From: 1, To: leg.Selected}},
		}
		if _, err := a.CaptureCredits(ctx, capture); err != nil {
			return false, err
		}
		if now, err = a.DeliverOrder(ctx, DeliverInput{OrderID: leg.ID, Org: leg.Org, RefundDelay: leg.Terms.RefundDelay}); err != nil {
			return false, err
		}
	}
	for _, c := range now.Credits {
		if leg.Terms.RefundDelay > 0 && c.Held > c.Captured+c.Released {
			return false, nil
		}
	}
	_, err = a.ReleaseHold(ctx, ReleaseInput{
		OrderID: leg.ID, Org: leg.Org, Member: leg.Member, Kind: leg.Request.Kind,
		Plan: leg.Terms.Plan, PlanVersion: leg.Terms.PlanVersion, Terms: leg.Terms, At: *now.CompletedAt, Status: order.Settled,
	})
	return err == nil, err
}

// each does something for all orders of a ride.
func each(ride Ride, do func(i int, in order.Input) error) error {
	var all errgroup.Group
	all.SetLimit(ridersAtOnce)
	for i, in := range ride.Orders {
		all.Go(func() error { return do(i, in) })
	}
	return all.Wait()
}

// refused notes an error that would come again as what the order's submitter is
// answered; any other is returned, and the step is repeated.
func refused(err error, b *Boarded) error {
	if temporary(err) {
		return err
	}
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		b.Refused = &Refusal{Code: app.Type(), Message: app.Message()}
		_ = app.Details(&b.Refused.Field) // without one it is about the whole request
	}
	return nil
}

// temporary reports whether an error of an activity may pass.
func temporary(err error) bool {
	var app *temporal.ApplicationError
	return err != nil && !(errors.As(err, &app) && app.NonRetryable())
}
