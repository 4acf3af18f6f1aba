package activities

import (
	"context"
	"fmt"
	"strings"

	"holdfast/internal/ledger"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

// entryOf is an order for which the ledger was asked as the book enters it.
func entryOf(in order.Input, o offer.Offer, held ledger.HoldResult) orderbook.NewOrder {
	entry := orderbook.NewOrder{
		ID: in.ID, Org: in.Org, Member: in.Member, Request: in.Request,
		PlanID: o.Terms.Plan, PlanVersion: o.Terms.PlanVersion, Status: order.Reserved,
	}
	for _, line := range o.Hold {
		entry.Held = append(entry.Held, order.Amount{Type: line.Type, Amount: line.Amount})
	}
	if !held.Held {
		entry.Status, entry.Held, entry.Failure = order.Rejected, nil, insufficient(held)
	}
	return entry
}

func holdOf(in order.Input, o offer.Offer) ledger.Hold {
	return ledger.Hold{
		Owner: in.Org, Key: in.ID + "/hold", HoldID: in.ID, Lines: o.Hold, Before: o.Before,
		Memo: ledger.Memo{OrderID: in.ID, Member: in.Member, Action: string(in.Request.Kind)},
	}
}

// reservation is the answer for an order that is in the book already.
func (a *Activities) reservation(ctx context.Context, known order.Order, in order.Input) (order.Reservation, error) {
	agreed, err := a.Book.Agreement(ctx, known.ID)
	if err != nil {
		return order.Reservation{}, toTemporal(err)
	}
	terms, err := a.pricer().Terms(ctx, agreed.PlanID, agreed.PlanVersion, in)
	if err != nil {
		return order.Reservation{}, toTemporal(err)
	}
	terms.Most = covered(known, terms)
	return order.Reservation{Order: known, Terms: terms, RequestHash: agreed.RequestHash, Small: in.Request.Small()}, nil
}

// covered is how many leads the hold of a lead_list covers.
func covered(o order.Order, terms order.Terms) *int64 {
	if o.Kind.Spec().Source != order.FromCriteria || len(terms.Charges) == 0 {
		return nil
	}
	for _, credit := range o.Credits {
		if credit.Type == terms.Charges[0].Type {
			n := credit.Held / terms.Charges[0].Amount
			return &n
		}
	}
	return nil
}

func (a *Activities) pricer() *offer.Pricer {
	return offer.New(a.Accounts, a.Ledger, a.Catalogue, a.Book)
}

// insufficient says how many credits are missing, and whether in the pool or in the budget.
func insufficient(held ledger.HoldResult) *order.Failure {
	f := &order.Failure{Code: order.CodeInsufficientCredits}
	over := map[string]int64{}
	for _, m := range held.OverBudget {
		f.OverBudget = append(f.OverBudget, order.Amount(m))
		over[m.Type] = m.Amount
	}
	var bought, allowed []string
	for _, m := range held.Missing {
		f.Missing = append(f.Missing, order.Amount(m))
		if n := over[m.Type]; n > 0 {
			allowed = append(allowed, fmt.Sprintf("%d %s", n, m.Type))
		}
		if n := m.Amount - over[m.Type]; n > 0 {
			bought = append(bought, fmt.Sprintf("%d %s", n, m.Type))
		}
	}
	var sentences []string
	if len(bought) > 0 {
		sentences = append(sentences, fmt.Sprintf("The credits do not cover this order: %s credits are missing; buy more or order less.", strings.Join(bought, " and ")))
	}
	if len(allowed) > 0 {
		sentences = append(sentences, fmt.Sprintf("The member's budget does not cover this order: it is short of %s credits; raise the budget or order less.", strings.Join(allowed, " and ")))
	}
	f.Message = strings.Join(sentences, " ")
	return f
}
