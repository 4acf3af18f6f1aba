package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"holdfast/internal/order"
	"holdfast/internal/verify"
)

// lookEvery is how often an order that is watched is looked at.
const lookEvery = 500 * time.Millisecond

// place is where a watcher is: how far the order was at the last event. It is
// the event's id, so that a client that comes back says it in Last-Event-ID.
type place struct {
	step int   // of the status
	done int64 // of the progress
}

func (p place) String() string { return fmt.Sprintf("%d-%d", p.step, p.done) }

func parsePlace(id string) place {
	var p place
	if _, err := fmt.Sscanf(id, "%d-%d", &p.step, &p.done); err != nil {
		return place{}
	}
	return p
}

// step numbers the statuses in their order; an order never goes back.
func step(s order.Status) int {
	switch s {
	case order.Reserved:
		return 1
	case order.Verifying:
		return 2
	case order.Completed:
		return 3
	case order.Settled, order.Rejected, order.Cancelled, order.Failed:
		return 4
	}
	return 0
}

func (a *API) watch(ctx context.Context, in *struct {
	OrderID
	Last string `header:"Last-Event-ID" doc:"The id of the last event that was received."`
},
) (*huma.StreamResponse, error) {
	o, err := a.orderOf(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	at := parsePlace(in.Last)
	if o.Status.Over() && at.step >= step(o.Status) {
		return &huma.StreamResponse{Body: func(hc huma.Context) { hc.SetStatus(http.StatusNoContent) }}, nil
	}
	leave, err := a.streams.enter(callerOf(ctx).keyID)
	if err != nil {
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer leave()
		hc.SetHeader("Content-Type", "text/event-stream")
		hc.SetHeader("X-Accel-Buffering", "no") // proxies pass events on as they come
		_, w := humago.Unwrap(hc)
		// The stream's end is no error: the client comes back and says where it was.
		if err := a.tell(ctx, a.patient(w), o, at); err != nil && ctx.Err() == nil {
			a.Log.InfoContext(ctx, "An event stream ended early.", "request_id", requestID(ctx), "error", verify.WithoutAddresses(err.Error()))
		}
	}}, nil
}

// tell writes events until the order is over, the client goes or the server
// stops.
func (a *API) tell(ctx context.Context, w *patient, o order.Order, at place) error {
	looks, beats := time.NewTicker(lookEvery), time.NewTicker(a.Heartbeat)
	defer looks.Stop()
	defer beats.Stop()
	for {
		if now := step(o.Status); now > at.step {
			at.step = now
			if err := send(w, "status", at, o); err != nil {
				return err
			}
		}
		if o.Status.Over() {
			return nil
		}
		if p := o.Look(); p.Done > at.done {
			at.done = p.Done
			if err := send(w, "progress", at, p); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.drain:
			return nil
		case <-beats.C:
			if still, ok := ctx.Value(stillKey{}).(func() bool); ok && !still() {
				return nil // the next request of the caller is answered with the reason
			}
			if _, err := w.Write([]byte(": heartbeat\n\n")); err != nil {
				return err
			}
			if err := w.flush(); err != nil {
				return err
			}
		case <-looks.C:
		}
		var err error
		if o, err = a.Book.Get(ctx, o.Org, o.ID); err != nil {
			return err
		}
	}
}

// send writes one event, as the HTML standard frames it.
func send(w *patient, name string, at place, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "event: %s\nid: %s\ndata: %s\n\n", name, at, text); err != nil {
		return err
	}
	return w.flush()
}
