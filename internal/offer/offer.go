// Package offer says what an order would cost, before anything is held: the
// terms of the customer's plan, the hold, and, asked for a quote, what the order
// would find and probably be charged. Reserving an order and quoting it use the
// same words for the same things because both come from here.
package offer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
)

// Desk makes offers. It is safe for concurrent use.
type Desk struct {
	accounts  *account.Accounts
	ledger    *ledger.Ledger
	catalogue *lead.Catalogue
	book      *orderbook.Book
}

// New returns a desk that knows these rooms.
func New(accounts *account.Accounts, l *ledger.Ledger, catalogue *lead.Catalogue, book *orderbook.Book) *Desk {
	return &Desk{accounts: accounts, ledger: l, catalogue: catalogue, book: book}
}

// Offer is what an order is accepted under.
type Offer struct {
	Terms order.Terms
	Hold  []ledger.Line // the most it can cost, and which pools pay
}

// Offer says under which terms the organization's plan sells an order today.
//
// Errors: account.ErrNotFound, *order.InvalidError where the plan does not sell
// orders of this kind.
func (d *Desk) Offer(ctx context.Context, in order.Input) (Offer, error) {
	org, err := d.accounts.Org(ctx, in.Org)
	if err != nil {
		return Offer{}, err
	}
	p, terms, err := d.terms(ctx, org.Plan, org.PlanVersion, in)
	if err != nil {
		return Offer{}, err
	}
	most, err := p.HoldFor(string(in.Request.Kind), in.Request.Count)
	if err != nil {
		return Offer{}, err
	}
	budgets, err := billing.New(d.accounts, d.ledger, d.book).Budgets(ctx, org, in.Member, time.Now())
	if err != nil {
		return Offer{}, err
	}
	o := Offer{Terms: terms}
	for _, m := range most {
		o.Hold = append(o.Hold, ledger.Line{
			Type: m.Type, Amount: m.Amount, Pools: p.Pools(m.Type, in.Member), Budget: budgets[m.Type],
		})
	}
	return o, nil
}

// Terms is the part of a plan that concerns the order.
func (d *Desk) Terms(ctx context.Context, planID string, version int, in order.Input) (order.Terms, error) {
	_, terms, err := d.terms(ctx, planID, version, in)
	return terms, err
}

// Seal takes the addresses out of what a customer sends and keeps them as a
// list, so that the request holds no contact data and its count is known. With
// keep false nothing is stored: good for a quote alone.
//
// Errors: *order.InvalidError.
func (d *Desk) Seal(ctx context.Context, org string, body order.Body, keep bool) (order.Request, error) {
	r := body.Request
	if r.Kind != order.Verify {
		if len(body.Emails) > 0 {
			return r, &order.InvalidError{Field: "emails", Message: "emails are for orders of kind verify; leave them out."}
		}
		return r, nil
	}
	if r.Count != 0 {
		return r, &order.InvalidError{Field: "count", Message: "A verify verifies all it is given; leave the count out."}
	}
	if len(body.Emails) > 0 && r.ListID != "" {
		return r, &order.InvalidError{Field: "emails", Message: "Give either emails or a list_id, not both."}
	}
	if len(body.Emails) > 0 && !keep {
		r.ListID, r.Count = "-", lead.DistinctEmails(body.Emails)
		return r, nil
	}
	var list lead.List
	var err error
	switch {
	case len(body.Emails) > 0:
		list, err = d.catalogue.KeepEmails(ctx, org, body.Emails)
	case r.ListID != "":
		list, err = d.catalogue.List(ctx, org, r.ListID)
	}
	var refused *lead.ListError
	switch {
	case errors.Is(err, lead.ErrNoList):
		return r, &order.InvalidError{Field: "list_id", Message: fmt.Sprintf("There is no list %q; upload it first.", r.ListID)}
	case errors.As(err, &refused):
		return r, &order.InvalidError{Field: "emails", Message: refused.Message}
	case err != nil:
		return r, err
	}
	r.ListID, r.Count = list.ID, list.Unique
	return r, nil
}

func (d *Desk) terms(ctx context.Context, planID string, version int, in order.Input) (*plan.Plan, order.Terms, error) {
	p, err := d.accounts.Plan(ctx, planID, version)
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
	if in.Request.Kind == order.Verify { // who asks about an address gets every answer
		terms.Delivered = []string{"valid", "invalid", "catch_all", "risky", "disposable", "unknown"}
	}
	for _, c := range action.Charges {
		terms.Charges = append(terms.Charges, order.Charge{
			Type: c.Type, Amount: c.Amount, Scope: c.FactScope(in.Member, in.ID),
		})
	}
	return p, terms, nil
}
