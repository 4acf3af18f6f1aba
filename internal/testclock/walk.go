package testclock

import (
	"context"
	"fmt"
	"time"
)

// Orders is what the walk needs of Temporal.
type Orders interface {
	// TimeMoved tells the workflow of an order that waits for its refund to look at
	// the organization's time again.
	TimeMoved(ctx context.Context, orderID string) error
}

// Walk leads a clock to where it is to go, from one moment at which something
// falls due to the next: each is carried out, as far as it goes, before the time
// moves on. Interrupted, it goes on where it was. A clock that is ready stays.
func (c *Clocks) Walk(ctx context.Context, id string, orders Orders) error {
	for {
		clock, err := c.Get(ctx, id)
		if err != nil || clock.Target == nil {
			return err
		}
		if err := c.settle(ctx, clock.Org, orders); err != nil {
			return err
		}
		next, err := c.next(ctx, clock.Org, clock.At, *clock.Target)
		if err != nil {
			return err
		}
		if !next.IsZero() {
			if err := c.ledger.SetClock(ctx, clock.Org, next); err != nil {
				return err
			}
			continue
		}
		if err := c.ledger.SetClock(ctx, clock.Org, *clock.Target); err != nil {
			return err
		}
		if _, err := c.pool.Exec(ctx, `UPDATE test_clock SET target = NULL WHERE id = $1 AND target = $2`, id, *clock.Target); err != nil {
			return fmt.Errorf("the test clock %s has arrived, and that was not noted: %w", id, err)
		}
		return nil
	}
}

// next is the first moment after one time, and by another, at which something of
// an organization falls due; the zero time where nothing does.
func (c *Clocks) next(ctx context.Context, org string, after, by time.Time) (first time.Time, err error) {
	for _, of := range []func(context.Context, string, time.Time, time.Time) (time.Time, error){
		c.accounts.NextDue, c.ledger.NextTurn, c.book.NextRefund,
	} {
		at, err := of(ctx, org, after, by)
		if err != nil {
			return first, err
		}
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first, nil
}

// settle carries out everything that is due at the organization's time. Orders
// that are being carried out come first: in real time they would be done long
// before the next moment.
func (c *Clocks) settle(ctx context.Context, org string, orders Orders) error {
	if err := c.await(ctx, func() (bool, error) { return c.book.Busy(ctx, org) }); err != nil {
		return err
	}
	if err := c.billing.Settle(ctx, org); err != nil {
		return err
	}
	due, err := c.book.RefundsDue(ctx, org)
	if err != nil {
		return err
	}
	for _, id := range due { // one after the other: their order in the journal is that of their times
		if err := orders.TimeMoved(ctx, id); err != nil {
			return err
		}
		if err := c.await(ctx, func() (bool, error) { return c.book.Waits(ctx, id) }); err != nil {
			return err
		}
	}
	return nil
}

// await asks until what it asks for is over.
func (c *Clocks) await(ctx context.Context, still func() (bool, error)) error {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		yes, err := still()
		if err != nil || !yes {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
