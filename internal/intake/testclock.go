package intake

import (
	"context"
	"fmt"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"holdfast/workflows"
)

// AdvanceTestClock lets the workflow of a test clock lead it to the time that is
// noted with it.
func (in *Intake) AdvanceTestClock(ctx context.Context, clock string) error {
	options := client.StartWorkflowOptions{
		ID: workflows.TestClockID(clock), TaskQueue: workflows.TaskQueue, StaticSummary: "Advance " + clock,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	}
	if _, err := in.temporal.SignalWithStartWorkflow(ctx, options.ID, workflows.SignalAdvance, nil, options, workflows.AdvanceTestClock, clock); err != nil {
		return fmt.Errorf("the test clock %s could not be advanced: %w", clock, err)
	}
	return nil
}

// TimeMoved tells an order that waits for its refund that its organization's test
// clock has moved. One whose workflow is gone is taken up again: it looks itself.
func (in *Intake) TimeMoved(ctx context.Context, id string) error {
	err := in.temporal.SignalWorkflow(ctx, id, "", workflows.SignalTimeMoved, nil)
	if isGone(err) {
		err = in.mend(ctx, id)
	}
	return err
}
