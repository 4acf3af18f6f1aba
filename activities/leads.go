package activities

import (
	"cmp"
	"context"
	"encoding/json"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

// SelectInput is the input of SelectLeads.
type SelectInput struct {
	ID      string      `json:"id"`
	Org     string      `json:"org"`
	Member  string      `json:"member,omitempty"`
	Request inTheBook   `json:"request"`
	Terms   order.Terms `json:"terms"`
	Round   int         `json:"round,omitempty"` // 0 is the first selection
	Count   int64       `json:"count,omitempty"` // how many more leads; 0 = as many as were ordered
}

// inTheBook stands for the request of an order, which the book has: criteria of
// 128 KB belong into a history once. Earlier builds sent the request itself; it is
// still understood. They cannot read what is sent now and leave it to a worker that
// can, where an empty request would mean any lead.
type inTheBook struct{ sent *order.Request }

// MarshalJSON is part of encoding/json.
func (r inTheBook) MarshalJSON() ([]byte, error) {
	if r.sent != nil {
		return json.Marshal(r.sent)
	}
	return []byte(`"in the book"`), nil
}

// UnmarshalJSON is part of encoding/json.
func (r *inTheBook) UnmarshalJSON(data []byte) error {
	if len(data) == 0 || data[0] != '{' {
		return nil
	}
	return json.Unmarshal(data, &r.sent)
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
	defer heartbeat(ctx, noProgress)()
	return atOnce(ctx, a, func(ctx context.Context) (Selection, error) { return a.selectLeads(ctx, in) })
}

func (a *Activities) selectLeads(ctx context.Context, in SelectInput) (Selection, error) {
	asked := order.Input{ID: in.ID, Org: in.Org, Member: in.Member}
	if in.Request.sent != nil {
		asked.Request = *in.Request.sent
	} else {
		var err error
		if asked.Request, err = a.Book.Request(ctx, in.ID); err != nil {
			return Selection{}, toTemporal(err)
		}
	}
	selected, err := a.freeze(ctx, asked, in)
	if err != nil {
		return Selection{}, toTemporal(err)
	}
	if err := a.Book.Start(ctx, in.ID, selected.Items); err != nil {
		return Selection{}, toTemporal(err)
	}
	if in.Round > 0 {
		if err := a.Book.Extend(ctx, in.ID, selected.Items); err != nil {
			return Selection{}, toTemporal(err)
		}
	}
	o, err := a.Book.Get(ctx, in.Org, in.ID)
	o.Selected = selected.Items // after this round, also where an earlier run of the order had selected more
	return Selection{Order: o, Decided: selected.Decided}, toTemporal(err)
}

func (a *Activities) freeze(ctx context.Context, asked order.Input, in SelectInput) (lead.Selected, error) {
	switch asked.Request.Kind.Spec().Source {
	case order.FromAddresses:
		return a.Catalogue.SelectList(ctx, in.ID, asked.Request.ListID)
	case order.FromFields:
		wanted, err := a.pricer().Wanted(ctx, asked, in.Terms)
		if err != nil {
			return lead.Selected{}, err
		}
		return a.Catalogue.SelectFields(ctx, wanted)
	case order.FromCriteria:
	}
	s := a.pricer().Selection(asked, in.Terms)
	s.Round, s.Count = in.Round+1, cmp.Or(in.Count, asked.Request.Count)
	return a.Catalogue.Select(ctx, s)
}
