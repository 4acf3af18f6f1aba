package intake

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"holdfast/activities"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/workflows"
)

const (
	// rideMost is how many orders ride together at most.
	rideMost = 100

	// rideFor is how long a ride of an organization keeps the next one back: the more
	// calls share one, the less each of them costs. A ride that takes longer, because
	// a mail host is slow, lets others depart beside it.
	rideFor = time.Second

	// beginsWithin is the age from which on a line whose ride is not running is
	// given up: the process that wrote it has ended before it started the ride.
	beginsWithin = 5 * time.Second

	// lookAgain is how often a repeated submission looks for an order whose ride
	// has yet to begin.
	lookAgain = 50 * time.Millisecond
)

// rides gathers, for each organization, the orders that come while others of it
// are being carried out. See README.md.
type rides struct {
	mu     sync.Mutex
	of     map[string]*departures   // by organization; there while it has rides
	landed map[string]chan struct{} // by order, until its ride is over
}

// departures are the rides of an organization.
type departures struct {
	waiting  []*rider
	underway bool          // one keeps the others back
	awaited  int           // how many riders the next one waits for
	complete chan struct{} // closed when they are there
}

func (d *departures) join(r *rider) {
	d.waiting = append(d.waiting, r)
	if len(d.waiting) == d.awaited {
		close(d.complete)
	}
}

// rider is an order that waits for its reservation.
type rider struct {
	input order.Input
	done  chan rode
}

type rode struct {
	reservation order.Reservation
	err         error
}

func newRides() *rides {
	return &rides{of: map[string]*departures{}, landed: map[string]chan struct{}{}}
}

// mayRide reports whether an order may share a workflow with others.
func mayRide(r order.Request) bool {
	return r.Small() && r.Kind.Spec().Shares
}

// willRide reports whether a submission, before its list is stored, is for an
// order that rides, so that a line is written for it.
func (s Submission) willRide() bool {
	r := s.Request
	r.Count = int64(len(s.Emails) + len(s.LeadIDs))
	return s.Together && r.Count > 0 && mayRide(r)
}

// Landed is closed when the ride of an order is over; nil for an order that is not
// riding, as far as this process knows.
func (in *Intake) Landed(id string) <-chan struct{} {
	in.rides.mu.Lock()
	defer in.rides.mu.Unlock()
	return in.rides.landed[id]
}

// together reserves an order with those of its organization that come at the same
// time. The first ones start at once; those that come while these are carried out
// ride next.
func (in *Intake) together(ctx context.Context, input order.Input) (order.Reservation, error) {
	r := &rider{input: input, done: make(chan rode, 1)}
	in.rides.mu.Lock()
	d := in.rides.of[input.Org]
	if d == nil {
		d = &departures{}
		in.rides.of[input.Org] = d
	}
	d.join(r)
	in.rides.mu.Unlock()
	in.depart(context.WithoutCancel(ctx), input.Org)
	select {
	case answer := <-r.done:
		return answer.reservation, answer.err
	case <-ctx.Done():
		return order.Reservation{}, ctx.Err()
	}
}

// depart starts a ride with the orders of an organization that wait, unless one of
// its rides is under way: they depart when it ends.
func (in *Intake) depart(ctx context.Context, org string) {
	in.rides.mu.Lock()
	defer in.rides.mu.Unlock()
	d := in.rides.of[org]
	if d == nil || len(d.waiting) == 0 || d.underway {
		return
	}
	n := min(len(d.waiting), rideMost)
	riders := d.waiting[:n:n]
	d.waiting = d.waiting[n:]
	d.underway = true
	makeWay := sync.OnceFunc(func() { in.makeWay(ctx, org) })
	slow := time.AfterFunc(rideFor, makeWay)
	go func() {
		defer makeWay()
		began := time.Now()
		in.board(ctx, riders)
		if slow.Stop() {
			in.rides.gather(d, n, time.Since(began)/2)
		}
	}()
}

