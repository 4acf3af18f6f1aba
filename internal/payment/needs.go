package payment

import (
	"context"
	"slices"
)

// What an event may wait for. An event that is carried out, or a mapping by the
// operator, brings some of these, and what waits for them alone is tried again.

func needPrice(id string) string      { return "price/" + id }
func needCustomer(id string) string   { return "customer/" + id }
func needPayment(id string) string    { return "payment/" + id } // a purchase that was paid for by it
func needInvoice(id string) string    { return "invoice/" + id } // the purchase that it is
func needPlan(customer string) string { return "plan/" + customer }

// anyInvoice is waited for where the payment service does not say for which
// invoice a payment was.
const anyInvoice = "invoice"

func waitForPrice(id string) error {
	return waitFor([]string{needPrice(id)}, "Price %s is not mapped to credits or a plan; map it.", id)
}

// brings names what others may have waited for, now that an event has this
// status. Whose customer it is, is known even where something else is missing.
func (f facts) brings(s Status, needs []string) (brought []string) {
	if f.Customer != "" && s != Ignored && !slices.Contains(needs, needCustomer(f.Customer)) {
		brought = append(brought, needCustomer(f.Customer))
	}
	if s != Done {
		return brought
	}
	if f.Kind == "sale" && f.Payment != "" {
		brought = append(brought, needPayment(f.Payment))
	}
	if f.Kind == "sale" && f.Invoice != "" {
		brought = append(brought, needInvoice(f.Invoice), anyInvoice)
	}
	if f.Subscription != "" {
		brought = append(brought, needPlan(f.Customer))
	}
	return brought
}

// retryWaiting carries out what waited for one of these, the oldest first, and
// then what waited for that.
func (p *Payments) retryWaiting(ctx context.Context, brought []string, unknown bool) {
	for len(brought) > 0 {
		ids, err := p.waiting(ctx, brought, unknown)
		brought, unknown = nil, false
		for _, id := range ids {
			_, more, failed := p.carryOut(ctx, id)
			if failed != nil {
				err = failed
				break
			}
			brought = append(brought, more...)
		}
		if err != nil {
			p.log.WarnContext(ctx, "Events of the payment service that wait could not be tried again.", "error", err)
			return
		}
	}
}
