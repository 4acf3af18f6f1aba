package main

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/client"

	"holdfast/internal/account"
	"holdfast/internal/wire"
	"holdfast/workflows"
)

// resets records a reset that the schedule started, with missed periods and a
// plan change to complete, and one that goes on in a new run.
func (r *recorder) resets(ctx context.Context) error {
	const scheduledReset, continuedReset = "reset-scheduled", "reset-continued"
	if !r.wants(scheduledReset) && !r.wants(continuedReset) {
		return nil
	}
	begin := time.Now().AddDate(0, -2, -3).UTC()
	for i := range 60 {
		if err := lateOrg(ctx, r.App, fmt.Sprintf("late-%02d", i), begin.Add(time.Duration(i)*time.Minute)); err != nil {
			return err
		}
	}
	if _, err := r.Accounts.ChangePlan(ctx, "late-00", "rollover-power", time.Now()); err != nil {
		return err
	}
	if _, err := r.Intake.EnsureSchedule(ctx, time.Hour); err != nil {
		return err
	}
	if err := r.Intake.TriggerReset(ctx); err != nil {
		return err
	}
	id, err := scheduled(ctx, r.App, workflows.ResetSchedule)
	if err != nil {
		return err
	}
	if err := r.save(ctx, id, "", scheduledReset); err != nil {
		return err
	}

	for i := range 60 {
		if err := lateOrg(ctx, r.App, fmt.Sprintf("later-%02d", i), begin.Add(time.Duration(i)*time.Minute)); err != nil {
			return err
		}
	}
	run, err := r.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "reset-continued", TaskQueue: workflows.TaskQueue},
		workflows.MonthlyReset, workflows.ResetInput{PageSize: 1})
	if err != nil {
		return err
	}
	first := run.GetRunID() // Get follows the run to the one it continues in
	if err := run.Get(ctx, nil); err != nil {
		return err
	}
	return r.save(ctx, run.GetID(), first, continuedReset)
}

func lateOrg(ctx context.Context, app *wire.App, id string, begin time.Time) error {
	_, err := app.Accounts.CreateOrg(ctx, account.Org{ID: id, Name: id, Plan: "rollover-boost", Anchor: begin, CreatedAt: begin})
	return err
}

// scheduled waits for the first run of a schedule and returns its workflow ID.
func scheduled(ctx context.Context, app *wire.App, schedule string) (string, error) {
	for {
		s, err := app.Intake.Schedule(ctx, schedule)
		if err != nil {
			return "", err
		}
		if len(s.Recent) > 0 {
			return s.Recent[0].WorkflowID, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}