// gather waits, after a ride that several shared, until as many wait for the next
// one, but at most half as long as the ride took. Callers who ask for one address
// after the other come back a moment after they are answered; without it the first
// of them would have the next ride for themselves, and all others wait for its end.
func (r *rides) gather(d *departures, riders int, most time.Duration) {
	r.mu.Lock()
	if riders == 1 || len(d.waiting) >= riders {
		r.mu.Unlock()
		return
	}
	complete := make(chan struct{})
	d.awaited, d.complete = riders, complete
	r.mu.Unlock()
	select {
	case <-complete:
	case <-time.After(most):
	}
	r.mu.Lock()
	d.awaited = 0
	r.mu.Unlock()
}

// makeWay lets the next ride of an organization depart.
func (in *Intake) makeWay(ctx context.Context, org string) {
	in.rides.mu.Lock()
	d := in.rides.of[org]
	d.underway = false
	if len(d.waiting) == 0 {
		delete(in.rides.of, org)
	}
	in.rides.mu.Unlock()
	in.depart(ctx, org)
}

// board writes the lines of a ride, starts it and answers its riders.
func (in *Intake) board(ctx context.Context, riders []*rider) {
	boarding, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	first := map[string]*rider{} // of those with the same key
	var inputs []order.Input
	for _, r := range riders {
		if first[r.input.ID] == nil {
			first[r.input.ID] = r
			inputs = append(inputs, r.input)
		}
	}
	ride := workflows.RideID(uuid.NewString())
	entered, err := in.book.EnterLines(boarding, ride, inputs)
	if err != nil {
		for _, r := range riders {
			r.done <- rode{err: err}
		}
		return
	}
	var mine []*rider
	for _, r := range riders {
		if entered[r.input.ID] && first[r.input.ID] == r {
			mine = append(mine, r)
			continue
		}
		go func() { // another line stands for its key, and may be answered later than this ride
			reservation, err := in.boarded(ctx, r.input)
			r.done <- rode{reservation, err}
		}()
	}
	if len(mine) > 0 {
		in.startRide(boarding, ride, mine)
	}
}

// startRide starts the workflow of a ride and answers its riders.
func (in *Intake) startRide(ctx context.Context, ride string, riders []*rider) {
	input := workflows.RideInput{}
	for _, r := range riders {
		input.Orders = append(input.Orders, r.input)
	}
	boarded, err := in.beginRide(ctx, ride, input)
	if err == nil {
		in.noteRiding(ctx, ride, boarded)
	}
	for i, r := range riders {
		switch {
		case err != nil:
			r.done <- rode{err: err}
		case boarded[i].Refused != nil:
			r.done <- rode{err: activities.RefusalError(boarded[i].Refused)}
		default:
			r.done <- rode{reservation: order.Reservation{RequestHash: boarded[i].RequestHash}}
		}
	}
}

func rideOptions(ride string, input workflows.RideInput) client.StartWorkflowOptions {
	org := input.Orders[0].Org
	return client.StartWorkflowOptions{
		ID:                       ride,
		TaskQueue:                workflows.TaskQueue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		WorkflowIDReusePolicy:    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		TypedSearchAttributes:    temporal.NewSearchAttributes(workflows.AttrOrganization.ValueSet(org)),
		StaticSummary:            fmt.Sprintf("%s: %d orders that came together", org, len(input.Orders)),
		Priority:                 temporal.Priority{FairnessKey: org},
	}
}

// reserveRide starts the workflow of a ride, or finds it running, and waits until its
// orders are reserved.
func (in *Intake) reserveRide(ctx context.Context, ride string, input workflows.RideInput) ([]activities.Boarded, error) {
	start := in.temporal.NewWithStartWorkflowOperation(rideOptions(ride, input), workflows.Ride, input)
	handle, err := in.temporal.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start,
		UpdateOptions: client.UpdateWorkflowOptions{
			UpdateID: workflows.UpdateReserve, UpdateName: workflows.UpdateReserve, WaitForStage: client.WorkflowUpdateStageCompleted,
		},
	})
	if err != nil {
		return nil, err
	}
	var boarded []activities.Boarded
	if err := handle.Get(ctx, &boarded); err != nil {
		return nil, err
	}
	if len(boarded) != len(input.Orders) {
		return nil, fmt.Errorf("the ride %s answered for %d of %d orders", ride, len(boarded), len(input.Orders))
	}
	return boarded, nil
}

