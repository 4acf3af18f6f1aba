package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"holdfast/internal/errcode"
	"holdfast/workflows"
)

// Errors of the schedule; test with errors.Is. Each is a sentence for the user.
var (
	ErrNoSchedule = errcode.New(errcode.NotFound, "there is no such schedule yet; make it with \"schedule ensure\"")
	ErrInterval   = errcode.New(errcode.Invalid, "the schedule must run at least every 28 days and at most every minute")
	ErrBackfill   = errcode.New(errcode.Invalid, "the time to run again must begin before it ends, and lie in the past")
)

// missedFor is how long after an outage of Temporal itself the missed runs are
// made up for.
const missedFor = 365 * 24 * time.Hour

// Schedule is how a schedule stands.
type Schedule struct {
	ID      string        `json:"id"`
	Every   string        `json:"every"` // such as 1h0m0s
	Paused  bool          `json:"paused"`
	Note    string        `json:"note,omitempty"`
	Running []string      `json:"running"` // workflow IDs
	Recent  []ScheduleRun `json:"recent"`  // the latest first
	Next    []time.Time   `json:"next"`
	Runs    int           `json:"runs"`    // started so far
	Skipped int           `json:"skipped"` // because the run before was still going on
}

// ScheduleRun is one run that the schedule started.
type ScheduleRun struct {
	WorkflowID  string    `json:"workflow_id"`
	ScheduledAt time.Time `json:"scheduled_at"` // a reset resets what fell due by then
	StartedAt   time.Time `json:"started_at"`
}

// EnsureSchedule makes the schedule of the monthly reset, or brings the one
// there is to this interval and to what this program would start. One that is
// paused stays paused. It reports whether it was made.
func (in *Intake) EnsureSchedule(ctx context.Context, every time.Duration) (created bool, err error) {
	return in.ensure(ctx, every, missedFor, &client.ScheduleWorkflowAction{
		ID:            workflows.ResetSchedule,
		Workflow:      workflows.MonthlyReset,
		Args:          []any{workflows.ResetInput{}},
		TaskQueue:     workflows.TaskQueue,
		StaticSummary: "Reset the credits of every subscription with a new period",
	})
}

// EnsureReconcile makes the schedule that takes up lost orders, or brings the
// one there is up to date. Runs that were missed are not made up for.
func (in *Intake) EnsureReconcile(ctx context.Context, every time.Duration) (created bool, err error) {
	return in.ensure(ctx, every, every, &client.ScheduleWorkflowAction{
		ID:            workflows.ReconcileSchedule,
		Workflow:      workflows.Reconcile,
		TaskQueue:     workflows.TaskQueue,
		StaticSummary: "Take up open orders that no workflow is running for",
	})
}

// ensure makes a schedule that has the name of the workflow it starts.
func (in *Intake) ensure(ctx context.Context, every, catchUp time.Duration, action *client.ScheduleWorkflowAction) (created bool, err error) {
	if every < time.Minute || every > 28*24*time.Hour {
		return false, ErrInterval
	}
	spec := client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}}
	_, err = in.temporal.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: action.ID, Spec: spec, Action: action,
		Overlap:       enums.SCHEDULE_OVERLAP_POLICY_SKIP, // the next run takes over what is left
		CatchupWindow: catchUp,
	})
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return false, fmt.Errorf("the schedule was not made: %w", err)
	}
	err = in.schedule(ctx, action.ID).Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(now client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		s := now.Description.Schedule
		s.Spec, s.Action = &spec, action
		s.Policy = &client.SchedulePolicies{Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: catchUp}
		return &client.ScheduleUpdate{Schedule: &s}, nil
	}})
	return false, scheduleError(err)
}

func (in *Intake) schedule(ctx context.Context, id string) client.ScheduleHandle {
	return in.temporal.ScheduleClient().GetHandle(ctx, id)
}

func scheduleError(err error) error {
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return ErrNoSchedule
	}
	if err != nil {
		return fmt.Errorf("the schedule does not answer: %w", err)
	}
	return nil
}

// Schedule tells how a schedule stands, that of workflows.ResetSchedule or
// workflows.ReconcileSchedule, or ErrNoSchedule.
func (in *Intake) Schedule(ctx context.Context, id string) (Schedule, error) {
	d, err := in.schedule(ctx, id).Describe(ctx)
	if err != nil {
		return Schedule{}, scheduleError(err)
	}
	s := Schedule{
		ID: id, Paused: d.Schedule.State.Paused, Note: d.Schedule.State.Note,
		Running: []string{}, Recent: []ScheduleRun{}, Next: []time.Time{},
		Runs: d.Info.NumActions, Skipped: d.Info.NumActionsSkippedOverlap,
	}
	for _, i := range d.Schedule.Spec.Intervals {
		s.Every = i.Every.String()
	}
	for _, w := range d.Info.RunningWorkflows {
		s.Running = append(s.Running, w.WorkflowID)
	}
	for i := len(d.Info.RecentActions) - 1; i >= 0; i-- {
		r := d.Info.RecentActions[i]
		run := ScheduleRun{ScheduledAt: r.ScheduleTime.UTC(), StartedAt: r.ActualTime.UTC()}
		if r.StartWorkflowResult != nil {
			run.WorkflowID = r.StartWorkflowResult.WorkflowID
		}
		s.Recent = append(s.Recent, run)
	}
	for _, t := range d.Info.NextActionTimes {
		s.Next = append(s.Next, t.UTC())
	}
	return s, nil
}

// TriggerReset starts a reset now, besides those that are scheduled; while one
// is running it changes nothing.
func (in *Intake) TriggerReset(ctx context.Context) error {
	return scheduleError(in.schedule(ctx, workflows.ResetSchedule).Trigger(ctx, client.ScheduleTriggerOptions{Overlap: enums.SCHEDULE_OVERLAP_POLICY_SKIP}))
}

// PauseReset stops the schedule from starting resets, with the reason.
// What falls due during the pause is reset, period by period, by the first run after
// UnpauseReset.
func (in *Intake) PauseReset(ctx context.Context, note string) error {
	return scheduleError(in.schedule(ctx, workflows.ResetSchedule).Pause(ctx, client.SchedulePauseOptions{Note: note}))
}

// UnpauseReset lets the schedule go on.
func (in *Intake) UnpauseReset(ctx context.Context, note string) error {
	return scheduleError(in.schedule(ctx, workflows.ResetSchedule).Unpause(ctx, client.ScheduleUnpauseOptions{Note: note}))
}

// BackfillReset runs the schedule's missed runs of a past time, one after the
// other. What was reset already is not reset again.
func (in *Intake) BackfillReset(ctx context.Context, from, to time.Time) error {
	if !from.Before(to) || to.After(time.Now()) {
		return ErrBackfill
	}
	return scheduleError(in.schedule(ctx, workflows.ResetSchedule).Backfill(ctx, client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{{
		Start: from, End: to, Overlap: enums.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL,
	}}}))
}
