package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/ledger"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
	"holdfast/internal/value"
	"holdfast/internal/verify"
)

// Range is a range of an order's items, both ends inclusive.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// CaptureInput is the input of CaptureCredits.
type CaptureInput struct {
	OrderID string      `json:"order_id"`
	Org     string      `json:"org"`
	Member  string      `json:"member,omitempty"`
	Kind    order.Kind  `json:"kind"`
	Terms   order.Terms `json:"terms"`
	Ranges  []Range     `json:"ranges"`
	Last    bool        `json:"last,omitempty"` // there is no further round: what is greylisted stays unknown
}

// Captured is what an order has been charged so far.
type Captured struct {
	Total []order.Amount `json:"total"`
}

// CaptureCredits charges the billable items of the ranges that are new to the
// organization and delivers them: an item is the customer's from the moment its
// charge is in the ledger. Items the organization owns already are delivered
// free.
func (a *Activities) CaptureCredits(ctx context.Context, in CaptureInput) (Captured, error) {
	defer heartbeat(ctx, noProgress)()
	return atOnce(ctx, a, func(ctx context.Context) (Captured, error) { return a.captureCredits(ctx, in) })
}

func (a *Activities) captureCredits(ctx context.Context, in CaptureInput) (Captured, error) {
	if _, err := a.billing().Current(ctx, in.Org); err != nil { // a period that has ended is booked before the charge
		return Captured{}, toTemporal(err)
	}
	if in.Last {
		if err := a.Book.FinishUnknown(ctx, in.OrderID); err != nil {
			return Captured{}, toTemporal(err)
		}
	}
	for _, r := range in.Ranges {
		if err := a.capture(ctx, in, r); err != nil {
			return Captured{}, toTemporal(err)
		}
	}
	credits, err := a.billing().OrderCredits(ctx, in.Org, in.OrderID)
	if err != nil {
		return Captured{}, toTemporal(err)
	}
	if err := a.Book.NoteCharged(ctx, in.OrderID, credits); err != nil {
		return Captured{}, toTemporal(err)
	}
	var total []order.Amount
	for _, c := range credits {
		total = append(total, order.Amount{Type: c.Type, Amount: c.Captured})
	}
	return Captured{Total: total}, nil
}

// capture charges one range and delivers it. The keys of the charges are made of
// the very items: a repeated call finds the stored results or nothing left to
// deliver, and should an item have come in between, the others are known facts
// by then and cost nothing.
func (a *Activities) capture(ctx context.Context, in CaptureInput, r Range) error {
	items, err := a.Book.Billable(ctx, in.OrderID, r.From, r.To, delivered(in.Terms))
	if err != nil || len(items) == 0 {
		return err
	}
	paid := make([]bool, len(items)) // by another order, in between
	for _, c := range in.Terms.Charges {
		if err := a.charge(ctx, in, c, items, paid); err != nil {
			return err
		}
	}
	deliver := items
	if in.Kind.Spec().Source == order.FromCriteria && slices.Contains(paid, true) {
		if deliver, err = a.leaveOut(ctx, in.OrderID, items, paid); err != nil {
			return err
		}
	}
	for i := range items {
		items[i].AlreadyOwned = items[i].AlreadyOwned || paid[i]
	}
	_, err = a.Book.Deliver(ctx, in.OrderID, deliver)
	return err
}

// leaveOut takes what another order has paid for in between out of a list of
// leads, unless the list is to have what is owned.
func (a *Activities) leaveOut(ctx context.Context, orderID string, items []orderbook.Fact, paid []bool) (deliver []orderbook.Fact, err error) {
	request, err := a.Book.Request(ctx, orderID)
	if err != nil || request.IncludeOwned {
		return items, err
	}
	var out []orderbook.Fact
	for i, item := range items {
		if paid[i] {
			out = append(out, item)
		} else {
			deliver = append(deliver, item)
		}
	}
	return deliver, a.Book.LeaveOut(ctx, orderID, out)
}

// charge captures what one of the charges is due for. It marks the items that
// turned out to be paid for, by an order that was faster.
func (a *Activities) charge(ctx context.Context, in CaptureInput, c order.Charge, items []orderbook.Fact, paid []bool) error {
	_, facts := dueFacts(c, in, items)
	if len(facts) > 0 {
		captured, err := a.capturing(ctx, in, c, "capture", c.Amount, facts)
		if err != nil {
			return err
		}
		if captured.KnownFacts > 0 {
			if err := a.findPaid(ctx, in, c, items, facts, paid); err != nil {
				return err
			}
		}
	}
	return a.ownValues(ctx, in, c, items)
}

func (a *Activities) capturing(ctx context.Context, in CaptureInput, c order.Charge, what string, cost int64, facts []ledger.Fact) (ledger.CaptureResult, error) {
	return a.Ledger.Capture(ctx, captureOf(in, c, what, cost, facts))
}

func captureOf(in CaptureInput, c order.Charge, what string, cost int64, facts []ledger.Fact) ledger.Capture {
	return ledger.Capture{
		Owner: in.Org, HoldID: in.OrderID, Type: c.Type, UnitCost: cost, Facts: facts,
		Key:  fmt.Sprintf("%s/%s/%s/%s", in.OrderID, what, c.Type, digestOf(facts)),
		Memo: ledger.Memo{OrderID: in.OrderID, Member: in.Member, Action: in.Kind.Action(c.Field)},
	}
}

