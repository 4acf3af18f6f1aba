package activities

import (
	"context"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

// SelectInput is the input of SelectLeads.
type SelectInput struct {
	order.Input
	Terms order.Terms `json:"terms"`
}

// SelectLeads freezes the order's candidates into items, numbered from 1, and
// leaves out what the organization owns already.
func (a *Activities) SelectLeads(ctx context.Context, in SelectInput) (order.Order, error) {
	defer beat(ctx, alive)()
	s := lead.Selection{OrderID: in.ID, Org: in.Org, Criteria: in.Request.Criteria, Count: in.Request.Count}
	if len(in.Terms.Charges) > 0 {
		s.FactType, s.FactScope = in.Terms.Charges[0].Type, in.Terms.Charges[0].Scope
	}
	selected, err := a.Catalogue.Select(ctx, s)
	if err != nil {
		return order.Order{}, border(err)
	}
	if err := a.Book.Start(ctx, in.ID, selected.Items); err != nil {
		return order.Order{}, border(err)
	}
	o, err := a.Book.Get(ctx, in.Org, in.ID)
	return o, border(err)
}
