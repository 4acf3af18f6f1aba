package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"go.temporal.io/sdk/client"

	"holdfast/internal/account"
	"holdfast/internal/wire"
	"holdfast/workflows"
)

// recordResets records a reset that the schedule started, with missed periods
// and a plan change to complete, and one that goes on in a new run.
func recordResets(ctx context.Context, rooms *wire.Rooms, out string) error {
	begin := time.Now().AddDate(0, -2, -3).UTC()
	for i := range 60 {
		if err := lateOrg(ctx, rooms, fmt.Sprintf("late-%02d", i), begin.Add(time.Duration(i)*time.Minute)); err != nil {
			return err
		}
	}
	if _, err := rooms.Accounts.ChangePlan(ctx, "late-00", "rollover-power", time.Now()); err != nil {
		return err
	}
	if _, err := rooms.Intake.EnsureSchedule(ctx, time.Hour); err != nil {
		return err
	}
	if err := rooms.Intake.TriggerReset(ctx); err != nil {
		return err
	}
	id, err := scheduled(ctx, rooms)
	if err != nil {
		return err
	}
	if err := save(ctx, rooms, id, filepath.Join(out, "reset-scheduled.json")); err != nil {
		return err
	}

	for i := range 60 {
		if err := lateOrg(ctx, rooms, fmt.Sprintf("later-%02d", i), begin.Add(time.Duration(i)*time.Minute)); err != nil {
			return err
		}
	}
	run, err := rooms.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "reset-continued", TaskQueue: workflows.TaskQueue},
		workflows.MonthlyReset, workflows.ResetInput{PageSize: 1})
	if err != nil {
		return err
	}
	first := run.GetRunID() // Get follows the run to the one it continues in
	if err := run.Get(ctx, nil); err != nil {
		return err
	}
	return saveRun(ctx, rooms, run.GetID(), first, filepath.Join(out, "reset-continued.json"))
}

func lateOrg(ctx context.Context, rooms *wire.Rooms, id string, begin time.Time) error {
	_, err := rooms.Accounts.CreateOrg(ctx, account.Org{ID: id, Name: id, Plan: "rollover-boost", Anchor: begin, CreatedAt: begin})
	return err
}

// scheduled waits for the first run of the schedule and returns its workflow ID.
func scheduled(ctx context.Context, rooms *wire.Rooms) (string, error) {
	for {
		s, err := rooms.Intake.Schedule(ctx)
		if err != nil {
			return "", err
		}
		if len(s.Recent) > 0 {
			return s.Recent[0].WorkflowID, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}
