package activities

import (
	"cmp"
	"context"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

// SelectInput is the input of SelectLeads.
type SelectInput struct {
	order.Input
	Terms order.Terms `json:"terms"`
	Round int         `json:"round,omitempty"` // 0 is the first selection
	Count int64       `json:"count,omitempty"` // how many more leads; 0 = as many as were ordered
}

// Selection is an order as it stands once its items are frozen.
type Selection struct {
	order.Order
	Decided int64 `json:"decided,omitempty"` // items that have their final verdict from the start
}

// SelectLeads freezes what the order is about into items, numbered from 1: leads
// of the catalogue, the addresses of a list, or fields of leads that are named or
// matched. Of a lead_list it leaves out what the organization owns already,
// unless that was asked for; a later round adds further candidates behind them.
func (a *Activities) SelectLeads(ctx context.Context, in SelectInput) (Selection, error) {
	defer beat(ctx, alive)()
	selected, err := a.freeze(ctx, in)
	if err != nil {
		return Selection{}, toTemporal(err)
	}
	if err := a.Book.Start(ctx, in.ID, selected.Items); err != nil {
		return Selection{}, toTemporal(err)
	}
	if err := a.Book.Extend(ctx, in.ID, selected.Items); err != nil {
		return Selection{}, toTemporal(err)
	}
	o, err := a.Book.Get(ctx, in.Org, in.ID)
	o.Selected = selected.Items // after this round, whatever an earlier run of the order had selected by then
	return Selection{Order: o, Decided: selected.Decided}, toTemporal(err)
}

func (a *Activities) freeze(ctx context.Context, in SelectInput) (lead.Selected, error) {
	switch in.Request.Kind.Spec().Source {
	case order.FromAddresses:
		return a.Catalogue.SelectList(ctx, in.ID, in.Request.ListID)
	case order.FromFields:
		wanted, err := a.desk().Wanted(ctx, in.Input, in.Terms)
		if err != nil {
			return lead.Selected{}, err
		}
		return a.Catalogue.SelectFields(ctx, wanted)
	case order.FromCriteria:
	}
	s := a.desk().Selection(in.Input, in.Terms)
	s.Round, s.Count = in.Round+1, cmp.Or(in.Count, in.Request.Count)
	return a.Catalogue.Select(ctx, s)
}
