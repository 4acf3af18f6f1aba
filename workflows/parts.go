package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
	"holdfast/internal/order"
)

// partSize is how many items are charged, and sent to a webhook, at a time.
const partSize = 1000

// chargedAtTheEnd reports whether nothing is charged while it is verified: an
// export is charged when it completes, and where nothing had to be verified
// there is no such time.
func (o *orderRun) chargedAtTheEnd() bool {
	return o.in.Request.Kind.Spec().Exports || o.nothingToVerify()
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
		if err := o.handOverPart(ctx, o.Parts+1, parts); err != nil {
			return err
		}
		o.Parts++
	}
	return nil
}

// handOverPart sends a part where it shall go, if anywhere, and charges what
// the destination took. Once it took it, the charge is seen through.
func (o *orderRun) handOverPart(ctx workflow.Context, part, parts int64) error {
	items := batch{From: (part-1)*partSize + 1, To: min(part*partSize, o.Order.Selected)}
	if o.in.Request.Destination == order.ToWebhook {
		summary := fmt.Sprintf("push part %d of %d to the webhook", part, parts)
		in := activities.PushInput{
			OrderID: o.in.ID, Org: o.in.Org, WebhookID: o.in.Request.WebhookID,
			From: items.From, To: items.To, Part: int(part), Parts: int(parts),
		}
		if err := workflow.ExecuteActivity(pushing(ctx, in.WebhookID, summary), hooks.PushExport, in).Get(ctx, nil); err != nil {
			return err
		}
	}
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	return o.charge(ctx, []batch{items})
}
