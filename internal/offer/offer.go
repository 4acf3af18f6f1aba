// Package offer says what an order would cost, before anything is held: the
// terms of the customer's plan, the hold, and, asked for a quote, what the order
// would find and probably be charged. Reserving an order and quoting it use the
// same words for the same things because both come from here.
package offer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
)

// Pricer makes offers: it says what an order may cost. It is safe for concurrent use.
type Pricer struct {
	accounts  *account.Accounts
	ledger    *ledger.Ledger
	catalogue *lead.Catalogue
	book      *orderbook.Book
}

// New returns a pricer on these parts.
func New(accounts *account.Accounts, l *ledger.Ledger, catalogue *lead.Catalogue, book *orderbook.Book) *Pricer {
	return &Pricer{accounts: accounts, ledger: l, catalogue: catalogue, book: book}
}

// Offer is what an order is accepted under.
type Offer struct {
	Terms  order.Terms
	Hold   []ledger.Line // the most it can cost, and which pools pay
	Before time.Time     // a credit period ends then, and the offer with it

	fields []lead.FieldCount // what there is of the fields that are asked for
	units  []int64           // by charge of the terms, what the items owe at most
}

// Offer says under which terms the organization's plan sells an order today.
//
// Errors: account.ErrNotFound, *order.InvalidError where the plan does not sell
// orders of this kind, or what it asks for cannot be looked up.
func (d *Pricer) Offer(ctx context.Context, in order.Input) (Offer, error) {
	c, err := d.Customer(ctx, in.Org, in)
	if err != nil {
		return Offer{}, err
	}
	return c.Offer(ctx, in)
}

// refusals says which orders in the name of an organization are refused, and why. It
// looks again at who orders and at whose things a request names, as the intake has: a
// client that reaches Temporal can start an order without it.
func (d *Pricer) refusals(ctx context.Context, org account.Org, list []order.Input) (map[string]error, error) {
	members := map[string]error{"": nil}
	var ids []string
	for _, in := range list {
		if _, known := members[in.Member]; !known {
			m, err := d.accounts.Member(ctx, org.ID, in.Member)
			if err != nil && !errors.Is(err, account.ErrNotFound) {
				return nil, err
			}
			members[in.Member] = cmp.Or(err, m.Active())
		}
		if id := in.Request.ListID; id != "" {
			ids = append(ids, id)
		}
	}
	missing := map[string]bool{}
	if len(ids) > 0 {
		var err error
		if missing, err = d.catalogue.Missing(ctx, org.ID, ids); err != nil {
			return nil, err
		}
	}
	refused := map[string]error{}
	for _, in := range list {
		switch {
		case in.Org != org.ID:
			refused[in.ID] = &order.InvalidError{Message: "The order is another organization's."}
		case org.MayOrder() != nil:
			refused[in.ID] = &order.InvalidError{Message: org.MayOrder().Error()}
		case members[in.Member] != nil:
			refused[in.ID] = members[in.Member]
		case missing[in.Request.ListID]:
			refused[in.ID] = noList(in.Request.ListID)
		case in.Request.OrderID != "":
			_, refused[in.ID] = d.deliveredBy(ctx, org.ID, in.Request.OrderID)
		}
	}
	return refused, nil
}

// offer makes an offer. leadIDs are the leads of a request whose list is not
// stored.
func (d *Pricer) offer(ctx context.Context, in order.Input, leadIDs []string) (Offer, error) {
	c, err := d.Customer(ctx, in.Org)
	if err != nil {
		return Offer{}, err
	}
	return c.offer(ctx, in, leadIDs)
}

// Customer is an organization to which offers are made, as it stands in a moment.
// Use it for offers of that moment; it is safe for concurrent use.
type Customer struct {
	pricer *Pricer
	billed *billing.Billing
	org    account.Org

	refused map[string]error // orders, by ID

	mu      sync.Mutex
	budgets map[string]map[string]ledger.Budget // by member
}

// Customer returns an organization in the credit period that has begun, and who
// wants to make these orders.
func (d *Pricer) Customer(ctx context.Context, orgID string, orders ...order.Input) (*Customer, error) {
	billed := billing.New(d.accounts, d.ledger, d.book)
	org, err := billed.Current(ctx, orgID)
	if err != nil {
		return nil, err
	}
	if err := billed.CarryOwnership(ctx, orgID); err != nil {
		return nil, err
	}
	refused, err := d.refusals(ctx, org, orders)
	if err != nil {
		return nil, err
	}
	return &Customer{pricer: d, billed: billed, org: org, refused: refused, budgets: map[string]map[string]ledger.Budget{}}, nil
}

// Offer is what Pricer.Offer says to this customer.
func (c *Customer) Offer(ctx context.Context, in order.Input) (Offer, error) {
	if err := c.refused[in.ID]; err != nil {
		return Offer{}, err
	}
	return c.offer(ctx, in, nil)
}

func (c *Customer) offer(ctx context.Context, in order.Input, leadIDs []string) (Offer, error) {
	p, terms, err := c.pricer.terms(ctx, c.org.Plan, c.org.PlanVersion, in)
	if err != nil {
		return Offer{}, err
	}
	o := Offer{Terms: terms}
	if !c.org.Due { // else a period cannot be renewed, which is no reason to sell nothing
		o.Before = c.org.DueAt
	}
	most, err := c.pricer.most(ctx, p, in, leadIDs, &o)
	if err != nil {
		return Offer{}, err
	}
	budgets, err := c.budgetsOf(ctx, in.Member)
	if err != nil {
		return Offer{}, err
	}
	for _, m := range most {
		o.Hold = append(o.Hold, ledger.Line{
			Type: m.Type, Amount: m.Amount, Pools: p.Pools(m.Type, in.Member), Budget: budgets[m.Type],
		})
	}
	return o, nil
}

