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
	finds, err := d.find(ctx, in, o.Terms)
	if err != nil {
		return order.Quote{}, err
	}
	q.Candidates, q.AlreadyOwned = finds.candidates, finds.owned
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
	low, high := finds.expected(past, o.Terms.Billable)
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

// found is what an order would find in the catalogue.
type found struct {
	candidates, owned int64
	least, most       int64 // of the candidates, those that are not owned
}

func (d *Desk) find(ctx context.Context, in order.Input, terms order.Terms) (found, error) {
	if in.Request.Kind == order.Verify {
		n := in.Request.Count
		return found{candidates: n, least: n, most: n}, nil
	}
	s := lead.Selection{Org: in.Org, Criteria: in.Request.Criteria}
	if len(terms.Charges) > 0 {
		s.FactType, s.FactScope = terms.Charges[0].Type, terms.Charges[0].Scope
	}
	counted, err := d.catalogue.Count(ctx, s)
	if err != nil {
		return found{}, err
	}
	fresh, owned := counted.Leads-counted.AlreadyOwned, counted.AlreadyOwned
	f := found{candidates: fresh, owned: owned}
	if in.Request.IncludeOwned {
		f.candidates += owned
	}
	if !in.Request.Fill { // a filled order goes on until the catalogue has no more
		f.candidates = min(f.candidates, in.Request.Count)
	}
	f.most = min(f.candidates, fresh)
	f.least = f.most
	if in.Request.IncludeOwned { // by chance, all of the owned ones are among them
		f.least = max(0, f.candidates-owned)
	}
	return f, nil
}

// expected is how many of the candidates will be charged for, by the worst and
// the best of what came of earlier orders; anything between none and all where
// there are none.
func (f found) expected(past []order.Tally, billable []string) (low, high int64) {
	if len(past) == 0 {
		return 0, f.most
	}
	low = f.least
	for _, t := range past {
		total, charged := t.Verified(), t.Of(billable)
		low = min(low, f.least*charged/total)
		high = max(high, (f.most*charged+total-1)/total)
	}
	return low, high
}
