package offer

import (
	"context"

	"holdfast/internal/order"
)

// Quote says what an order would find, hold and probably be charged. It changes
// nothing. leadIDs are the leads of a request that was normalized without storing
// them. Errors are those of Offer.
func (d *Pricer) Quote(ctx context.Context, in order.Input, leadIDs ...string) (order.Quote, error) {
	o, err := d.offer(ctx, in, leadIDs)
	if err != nil {
		return order.Quote{}, err
	}
	missing, overBudget, err := d.ledger.Lacking(ctx, in.Org, o.Hold)
	if err != nil {
		return order.Quote{}, err
	}
	if len(missing) > 0 && !o.Before.IsZero() { // the missing credits may have come with a period that began just now
		org, err := d.accounts.Org(ctx, in.Org)
		if err != nil {
			return order.Quote{}, err
		}
		if org.Due {
			return d.Quote(ctx, in, leadIDs...)
		}
	}
	q := order.Quote{Hold: []order.Amount{}, ExpectedCharge: []order.Range{}, Missing: []order.Amount{}}
	finds, err := d.find(ctx, in, o)
	if err != nil {
		return order.Quote{}, err
	}
	q.Candidates, q.AlreadyOwned = finds.candidates, finds.owned
	for _, m := range missing {
		q.Missing = append(q.Missing, order.Amount(m))
	}
	for _, m := range overBudget {
		q.OverBudget = append(q.OverBudget, order.Amount(m))
	}
	q.Covered = len(missing) == 0
	for _, line := range o.Hold {
		q.Hold = append(q.Hold, order.Amount{Type: line.Type, Amount: line.Amount})
	}
	q.ExpectedCharge, err = d.expectedCharges(ctx, in, o, finds)
	return q, err
}

// expectedCharges says for each line of the hold how much of it will probably be
// charged, and on how many contacts of earlier orders that rests.
func (d *Pricer) expectedCharges(ctx context.Context, in order.Input, o Offer, finds found) ([]order.Range, error) {
	ranges := make([]order.Range, len(o.Hold))
	for i, line := range o.Hold {
		r := order.Range{Type: line.Type}
		for j, c := range o.Terms.Charges {
			if c.Type != line.Type {
				continue
			}
			low, high := finds.due[j].least, finds.due[j].most
			if !finds.due[j].certain {
				rate, err := d.rate(ctx, in, c, o.Terms.Billable)
				if err != nil {
					return nil, err
				}
				low, high = rate.of(finds.due[j])
				r.Known += rate.known
			}
			r.Low += low * c.Amount
			r.High += high * c.Amount
		}
		r.Low, r.High = min(r.Low, line.Amount), min(r.High, line.Amount)
		ranges[i] = r
	}
	return ranges, nil
}

// found is what an order would find in the catalogue.
type found struct {
	candidates, owned int64
	due               []due // by charge of the terms
}

// due is for how many items a charge can fall due.
type due struct {
	least, most int64
	certain     bool // they need no verification
}

func (d *Pricer) find(ctx context.Context, in order.Input, o Offer) (found, error) {
	f := found{due: make([]due, len(o.Terms.Charges))}
	switch in.Request.Kind.Spec().Source {
	case order.FromAddresses:
		f.candidates = in.Request.Count
		for i := range f.due {
			f.due[i] = due{least: f.candidates, most: f.candidates}
		}
		return f, nil
	case order.FromFields:
		for _, n := range o.fields {
			f.candidates += n.Items - n.Lacking
			f.owned += n.Owned
		}
		for i, c := range o.Terms.Charges {
			n := o.units[i]
			f.due[i] = due{least: n, most: n, certain: c.Field == order.ProfileField || c.Field == order.LeadField}
		}
		return f, nil
	case order.FromCriteria:
	}
	s := selectionOf(in, o.Terms)
	counted, err := d.catalogue.Count(ctx, s)
	if err != nil {
		return found{}, err
	}
	fresh, owned := counted.Leads-counted.AlreadyOwned, counted.AlreadyOwned
	if o.Terms.Most != nil && *o.Terms.Most < in.Request.Count { // all that there are
		fresh = *o.Terms.Most
	}
	f.candidates, f.owned = fresh, owned
	if in.Request.IncludeOwned {
		f.candidates += owned
	}
	if !in.Request.Fill { // a filled order goes on until the catalogue has no more
		f.candidates = min(f.candidates, in.Request.Count)
	}
	most := min(f.candidates, fresh)
	least := most
	if in.Request.IncludeOwned { // by chance, all of the owned ones are among them
		least = max(0, f.candidates-owned)
	}
	for i := range f.due {
		f.due[i] = due{least: least, most: most}
	}
	return f, nil
}