func (c *Customer) budgetsOf(ctx context.Context, member string) (map[string]ledger.Budget, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	budgets, known := c.budgets[member]
	if known {
		return budgets, nil
	}
	budgets, err := c.billed.Budgets(ctx, c.org, member, c.org.Time(time.Now()))
	if err == nil {
		c.budgets[member] = budgets
	}
	return budgets, err
}

// most is the most that an order can cost.
func (d *Pricer) most(ctx context.Context, p *plan.Plan, in order.Input, leadIDs []string, o *Offer) (most []plan.Amount, err error) {
	switch in.Request.Kind.Spec().Source {
	case order.FromFields:
		wanted := wantedOf(p, in, o.Terms)
		wanted.LeadIDs = leadIDs
		if err := d.countFields(ctx, in, wanted, o); err != nil {
			return nil, err
		}
		for i, c := range o.Terms.Charges {
			if most, err = plan.AddUnits(most, c.Type, c.Amount, o.units[i]); err != nil {
				return nil, tooMuch(in, err)
			}
		}
		return most, nil
	case order.FromCriteria:
		n, err := d.catalogue.Selectable(ctx, selectionOf(in, o.Terms))
		if err != nil {
			return nil, err
		}
		o.Terms.Most = &n
		if most, err = p.HoldFor(string(in.Request.Kind), n); err != nil {
			return nil, tooMuch(in, err)
		}
		return most, nil
	case order.FromAddresses:
		if most, err = p.HoldFor(string(in.Request.Kind), in.Request.Count); err != nil {
			return nil, tooMuch(in, err)
		}
	}
	return most, nil
}

// Terms is the part of a plan that concerns the order.
func (d *Pricer) Terms(ctx context.Context, planID string, version int, in order.Input) (order.Terms, error) {
	_, terms, err := d.terms(ctx, planID, version, in)
	return terms, err
}

func (d *Pricer) terms(ctx context.Context, planID string, version int, in order.Input) (*plan.Plan, order.Terms, error) {
	p, err := d.accounts.Plan(ctx, planID, version)
	if err != nil {
		return nil, order.Terms{}, err
	}
	terms := order.Terms{Plan: p.ID, PlanVersion: p.Version, RefundDelay: p.RefundDelay}
	switch source := in.Request.Kind.Spec().Source; source {
	case order.FromCriteria, order.FromAddresses:
		action, ok := p.Action(string(in.Request.Kind))
		if !ok {
			return nil, order.Terms{}, notSold(p, in.Request.Kind)
		}
		if terms.Billable = action.Billable; len(terms.Billable) == 0 {
			terms.Billable = plan.Verdicts // the plan charges every lead
		}
		if source == order.FromAddresses { // who asks about an address gets every answer
			terms.Delivered = plan.Verdicts
		}
		terms.Charges = chargesOf(action, in, "")
	case order.FromFields:
		terms.Billable, terms.Delivered = []string{"valid"}, []string{"valid"}
		if terms.Charges, err = fieldCharges(p, in); err != nil {
			return nil, order.Terms{}, err
		}
	}
	return p, terms, nil
}

// tooMuch refuses an order that costs more than one order may.
func tooMuch(in order.Input, err error) error {
	field := ""
	if in.Request.Kind.Spec().Has("count") {
		field = "count"
	}
	message := err.Error()
	return &order.InvalidError{Field: field, Message: strings.ToUpper(message[:1]) + message[1:] + "."}
}

func notSold(p *plan.Plan, kind order.Kind) error {
	return &order.InvalidError{
		Field:   "kind",
		Message: fmt.Sprintf("The plan %s does not offer orders of kind %s; change the plan or order something else.", p.ID, kind),
	}
}

func chargesOf(action plan.Action, in order.Input, field order.Field) []order.Charge {
	charges := make([]order.Charge, len(action.Charges))
	for i, c := range action.Charges {
		charges[i] = order.Charge{Type: c.Type, Amount: c.Amount, Per: string(c.Per), Scope: c.FactScope(in.Member, in.ID), Field: field}
	}
	return charges
}

// selectionOf is what a lead_list asks the catalogue for.
func selectionOf(in order.Input, terms order.Terms) lead.Selection {
	s := lead.Selection{
		OrderID: in.ID, Org: in.Org, Criteria: in.Request.Criteria, Count: in.Request.Count, MostNew: terms.Most,
		IncludeOwned: in.Request.IncludeOwned, IncludeKnownBad: in.Request.IncludeKnownBad, Billable: terms.Billable,
	}
	if len(terms.Charges) > 0 {
		c := terms.Charges[0]
		s.FactType, s.FactScope, s.PerLead = c.Type, c.Scope, c.Per == string(plan.PerLead)
	}
	return s
}

// Selection is what a lead_list, under these terms, asks the catalogue for.
func (d *Pricer) Selection(in order.Input, terms order.Terms) lead.Selection {
	return selectionOf(in, terms)
}

// PriceOf is a charge that an order was accepted under as the plan evaluates it.
func PriceOf(c order.Charge, terms order.Terms, orderID string) plan.Price {
	p := plan.Price{Per: plan.Measure(cmp.Or(c.Per, string(plan.PerLead))), EveryTime: c.EveryTime(orderID), Billable: c.Billable}
	if len(p.Billable) == 0 {
		p.Billable = terms.Billable
	}
	return p
}
