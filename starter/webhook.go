package main

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/client"
	"holdfast/internal/outbox"
	"holdfast/internal/webhook"
)

func (a *app) webhookCommand() *cobra.Command {
	return group("webhook", "Create, change, test and look after webhook endpoints",
		a.webhookCreateCommand(), a.webhookListCommand(), a.webhookShowCommand(), a.webhookUpdateCommand(),
		a.webhookTestCommand(), a.webhookRotateCommand(), a.webhookDeliveriesCommand(), a.webhookReplayCommand(),
		a.webhookActCommand("enable", http.MethodPost, "/enable", "Try a disabled webhook again, from the next event on", "is tried again"),
		a.webhookActCommand("delete", http.MethodDelete, "", "Delete a webhook", "is deleted"))
}

// newWebhook is an endpoint with its secret, which is shown once.
type newWebhook struct {
	webhook.Endpoint
	Secret string `json:"secret"`
}

// webhookBody is what an endpoint is made of; nil stays as it is.
type webhookBody struct {
	URL    string    `json:"url,omitempty"`
	Events *[]string `json:"events,omitempty"`
	Paused *bool     `json:"paused,omitempty"`
}

func webhookPath(id, rest string) string { return "/webhooks/" + url.PathEscape(id) + rest }

func (a *app) webhookCreateCommand() *cobra.Command {
	var org string
	var events []string
	cmd := &cobra.Command{
		Use:   "create URL",
		Short: "Create a webhook endpoint and print its signing secret",
		Long: `Creates an endpoint that gets events, all of them or those of --event. The secret
signs them by the Standard Webhooks specification; it cannot be shown again.`,
		Example: examples("holdfast webhook create https://example.com/holdfast --org acme --event order.completed,credits.low"),
		Args:    oneArgument("the URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				query, err := s.needOrg(ctx, org)
				if err != nil {
					return err
				}
				body := webhookBody{URL: args[0]}
				if len(events) > 0 {
					body.Events = &events
				}
				return ask(ctx, a, s, post("/webhooks", query, body), a.showNewWebhook)
			})
		},
	}
	addOrgFlag(cmd, &org)
	cmd.Flags().StringSliceVar(&events, "event", nil, "events to get, such as order.completed; all when left out")
	return cmd
}

func (a *app) showNewWebhook(made newWebhook) {
	a.note("Webhook %s for %s. Keep the secret: it cannot be shown again.", made.ID, made.URL)
	a.say("%s", made.Secret)
}

func (a *app) webhookListCommand() *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List webhook endpoints and whether they work",
		Example: examples("holdfast webhook list --org acme"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				query, err := s.needOrg(ctx, org)
				if err != nil {
					return err
				}
				type page struct {
					Webhooks   []webhook.Endpoint `json:"webhooks"`
					NextCursor string             `json:"next_cursor"`
				}
				return showAll(ctx, a, s, "/webhooks", query, func(p page) ([]webhook.Endpoint, string) { return p.Webhooks, p.NextCursor }, a.showWebhooks)
			})
		},
	}
	addOrgFlag(cmd, &org)
	return cmd
}

func (a *app) showWebhooks(list []webhook.Endpoint) {
	if len(list) == 0 {
		a.say("No webhooks yet; create one: %s webhook create https://example.com/holdfast", program())
		return
	}
	t := newTable("id", "URL", "events", "state", "created")
	for _, e := range list {
		state := "works"
		switch {
		case e.DisabledAt != nil:
			state = "disabled: " + e.DisabledReason
		case e.PausedAt != nil:
			state = "paused"
		case e.FailingSince != nil:
			state = "fails since " + when(*e.FailingSince)
		}
		t.add(e.ID, e.URL, cmp.Or(strings.Join(e.Events, " "), "all"), state, when(e.CreatedAt))
	}
	a.print(t)
}

// aboutWebhook makes a command that sends a request about one webhook.
func aboutWebhook[T any](a *app, cmd *cobra.Command, request func(id string) client.Request, show func(T)) *cobra.Command {
	cmd.Args = oneArgument("the webhook's id")
	return inOrganization(a.apiWithOrders, a, cmd, func(args []string) client.Request { return request(args[0]) }, show)
}

func (a *app) webhookShowCommand() *cobra.Command {
	return aboutWebhook(a, &cobra.Command{
		Use:     "show ID",
		Short:   "Show a webhook endpoint and whether it works",
		Example: examples("holdfast webhook show wh_7f3a2c --org acme"),
	}, func(id string) client.Request { return fetch(webhookPath(id, ""), nil) },
		func(e webhook.Endpoint) { a.showWebhooks([]webhook.Endpoint{e}) })
}