// findPaid marks the items that owe nothing by a charge because of what other
// orders have paid for.
func (a *Activities) findPaid(ctx context.Context, in CaptureInput, c order.Charge, items []orderbook.Fact, facts []ledger.Fact, paid []bool) error {
	var all []ledger.Fact
	for _, f := range facts {
		all = append(all, ledger.Fact{Scope: f.Scope, Subject: f.Subject})
		for _, with := range f.With {
			all = append(all, ledger.Fact{Scope: f.Scope, Subject: with})
		}
	}
	before, err := a.Ledger.PaidBefore(ctx, in.Org, in.OrderID, c.Type, all)
	if err != nil {
		return err
	}
	owned := map[plan.Subject]bool{}
	for i, f := range all {
		owned[f.Subject] = before[i]
	}
	price := offer.PriceOf(c, in.Terms, in.OrderID)
	for i, item := range items {
		if concerns(c, item) && !item.AlreadyOwned && len(price.Due(itemOf(item), nil)) > 0 {
			paid[i] = paid[i] || len(price.Due(itemOf(item), func(s plan.Subject) bool { return owned[s] })) == 0
		}
	}
	return nil
}

// ownValues makes the values owned of fields of leads that were paid for before,
// where the value is another one now.
func (a *Activities) ownValues(ctx context.Context, in CaptureInput, c order.Charge, items []orderbook.Fact) error {
	if offer.PriceOf(c, in.Terms, in.OrderID).Per != plan.PerLead || c.EveryTime(in.OrderID) {
		return nil
	}
	var values, fresh []ledger.Fact
	for _, item := range items {
		if concerns(c, item) && item.AlreadyOwned && item.Verdict == string(verify.Valid) {
			for _, key := range itemOf(item).Values {
				values = append(values, ledger.Fact{Scope: c.Scope, Subject: key})
			}
		}
	}
	if len(values) == 0 {
		return nil
	}
	before, err := a.Ledger.PaidBefore(ctx, in.Org, in.OrderID, c.Type, values)
	if err != nil {
		return err
	}
	for i, f := range values {
		if !before[i] {
			fresh = append(fresh, f)
		}
	}
	if len(fresh) > 0 {
		_, err = a.capturing(ctx, in, c, "own", 0, fresh)
	}
	return err
}

// delivered are the verdicts that a customer gets, charged or free.
func delivered(t order.Terms) []string {
	if len(t.Delivered) == 0 {
		return t.Billable
	}
	return t.Delivered
}

// dueFacts are what the ledger is asked to charge, and the index of the item
// that each of them is about. What the organization owned when the item was
// selected owes nothing, unless every order pays again.
func dueFacts(c order.Charge, in CaptureInput, items []orderbook.Fact) (due []int, facts []ledger.Fact) {
	price := offer.PriceOf(c, in.Terms, in.OrderID)
	for i, item := range items {
		if !concerns(c, item) {
			continue
		}
		for _, d := range price.Due(itemOf(item), func(plan.Subject) bool { return item.AlreadyOwned }) {
			due, facts = append(due, i), append(facts, ledger.Fact{Scope: c.Scope, Subject: d.Subject, With: d.With})
		}
	}
	return due, facts
}

// concerns reports whether a charge is for items of this field.
func concerns(c order.Charge, item orderbook.Fact) bool {
	return c.Field == "" || c.Field == item.Field
}

// itemOf is an item as the plan evaluates it. Where our own system failed, or
// there was no address to verify, nothing is owed.
func itemOf(item orderbook.Fact) plan.Item {
	reason := verify.Reason(item.Reason)
	i := plan.Item{
		Verdict: item.Verdict, Lead: item.Fingerprint,
		Free: reason == verify.Syntax || (item.Verdict == string(verify.Unknown) && reason.Ours()),
	}
	keys := item.Keys
	if len(keys) == 0 && item.LeadNo > 0 && item.Value != "" { // selected before items had keys
		keys = value.Keys(item.Field, item.Value, "")
	}
	for _, key := range keys {
		i.Values = append(i.Values, key)
	}
	return i
}

func digestOf(facts []ledger.Fact) string {
	h := sha256.New()
	for _, f := range facts {
		h.Write(f.Subject[:])
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// DeliverInput is the input of DeliverOrder.
type DeliverInput struct {
	OrderID     string        `json:"order_id"`
	Org         string        `json:"org"`
	RefundDelay time.Duration `json:"refund_delay"`
}

// DeliverOrder counts the items, closes the list and marks the order completed.
// Items still greylisted stay unknown.
func (a *Activities) DeliverOrder(ctx context.Context, in DeliverInput) (order.Order, error) {
	defer heartbeat(ctx, noProgress)()
	return atOnce(ctx, a, func(ctx context.Context) (order.Order, error) { return a.deliverOrder(ctx, in) })
}

func (a *Activities) deliverOrder(ctx context.Context, in DeliverInput) (order.Order, error) {
	if err := a.Book.FinishUnknown(ctx, in.OrderID); err != nil {
		return order.Order{}, toTemporal(err)
	}
	tally, reasons, err := a.Book.Tally(ctx, in.OrderID)
	if err != nil {
		return order.Order{}, toTemporal(err)
	}
	credits, err := a.billing().OrderCredits(ctx, in.Org, in.OrderID)
	if err != nil {
		return order.Order{}, toTemporal(err)
	}
	request, err := a.Book.Request(ctx, in.OrderID)
	if err != nil {
		return order.Order{}, toTemporal(err)
	}
	if request.Kind.Spec().Source == order.FromAddresses {
		list, err := a.Catalogue.List(ctx, in.Org, request.ListID)
		if err != nil {
			return order.Order{}, toTemporal(err)
		}
		tally.Duplicate += list.Duplicates()
	}
	if err := a.Book.Complete(ctx, in.OrderID, tally, reasons, credits, in.RefundDelay); err != nil {
		return order.Order{}, toTemporal(err)
	}
	o, err := a.Book.Get(ctx, in.Org, in.OrderID)
	return o, toTemporal(err)
}
