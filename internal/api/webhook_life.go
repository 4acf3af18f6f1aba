package api

import (
	"context"
	"net/http"

	"holdfast/internal/intake"
	"holdfast/internal/webhook"
)

// webhookLife are the routes that follow a webhook through its life, and those
// about events.
func (a *API) webhookLife() {
	add(a, route{
		method: http.MethodGet, path: "/webhooks/{id}", name: "getWebhook", tag: "Webhooks", needs: admin,
		summary: "Show a webhook and whether it works",
	}, func(ctx context.Context, in *struct{ WebhookID }) (*answer[webhook.Endpoint], error) {
		return body(a.Webhooks.Endpoint(ctx, callerOf(ctx).org.ID, in.ID))
	})
	add(a, route{
		method: http.MethodPatch, path: "/webhooks/{id}", name: "updateWebhook", tag: "Webhooks", needs: admin,
		summary: "Change the URL or the events of a webhook, pause or resume it",
		about:   "While a webhook is paused its events wait; when it is resumed they are sent, in their order. New events and a new URL count from now on, also for what waits.",
	}, a.updateWebhook)
	add(a, route{
		method: http.MethodPost, path: "/webhooks/{id}/test", name: "testWebhook", tag: "Webhooks", needs: admin, status: http.StatusOK,
		summary: "Send a test event to a webhook",
		about:   "The example of an event, signed as every event is, with test: true. It is sent once, at once, also to a webhook that is paused or disabled; the answer says what the endpoint did.",
	}, func(ctx context.Context, in *struct {
		WebhookID
		Body struct {
			Event topic `json:"event,omitempty" doc:"The event; order.settled when left out." example:"order.settled"`
		}
	},
	) (*answer[webhook.Tested], error) {
		name := in.Body.Event
		if name == "" {
			name = "order.settled"
		}
		return body(a.Webhooks.Test(ctx, callerOf(ctx).org.ID, in.ID, string(name)))
	})
	add(a, route{
		method: http.MethodPost, path: "/webhooks/{id}/rotate", name: "rotateWebhookSecret", tag: "Webhooks", needs: admin, status: http.StatusOK,
		summary: "Give a webhook a new signing secret",
		about:   "For 24 hours every event is signed with both secrets, the new one first, so that the receiver can change over without losing an event.",
	}, func(ctx context.Context, in *struct {
		WebhookID
		Repeatable
	},
	) (*answer[newWebhook], error) {
		e, secret, err := a.Webhooks.Rotate(ctx, callerOf(ctx).org.ID, in.ID)
		return body(newWebhook{e, secret}, err)
	})
	add(a, route{
		method: http.MethodPost, path: "/webhooks/{id}/replay", name: "replayToWebhook", tag: "Webhooks", needs: admin, status: http.StatusAccepted,
		summary: "Send past events to a webhook again",
		about:   "All that it subscribes to of a range of time, also from before it was made, or only what it has not taken. The receiver sees the same webhook-id again. Events are kept for 30 days.",
	}, func(ctx context.Context, in *struct {
		WebhookID
		Body struct {
			Since  Moment `json:"since,omitzero" doc:"Events from this time on; all that are kept when left out."`
			Until  Moment `json:"until,omitzero" doc:"Events before this time; until now when left out."`
			Failed bool   `json:"failed,omitempty" doc:"Only events that were tried and never taken." example:"true"`
		}
	},
	) (*answer[replayed], error) {
		return body(a.replay(ctx, webhook.Replay{
			Endpoint: in.ID, Since: in.Body.Since.Time, Before: in.Body.Until.Time, Failed: in.Body.Failed,
		}))
	})
}

