package intake

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"holdfast/activities"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/workflows"
)

const (
	listensWithin = time.Second      // to have a connection on which announcements come
	listensAgain  = time.Minute      // after it could not be had
	looksEvery    = 2 * time.Second  // for orders that are not announced
	announcedIn   = 14 * time.Second // after which the workflow itself is asked
)

// announcements passes what workers announce of orders on to those who wait to answer
// submitters. It listens from the first order on.
type announcements struct {
	book *orderbook.Book

	mu      sync.Mutex
	waiting map[string][]*hearer // by order; nil while nothing is listened to
	stop    context.CancelFunc
	ended   chan struct{} // closed when the last listener has ended
	again   time.Time     // when to try again after a connection could not be had
}

// hearer waits for the announcements of some orders.
type hearer struct {
	ids  []string
	said chan orderbook.Announcement // closed when no more can be heard
}

// expect says where the announcements of orders come; nil where they cannot be heard.
// The caller calls forget when it no longer waits.
func (a *announcements) expect(ctx context.Context, ids ...string) *hearer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting == nil && !a.listen(ctx) {
		return nil
	}
	h := &hearer{ids: ids, said: make(chan orderbook.Announcement, len(ids))}
	for _, id := range ids {
		a.waiting[id] = append(a.waiting[id], h)
	}
	return h
}

func (a *announcements) forget(h *hearer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range h.ids {
		rest := slices.DeleteFunc(a.waiting[id], func(other *hearer) bool { return other == h })
		if len(rest) == 0 {
			delete(a.waiting, id)
		} else {
			a.waiting[id] = rest
		}
	}
}

// listen begins to listen and reports whether it could.
func (a *announcements) listen(ctx context.Context) bool {
	if time.Now().Before(a.again) {
		return false
	}
	connecting, cancel := context.WithTimeout(ctx, listensWithin)
	defer cancel()
	l, err := a.book.Listen(connecting)
	if err != nil {
		a.again = time.Now().Add(listensAgain)
		return false
	}
	ctx, a.stop = context.WithCancel(context.WithoutCancel(ctx))
	a.waiting, a.ended = map[string][]*hearer{}, make(chan struct{})
	go a.hear(ctx, l, a.ended)
	return true
}

// hear passes announcements on until the connection is lost or ctx is done.
func (a *announcements) hear(ctx context.Context, l *orderbook.Listener, ended chan struct{}) {
	defer close(ended)
	defer l.Close(ctx)
	for {
		said, err := l.Next(ctx)
		if err != nil {
			a.lose()
			return
		}
		a.mu.Lock()
		for _, h := range a.waiting[said.OrderID] {
			select {
			case h.said <- said:
			default: // it was announced before
			}
		}
		a.mu.Unlock()
	}
}

// lose ends all waiting for what cannot be heard any more.
func (a *announcements) lose() {
	a.mu.Lock()
	defer a.mu.Unlock()
	closed := map[*hearer]bool{}
	for _, list := range a.waiting {
		for _, h := range list {
			if !closed[h] {
				closed[h] = true
				close(h.said)
			}
		}
	}
	a.waiting = nil
}

// close ends the connection.
func (a *announcements) close() {
	a.mu.Lock()
	stop, ended := a.stop, a.ended
	a.again = time.Now().Add(time.Hour) // nothing is submitted any more
	a.mu.Unlock()
	if stop != nil {
		stop()
		<-ended
	}
}

// Close ends the connection on which the intake listens. Nothing may be submitted
// afterwards.
func (in *Intake) Close() { in.announced.close() }

