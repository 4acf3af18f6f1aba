package activities

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/internal/commit"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

const (
	togetherMost = 100             // orders that a step is carried out for at a time
	reserveFirst = 2 * time.Second // that orders wait while others are reserved
)

// together gathers small orders of one organization that a step is carried out for at
// the same time in this process: they share its statements, as the orders of a ride
// do. An order that comes alone waits for nothing.
type together struct {
	once     sync.Once
	held     atomic.Int64 // reservations under way
	reserve  *commit.Group[string, ReserveInput, reserved]
	carryOut *commit.Group[string, CarryOutInput, carriedOut]
}

// orders are those of each organization that come together.
func (a *Activities) orders() *together {
	a.together.once.Do(func() {
		a.together.reserve = commit.NewGroup(togetherMost, a.reserveTogether)
		a.together.carryOut = commit.NewGroup(togetherMost, a.carryOutTogether)
	})
	return &a.together
}

// ReserveInput is the input of Reserve.
type ReserveInput struct {
	order.Input
	Announce bool `json:"announce,omitempty"` // the submitter waits for an announcement
}

type reserved struct {
	order.Reservation
	refused *order.Refusal
}

// Reserve holds the credits an order may cost at most and enters the order in
// the book, as reserved, or as rejected with the missing credits. Of an order that
// is in the book already it only reports how it stands, under the plan version
// it started with.
func (a *Activities) Reserve(ctx context.Context, in ReserveInput) (order.Reservation, error) {
	if !in.Request.Small() { // others do not wait until a million leads are looked up
		outcomes, err := a.reserveTogether(ctx, in.Org, []ReserveInput{in})
		if err != nil {
			return order.Reservation{}, err
		}
		return outcomes[0].answer()
	}
	a.together.held.Add(1)
	defer a.together.held.Add(-1)
	r, err := a.orders().reserve.Call(ctx, in.Org, in)
	if err != nil {
		return order.Reservation{}, err
	}
	return r.answer()
}

func (r reserved) answer() (order.Reservation, error) {
	if r.refused != nil {
		return order.Reservation{}, RefusalError(r.refused)
	}
	return r.Reservation, nil
}

// reserveTogether reserves orders of an organization as if they came one after the
// other.
func (a *Activities) reserveTogether(ctx context.Context, _ string, list []ReserveInput) ([]reserved, error) {
	var ride Ride
	at := map[string]int{} // where an order stands in ride; it may be asked for twice
	all := map[string]bool{}
	for _, in := range list {
		if !all[in.ID] {
			at[in.ID], all[in.ID] = len(ride.Orders), true
			ride.Orders = append(ride.Orders, in.Input)
		}
	}
	boarded := make([]Boarded, len(ride.Orders))
	reservations, err := atOnce(ctx, a, func(ctx context.Context) ([]order.Reservation, error) {
		return a.reserveAll(ctx, ride, all, boarded)
	})
	if info, permanent := Refused(err); permanent && len(list) == 1 && list[0].Announce { // of several, each is tried alone
		a.announce(ctx, []orderbook.Announcement{{OrderID: list[0].ID, Refused: refusalOf(info)}})
	}
	if err != nil {
		return nil, err
	}
	outcomes := make([]reserved, len(list))
	var said []orderbook.Announcement
	for i, in := range list {
		r := reserved{reservations[at[in.ID]], boarded[at[in.ID]].Refused}
		if outcomes[i] = r; in.Announce {
			said = append(said, orderbook.Announcement{OrderID: in.ID, Order: r.Order, RequestHash: r.RequestHash, Refused: r.refused})
		}
	}
	a.announce(ctx, said)
	return outcomes, nil
}

// CarryOutInput is the input of CarryOut.
type CarryOutInput struct {
	order.Input
	Terms order.Terms `json:"terms"`
}

type carriedOut struct {
	Selection
	failed error
}

// CarryOut selects the items of a small order, and in a process that verifies, too,
// carries it out as far as it goes without waiting: most are over then. What has to
// wait, is cancelled or cannot go on stays as it is.
func (a *Activities) CarryOut(ctx context.Context, in CarryOutInput) (Selection, error) {
	defer heartbeat(ctx, noProgress)()
	c, err := a.orders().carryOut.Call(ctx, in.Org, in)
	if err == nil {
		err = c.failed
	}
	return c.Selection, err
}

func (a *Activities) carryOutTogether(ctx context.Context, org string, list []CarryOutInput) ([]carriedOut, error) {
	a.letReserve(ctx)
	var ride Ride
	reservations, boarded := make([]order.Reservation, len(list)), make([]Boarded, len(list))
	for i, in := range list {
		ride.Orders = append(ride.Orders, in.Input)
		reservations[i].Terms = in.Terms
		boarded[i] = Boarded{OrderID: in.ID, Rides: true, Terms: &in.Terms}
	}
	return atOnce(ctx, a, func(ctx context.Context) ([]carriedOut, error) {
		failed, err := a.selectAll(ctx, ride, reservations, boarded)
		if err != nil {
			return nil, err
		}
		now := map[string]order.Order{}
		if a.Verifies {
			if now, err = a.carryOut(ctx, legsOf(ride, boarded)); err != nil {
				return nil, err
			}
		}
		var open []string
		for _, in := range list {
			if _, over := now[in.ID]; !over {
				open = append(open, in.ID)
			}
		}
		if len(open) > 0 {
			standing, err := a.Book.GetAll(ctx, org, open)
			if err != nil {
				return nil, toTemporal(err)
			}
			maps.Copy(now, standing)
		}
		outcomes := make([]carriedOut, len(list))
		for i, in := range list {
			outcomes[i] = carriedOut{Selection{now[in.ID], boarded[i].Decided}, failed[i]}
		}
		return outcomes, nil
	})
}

// letReserve lets orders that come be reserved first, because their submitters wait,
// but not for long.
func (a *Activities) letReserve(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	most := time.After(reserveFirst)
	for a.together.held.Load() > 0 {
		select {
		case <-tick.C:
		case <-most:
			return
		case <-ctx.Done():
			return
		}
	}
}
