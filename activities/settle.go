package activities

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
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
	defer beat(ctx, alive)()
	if in.Last {
		if err := a.Book.FinishUnknown(ctx, in.OrderID); err != nil {
			return Captured{}, border(err)
		}
	}
	for _, r := range in.Ranges {
		if err := a.capture(ctx, in, r); err != nil {
			return Captured{}, border(err)
		}
	}
	credits, err := a.billing().OrderCredits(ctx, in.Org, in.OrderID)
	if err != nil {
		return Captured{}, border(err)
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
	var owned []int // of items, those that another order paid for meanwhile
	for _, c := range in.Terms.Charges {
		free, err := a.charge(ctx, in, c, items)
		if err != nil {
			return err
		}
		owned = append(owned, free...)
	}
	for _, i := range owned {
		items[i].AlreadyOwned = true
	}
	_, err = a.Book.Deliver(ctx, in.OrderID, items)
	return err
}

// charge captures what one of the charges is due for. It returns the indexes of
// the items that turned out to be paid for, by an order that was faster.
func (a *Activities) charge(ctx context.Context, in CaptureInput, c order.Charge, items []orderbook.Fact) (free []int, err error) {
	due, facts := dueFacts(c, in, items)
	if len(facts) == 0 {
		return nil, nil
	}
	captured, err := a.Ledger.Capture(ctx, ledger.Capture{
		Owner: in.Org, HoldID: in.OrderID, Type: c.Type, UnitCost: c.Amount, Facts: facts,
		Key:  fmt.Sprintf("%s/capture/%s/%s", in.OrderID, c.Type, digestOf(facts)),
		Memo: ledger.Memo{OrderID: in.OrderID, Member: in.Member, Action: in.Kind.Action(c.Field)},
	})
	if err != nil || captured.KnownFacts == 0 {
		return nil, err
	}
	before, err := a.Ledger.PaidBefore(ctx, in.Org, in.OrderID, c.Type, facts)
	for j, paid := range before {
		if paid {
			free = append(free, due[j])
		}
	}
	return free, err
}

// delivered are the verdicts that a customer gets, charged or free.
func delivered(t order.Terms) []string {
	if len(t.Delivered) == 0 {
		return t.Billable
	}
	return t.Delivered
}

// dueFacts are what the ledger is asked to charge, and the index of the item
// that each of them is about.
func dueFacts(c order.Charge, in CaptureInput, items []orderbook.Fact) (due []int, facts []ledger.Fact) {
	for i, item := range items {
		if isDue(c, in, item) {
			due, facts = append(due, i), append(facts, ledger.Fact{Scope: c.Scope, Subject: item.Fingerprint})
		}
	}
	return due, facts
}

// isDue reports whether an item owes a charge: by its field and its verdict,
// unless it was our own system that failed, or the organization owned it before
// the order and paying once is enough.
func isDue(c order.Charge, in CaptureInput, item orderbook.Fact) bool {
	billable := c.Billable
	if len(billable) == 0 {
		billable = in.Terms.Billable
	}
	switch {
	case c.Field != "" && c.Field != item.Field, !slices.Contains(billable, item.Verdict):
		return false
	case item.Verdict == string(verify.Unknown) && verify.Reason(item.Reason).Ours():
		return false
	}
	return !item.AlreadyOwned || c.EveryTime(in.OrderID)
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
	defer beat(ctx, alive)()
	if err := a.Book.FinishUnknown(ctx, in.OrderID); err != nil {
		return order.Order{}, border(err)
	}
	tally, reasons, err := a.Book.Tally(ctx, in.OrderID)
	if err != nil {
		return order.Order{}, border(err)
	}
	credits, err := a.billing().OrderCredits(ctx, in.Org, in.OrderID)
	if err != nil {
		return order.Order{}, border(err)
	}
	request, err := a.Book.Request(ctx, in.OrderID)
	if err != nil {
		return order.Order{}, border(err)
	}
	if request.Kind == order.Verify {
		list, err := a.Catalogue.List(ctx, in.Org, request.ListID)
		if err != nil {
			return order.Order{}, border(err)
		}
		tally.Duplicate = list.Duplicates()
	}
	refundAt := time.Now().Add(in.RefundDelay)
	if err := a.Book.Complete(ctx, in.OrderID, tally, reasons, credits, refundAt); err != nil {
		return order.Order{}, border(err)
	}
	o, err := a.Book.Get(ctx, in.Org, in.OrderID)
	return o, border(err)
}
