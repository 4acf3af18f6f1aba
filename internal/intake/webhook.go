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
	publishAtMax = 500              // events that one transaction takes from the outbox
	checkEvery   = 30 * time.Second // for endpoints without a workflow, and for old events
	lateAfter    = time.Minute      // an endpoint that is due for so long has lost its workflow
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
// done. Every worker runs it; one of them leads, the others wait to take over. The
// one that leads runs each of beside as well.
// What it cannot do now, because Temporal or the database is away, it does
// later.
func (in *Intake) PublishEvents(ctx context.Context, hooks *webhook.Webhooks, log *slog.Logger, beside ...func(context.Context)) {
	report := func(err error) { log.Warn("Events were not published; they will be.", "error", err) }
	p := publisher{intake: in, hooks: hooks}
	hooks.Lead(ctx, report, p.publish, beside...)
}

// publisher is what the process that leads remembers.
type publisher struct {
	intake  *Intake
	hooks   *webhook.Webhooks
	asleep  map[string]bool // endpoints that have something to do and were not woken yet
	checked time.Time
}

// publish empties the outbox and wakes the endpoints that got something. Every
// now and then it looks for endpoints that lost their workflow, and removes what
// was delivered long ago. Who has just taken over wakes all that are due: the
// process before may have ended between an event and its signal.
func (p *publisher) publish(ctx context.Context, first bool) error {
	if first {
		p.asleep, p.checked = map[string]bool{}, time.Now()
		if err := p.note(p.hooks.Overdue(ctx, 0)); err != nil {
			return err
		}
	}
	for {
		events, endpoints, err := p.hooks.Publish(ctx, publishAtMax)
		if err := p.note(endpoints, err); err != nil {
			return err
		}
		if events < publishAtMax {
			break
		}
	}
	if time.Since(p.checked) > checkEvery {
		p.checked = time.Now()
		if err := p.note(p.hooks.Overdue(ctx, lateAfter)); err != nil {
			return err
		}
		if _, err := p.hooks.Remove(ctx, removeAtMax); err != nil {
			return err
		}
		if err := p.intake.offers.ExpireLists(ctx); err != nil {
			return err
		}
	}
	var failed []error
	for endpoint := range p.asleep { // one that cannot be woken does not stop the others
		if err := p.intake.WakeWebhook(ctx, endpoint); err != nil {
			failed = append(failed, fmt.Errorf("webhook %s: %w", endpoint, err))
			continue
		}
		delete(p.asleep, endpoint)
	}
	return errors.Join(failed...)
}

func (p *publisher) note(endpoints []string, err error) error {
	for _, e := range endpoints {
		p.asleep[e] = true
	}
	return err
}
