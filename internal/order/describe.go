package order

import "fmt"

// Summary is the line by which the Temporal UI shows an order.
func (in Input) Summary() string {
	s := fmt.Sprintf("%s: %s of %d", in.Org, in.Request.Kind, in.Request.Count)
	if len(in.Request.Fields) > 0 {
		s += " (" + fieldNames(in.Request.Fields) + ")"
	}
	if in.Request.Destination == ToWebhook {
		s += " to a webhook"
	}
	return s
}

// Details are what the Temporal UI shows of an order besides its summary: names
// and numbers, no contact data.
func (in Input) Details() string {
	who := in.Org
	if in.Member != "" {
		who = fmt.Sprintf("%s of %s", in.Member, in.Org)
	}
	return in.Request.Kind.Spec().About(who, in.Request)
}
