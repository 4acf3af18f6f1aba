package intake

import (
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
	return r.Kind.Spec().About(who, r)
}

func fieldNames(fields []order.Field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}
