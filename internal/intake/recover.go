package intake

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/workflows"
)

// RunningOrders lists the orders whose workflow is running, by what Temporal's
// visibility store knows: it may be some seconds late.
func (in *Intake) RunningOrders(ctx context.Context) (map[string]bool, error) {
	running := map[string]bool{}
	err := in.eachRunning(ctx, `WorkflowType = "Order"`, func(id string) error {
		running[id] = true
		return nil
	})
	return running, err
}

// eachRunning calls do with the ID of each running workflow that meets a condition.
func (in *Intake) eachRunning(ctx context.Context, condition string, do func(id string) error) error {
	const page = 1000
	request := &workflowservice.ListWorkflowExecutionsRequest{
		PageSize: page, Query: condition + ` AND ExecutionStatus = "Running"`,
	}
	for {
		answer, err := in.temporal.ListWorkflow(ctx, request)
		if err != nil {
			return err
		}
		for _, e := range answer.GetExecutions() {
			if err := do(e.GetExecution().GetWorkflowId()); err != nil {
				return err
			}
		}
		if request.NextPageToken = answer.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return nil
		}
	}
}

// EndRunning terminates the workflows of all orders and waits until Temporal
// lists none as running. Any that starts while it waits is terminated, too.
func (in *Intake) EndRunning(ctx context.Context, reason string) error {
	const listedWithin = 200 * time.Millisecond // how late the visibility store usually is
	for {
		listed := false
		err := in.eachRunning(ctx, `WorkflowType IN ("Order", "Ride")`, func(id string) error {
			listed = true
			if err := in.temporal.TerminateWorkflow(ctx, id, "", reason); err != nil && !isGone(err) {
				return fmt.Errorf("the workflow %s was not terminated: %w", id, err)
			}
			return nil
		})
		if err != nil || !listed {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(listedWithin):
		}
	}
}

// Runs says for sure whether the workflow of an order is running, or the ride that
// carries it out.
func (in *Intake) Runs(ctx context.Context, id string) (bool, error) {
	runs, err := in.isRunning(ctx, id)
	if err != nil || runs {
		return runs, err
	}
	line, err := in.book.Line(ctx, id)
	if errors.Is(err, orderbook.ErrNotFound) || (err == nil && line.Alone()) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if runs, err = in.isRunning(ctx, line.RideID); err != nil || runs {
		return runs, err
	}
	return in.isRunning(ctx, id) // the ride may have handed it over in between
}

func (in *Intake) isRunning(ctx context.Context, id string) (bool, error) {
	description, err := in.temporal.DescribeWorkflowExecution(ctx, id, "")
	if isGone(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return description.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// TakeUp starts the workflow of an order again, however the last one ended. It
// goes on where the book says that the order stands. One that runs stays.
func (in *Intake) TakeUp(ctx context.Context, input order.Input) error {
	options := workflows.StartOptions(input)
	options.WorkflowIDReusePolicy = enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	if _, err := in.temporal.ExecuteWorkflow(ctx, options, workflows.Order, workflows.OrderInput{Input: input}); err != nil {
		return fmt.Errorf("order %s could not be taken up: %w", input.ID, err)
	}
	return nil
}

// PassCancelOn cancels the workflow of an order, if it is running. Cancelled
// before, it stays so, and its history does not grow. Temporal takes the request
// for a workflow that has ended, too, and does nothing.
func (in *Intake) PassCancelOn(ctx context.Context, id string) error {
	err := in.temporal.CancelWorkflow(ctx, id, "")
	var already *serviceerror.CancellationAlreadyRequested
	if errors.As(err, &already) || isGone(err) {
		return nil
	}
	return err
}

// mend takes an order up again whose workflow is not running.
func (in *Intake) mend(ctx context.Context, id string) error {
	runs, err := in.Runs(ctx, id)
	if err == nil && !runs {
		_, err = in.takeUpLost(ctx, id)
	}
	return err
}

// takeUpLost starts the workflow of an order again of which Temporal says that
// none is running. It reports false for one that is over by now.
func (in *Intake) takeUpLost(ctx context.Context, id string) (bool, error) {
	o, err := in.book.OpenOrder(ctx, id)
	if errors.Is(err, orderbook.ErrOver) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, in.TakeUp(ctx, o.Input())
}

// isGone says whether an error is Temporal's word for a workflow that is not
// running.
func isGone(err error) bool {
	var gone *serviceerror.NotFound
	return errors.As(err, &gone)
}
