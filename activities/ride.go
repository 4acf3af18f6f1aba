package activities

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

const (
	ridersAtOnce = 8               // orders of a ride that a step works on at a time
	triesToHold  = 5               // credits, while their period ends
	rideVerifies = 2 * time.Second // after which a slow mail host no longer keeps the other orders of a ride waiting
)

// Ride is orders of one organization that came together, in the order in which
// they came.
type Ride struct {
	ID     string        `json:"id"`
	Orders []order.Input `json:"orders"`

	Announce bool `json:"announce,omitempty"` // the submitters wait for announcements
}

// Boarded is what became of an order when its ride began.
type Boarded struct {
	OrderID     string         `json:"order_id"`
	RequestHash string         `json:"request_hash,omitempty"`
	Refused     *order.Refusal `json:"refused,omitempty"` // there is no order
	Rides       bool           `json:"rides,omitempty"`   // the ride carries it out
	Tried       bool           `json:"tried,omitempty"`   // it was carried out as far as possible without waiting
	Terms       *order.Terms   `json:"terms,omitempty"`
	Selected    int64          `json:"selected,omitempty"`
	Decided     int64          `json:"decided,omitempty"`
}

// Board reserves the orders of a ride and selects their items. Credits that do
// not suffice for all are given to those that came first. An order that was given
// up, or that exists already, does not ride. In a process that verifies, too, the
// orders are carried out at once: most are over then, and the ride takes one
// workflow task.
func (a *Activities) Board(ctx context.Context, ride Ride) ([]Boarded, error) {
	defer heartbeat(ctx, noProgress)()
	boarded, err := atOnce(ctx, a, func(ctx context.Context) ([]Boarded, error) { return a.board(ctx, ride) })
	if !ride.Announce || temporary(err) {
		return boarded, err
	}
	said := make([]orderbook.Announcement, len(ride.Orders))
	for i, in := range ride.Orders {
		said[i].OrderID = in.ID
		if info, refused := Refused(err); refused {
			said[i].Refused = refusalOf(info)
			continue
		}
		b := boarded[i]
		said[i].RequestHash, said[i].Refused, said[i].Rides = b.RequestHash, b.Refused, b.Rides && !b.Tried
	}
	a.announce(ctx, said)
	return boarded, err
}

// announce announces what became of orders. Should that fail, their submitters find
// them in the book.
func (a *Activities) announce(ctx context.Context, said []orderbook.Announcement) {
	if err := a.Book.Announce(ctx, said); err != nil {
		activity.GetLogger(ctx).Info("What became of orders was not announced.", "reason", err)
	}
}

func (a *Activities) board(ctx context.Context, ride Ride) ([]Boarded, error) {
	lines, err := a.Book.Lines(ctx, ride.ID)
	if err != nil {
		return nil, toTemporal(err)
	}
	boarded := make([]Boarded, len(ride.Orders))
	reserved, err := a.reserveAll(ctx, ride, lines, boarded)
	if err != nil {
		return nil, err
	}
	if _, err := a.selectAll(ctx, ride, reserved, boarded); err != nil || !a.Verifies {
		return boarded, err
	}
	over, err := a.carryOut(ctx, legsOf(ride, boarded))
	for i, b := range boarded {
		boarded[i].Tried = b.Rides
		if _, ended := over[b.OrderID]; ended {
			boarded[i].Rides, boarded[i].Terms = false, nil
		}
	}
	return boarded, err
}

// carryOut verifies and finishes orders of one organization. It says which of them
// are over: others wait for something.
func (a *Activities) carryOut(ctx context.Context, legs []Leg) (over map[string]order.Order, err error) {
	final, err := a.verifyRide(ctx, legs)
	if err != nil {
		return nil, err
	}
	ready := make([]Leg, 0, len(legs))
	for i, leg := range legs {
		if final[i] {
			ready = append(ready, leg)
		}
	}
	return a.finishRide(ctx, ready)
}

// reserveAll reserves the orders of a ride, in the order in which they came where
// the ledger is concerned. Where a credit period ends in between, it begins again.
func (a *Activities) reserveAll(ctx context.Context, ride Ride, lines map[string]bool, boarded []Boarded) ([]order.Reservation, error) {
	reserved := make([]order.Reservation, len(ride.Orders))
	for try := 1; ; try++ {
		again, err := a.holdAll(ctx, ride, lines, reserved, boarded, try < triesToHold)
		if err != nil {
			return nil, err
		}
		if !again {
			break
		}
	}
	for i, r := range reserved {
		if r.RequestHash == "" { // refused, or given up
			continue
		}
		boarded[i].RequestHash = r.RequestHash
		its := r.RequestHash == ride.Orders[i].Request.Hash()
		boarded[i].Rides = its && (r.Order.Status == order.Reserved || r.Order.Status == order.Verifying)
		if its && !r.Order.Status.Over() { // one that an earlier attempt delivered is settled in a workflow of its own
			boarded[i].Terms = &r.Terms
		}
	}
	return reserved, nil
}

