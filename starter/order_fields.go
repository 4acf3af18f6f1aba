package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/order"
)

func (a *app) orderRevealCommand() *cobra.Command {
	run := orderRun{body: order.Body{Request: order.Request{Kind: order.Reveal}}}
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
			return a.submit(cmd, run)
		},
	}
	addOrderFlags(cmd, &run)
	addFieldFlag(cmd, &run.body.Request)
	cmd.Flags().StringSliceVar(&run.body.LeadIDs, "lead", nil, "ids of leads")
	required(cmd, "lead")
	return cmd
}

func (a *app) orderEnrichCommand() *cobra.Command {
	run := orderRun{body: order.Body{Request: order.Request{Kind: order.Enrich}}}
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
			return a.submitWith(cmd, run, func(ctx context.Context, s *session, run *orderRun) error {
				list, err := a.upload(ctx, s, run.org, column, args[0])
				run.body.ListID = list.ID
				return err
			})
		},
	}
	addOrderFlags(cmd, &run)
	addFieldFlag(cmd, &run.body.Request)
	cmd.Flags().StringVar(&column, "column", "", "the column that has the addresses; found by itself when left out")
	return cmd
}

func (a *app) orderExportCommand() *cobra.Command {
	run := orderRun{body: order.Body{Request: order.Request{Kind: order.Export}}}
	destination := oneOf("", string(order.ToFile), string(order.ToWebhook))
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
			if (run.body.OrderID == "") == (len(run.body.LeadIDs) == 0) {
				return usagef("say what to export: either --order with an order that has delivered leads, or --lead with ids of leads")
			}
			if run.body.Destination = order.Destination(destination.String()); run.body.WebhookID != "" && run.body.Destination == "" {
				run.body.Destination = order.ToWebhook
			}
			return a.submit(cmd, run)
		},
	}
	addOrderFlags(cmd, &run)
	flags := cmd.Flags()
	flags.StringVar(&run.body.OrderID, "order", "", "the order that delivered the leads to export")
	flags.StringSliceVar(&run.body.LeadIDs, "lead", nil, "ids of leads")
	flags.Var(destination, "destination", destination.choices())
	flags.StringVar(&run.body.WebhookID, "webhook", "", "id of the webhook; may be left out where there is only one")
	return cmd
}

// fields is a flag that lists fields.
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
		field := order.Field(strings.ReplaceAll(strings.TrimSpace(name), "-", "_"))
		if !slices.Contains(order.Fields, field) {
			return fmt.Errorf("there is no field %q; use some of %s", field, (*fields)(&order.Fields))
		}
		*f = append(*f, field)
	}
	return nil
}

func addFieldFlag(cmd *cobra.Command, r *order.Request) {
	cmd.Flags().Var((*fields)(&r.Fields), "field", "what is wanted: email, phone, direct_email, profile")
	required(cmd, "field")
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