// noteRiding keeps those who wait for orders that are not over yet from asking the
// book again and again: they are notified when the ride is over.
func (in *Intake) noteRiding(ctx context.Context, ride string, boarded []activities.Boarded) {
	var riding []string
	for _, b := range boarded {
		if b.Rides && !b.Tried {
			riding = append(riding, b.OrderID)
		}
	}
	if len(riding) == 0 {
		return
	}
	over := make(chan struct{})
	in.rides.mu.Lock()
	for _, id := range riding {
		in.rides.landed[id] = over
	}
	in.rides.mu.Unlock()
	go in.land(context.WithoutCancel(ctx), ride, riding, over)
}

// land waits for the end of a ride and notifies those who wait for its orders.
func (in *Intake) land(ctx context.Context, ride string, orders []string, over chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_ = in.temporal.GetWorkflow(ctx, ride, "").Get(ctx, nil) // however it ended: the book says what became of the orders
	in.rides.mu.Lock()
	defer in.rides.mu.Unlock()
	for _, id := range orders {
		delete(in.rides.landed, id)
	}
	close(over)
}

// boarded answers a submission for whose key a line stands already. Where its
// ride has not begun, because the process that wrote the line has ended, the
// order is given up there and starts alone.
func (in *Intake) boarded(ctx context.Context, input order.Input) (order.Reservation, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for {
		line, err := in.book.Line(ctx, input.ID)
		if errors.Is(err, orderbook.ErrNotFound) {
			return in.reserve(ctx, input)
		}
		if err != nil {
			return order.Reservation{}, err
		}
		if line.RequestHash != input.Request.Hash() || line.Member != input.Member {
			return order.Reservation{}, ErrKeyReused
		}
		if line.Alone() {
			return in.reserve(ctx, input)
		}
		entered, err := in.entered(ctx, input)
		if err != nil || entered {
			return order.Reservation{RequestHash: line.RequestHash}, err
		}
		if line.Age.Abs() >= beginsWithin { // the clock may have been ahead
			runs, err := in.begins(ctx, line)
			if err != nil {
				return order.Reservation{}, err
			}
			if !runs {
				if entered, err = in.entered(ctx, input); err != nil || entered {
					return order.Reservation{RequestHash: line.RequestHash}, err
				}
				return in.reserve(ctx, input)
			}
		}
		select {
		case <-ctx.Done():
			return order.Reservation{}, ctx.Err()
		case <-time.After(lookAgain):
		}
	}
}

func (in *Intake) entered(ctx context.Context, input order.Input) (bool, error) {
	_, err := in.book.Get(ctx, input.Org, input.ID)
	if errors.Is(err, orderbook.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// begins says whether the ride of a line is running. A line whose ride is not is
// given up, and then looked for once more: a ride that begins later finds the line
// given up, one that began before is seen.
func (in *Intake) begins(ctx context.Context, line orderbook.Line) (bool, error) {
	if runs, err := in.isRunning(ctx, line.RideID); err != nil || runs {
		return runs, err
	}
	if err := in.book.GiveUpLine(ctx, line.OrderID); err != nil {
		return false, err
	}
	return in.isRunning(ctx, line.RideID)
}

// awaitRide waits until an order is no longer riding.
func (in *Intake) awaitRide(ctx context.Context, id string) error {
	line, err := in.book.Line(ctx, id)
	if errors.Is(err, orderbook.ErrNotFound) || (err == nil && line.Alone()) {
		return nil
	}
	if err != nil {
		return err
	}
	_ = in.temporal.GetWorkflow(ctx, line.RideID, "").Get(ctx, nil) // however it ended
	return ctx.Err()
}
