package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
)

const (
	// SignalWake tells WebhookDelivery that there is something new to send.
	SignalWake = "wake"

	webhookBatch     = 100 // events that one activity sends
	roundsPerRun     = 200 // activities until the workflow continues as a new run
	webhookIDPrefix  = "webhook/"
	webhookLongestly = 24 * time.Hour
)

// hooks names the activities of webhooks; it is never called.
var hooks *activities.WebhookActivities

// WebhookID is the ID of the workflow that delivers to an endpoint.
func WebhookID(endpoint string) string { return webhookIDPrefix + endpoint }

// WebhookDelivery sends to one endpoint what is pending for it: batch by batch
// what is due, then it waits for the next attempt or for something new. It ends
// when nothing is pending. There is one per endpoint, so that the events of an
// order are never on two ways at once.
func WebhookDelivery(ctx workflow.Context, endpoint string) error {
	wake := workflow.GetSignalChannel(ctx, SignalWake)
	for range roundsPerRun {
		for wake.ReceiveAsync(nil) { // the next batch sees what they tell of
		}
		var round activities.WebhookRound
		in := activities.DeliverWebhooksInput{Endpoint: endpoint, Limit: webhookBatch}
		if err := workflow.ExecuteActivity(sending(ctx, endpoint), hooks.DeliverWebhooks, in).Get(ctx, &round); err != nil {
			return err
		}
		if round.Next == nil {
			if wake.Len() == 0 {
				return nil
			}
			continue
		}
		if wait := time.Duration(round.Wait) * time.Millisecond; wait > 0 {
			if err := sleepOrWake(ctx, wake, wait); err != nil {
				return err
			}
		}
	}
	return workflow.NewContinueAsNewError(ctx, WebhookDelivery, endpoint)
}

// sleepOrWake waits for a time to pass or for a signal that says that there is
// something to do before.
func sleepOrWake(ctx workflow.Context, wake workflow.ReceiveChannel, wait time.Duration) error {
	timing, cancel := workflow.WithCancel(ctx)
	defer cancel()
	timer := workflow.NewTimerWithOptions(timing, min(wait, webhookLongestly), workflow.TimerOptions{Summary: "until the next attempt"})
	var err error
	workflow.NewSelector(ctx).
		AddFuture(timer, func(f workflow.Future) { err = f.Get(ctx, nil) }).
		AddReceive(wake, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) }).
		Select(ctx)
	return err
}