// holdAll holds what orders may cost at most in the credit period that has begun, and
// enters them into the book. It says whether the period ended for some in between.
// Where it must not, the last try, it takes what there is: the ledger's clock may be
// ahead of the database's.
func (a *Activities) holdAll(ctx context.Context, ride Ride, lines map[string]bool, reserved []order.Reservation, boarded []Boarded, mayEnd bool) (ended bool, err error) {
	offers, err := a.offerAll(ctx, ride, lines, reserved, boarded)
	if err != nil {
		return false, err
	}
	var asked []int
	var holds []ledger.Hold
	for i, o := range offers {
		if o == nil {
			continue
		}
		if !mayEnd {
			o.Before = time.Time{}
		}
		asked, holds = append(asked, i), append(holds, holdOf(ride.Orders[i], *o))
	}
	var entering []int
	var entries []orderbook.NewOrder
	for k, held := range a.Ledger.HoldAll(ctx, holds) {
		i := asked[k]
		switch {
		case errors.Is(held.Err, ledger.ErrPeriodOver):
			ended = true
		case held.Err != nil:
			if err := refused(reserving(held.Err), &boarded[i]); err != nil {
				return false, err
			}
		default:
			entering, entries = append(entering, i), append(entries, entryOf(ride.Orders[i], *offers[i], held.Result))
		}
	}
	return ended, a.enterAll(ctx, ride, entering, entries, offers, reserved, boarded)
}

// offerAll says what the orders of a ride are accepted under; one that is in the
// book already is reserved as it stands there.
func (a *Activities) offerAll(ctx context.Context, ride Ride, lines map[string]bool, reserved []order.Reservation, boarded []Boarded) ([]*offer.Offer, error) {
	org := ride.Orders[0].Org
	known, err := a.Book.GetAll(ctx, org, idsOf(ride.Orders))
	if err != nil {
		return nil, toTemporal(err)
	}
	customer, err := a.pricer().Customer(ctx, org, ride.Orders...)
	if err != nil {
		return nil, reserving(err)
	}
	offers := make([]*offer.Offer, len(ride.Orders))
	return offers, each(len(ride.Orders), func(i int) error {
		in := ride.Orders[i]
		boarded[i] = Boarded{OrderID: in.ID}
		if !lines[in.ID] {
			return nil
		}
		if o, there := known[in.ID]; there {
			var err error
			reserved[i], err = a.reservation(ctx, o, in)
			return refused(err, &boarded[i])
		}
		o, err := customer.Offer(ctx, in)
		if err != nil {
			return refused(reserving(err), &boarded[i])
		}
		offers[i] = &o
		return nil
	})
}

// enterAll enters orders for which the ledger was asked into the book.
func (a *Activities) enterAll(ctx context.Context, ride Ride, at []int, entries []orderbook.NewOrder, offers []*offer.Offer, reserved []order.Reservation, boarded []Boarded) error {
	if len(entries) == 0 {
		return nil
	}
	entered, err := a.Book.CreateAll(ctx, entries)
	if err != nil {
		return toTemporal(err)
	}
	for k, e := range entered {
		i := at[k]
		if e.Err != nil {
			if err := refused(toTemporal(e.Err), &boarded[i]); err != nil {
				return err
			}
			continue
		}
		request := ride.Orders[i].Request
		reserved[i] = order.Reservation{Order: e.Order, Terms: offers[i].Terms, RequestHash: request.Hash(), Small: request.Small()}
	}
	return nil
}