// begin starts a workflow and waits until a worker has announced what became of its
// orders: that is in the middle of the first workflow task, in which they may be
// carried out. Of orders that are found in the book, unannounced, it says only that
// they are there: a worker of an earlier build enters them so. It returns nothing
// where announcements cannot be heard, or nothing became of the orders in time.
func (in *Intake) begin(ctx context.Context, start func(ctx context.Context) error, ids ...string) (map[string]orderbook.Announcement, error) {
	h := in.announced.expect(ctx, ids...)
	if h == nil {
		return nil, nil
	}
	defer in.announced.forget(h)
	waiting, cancel := context.WithTimeout(ctx, announcedIn)
	defer cancel()
	started := make(chan error, 1)
	// It may be answered after the announcement, and the answer may bring the first task
	// with it, for a worker of this process. So it is received also when the caller gives up.
	starting, received := context.WithTimeout(context.WithoutCancel(ctx), announcedIn)
	go func() {
		defer received()
		started <- start(starting)
	}()
	said := map[string]orderbook.Announcement{}
	look := time.NewTicker(looksEvery)
	defer look.Stop()
	for len(said) < len(ids) {
		select {
		case a, ok := <-h.said:
			if !ok {
				return in.inTheBook(ctx, ids), nil
			}
			said[a.OrderID] = a
		case err := <-started:
			if err != nil && starting.Err() == nil {
				return nil, err
			}
		case <-look.C:
			if found := in.inTheBook(waiting, ids); found != nil {
				return found, nil
			}
		case <-waiting.Done():
			return in.inTheBook(ctx, ids), ctx.Err()
		}
	}
	return said, nil
}

// inTheBook says of orders that they are in the book; nothing where one is not.
func (in *Intake) inTheBook(ctx context.Context, ids []string) map[string]orderbook.Announcement {
	known, err := in.book.GetAll(ctx, "", ids)
	if err != nil || len(known) < len(ids) {
		return nil
	}
	found := map[string]orderbook.Announcement{}
	for _, id := range ids {
		found[id] = orderbook.Announcement{OrderID: id}
	}
	return found
}

// start starts the workflow of a new order and waits until its credits are held or
// found missing.
func (in *Intake) start(ctx context.Context, input order.Input) (order.Reservation, error) {
	ctx, cancel := context.WithTimeout(ctx, within(input))
	defer cancel()
	said, err := in.begin(ctx, func(ctx context.Context) error {
		return in.execute(ctx, workflows.StartOptions(input), workflows.Order, workflows.OrderInput{Input: input, Announced: true})
	}, input.ID)
	a, announced := said[input.ID]
	switch {
	case err != nil:
		return order.Reservation{}, err
	case !announced:
		return in.reserve(ctx, input)
	case a.Refused != nil:
		return order.Reservation{}, activities.RefusalError(a.Refused)
	}
	return order.Reservation{Order: a.Order, RequestHash: a.RequestHash}, nil
}

// execute starts a workflow. Where a worker of this process has room, its first task
// comes with the answer.
func (in *Intake) execute(ctx context.Context, options client.StartWorkflowOptions, workflow, input any) error {
	options.EnableEagerStart = true
	_, err := in.temporal.ExecuteWorkflow(ctx, options, workflow, input)
	return err
}

// beginRide starts the workflow of a ride and waits until its orders are reserved.
func (in *Intake) beginRide(ctx context.Context, ride string, input workflows.RideInput) ([]activities.Boarded, error) {
	ids := make([]string, len(input.Orders))
	for i, o := range input.Orders {
		ids[i] = o.ID
	}
	announced := input
	announced.Announced = true
	said, err := in.begin(ctx, func(ctx context.Context) error {
		return in.execute(ctx, rideOptions(ride, input), workflows.Ride, announced)
	}, ids...)
	if err != nil {
		return nil, err
	}
	if said == nil {
		return in.reserveRide(ctx, ride, input)
	}
	boarded := make([]activities.Boarded, len(ids))
	for i, id := range ids {
		a := said[id]
		boarded[i] = activities.Boarded{OrderID: id, RequestHash: a.RequestHash, Refused: a.Refused, Rides: a.Rides}
	}
	return boarded, nil
}
