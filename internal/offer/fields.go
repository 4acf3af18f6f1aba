package offer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/plan"
)

// fieldCharges are what a plan charges for the items of an order over fields of
// leads. An export is of addresses where the plan sells it by their verdict, and
// of leads as a whole where it does not ask for any.
func fieldCharges(p *plan.Plan, in order.Input) ([]order.Charge, error) {
	fields := in.Request.Fields
	exports := in.Request.Kind.Spec().Exports
	if exports {
		fields = []order.Field{order.LeadField}
		if action, _ := p.Action(order.Export.Action("")); len(action.Billable) > 0 {
			fields = []order.Field{order.EmailField}
		}
	}
	var charges []order.Charge
	for _, f := range fields {
		action, ok := p.Action(in.Request.Kind.Action(f))
		switch {
		case ok:
			for _, c := range chargesOf(action, in, f) {
				c.Billable = action.Billable
				charges = append(charges, c)
			}
		case exports:
			return nil, notSold(p, in.Request.Kind)
		default:
			return nil, &order.InvalidError{
				Field:   "fields",
				Message: fmt.Sprintf("The plan %s does not sell the field %s to an order of kind %s; leave it out, or change the plan.", p.ID, f, in.Request.Kind),
			}
		}
	}
	return charges, nil
}

// Wanted is what an order over fields of leads, under these terms, asks the
// catalogue for.
func (d *Pricer) Wanted(ctx context.Context, in order.Input, terms order.Terms) (lead.FieldSelection, error) {
	p, err := d.accounts.Plan(ctx, terms.Plan, terms.PlanVersion)
	if err != nil {
		return lead.FieldSelection{}, err
	}
	return wantedOf(p, in, terms), nil
}

func wantedOf(p *plan.Plan, in order.Input, terms order.Terms) lead.FieldSelection {
	s := lead.FieldSelection{
		OrderID: in.ID, Org: in.Org,
		ListID: in.Request.ListID, Match: in.Request.Kind.Spec().Matches, FromOrder: in.Request.OrderID,
	}
	for _, c := range terms.Charges {
		i := slices.IndexFunc(s.Fields, func(w lead.FieldWanted) bool { return w.Field == c.Field })
		if i < 0 {
			i = len(s.Fields)
			s.Fields = append(s.Fields, lead.FieldWanted{Field: c.Field})
		}
		if s.Fields[i].FactType == "" && !c.EveryTime(in.ID) {
			s.Fields[i].FactType, s.Fields[i].FactScope, s.Fields[i].PerLead = c.Type, c.Scope, c.Per == string(plan.PerLead)
		}
	}
	if !in.Request.Kind.Spec().Exports {
		return s
	}
	for _, f := range order.Fields {
		if w := ownedBy(p, in, f); w.FactType != "" && f != s.Fields[0].Field {
			s.Carry = append(s.Carry, w)
		}
	}
	return s
}

// ownedBy says by which fact an organization owns a field under a plan: the one
// that a reveal leaves, else an enrichment, else, for an address, a lead list.
func ownedBy(p *plan.Plan, in order.Input, f order.Field) lead.FieldWanted {
	actions := []string{order.Reveal.Action(f), order.Enrich.Action(f)}
	if f == order.EmailField {
		actions = append(actions, order.LeadList.Action(""))
	}
	for _, name := range actions {
		action, _ := p.Action(name)
		for _, c := range chargesOf(action, in, f) {
			if !c.EveryTime(in.ID) {
				return lead.FieldWanted{Field: f, FactType: c.Type, FactScope: c.Scope}
			}
		}
	}
	return lead.FieldWanted{Field: f}
}

// countFields counts what there is of the fields that are asked for, and what
// the items owe at most, by charge: what is there, not owned and not withheld.
// The same value under several rows is owed once.
func (d *Pricer) countFields(ctx context.Context, in order.Input, wanted lead.FieldSelection, o *Offer) error {
	o.units = make([]int64, len(o.Terms.Charges))
	owed := make([]map[plan.Subject]bool, len(o.Terms.Charges))
	prices := make([]plan.Price, len(o.Terms.Charges))
	for i, c := range o.Terms.Charges {
		owed[i], prices[i] = map[plan.Subject]bool{}, PriceOf(c, o.Terms, in.ID)
	}
	_, counts, err := d.catalogue.EachField(ctx, wanted, func(item lead.FieldItem) {
		for i, c := range o.Terms.Charges {
			if c.Field != item.Field {
				continue
			}
			for _, due := range prices[i].Due(plan.Item{Lead: item.Lead, Values: subjects(item.Keys)}, item.Owned) {
				if !owed[i][due.Subject] {
					owed[i][due.Subject] = true
					o.units[i]++
				}
			}
		}
	})
	o.fields = counts
	var refused *lead.ListError
	switch {
	case errors.Is(err, lead.ErrNoList):
		return noList(wanted.ListID)
	case errors.As(err, &refused):
		return &order.InvalidError{Field: "list_id", Message: refused.Message}
	}
	return err
}

func subjects(keys []uuid.UUID) []plan.Subject {
	list := make([]plan.Subject, len(keys))
	for i, key := range keys {
		list[i] = key
	}
	return list
}