// pastEvents are the routes about events.
func (a *API) pastEvents() {
	add(a, route{
		method: http.MethodGet, path: "/events", name: "listEvents", tag: "Events", needs: admin, anyOrg: true,
		summary: "List what happened, newest first", about: "The events that webhooks get, with their data. They are kept for 30 days. With the operator key and without org: of all organizations.",
	}, a.listEvents)
	add(a, route{
		method: http.MethodGet, path: "/events/{id}", name: "getEvent", tag: "Events", needs: admin,
		summary: "Show an event",
	}, func(ctx context.Context, in *struct{ EventID }) (*answer[webhook.Event], error) {
		return body(a.Webhooks.Event(ctx, callerOf(ctx).org.ID, in.ID))
	})
	add(a, route{
		method: http.MethodPost, path: "/events/{id}/replay", name: "replayEvent", tag: "Events", needs: admin, status: http.StatusAccepted,
		summary: "Send an event again", about: "To the webhook that is named, or to all that subscribe to it. The receiver sees the same webhook-id again.",
	}, func(ctx context.Context, in *struct {
		EventID
		Body struct {
			Webhook string `json:"webhook_id,omitempty" maxLength:"100" doc:"Only to this webhook; to all that subscribe to the event when left out." example:"wh_7f3a2c"`
		}
	},
	) (*answer[replayed], error) {
		event, err := a.Webhooks.Event(ctx, callerOf(ctx).org.ID, in.ID)
		if err != nil {
			return nil, err
		}
		return body(a.replay(ctx, webhook.Replay{Endpoint: in.Body.Webhook, Event: &event}))
	})
}

// EventID is the event that a route is about.
type EventID struct {
	ID string `path:"id" maxLength:"100" doc:"The event, as webhook-id has it." example:"evt_5n2m6yf4w3vqk7ea"`
}

type replayed struct {
	Deliveries int64 `json:"deliveries" doc:"How many are sent again. What is still pending is not sent twice." example:"3"`
}

func (a *API) replay(ctx context.Context, r webhook.Replay) (replayed, error) {
	r.Org = callerOf(ctx).org.ID
	deliveries, endpoints, err := a.Webhooks.Replay(ctx, r)
	if err != nil {
		return replayed{}, err
	}
	for _, endpoint := range endpoints {
		if err := a.wake(ctx, endpoint); err != nil {
			return replayed{}, err
		}
	}
	return replayed{deliveries}, nil
}

// wake makes an endpoint's events be sent now. Where Temporal does not answer they
// are sent when it does: who publishes events looks for such endpoints.
func (a *API) wake(ctx context.Context, endpoint string) error {
	err := a.Intake.WakeWebhook(ctx, endpoint)
	if intake.Away(err) && ctx.Err() == nil {
		a.Log.WarnContext(ctx, "Temporal does not answer; the endpoint's events wait.", "request_id", requestID(ctx), "endpoint", endpoint, "error", err)
		return nil
	}
	return err
}

func (a *API) updateWebhook(ctx context.Context, in *struct {
	WebhookID
	Body struct {
		URL    *string  `json:"url,omitempty" doc:"Stays when left out." example:"https://example.com/holdfast"`
		Events *[]topic `json:"events,omitempty" maxItems:"30" doc:"The events to get; an empty list means all. Stays when left out."`
		Paused *bool    `json:"paused,omitempty" doc:"true pauses the webhook, false resumes it." example:"false"`
	}
},
) (*answer[webhook.Endpoint], error) {
	edit := webhook.Edit{URL: in.Body.URL, Paused: in.Body.Paused}
	if in.Body.Events != nil {
		events := names(*in.Body.Events)
		edit.Events = &events
	}
	e, err := a.Webhooks.Change(ctx, callerOf(ctx).org.ID, in.ID, edit)
	if err == nil && in.Body.Paused != nil && !*in.Body.Paused {
		err = a.wake(ctx, in.ID)
	}
	return body(e, err)
}

type eventPage struct {
	Events     []webhook.Event `json:"events" doc:"The events."`
	NextCursor string          `json:"next_cursor,omitempty" doc:"For the next page; absent on the last one."`
}

func (a *API) listEvents(ctx context.Context, in *struct {
	Span
	Type   []topic `query:"type,explode" maxItems:"30" doc:"Only events of these types."`
	Cursor string  `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
	Limit  int     `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"Entries a page."`
},
) (*answer[eventPage], error) {
	filter := webhook.EventFilter{
		Org: callerOf(ctx).org.ID, Since: in.From.Time, Before: in.To.Time, Cursor: in.Cursor, Limit: in.Limit,
	}
	if len(in.Type) > 0 {
		filter.Types = names(in.Type)
	}
	page, next, err := a.Webhooks.Events(ctx, filter)
	return body(eventPage{append([]webhook.Event{}, page...), next}, err)
}
