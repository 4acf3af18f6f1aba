package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/workflow"

	"holdfast/bench/report"
	"holdfast/internal/wire"
)

// nothing is a yardstick: a workflow that only answers an update.
func nothing(ctx workflow.Context) error {
	done := false
	if err := workflow.SetUpdateHandler(ctx, "answer", func(workflow.Context) error { done = true; return nil }); err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return done })
}

// empty measures what Temporal alone does.
func (b *bench) empty(ctx context.Context, app *wire.App, callers int) float64 {
	return b.measure("empty workflow with an update (yardstick)", callers, func(int64) error { return startNothing(ctx, app.Temporal) })
}

// startNothing starts and finishes an empty workflow with an update.
func startNothing(ctx context.Context, c client.Client) error {
	handle, err := c.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: c.NewWithStartWorkflowOperation(client.StartWorkflowOptions{
			ID: uuid.NewString(), TaskQueue: "bench", WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		}, nothing),
		UpdateOptions: client.UpdateWorkflowOptions{UpdateName: "answer", WaitForStage: client.WorkflowUpdateStageCompleted},
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, nil)
}

// verifications measures POST /verify, each of an address that was not asked for
// before, beside what Temporal needs for an empty workflow and DBOS for one of six
// steps.
func (b *bench) verifications(ctx context.Context, r *report.Report, app *wire.App) (err error) {
	sixSteps, stopDBOS, err := startDBOS(ctx, app.Config.DatabaseURL)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopDBOS()) }()
	rows, _ := app.Pool.Query(ctx, `SELECT email FROM lead ORDER BY no DESC`)
	emails, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	next := int64(-1) // address; each is asked for once
	for _, callers := range []int{1, together} {
		bare := b.empty(ctx, app, callers)
		steps := b.measure("DBOS, a workflow of six steps (yardstick)", callers, func(int64) error { return sixSteps() })
		var done float64
		if err := profile(ctx, b.profiles, fmt.Sprintf("verify-%d", callers), r, app, func() error {
			done = b.measure("POST /verify", callers, func(int64) error {
				n := atomic.AddInt64(&next, 1) % int64(len(emails))
				return b.send(ctx, http.MethodPost, "/api/v1/verify", fmt.Sprint("verify-", callers, "-", n), fmt.Sprintf(`{"email":%q}`, emails[n]), nil)
			})
			return nil
		}); err != nil {
			return err
		}
		r.Note("POST /verify with %d callers does %.2f times what Temporal alone does with empty workflows, and %.2f times what DBOS does with six steps.", callers, done/bare, done/steps)
	}
	var rides, lines int64
	if err := app.Pool.QueryRow(ctx, `SELECT count(DISTINCT ride_id), count(*) FROM order_ride WHERE ride_id LIKE 'ride/%'`).Scan(&rides, &lines); err != nil {
		return err
	}
	r.Note("%d calls shared %d rides.", lines, rides)
	return nil
}
