package activities

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
)

// Reserve holds the credits an order may cost at most and enters the order in
// the book, as reserved, or as rejected with what is missing. Of an order that
// is in the book already it only reports how it stands, under the plan version
// it started with.
func (a *Activities) Reserve(ctx context.Context, in order.Input) (order.Reservation, error) {
	known, err := a.Book.Get(ctx, in.Org, in.ID)
	if err == nil {
		return a.reservation(ctx, known, in)
	}
	if !errors.Is(err, orderbook.ErrNotFound) {
		return order.Reservation{}, border(err)
	}

	org, err := a.Accounts.Org(ctx, in.Org)
	if err != nil {
		return order.Reservation{}, border(err)
	}
	p, terms, err := a.terms(ctx, org.Plan, org.PlanVersion, in)
	if err != nil {
		return order.Reservation{}, border(err)
	}
	most, err := p.HoldFor(string(in.Request.Kind), in.Request.Count)
	if err != nil {
		return order.Reservation{}, border(err)
	}
	entry := orderbook.NewOrder{
		ID: in.ID, Org: in.Org, Member: in.Member, Request: in.Request,
		PlanID: terms.Plan, PlanVersion: terms.PlanVersion, Status: order.Reserved,
	}
	budgets, err := a.billing().Budgets(ctx, org, in.Member, time.Now())
	if err != nil {
		return order.Reservation{}, border(err)
	}
	hold := ledger.Hold{Owner: in.Org, Key: in.ID + "/hold", HoldID: in.ID, Memo: memo(in.ID, in.Member, in.Request.Kind)}
	for _, m := range most {
		hold.Lines = append(hold.Lines, ledger.Line{
			Type: m.Type, Amount: m.Amount, Pools: p.Pools(m.Type, in.Member), Budget: budgets[m.Type],
		})
		entry.Held = append(entry.Held, order.Amount(m))
	}
	held, err := a.Ledger.Hold(ctx, hold)
	if err != nil {
		return order.Reservation{}, border(err)
	}
	if !held.Held {
		entry.Status, entry.Held, entry.Failure = order.Rejected, nil, insufficient(held.Missing)
	}
	o, err := a.Book.Create(ctx, entry)
	if err != nil {
		return order.Reservation{}, border(err)
	}
	return order.Reservation{Order: o, Terms: terms, RequestHash: in.Request.Hash()}, nil
}

// reservation is the answer for an order that is in the book already.
func (a *Activities) reservation(ctx context.Context, known order.Order, in order.Input) (order.Reservation, error) {
	agreed, err := a.Book.Agreement(ctx, known.ID)
	if err != nil {
		return order.Reservation{}, border(err)
	}
	_, terms, err := a.terms(ctx, agreed.PlanID, agreed.PlanVersion, in)
	if err != nil {
		return order.Reservation{}, border(err)
	}
	return order.Reservation{Order: known, Terms: terms, RequestHash: agreed.RequestHash}, nil
}

// terms is the part of a plan that concerns the order.
func (a *Activities) terms(ctx context.Context, planID string, version int, in order.Input) (*plan.Plan, order.Terms, error) {
	p, err := a.Accounts.Plan(ctx, planID, version)
	if err != nil {
		return nil, order.Terms{}, err
	}
	action, ok := p.Action(string(in.Request.Kind))
	if !ok {
		return nil, order.Terms{}, &order.InvalidError{
			Field:   "kind",
			Message: fmt.Sprintf("The plan %s does not offer orders of kind %s; change the plan or order something else.", p.ID, in.Request.Kind),
		}
	}
	terms := order.Terms{Plan: p.ID, PlanVersion: p.Version, Billable: action.Billable, RefundDelay: p.RefundDelay}
	for _, c := range action.Charges {
		terms.Charges = append(terms.Charges, order.Charge{
			Type: c.Type, Amount: c.Amount, Scope: c.FactScope(in.Member, in.ID),
		})
	}
	return p, terms, nil
}

func memo(orderID, member string, kind order.Kind) ledger.Memo {
	return ledger.Memo{OrderID: orderID, Member: member, Action: string(kind)}
}

func insufficient(missing []ledger.Amount) *order.Failure {
	f := &order.Failure{Code: order.CodeInsufficientCredits}
	var words []string
	for _, m := range missing {
		f.Missing = append(f.Missing, order.Amount{Type: m.Type, Amount: m.Amount})
		words = append(words, fmt.Sprintf("%d %s", m.Amount, m.Type))
	}
	f.Message = fmt.Sprintf("The credits do not cover this order: %s credits are missing; buy more or order less.", strings.Join(words, " and "))
	return f
}
