package main

import (
	"context"
	"maps"
	"time"

	"holdfast/internal/intake"
	"holdfast/internal/order"
	"holdfast/workflows"
)

// clocks records orders whose refund waits for a test clock, and the advance of the
// clock that brings it. A large order asks the clock by activities, a small one by
// local activities.
func (r *recorder) clocks(ctx context.Context) error {
	const org, advanced = "clocked", "test-clock-advanced"
	orders := map[string]int64{"on-test-clock": 120, "small-on-test-clock": 30}
	if !r.wants(advanced) {
		maps.DeleteFunc(orders, func(name string, _ int64) bool { return !r.wants("order-" + name) })
	}
	if len(orders) == 0 {
		return nil
	}
	clock, err := r.TestClocks.Create(ctx, org, time.Now())
	if err != nil {
		return err
	}
	for name, count := range orders {
		sub := intake.Submission{Org: org, Key: name, Request: leads(count, false)}
		id := order.ID(sub.Org, sub.Key)
		if _, err := r.Intake.Submit(ctx, sub); err != nil {
			return err
		}
		if err := r.await(ctx, id, func(p order.Progress) bool { return p.Stage == order.StageRefunding }); err != nil {
			return err
		}
		if err := r.advance(ctx, clock.ID, time.Hour); err != nil {
			return err
		}
		if err := r.save(ctx, id, "", "order-"+name); err != nil {
			return err
		}
	}
	return r.save(ctx, workflows.TestClockID(clock.ID), "", advanced)
}

// advance moves a clock and waits until everything that came due has happened.
func (r *recorder) advance(ctx context.Context, clock string, by time.Duration) error {
	now, err := r.TestClocks.Get(ctx, clock)
	if err != nil {
		return err
	}
	if _, err := r.TestClocks.Advance(ctx, clock, now.At.Add(by)); err != nil {
		return err
	}
	if err := r.Intake.AdvanceTestClock(ctx, clock); err != nil {
		return err
	}
	return r.Temporal.GetWorkflow(ctx, workflows.TestClockID(clock), "").Get(ctx, nil)
}
