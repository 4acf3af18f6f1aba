package intake

import (
	"encoding/json"
	"fmt"
	"strings"

	"holdfast/internal/order"
)

// summary is the line by which the Temporal UI shows an order.
func summary(in order.Input) string {
	s := fmt.Sprintf("%s: %s of %d", in.Org, in.Request.Kind, in.Request.Count)
	if len(in.Request.Fields) > 0 {
		s += " (" + fieldNames(in.Request.Fields) + ")"
	}
	if in.Request.Destination == order.ToWebhook {
		s += " to a webhook"
	}
	return s
}

// details is what the Temporal UI shows of an order besides its summary: names
// and numbers, no contact data.
func details(in order.Input) string {
	who, r := in.Org, in.Request
	if in.Member != "" {
		who = fmt.Sprintf("%s of %s", in.Member, in.Org)
	}
	what := ""
	switch r.Kind {
	case order.LeadList:
		criteria, err := json.MarshalIndent(r.Criteria, "", "  ")
		if err != nil || string(criteria) == "{}" {
			return fmt.Sprintf("Ordered by %s, without criteria.", who)
		}
		return fmt.Sprintf("Ordered by %s.\n\n```json\n%s\n```", who, criteria)
	case order.Verify:
		what = fmt.Sprintf("the %d addresses of the list %s", r.Count, r.ListID)
	case order.Reveal:
		what = fmt.Sprintf("%s of the %d leads of the list %s", fieldNames(r.Fields), r.Count, r.ListID)
	case order.Enrich:
		what = fmt.Sprintf("%s for the %d rows of the list %s", fieldNames(r.Fields), r.Count, r.ListID)
	case order.Export:
		what = fmt.Sprintf("the %d leads of the list %s", r.Count, r.ListID)
		if r.OrderID != "" {
			what = fmt.Sprintf("the %d leads that the order %s delivered", r.Count, r.OrderID)
		}
		if r.Destination == order.ToWebhook {
			what += ", to the webhook " + r.WebhookID
		}
	}
	return fmt.Sprintf("Ordered by %s: %s.", who, what)
}

func fieldNames(fields []order.Field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}
