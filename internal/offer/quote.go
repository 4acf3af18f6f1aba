package offer

import (
	"context"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

// pastOrders is how many earlier orders a quote looks at.
const pastOrders = 20

// Quote says what an order would find, hold and probably be charged. It changes
// nothing. Errors are those of Offer.
func (d *Desk) Quote(ctx context.Context, in order.Input) (order.Quote, error) {
	o, err := d.Offer(ctx, in)
	if err != nil {
		return order.Quote{}, err
	}
	q := order.Quote{Hold: []order.Amount{}, ExpectedCharge: []order.Range{}, Missing: []order.Amount{}}
	if q.Candidates, q.AlreadyOwned, err = d.candidates(ctx, in, o.Terms); err != nil {
		return order.Quote{}, err
	}
	missing, err := d.ledger.Lacking(ctx, in.Org, o.Hold)
	if err != nil {
		return order.Quote{}, err
	}
	for _, m := range missing {
		q.Missing = append(q.Missing, order.Amount(m))
	}
	q.Covered = len(missing) == 0
	past, err := d.book.PastTallies(ctx, in.Org, in.Request.Kind, pastOrders)
	if err != nil {
		return order.Quote{}, err
	}
	low, high := expected(q.Candidates, past, o.Terms.Billable)
	for _, line := range o.Hold {
		q.Hold = append(q.Hold, order.Amount{Type: line.Type, Amount: line.Amount})
		r := order.Range{Type: line.Type}
		for _, c := range o.Terms.Charges {
			if c.Type == line.Type {
				r.Low += low * c.Amount
				r.High += high * c.Amount
			}
		}
		q.ExpectedCharge = append(q.ExpectedCharge, order.Range{Type: r.Type, Low: min(r.Low, line.Amount), High: min(r.High, line.Amount)})
	}
	return q, nil
}

// candidates is how many leads the order would verify, and how many of those
// that match the organization owns.
func (d *Desk) candidates(ctx context.Context, in order.Input, terms order.Terms) (fresh, owned int64, err error) {
	s := lead.Selection{Org: in.Org, Criteria: in.Request.Criteria}
	if len(terms.Charges) > 0 {
		s.FactType, s.FactScope = terms.Charges[0].Type, terms.Charges[0].Scope
	}
	counted, err := d.catalogue.Count(ctx, s)
	if err != nil {
		return 0, 0, err
	}
	return min(counted.Leads-counted.AlreadyOwned, in.Request.Count), counted.AlreadyOwned, nil
}

// expected is how many of so many candidates will be charged for, by the worst
// and the best of what came of earlier orders; anything between none and all
// where there are none.
func expected(candidates int64, past []order.Tally, billable []string) (low, high int64) {
	if len(past) == 0 {
		return 0, candidates
	}
	low = candidates
	for _, t := range past {
		total, charged := t.Verified(), t.Of(billable)
		low = min(low, candidates*charged/total)
		high = max(high, (candidates*charged+total-1)/total)
	}
	return low, high
}
