package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"holdfast/internal/ledger"
	"holdfast/internal/order"
)

// happening is what comes between the beginning and the end of an order.
type happening struct {
	before func(ctx context.Context, r *recorder) error                 // it is submitted
	then   func(ctx context.Context, r *recorder, org, id string) error // it runs
	tries  bool                                                         // a step must have been tried again
}

var here = netip.AddrFrom4([4]byte{127, 0, 0, 1})

var (
	// paused pauses an order that cannot select yet, and resumes it when it waits for
	// that before its first batch.
	paused = &happening{
		before: func(ctx context.Context, r *recorder) (err error) {
			if r.lock, err = r.Pool.Begin(ctx); err == nil {
				_, err = r.lock.Exec(ctx, `LOCK TABLE order_item IN EXCLUSIVE MODE`)
			}
			return err
		},
		then: func(ctx context.Context, r *recorder, org, id string) error {
			_, err := r.Intake.Pause(ctx, org, id)
			if err := errors.Join(err, r.lock.Rollback(ctx)); err != nil {
				return err
			}
			return r.resumeWhenWaiting(ctx, org, id)
		},
	}

	// outage lets all mail hosts refuse us, until the order waits for that to end.
	outage = &happening{
		before: func(_ context.Context, r *recorder) error { r.lab.List(here); return nil },
		then: func(ctx context.Context, r *recorder, org, id string) error {
			defer r.lab.Unlist(here)
			if err := r.await(ctx, id, waits); err != nil {
				return err
			}
			r.lab.Unlist(here)
			return r.resumeWhenWaiting(ctx, org, id)
		},
	}

	// retries takes the items of all orders away for a moment.
	retries = &happening{tries: true, then: func(ctx context.Context, r *recorder, _, id string) error {
		if err := r.await(ctx, id, verifies); err != nil {
			return err
		}
		if _, err := r.Pool.Exec(ctx, `ALTER TABLE order_item RENAME TO order_item_away`); err != nil {
			return err
		}
		time.Sleep(time.Second)
		_, err := r.Pool.Exec(ctx, `ALTER TABLE order_item_away RENAME TO order_item`)
		return err
	}}

	// failure charges the whole hold to something else, so that the order's own charge
	// fails for good.
	failure = &happening{then: func(ctx context.Context, r *recorder, org, id string) error {
		o, err := r.Book.Get(ctx, org, id)
		if err != nil {
			return err
		}
		for _, c := range o.Credits {
			if _, err := r.Ledger.Capture(ctx, ledger.Capture{Owner: org, Key: id + "/else", HoldID: id, Type: c.Type, Amount: c.Held}); err != nil {
				return err
			}
		}
		return nil
	}}

	// open saves the history of an order that verifies, and lets it end.
	open = &happening{then: func(ctx context.Context, r *recorder, _, id string) error {
		return r.await(ctx, id, verifies)
	}}
)

func verifies(p order.Progress) bool { return p.Stage == order.StageVerifying }
func waits(p order.Progress) bool    { return p.Waiting != "" }

func (r *recorder) resumeWhenWaiting(ctx context.Context, org, id string) error {
	if err := r.await(ctx, id, waits); err != nil {
		return err
	}
	_, err := r.Intake.Resume(ctx, org, id)
	return err
}

// await waits until an order is as it should be.
func (r *recorder) await(ctx context.Context, id string, is func(order.Progress) bool) error {
	for {
		p, err := r.Intake.Progress(ctx, id)
		if err != nil || is(p) {
			return err
		}
		if p.Stage == order.StageOver {
			return fmt.Errorf("the order %s was over too early", id)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