// selectAll freezes the items of the orders that ride. It says, order by order, why
// they cannot be: such an order does not ride.
func (a *Activities) selectAll(ctx context.Context, ride Ride, reserved []order.Reservation, boarded []Boarded) (failed []error, err error) {
	lists := map[string]string{}
	for i, in := range ride.Orders {
		if boarded[i].Rides && in.Request.Kind.Spec().Source == order.FromAddresses {
			lists[in.ID] = in.Request.ListID
		}
	}
	selected := map[string]lead.Selected{}
	if len(lists) > 0 {
		if selected, err = a.Catalogue.SelectLists(ctx, lists); err != nil {
			return nil, toTemporal(err)
		}
	}
	starting := map[string]int64{}
	for id, s := range selected {
		starting[id] = s.Items
	}
	refusedToStart, err := a.Book.StartAll(ctx, starting)
	if err != nil {
		return nil, toTemporal(err)
	}
	failed = make([]error, len(ride.Orders))
	return failed, each(len(ride.Orders), func(i int) error {
		in := ride.Orders[i]
		if !boarded[i].Rides {
			return nil
		}
		if s, there := selected[in.ID]; there {
			failed[i] = toTemporal(refusedToStart[in.ID])
			boarded[i].Rides = failed[i] == nil
			boarded[i].Selected = s.Items
			return nil
		}
		s, err := a.SelectLeads(ctx, SelectInput{ID: in.ID, Org: in.Org, Member: in.Member, Request: inTheBook{&in.Request}, Terms: reserved[i].Terms})
		if temporary(err) {
			return err
		}
		failed[i] = err
		boarded[i].Rides = err == nil // else it fails in a workflow of its own
		boarded[i].Selected, boarded[i].Decided = s.Selected, s.Decided
		return nil
	})
}

// legsOf are the orders that ride.
func legsOf(ride Ride, boarded []Boarded) (legs []Leg) {
	for i, b := range boarded {
		if b.Rides {
			legs = append(legs, b.Leg(ride.Orders[i]))
		}
	}
	return legs
}

func idsOf(orders []order.Input) []string {
	ids := make([]string, len(orders))
	for i, in := range orders {
		ids[i] = in.ID
	}
	return ids
}

// Leg is an order of a ride on its way.
type Leg struct {
	order.Input
	Terms    order.Terms `json:"terms"`
	Selected int64       `json:"selected"`
	Decided  int64       `json:"decided"`
}

// Leg is what the ride carries out of an order that it has reserved.
func (b Boarded) Leg(in order.Input) Leg {
	return Leg{Input: in, Terms: *b.Terms, Selected: b.Selected, Decided: b.Decided}
}

// VerifyRide verifies the items of a ride's orders. It says which orders have all
// their verdicts; others wait for hosts that said "later" or are slow, or for an
// outage.
func (a *Activities) VerifyRide(ctx context.Context, legs []Leg) ([]bool, error) {
	return atOnce(ctx, a, func(ctx context.Context) ([]bool, error) { return a.verifyRide(ctx, legs) })
}

func (a *Activities) verifyRide(ctx context.Context, legs []Leg) ([]bool, error) {
	var checked atomic.Int64
	defer heartbeat(ctx, func() any { return BatchProgress{Checked: checked.Load()} })()
	var ids []string
	for _, leg := range legs {
		if leg.Decided < leg.Selected {
			ids = append(ids, leg.ID)
		}
	}
	final := make([]bool, len(legs))
	if len(ids) == 0 {
		for i := range final {
			final[i] = true
		}
		return final, nil
	}
	items, err := a.Book.PendingAll(ctx, ids, time.Time{})
	if err != nil {
		return nil, toTemporal(err)
	}
	brief, stop := context.WithTimeout(ctx, rideVerifies)
	defer stop()
	if err := a.verifyItems(brief, BatchInput{Preflight: true}, items, &checked); err != nil {
		slow := brief.Err() != nil && ctx.Err() == nil
		if a.outageOf(err) == nil && !slow {
			return nil, toTemporal(err)
		}
	}
	undecided, err := a.Book.Undecided(ctx, ids)
	if err != nil {
		return nil, toTemporal(err)
	}
	for i, leg := range legs {
		final[i] = !undecided[leg.ID]
	}
	return final, nil
}

// each does something for n orders of a ride, some at a time.
func each(n int, do func(i int) error) error {
	var all errgroup.Group
	all.SetLimit(ridersAtOnce)
	for i := range n {
		all.Go(func() error { return do(i) })
	}
	return all.Wait()
}

// refused notes an error that would come again as what the order's submitter is
// answered; any other is returned, and the step is repeated.
func refused(err error, b *Boarded) error {
	info, refused := Refused(err)
	if !refused {
		return err
	}
	b.Refused = refusalOf(info)
	return nil
}

// temporary reports whether an error of an activity may pass.
func temporary(err error) bool {
	_, refused := Refused(err)
	return err != nil && !refused
}
