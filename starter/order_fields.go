package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/wire"
)

func (a *app) orderRevealCommand() *cobra.Command {
	sub := intake.Submission{Request: order.Request{Kind: order.Reveal}}
	var run orderRun
	cmd := &cobra.Command{
		Use:   "reveal --lead ID… --field FIELD…",
		Short: "Reveal fields of given leads: addresses, telephone numbers, profiles",
		Long: `Orders fields of leads whose ids are known, as from the results of another order
or the preview of the API. Addresses and numbers are verified; what is valid is
delivered and charged. What the organization owns already is delivered free, what
the catalogue does not have costs nothing.

With --wait the command returns with the fields themselves, as CSV or, with
--json, as NDJSON.`,
		Example: examples(
			"holdfast order reveal --org acme --lead L00000042,L00000043 --field email,phone --wait",
			"holdfast order reveal --org acme --lead L00000042 --field email --field direct_email --quote"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.submit(cmd.Context(), sub, run)
		},
	}
	addOrderFlags(cmd, &sub, &run)
	addWaitFlag(cmd, &run)
	addFieldFlag(cmd, &sub.Request)
	cmd.Flags().StringSliceVar(&sub.LeadIDs, "lead", nil, "ids of leads")
	required(cmd, "lead")
	return cmd
}

func (a *app) orderEnrichCommand() *cobra.Command {
	sub := intake.Submission{Request: order.Request{Kind: order.Enrich}}
	var run orderRun
	var column string
	cmd := &cobra.Command{
		Use:   "enrich FILE|- --field FIELD…",
		Short: "Find what the catalogue knows more about the people of a list",
		Long: `Orders fields for the rows of a list, CSV with a header. A row is matched to a lead
by its address, by a name with a company or a domain, or by a domain alone, where
that leads to one person. Only new data that is valid is delivered and charged: not
what the row says already, and nothing where nothing was found.

The results are the list itself, in its order and with all of its columns, and what
was found beside them. With --wait they are written to the standard output.`,
		Example: examples(
			"holdfast order enrich customers.csv --org acme --field phone --wait > enriched.csv",
			"holdfast order enrich customers.csv --org acme --field email,phone --quote"),
		Args: oneArgument("the list's file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.submitWith(cmd.Context(), sub, run, func(ctx context.Context, rooms *wire.Rooms, sub *intake.Submission) error {
				list, err := a.upload(ctx, rooms, sub.Org, column, args[0])
				sub.Request.ListID = list.ID
				return err
			})
		},
	}
	addOrderFlags(cmd, &sub, &run)
	addWaitFlag(cmd, &run)
	addFieldFlag(cmd, &sub.Request)
	cmd.Flags().StringVar(&column, "column", "", "the column that has the addresses; found by itself when left out")
	return cmd
}

func (a *app) orderExportCommand() *cobra.Command {
	sub := intake.Submission{Request: order.Request{Kind: order.Export}}
	var run orderRun
	cmd := &cobra.Command{
		Use:   "export --order ID|--lead ID…",
		Short: "Export leads to a file or to a webhook",
		Long: `Exports given leads, or the leads that an order has delivered, with what the
organization owns of them: as a file, or in signed batches to one of its webhooks.
What an export costs is the plan's to say; one that the credits do not cover is
refused before anything is spent, and each batch is charged once the webhook has
taken it.`,
		Example: examples(
			"holdfast order export --org acme --order ord_4k2n… --wait > leads.csv",
			"holdfast order export --org acme --lead L00000042,L00000043 --quote",
			"holdfast order export --org acme --order ord_4k2n… --destination webhook --webhook wh_7f3a… --watch"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (sub.Request.OrderID == "") == (len(sub.LeadIDs) == 0) {
				return usagef("say what to export: either --order with an order that has delivered leads, or --lead with ids of leads")
			}
			if sub.Request.WebhookID != "" && sub.Request.Destination == "" {
				sub.Request.Destination = order.ToWebhook
			}
			return a.submit(cmd.Context(), sub, run)
		},
	}
	addOrderFlags(cmd, &sub, &run)
	addWaitFlag(cmd, &run)
	flags := cmd.Flags()
	flags.StringVar(&sub.Request.OrderID, "order", "", "order whose delivered leads are exported")
	flags.StringSliceVar(&sub.LeadIDs, "lead", nil, "ids of leads")
	flags.Var((*choice)(&sub.Request.Destination), "destination", "csv or webhook")
	flags.StringVar(&sub.Request.WebhookID, "webhook", "", "id of the webhook; may be left out where there is only one")
	return cmd
}

// choice is a flag whose values the order itself checks.
type choice order.Destination

func (c *choice) String() string { return string(*c) }
func (c *choice) Type() string   { return "string" }
func (c *choice) Set(text string) error {
	*c = choice(text)
	return nil
}

// fields is a flag that lists fields, which the order itself checks.
type fields []order.Field

func (f *fields) Type() string { return "strings" }

func (f *fields) String() string {
	names := make([]string, len(*f))
	for i, field := range *f {
		names[i] = string(field)
	}
	return strings.Join(names, ",")
}

func (f *fields) Set(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		*f = append(*f, order.Field(strings.ReplaceAll(strings.TrimSpace(name), "-", "_")))
	}
	return nil
}

func addFieldFlag(cmd *cobra.Command, r *order.Request) {
	cmd.Flags().Var((*fields)(&r.Fields), "field", "what is wanted: email, phone, direct_email, profile")
	required(cmd, "field")
}

func addWaitFlag(cmd *cobra.Command, run *orderRun) {
	cmd.Flags().BoolVar(&run.wait, "wait", false, "wait for the delivery and write the results instead of the order")
	cmd.MarkFlagsMutuallyExclusive("wait", "watch")
	cmd.MarkFlagsMutuallyExclusive("wait", "quote")
}

// deliver follows an order, beside the standard output, and writes its results
// there.
func (a *app) deliver(ctx context.Context, rooms *wire.Rooms, o order.Order) error {
	beside := *a.screen
	beside.out = a.err
	o, err := (&app{screen: &beside}).watch(ctx, rooms, o, untilDelivered)
	if err != nil {
		return err
	}
	if o.Failure != nil {
		return fmt.Errorf("order %s was not carried out: %s", o.ID, o.Failure.Message)
	}
	format := lead.CSV
	if a.json {
		format = lead.NDJSON
	}
	if err := rooms.Catalogue.WriteResults(ctx, a.out, o.ID, format, lead.ResultOptions{}); err != nil {
		return err
	}
	a.note("Order %s: %s delivered, charged %s.", o.ID, count(o.Tally.Valid, o.Kind.Spec().Item), chargedText(o.Credits))
	return nil
}

// chargedText writes what an order charged: "2 email credits".
func chargedText(credits []order.Credit) string {
	var parts []string
	for _, c := range credits {
		if c.Captured > 0 {
			parts = append(parts, count(c.Captured, c.Type+" credit"))
		}
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, " and ")
}