func (a *app) webhookUpdateCommand() *cobra.Command {
	var body webhookBody
	var events []string
	var paused, resumed bool
	cmd := &cobra.Command{
		Use:   "update ID",
		Short: "Change the URL or the events of a webhook, pause or resume it",
		Long: `Changes a webhook. While it is paused its events wait; when it is resumed they
are sent, in their order.`,
		Example: examples("holdfast webhook update wh_7f3a2c --org acme --event order.completed", "holdfast webhook update wh_7f3a2c --pause"),
	}
	aboutWebhook(a, cmd, func(id string) client.Request {
		if cmd.Flags().Changed("event") {
			body.Events = &events
		}
		if paused || resumed {
			body.Paused = &paused
		}
		return client.Request{Method: http.MethodPatch, Path: webhookPath(id, ""), Body: body}
	}, func(e webhook.Endpoint) { a.showWebhooks([]webhook.Endpoint{e}) })
	flags := cmd.Flags()
	flags.StringVar(&body.URL, "to", "", "the new `URL`")
	flags.StringSliceVar(&events, "event", nil, `events to get from now on; "" for all`)
	flags.BoolVar(&paused, "pause", false, "let events wait")
	flags.BoolVar(&resumed, "resume", false, "send what waits")
	cmd.MarkFlagsOneRequired("to", "event", "pause", "resume")
	cmd.MarkFlagsMutuallyExclusive("pause", "resume")
	return cmd
}

func (a *app) webhookTestCommand() *cobra.Command {
	event := oneOf(outbox.OrderSettled, outbox.Names()...)
	cmd := aboutWebhook(a, &cobra.Command{
		Use:     "test ID",
		Short:   "Send the example of an event to a webhook, and say what it did",
		Example: examples("holdfast webhook test wh_7f3a2c --org acme --event credits.low"),
	}, func(id string) client.Request {
		return post(webhookPath(id, "/test"), nil, map[string]string{"event": event.String()})
	}, func(tested webhook.Tested) {
		if tested.Delivered {
			a.say("%s: taken with status %d.", tested.Event, tested.Code)
			return
		}
		a.say("%s: not taken. %s", tested.Event, tested.Error)
	})
	cmd.Flags().Var(event, "event", "the `event`")
	return cmd
}

func (a *app) webhookRotateCommand() *cobra.Command {
	return aboutWebhook(a, &cobra.Command{
		Use:     "rotate ID",
		Short:   "Give a webhook a new signing secret; the old one signs, too, for 24 hours",
		Example: examples("holdfast webhook rotate wh_7f3a2c --org acme"),
	}, func(id string) client.Request { return post(webhookPath(id, "/rotate"), nil, nil) }, a.showNewWebhook)
}

func (a *app) webhookActCommand(name, method, path, short, done string) *cobra.Command {
	var id string
	return aboutWebhook(a, &cobra.Command{
		Use:     name + " ID",
		Short:   short,
		Example: examples("holdfast webhook " + name + " wh_7f3a2c --org acme"),
	}, func(of string) client.Request {
		id = of
		return client.Request{Method: method, Path: webhookPath(of, path)}
	}, func(struct{}) { a.say("Webhook %s %s.", id, done) })
}

func (a *app) webhookDeliveriesCommand() *cobra.Command {
	var cursor string
	var limit int
	type page struct {
		Deliveries []webhook.Delivery `json:"deliveries"`
		NextCursor string             `json:"next_cursor,omitempty"`
	}
	status := oneOf("", "pending", "delivered", "failed")
	cmd := aboutWebhook(a, &cobra.Command{
		Use:     "deliveries ID",
		Short:   "List what was sent to a webhook, newest first",
		Example: examples("holdfast webhook deliveries wh_7f3a2c --org acme --status failed"),
	}, func(id string) client.Request {
		return fetch(webhookPath(id, "/deliveries"), set(pageQuery(limit, cursor), "status", status.String()))
	}, func(p page) {
		t := newTable(">delivery", "event", "about", "status", ">attempts", ">code", "created", "problem")
		for _, d := range p.Deliveries {
			code := ""
			if d.Code != nil {
				code = strconv.Itoa(*d.Code)
			}
			t.add(number(d.ID), d.Event, d.Subject, d.Status, strconv.Itoa(d.Attempts), code, when(d.CreatedAt), d.Error)
		}
		a.print(t)
		a.more(p.NextCursor)
	})
	cmd.Flags().Var(status, "status", "only those in this `status`: "+status.choices())
	addPageFlags(cmd, &limit, &cursor, 500)
	return cmd
}

// replayed is how many deliveries are made again.
type replayed struct {
	Deliveries int64 `json:"deliveries"`
}

func (a *app) showReplayed(r replayed) {
	word := "deliveries are"
	if r.Deliveries == 1 {
		word = "delivery is"
	}
	a.say("%s %s made.", number(r.Deliveries), word)
}

func (a *app) webhookReplayCommand() *cobra.Command {
	var since, until string
	var failed bool
	cmd := aboutWebhook(a, &cobra.Command{
		Use:   "replay ID",
		Short: "Send past events to a webhook again",
		Long: `Sends again all that a webhook subscribes to of a range of time, also from before
it was made, or only what it has not taken. The receiver sees the same webhook-id
again. Events are kept for 30 days.`,
		Example: examples("holdfast webhook replay wh_7f3a2c --org acme --failed", "holdfast webhook replay wh_7f3a2c --from 2026-11-01"),
	}, func(id string) client.Request {
		return post(webhookPath(id, "/replay"), nil, struct {
			Since  string `json:"since,omitempty"`
			Until  string `json:"until,omitempty"`
			Failed bool   `json:"failed,omitempty"`
		}{since, until, failed})
	}, a.showReplayed)
	addSpanFlags(cmd, &since, &until)
	cmd.Flags().BoolVar(&failed, "failed", false, "only events that were tried and never taken")
	return cmd
}
