package workflows

import (
	"go.temporal.io/sdk/workflow"

	"holdfast/internal/order"
)

// partSize is how many items are charged, and sent to a webhook, at a time.
const partSize = 1000

// chargedAtTheEnd reports whether nothing is charged while it is verified: an
// export is charged when it completes, and where nothing had to be verified
// there is no such time.
func (o *orderRun) chargedAtTheEnd() bool {
	return o.in.Request.Kind == order.Export || o.nothingToVerify()
}

// handOver charges, part by part, what was not charged while it was verified.
// Cancelled between two parts, the order keeps those that were charged.
func (o *orderRun) handOver(ctx workflow.Context) error {
	if !o.chargedAtTheEnd() {
		return nil
	}
	o.enter(ctx, order.StageDelivering)
	parts := (o.Order.Selected + partSize - 1) / partSize
	for o.Parts < parts {
		if o.long(ctx) {
			return o.continueAsNew(ctx)
		}
		if err := o.awaitResume(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		o.begun++
		first := o.Parts*partSize + 1
		if err := o.handOverPart(ctx, batch{From: first, To: min(first+partSize-1, o.Order.Selected)}); err != nil {
			return err
		}
		o.Parts++
	}
	return nil
}

func (o *orderRun) handOverPart(ctx workflow.Context, part batch) error {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	return o.charge(ctx, []batch{part})
}
