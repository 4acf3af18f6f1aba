package intake

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/serviceerror"

	"holdfast/activities"
	"holdfast/internal/order"
	"holdfast/workflows"
)

// Progress asks a running order how far it is: the workflow knows the batches
// that are done, the heartbeats of the batches under way say the rest. An order
// whose workflow Temporal no longer keeps is answered from the book, without
// stages.
func (in *Intake) Progress(ctx context.Context, id string) (order.Progress, error) {
	var p order.Progress
	value, err := in.temporal.QueryWorkflow(ctx, id, "", workflows.QueryProgress)
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return in.lastKnown(ctx, id)
	}
	if err != nil {
		return p, err
	}
	if err := value.Get(&p); err != nil {
		return p, err
	}
	if p.Stage != order.StageVerifying {
		return p, nil
	}
	underWay, err := in.underWay(ctx, id)
	p.Done = min(p.Done+underWay, p.Total)
	p.Estimate(time.Now())
	return p, err
}

// underWay adds up what the running batches of an order have said of themselves.
func (in *Intake) underWay(ctx context.Context, id string) (int64, error) {
	description, err := in.temporal.DescribeWorkflowExecution(ctx, id, "")
	if err != nil {
		return 0, err
	}
	var n int64
	for _, pending := range description.GetPendingActivities() {
		var p activities.BatchProgress
		if in.Converter.FromPayloads(pending.GetHeartbeatDetails(), &p) == nil {
			n += p.Checked
		}
	}
	return n, nil
}

// stageOf is what an order is doing that no workflow of its own tells of: it is
// over, or it rides with others.
func stageOf(s order.Status) order.Stage {
	switch s {
	case order.Reserved:
		return order.StageSelecting
	case order.Verifying:
		return order.StageVerifying
	case order.Completed:
		return order.StageRefunding
	case order.Settled, order.Rejected, order.Cancelled, order.Failed:
	}
	return order.StageOver
}

func (in *Intake) lastKnown(ctx context.Context, id string) (order.Progress, error) {
	o, err := in.book.Get(ctx, "", id)
	if err != nil {
		return order.Progress{}, err
	}
	p := order.Progress{Stage: stageOf(o.Status), Status: o.Status, Done: o.Tally.Done(o.Selected), Total: o.Selected, Tally: o.Tally}
	for _, c := range o.Credits {
		p.Charged = append(p.Charged, order.Amount{Type: c.Type, Amount: c.Captured})
	}
	return p, nil
}
