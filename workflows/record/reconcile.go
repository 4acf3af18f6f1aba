package main

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"

	"holdfast/workflows"
)

// reconcile records the search for open orders without a workflow.
func (r *recorder) reconcile(ctx context.Context) error {
	const name = "reconciled"
	if !r.wants(name) {
		return nil
	}
	if _, err := r.Intake.EnsureReconcile(ctx, time.Hour); err != nil {
		return err
	}
	if err := r.Temporal.ScheduleClient().GetHandle(ctx, workflows.ReconcileSchedule).Trigger(ctx, client.ScheduleTriggerOptions{}); err != nil {
		return fmt.Errorf("the schedule was not triggered: %w", err)
	}
	id, err := scheduled(ctx, r.App, workflows.ReconcileSchedule)
	if err != nil {
		return err
	}
	return r.save(ctx, id, "", name)
}
