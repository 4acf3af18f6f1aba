package billing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/errcode"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
	"holdfast/internal/value"
)

// Errors of this package; test with errors.Is. Each is a sentence for the user.
var (
	ErrNoReason = errcode.New(errcode.Invalid, "a reason is needed, for the journal; say why credits are moved")
	ErrNoKey    = errcode.New(errcode.Invalid, "an idempotency key is needed; send the same one again to repeat the request safely")
	ErrRunning  = errcode.New(errcode.Conflict, "the order is still running; cancel it first, then reverse what it charged")
	ErrPart     = errcode.New(errcode.Invalid, "a part of an order is either some of its leads or a number of credits of one type")
)

// Reversal credits back what an order charged: all of it, some of its leads, or
// an amount of one credit type.
type Reversal struct {
	OrderID string
	Key     string   // idempotency key
	Reason  string   // for the journal; no contact data
	Type    string   // only this credit type; empty = all that the order charged
	Amount  int64    // credits of Type; 0 = all
	Leads   []string // only these leads, by id
}

// Reversed is what a reversal came to.
type Reversed struct {
	OrderID string        `json:"order_id"`
	Credits []plan.Amount `json:"credits"` // credited back, by type
	Facts   int64         `json:"facts"`   // leads that are no longer paid for and would cost again
	Reason  string        `json:"reason"`
}

// Reverse credits back what an order charged, with a reason in the journal. The
// order must not be running any more. What has been credited back already is
// not credited again; the same request again gets the same answer.
//
// Errors: ErrNoReason, ErrNoKey, ErrPart, ErrRunning, orderbook.ErrNotFound,
// ledger.ErrKeyReused where the key stands for another reversal of the order,
// ledger.ErrHoldExhausted where less than Amount is left to reverse,
// ledger.ErrUnknownHold where the order never held credits.
func (b *Billing) Reverse(ctx context.Context, r Reversal, now time.Time) (Reversed, error) {
	switch {
	case strings.TrimSpace(r.Reason) == "":
		return Reversed{}, ErrNoReason
	case r.Key == "":
		return Reversed{}, ErrNoKey
	case len(r.Leads) > 0 && r.Amount != 0, r.Amount != 0 && r.Type == "":
		return Reversed{}, ErrPart
	}
	o, err := b.book.Get(ctx, "", r.OrderID)
	if err != nil {
		return Reversed{}, err
	}
	if !o.Status.Over() && !o.Status.Delivered() {
		return Reversed{}, ErrRunning
	}
	agreed, err := b.book.Agreement(ctx, r.OrderID)
	if err != nil {
		return Reversed{}, err
	}
	var items []orderbook.Fact
	if len(r.Leads) > 0 {
		if items, err = b.book.LeadItems(ctx, r.OrderID, r.Leads); err != nil {
			return Reversed{}, err
		}
	}
	p, err := b.accounts.Plan(ctx, agreed.PlanID, agreed.PlanVersion)
	if err != nil {
		return Reversed{}, err
	}
	held, err := b.ledger.HoldState(ctx, o.Org, o.ID)
	if err != nil {
		return Reversed{}, err
	}
	if err := b.claimReversal(ctx, o, r); err != nil {
		return Reversed{}, err
	}
	reversed := Reversed{OrderID: o.ID, Credits: []plan.Amount{}, Reason: r.Reason}
	for _, line := range held {
		if r.Type != "" && r.Type != line.Type {
			continue
		}
		facts := factsOf(p, o, line.Type, items)
		if len(r.Leads) > 0 && len(facts) == 0 {
			continue // credits that no lead was charged with
		}
		op := ledger.Reverse{
			Owner: o.Org, Key: fmt.Sprintf("reverse/%s/%s/%s", o.ID, line.Type, r.Key), HoldID: o.ID,
			Type: line.Type, Amount: r.Amount, Facts: facts,
			Memo: ledger.Memo{OrderID: o.ID, Action: "reverse", Member: o.Member, Reason: r.Reason},
		}
		if op.ReinstateUntil, err = b.Until(ctx, p, o.Org, o.Member, line.Type, now); err != nil {
			return Reversed{}, err
		}
		result, err := b.ledger.Reverse(ctx, op)
		if err != nil {
			return Reversed{}, err
		}
		reversed.Facts += result.Facts
		reversed.Credits = addAmounts(reversed.Credits, result.Amounts)
	}
	return reversed, b.note(ctx, o.Org, o.ID)
}

