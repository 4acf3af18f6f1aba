package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"holdfast/internal/webhook"
	"holdfast/workflows"
)

const (
	publishEvery = 250 * time.Millisecond
	publishAtMax = 500              // events that one transaction takes from the outbox
	checkEvery   = 30 * time.Second // for endpoints whose workflow was not woken, by a crash in between, and for old events
	removeAtMax  = 5000             // old events that are removed at a time
)

// WakeWebhook starts the workflow that delivers to an endpoint, or tells the one
// that runs that there is something new.
func (in *Intake) WakeWebhook(ctx context.Context, endpoint string) error {
	_, err := in.temporal.SignalWithStartWorkflow(ctx, workflows.WebhookID(endpoint), workflows.SignalWake, nil,
		client.StartWorkflowOptions{
			TaskQueue:     workflows.TaskQueue,
			StaticSummary: "Deliver events to " + endpoint,
			Priority:      temporal.Priority{FairnessKey: endpoint},
		}, workflows.WebhookDelivery, endpoint)
	return err
}

// PublishEvents carries events from the outbox to the webhooks until ctx is
// done. Every worker runs it; one at a time has something to do. What it cannot
// do now, because Temporal or the database is away, it does later.
func (in *Intake) PublishEvents(ctx context.Context, hooks *webhook.Webhooks, log *slog.Logger) {
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	var checked time.Time
	for {
		if err := in.publish(ctx, hooks, &checked); err != nil && ctx.Err() == nil {
			log.Warn("Events were not published; they will be.", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// publish empties the outbox and wakes the endpoints that got something. Every
// now and then it wakes all that have something pending: a workflow that was
// not started, or ended by hand, is made up for. Then it also removes what was
// told long ago.
func (in *Intake) publish(ctx context.Context, hooks *webhook.Webhooks, checked *time.Time) error {
	wake := map[string]bool{}
	for {
		events, endpoints, err := hooks.Publish(ctx, publishAtMax)
		if err != nil {
			return err
		}
		for _, e := range endpoints {
			wake[e] = true
		}
		if events < publishAtMax {
			break
		}
	}
	now := time.Now()
	if now.Sub(*checked) > checkEvery {
		endpoints, err := hooks.Waiting(ctx)
		if err != nil {
			return err
		}
		for _, e := range endpoints {
			wake[e] = true
		}
		if _, err := hooks.Remove(ctx, removeAtMax); err != nil {
			return err
		}
	}
	var failed []error
	for endpoint := range wake { // one that cannot be woken does not stop the others
		if err := in.WakeWebhook(ctx, endpoint); err != nil {
			failed = append(failed, fmt.Errorf("webhook %s: %w", endpoint, err))
		}
	}
	if len(failed) > 0 {
		*checked = time.Time{} // those that were not woken are found again
		return errors.Join(failed...)
	}
	if now.Sub(*checked) > checkEvery {
		*checked = now
	}
	return nil
}
