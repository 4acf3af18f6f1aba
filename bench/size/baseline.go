package main

import (
	"context"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
	"holdfast/bench/stand"
	"holdfast/internal/config"
	"holdfast/internal/order"
	"holdfast/internal/wire"
)

const (
	baselineQueue  = "bench-size"
	baselineWindow = 100 // contacts under way at the same time
)

// contact does the whole work of one contact in one activity.
type contact struct{ *activities.Activities }

// Contact verifies one item and charges it.
func (c *contact) Contact(ctx context.Context, in activities.BatchInput, charge activities.CaptureInput) error {
	if _, err := c.VerifyBatch(ctx, in); err != nil {
		return err
	}
	_, err := c.CaptureCredits(ctx, charge)
	return err
}

// PerContact is the baseline: an order as one would write it first, with an
// activity for each contact. It does with the same parts what workflows.Order
// does, only its windows and greylisting rounds are missing.
func PerContact(ctx workflow.Context, in order.Input) (order.Order, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Minute})
	a := &contact{} // names the activities
	var reserved order.Reservation
	if err := workflow.ExecuteActivity(ctx, a.Reserve, in).Get(ctx, &reserved); err != nil {
		return order.Order{}, err
	}
	var o order.Order
	if err := workflow.ExecuteActivity(ctx, a.SelectLeads, activities.SelectInput{ID: in.ID, Org: in.Org, Member: in.Member, Terms: reserved.Terms}).Get(ctx, &o); err != nil {
		return order.Order{}, err
	}
	window := workflow.NewSemaphore(ctx, baselineWindow)
	contacts := workflow.NewWaitGroup(ctx)
	var failed error
	for n := range o.Selected {
		if err := window.Acquire(ctx, 1); err != nil {
			return order.Order{}, err
		}
		contacts.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer contacts.Done()
			defer window.Release(1)
			err := workflow.ExecuteActivity(ctx, a.Contact,
				activities.BatchInput{OrderID: in.ID, From: n + 1, To: n + 1, Due: workflow.Now(ctx)},
				activities.CaptureInput{
					OrderID: in.ID, Org: in.Org, Kind: in.Request.Kind, Terms: reserved.Terms,
					Ranges: []activities.Range{{From: n + 1, To: n + 1}},
				}).Get(ctx, nil)
			if err != nil {
				failed = err
			}
		})
	}
	contacts.Wait(ctx)
	if failed != nil {
		return order.Order{}, failed
	}
	deliver := activities.DeliverInput{OrderID: in.ID, Org: in.Org}
	if err := workflow.ExecuteActivity(ctx, a.DeliverOrder, deliver).Get(ctx, nil); err != nil {
		return order.Order{}, err
	}
	err := workflow.ExecuteActivity(ctx, a.ReleaseHold, activities.ReleaseInput{
		OrderID: in.ID, Org: in.Org, Plan: reserved.Terms.Plan, PlanVersion: reserved.Terms.PlanVersion,
		At: workflow.Now(ctx), Status: order.Settled,
	}).Get(ctx, &o)
	return o, err
}

// runBaseline is the baseline's worker, with an app and an engine of its own.
func runBaseline(ctx context.Context, cfg config.Config) error {
	app, err := wire.Open(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer app.Close()
	acts, closeAll, err := app.Activities()
	if err != nil {
		return err
	}
	defer closeAll()
	w := worker.New(app.Temporal, baselineQueue, worker.Options{MaxConcurrentActivityExecutionSize: baselineWindow})
	w.RegisterWorkflow(PerContact)
	w.RegisterActivity(&contact{acts})
	if err := w.Start(); err != nil {
		return err
	}
	<-ctx.Done()
	w.Stop()
	return nil
}

// startBaseline starts an order of this many leads with an activity for each.
func startBaseline(ctx context.Context, s *stand.Stand, org string, leads int64) (id string, err error) {
	in := order.Input{ID: order.ID(org, "order"), Org: org, Request: order.Request{Kind: order.LeadList, Count: leads}}
	_, err = s.App.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: in.ID, TaskQueue: baselineQueue}, PerContact, in)
	return in.ID, err
}