// claimReversal lets the key stand for this reversal: it is an operation for each
// credit type, each with a key of its own, and another type would be another one.
func (b *Billing) claimReversal(ctx context.Context, o order.Order, r Reversal) error {
	request := append([]string{r.Type, strconv.FormatInt(r.Amount, 10), r.Reason}, r.Leads...)
	for i := range request {
		request[i] = fmt.Sprint(i, "/", request[i])
	}
	return b.claim(ctx, o.Org, "reversals/"+o.ID+"/"+r.Key, "reversals/requested", request,
		ledger.Memo{OrderID: o.ID, Action: "reverse", Member: o.Member, Reason: r.Reason})
}

// factsOf names what an order charged for items, as the ledger may know it.
func factsOf(p *plan.Plan, o order.Order, creditType string, items []orderbook.Fact) []ledger.Fact {
	var facts []ledger.Fact
	for _, item := range items {
		action, _ := p.Action(o.Kind.Action(item.Field))
		for _, c := range action.Charges {
			if c.Type != creditType {
				continue
			}
			for _, subject := range subjectsOf(item.Field, item.Fingerprint, item.Keys, item.Value) {
				facts = append(facts, ledger.Fact{Scope: c.FactScope(o.Member, o.ID), Subject: subject})
			}
		}
	}
	return facts
}

// subjectsOf are what an item may have been charged under: the field of its lead,
// and its values. The ledger takes back what was charged.
func subjectsOf(field order.Field, fingerprint uuid.UUID, keys []uuid.UUID, text string) []uuid.UUID {
	if len(keys) == 0 && text != "" && (field == order.EmailField || field == order.DirectEmailField) {
		key, _ := value.Address(text)
		keys = []uuid.UUID{key}
	}
	return append([]uuid.UUID{fingerprint}, keys...)
}

// note brings an order's credits in the book up to date with the ledger.
func (b *Billing) note(ctx context.Context, org, orderID string) error {
	credits, err := b.OrderCredits(ctx, org, orderID)
	if errors.Is(err, ledger.ErrUnknownHold) {
		return nil // it cost nothing
	}
	if err != nil {
		return err
	}
	return b.book.NoteCredits(ctx, orderID, credits)
}

// OrderCredits is what the ledger says has become of the credits that an order
// held. The error is ledger.ErrUnknownHold where it never held any.
func (b *Billing) OrderCredits(ctx context.Context, org, orderID string) ([]order.Credit, error) {
	held, err := b.ledger.HoldState(ctx, org, orderID)
	if err != nil {
		return nil, err
	}
	return creditsOf(held), nil
}

// CreditsOf is OrderCredits of several orders, by ID; those that have no hold are
// left out.
func (b *Billing) CreditsOf(ctx context.Context, org string, orderIDs []string) (map[string][]order.Credit, error) {
	held, err := b.ledger.HoldStates(ctx, org, orderIDs)
	if err != nil {
		return nil, err
	}
	credits := make(map[string][]order.Credit, len(held))
	for id, lines := range held {
		credits[id] = creditsOf(lines)
	}
	return credits, nil
}

func creditsOf(held []ledger.HoldLine) []order.Credit {
	credits := make([]order.Credit, len(held))
	for i, l := range held {
		credits[i] = order.Credit{Type: l.Type, Held: l.Amount, Captured: l.Captured, Released: l.Released, Reversed: l.Reversed}
	}
	return credits
}

func addAmounts(sum []plan.Amount, more []ledger.Amount) []plan.Amount {
	for _, a := range more {
		i, found := slices.BinarySearchFunc(sum, a.Type, func(s plan.Amount, t string) int { return cmp.Compare(s.Type, t) })
		if !found {
			sum = slices.Insert(sum, i, plan.Amount{Type: a.Type})
		}
		sum[i].Amount += a.Amount
	}
	return sum
}
