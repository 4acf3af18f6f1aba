package api

import (
	"context"
	"net/http"

	"holdfast/internal/webhook"
)

func (a *API) webhooks() {
	add(a, route{
		method: http.MethodPost, path: "/webhooks", name: "createWebhook", tag: "Webhooks", status: http.StatusCreated, needs: admin,
		summary: "Create a webhook endpoint",
		about: "Events are signed by the Standard Webhooks specification with the secret, which is shown this once. Events of one order arrive in " +
			"order, each at least once; webhook-id tells repetitions. Anything but a status from 200 to 299 is tried again over a day.",
	}, func(ctx context.Context, in *struct {
		Repeatable
		Body struct {
			URL    string  `json:"url" example:"https://example.com/holdfast"`
			Events []topic `json:"events,omitempty" maxItems:"30" doc:"The events to get; all when left out. They are described under webhooks."`
		}
	},
	) (*answer[newWebhook], error) {
		e, secret, err := a.Webhooks.Create(ctx, callerOf(ctx).org.ID, in.Body.URL, names(in.Body.Events))
		return body(newWebhook{e, secret}, err)
	})
	add(a, route{
		method: http.MethodGet, path: "/webhooks", name: "listWebhooks", tag: "Webhooks", needs: admin,
		summary: "List the webhooks and whether they work",
	}, func(ctx context.Context, in *struct{ Page }) (*answer[webhookList], error) {
		list, err := a.Webhooks.Endpoints(ctx, callerOf(ctx).org.ID)
		if err != nil {
			return nil, err
		}
		page, next := pageOf(list, func(e webhook.Endpoint) string { return sortable(e.CreatedAt, e.ID) }, false, in.Page)
		return body(webhookList{page, next}, nil)
	})
	add(a, route{
		method: http.MethodDelete, path: "/webhooks/{id}", name: "deleteWebhook", tag: "Webhooks", needs: admin,
		summary: "Delete a webhook",
	}, func(ctx context.Context, in *struct{ WebhookID }) (*none, error) {
		return nil, a.Webhooks.Delete(ctx, callerOf(ctx).org.ID, in.ID)
	})
	add(a, route{
		method: http.MethodPost, path: "/webhooks/{id}/enable", name: "enableWebhook", tag: "Webhooks", needs: admin,
		summary: "Try a disabled webhook again, from the next event on",
	}, func(ctx context.Context, in *struct{ WebhookID }) (*none, error) {
		return nil, a.Webhooks.Enable(ctx, callerOf(ctx).org.ID, in.ID)
	})
	add(a, route{
		method: http.MethodGet, path: "/webhooks/{id}/deliveries", name: "listDeliveries", tag: "Webhooks", needs: admin,
		summary: "List what was sent to a webhook, newest first",
	}, func(ctx context.Context, in *struct {
		WebhookID
		Status string `query:"status" enum:"pending,delivered,failed"`
		Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
		Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
	},
	) (*answer[deliveryPage], error) {
		page, next, err := a.Webhooks.Deliveries(ctx, callerOf(ctx).org.ID, in.ID, in.Status, in.Cursor, in.Limit)
		return body(deliveryPage{append([]webhook.Delivery{}, page...), next}, err)
	})
	add(a, route{
		method: http.MethodPost, path: "/webhooks/{id}/deliveries/{delivery}/resend", name: "resendDelivery", tag: "Webhooks", needs: admin,
		status: http.StatusAccepted, summary: "Send an event again", about: "The receiver sees the same webhook-id.",
	}, func(ctx context.Context, in *struct {
		WebhookID
		Delivery int64 `path:"delivery" minimum:"1"`
	},
	) (*none, error) {
		if err := a.Webhooks.Resend(ctx, callerOf(ctx).org.ID, in.ID, in.Delivery); err != nil {
			return nil, err
		}
		return nil, a.wake(ctx, in.ID)
	})
}

// WebhookID is the webhook that a route is about.
type WebhookID struct {
	ID string `path:"id" maxLength:"100"`
}

type newWebhook struct {
	webhook.Endpoint
	Secret string `json:"secret" doc:"The signing secret, whsec_…; it cannot be shown again."`
}

type webhookList struct {
	Webhooks   []webhook.Endpoint `json:"webhooks" doc:"The webhooks, oldest first."`
	NextCursor string             `json:"next_cursor,omitempty" doc:"For the next page; absent on the last one."`
}

type deliveryPage struct {
	Deliveries []webhook.Delivery `json:"deliveries"`
	NextCursor string             `json:"next_cursor,omitempty"`
}
