package activities

import (
	"context"

	"holdfast/internal/lead"
	"holdfast/internal/orderbook"
	"holdfast/internal/webhook"
)

// WebhookActivities is what the activities that talk to webhooks work with.
type WebhookActivities struct {
	Webhooks  *webhook.Webhooks
	Catalogue *lead.Catalogue
	Book      *orderbook.Book
}

// DeliverWebhooksInput is the input of DeliverWebhooks.
type DeliverWebhooksInput struct {
	Endpoint string `json:"endpoint"`
	Limit    int    `json:"limit"`
}

// WebhookRound is what came of a batch.
type WebhookRound = webhook.Round

// DeliverWebhooks sends what is due to an endpoint. Repeated after a crash, it
// sends what was not noted as sent: an event arrives at least once.
func (a *WebhookActivities) DeliverWebhooks(ctx context.Context, in DeliverWebhooksInput) (WebhookRound, error) {
	defer heartbeat(ctx, noProgress)()
	round, err := a.Webhooks.Deliver(ctx, in.Endpoint, in.Limit)
	return round, toTemporal(err)
}
