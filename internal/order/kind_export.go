package order

import "fmt"

// Export orders leads as a file, or in batches to a webhook.
const Export Kind = "export"

var export = KindSpec{
	Kind:     Export,
	Source:   FromFields,
	Takes:    []string{"lead_ids", "list_id", "order_id", "destination", "webhook_id"},
	Delivers: "Delivers leads as a file or to a webhook: lead_ids, those of a list, or those of an order.",
	Item:     "lead",
	Owes:     "leads",
	Exports:  true,
	Examples: []Example{
		{"export", "What an order has delivered, as a file", `{"kind":"export","order_id":"ord_4k2n6v"}`},
		{"export_webhook", "Leads to a webhook, in signed batches", `{"kind":"export","lead_ids":["L00000042","L00000043"],"destination":"webhook","webhook_id":"wh_7f3a2c"}`},
	},
	Lacks: func(r Request) error {
		switch {
		case r.ListID == "" && r.OrderID == "":
			return &InvalidError{"lead_ids", "There is nothing to export; give lead_ids, or the order_id of an order that delivered leads."}
		case r.ListID != "" && r.OrderID != "":
			return &InvalidError{"order_id", "Give either lead_ids or an order_id, not both."}
		case r.Destination != "" && r.Destination != ToFile && r.Destination != ToWebhook:
			return &InvalidError{"destination", fmt.Sprintf("There is no destination %q; use csv or webhook.", r.Destination)}
		case r.WebhookID != "" && r.Destination != ToWebhook:
			return &InvalidError{"webhook_id", "An export goes to a webhook only with the destination webhook; set it, or leave webhook_id out."}
		}
		return nil
	},
	Choosing: func(r Request) string {
		if r.OrderID != "" {
			return fmt.Sprintf("export %d leads that %s delivered", r.Count, r.OrderID)
		}
		return fmt.Sprintf("export %d leads", r.Count)
	},
	About: func(who string, r Request) string {
		what := fmt.Sprintf("the %d leads of the list %s", r.Count, r.ListID)
		if r.OrderID != "" {
			what = fmt.Sprintf("the %d leads that the order %s delivered", r.Count, r.OrderID)
		}
		if r.Destination == ToWebhook {
			what += ", to the webhook " + r.WebhookID
		}
		return orderedBy(who, what)
	},
	AskedFor: func(o Order, count Counter) string {
		return fmt.Sprintf("%s, %s selected", count(o.Requested, "lead"), count(o.Selected, ""))
	},
}
