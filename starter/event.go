package main

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"

	"holdfast/internal/client"
	"holdfast/internal/webhook"
)

func (a *app) eventCommand() *cobra.Command {
	return group("event", "List events, show them and send them again",
		a.eventListCommand(), a.eventShowCommand(), a.eventReplayCommand())
}

// eventPage is a page of events.
type eventPage struct {
	Events     []webhook.Event `json:"events"`
	NextCursor string          `json:"next_cursor,omitempty"`
}

func (a *app) eventListCommand() *cobra.Command {
	var from, to, cursor string
	var types []string
	var limit int
	cmd := inOrganization(a.api, a, &cobra.Command{
		Use:     "list",
		Short:   "List what happened, newest first",
		Example: examples("holdfast event list --org acme --type order.completed,order.failed"),
		Args:    cobra.NoArgs,
	}, func([]string) client.Request {
		query := set(pageQuery(limit, cursor), "from", from, "to", to)
		query["type"] = types
		return fetch("/events", query)
	}, func(p eventPage) {
		t := newTable("id", "event", "at")
		for _, e := range p.Events {
			t.add(e.ID, e.Type, when(e.Timestamp))
		}
		a.print(t)
		a.more(p.NextCursor)
	})
	cmd.Flags().StringSliceVar(&types, "type", nil, "only events of these types, such as order.completed")
	addSpanFlags(cmd, &from, &to)
	addPageFlags(cmd, &limit, &cursor, 500)
	return cmd
}

func (a *app) eventShowCommand() *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show an event with its data",
		Example: examples("holdfast event show evt_5n2m6yf4w3vqk7ea --org acme"),
		Args:    oneArgument("the event's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				query, err := s.needOrg(ctx, org)
				if err != nil {
					return err
				}
				var e webhook.Event
				if err := s.Get(ctx, "/events/"+url.PathEscape(args[0]), query, &e); err != nil {
					return err
				}
				return a.printJSON(e)
			})
		},
	}
	addOrgFlag(cmd, &org)
	return cmd
}

func (a *app) eventReplayCommand() *cobra.Command {
	var to string
	cmd := inOrganization(a.apiWithOrders, a, &cobra.Command{
		Use:     "replay ID",
		Short:   "Send an event again",
		Long:    "Sends an event again to a webhook, or to all that subscribe to it. The receiver\nsees the same webhook-id again.",
		Example: examples("holdfast event replay evt_5n2m6yf4w3vqk7ea --org acme --webhook wh_7f3a2c"),
		Args:    oneArgument("the event's id"),
	}, func(args []string) client.Request {
		return post("/events/"+url.PathEscape(args[0])+"/replay", nil, given("webhook_id", to))
	}, a.showReplayed)
	cmd.Flags().StringVar(&to, "webhook", "", "only to the webhook with this id")
	return cmd
}
