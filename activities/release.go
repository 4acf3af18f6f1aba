package activities

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

// ReleaseInput is the input of ReleaseHold.
type ReleaseInput struct {
	OrderID     string         `json:"order_id"`
	Org         string         `json:"org"`
	Member      string         `json:"member,omitempty"`
	Kind        order.Kind     `json:"kind,omitempty"`
	Plan        string         `json:"plan"`
	PlanVersion int            `json:"plan_version"`
	Terms       order.Terms    `json:"terms,omitzero"`
	At          time.Time      `json:"at"`     // the workflow's time: the same in every attempt
	Status      order.Status   `json:"status"` // settled, cancelled or failed
	Failure     *order.Failure `json:"failure,omitempty"`
}

// ReleaseHold gives back what the order's hold still has and ends the order in
// the given status, or as settled when the book says that it is delivered. What
// was charged is delivered before it ends. An order that never got as far as a hold ends
// all the same.
func (a *Activities) ReleaseHold(ctx context.Context, in ReleaseInput) (order.Order, error) {
	defer heartbeat(ctx, noProgress)()
	return atOnce(ctx, a, func(ctx context.Context) (order.Order, error) { return a.releaseHold(ctx, in) })
}

func (a *Activities) releaseHold(ctx context.Context, in ReleaseInput) (order.Order, error) {
	ended := order.Order{ID: in.OrderID, Org: in.Org, Status: in.Status, Failure: in.Failure}
	known, err := a.Book.Get(ctx, in.Org, in.OrderID)
	entered := !errors.Is(err, orderbook.ErrNotFound)
	if err != nil && entered {
		return order.Order{}, toTemporal(err)
	}
	if in.Member == "" { // a workflow from before its input had it
		in.Member, in.Kind = known.Member, known.Kind
	}
	if known.Status.Delivered() {
		in.Status = order.Settled
	}
	if entered && in.Status == order.Settled && !known.Status.Over() && !known.Status.Delivered() {
		// It is tried again until the workflow is terminated: ending the order here
		// would take the credits from the one that takes it up.
		return order.Order{}, fmt.Errorf(
			"order %s is %s in the database and delivered by its workflow, so the database was restored from a backup; run holdfast order recover --after-restore", in.OrderID, known.Status)
	}
	err = a.release(ctx, in)
	if errors.Is(err, ledger.ErrUnknownHold) || (err == nil && !entered) { // nothing was held, or the order was not entered
		return ended, nil
	}
	if err != nil {
		return order.Order{}, toTemporal(err)
	}
	// Now that the hold is closed nothing more is charged: until then a worker that
	// was cut off may have been at it.
	if !known.Status.Delivered() {
		if err := a.deliverCharged(ctx, in); err != nil {
			return order.Order{}, toTemporal(err)
		}
	}
	if err := a.end(ctx, in); err != nil {
		return order.Order{}, toTemporal(err)
	}
	o, err := a.Book.Get(ctx, in.Org, in.OrderID)
	return o, toTemporal(err)
}

// deliverCharged delivers what an attempt charged that got no further, so that
// an order that ends early has delivered what it has charged.
func (a *Activities) deliverCharged(ctx context.Context, in ReleaseInput) error {
	lines, err := a.Ledger.HoldState(ctx, in.Org, in.OrderID)
	if errors.Is(err, ledger.ErrUnknownHold) {
		return nil
	}
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(lines, func(l ledger.HoldLine) bool { return l.Captured > 0 }) {
		return nil
	}
	items, err := a.Book.Billable(ctx, in.OrderID, 1, math.MaxInt64, delivered(in.Terms))
	if err != nil || len(items) == 0 {
		return err
	}
	charged := map[int]bool{}
	of := CaptureInput{OrderID: in.OrderID, Org: in.Org, Member: in.Member, Kind: in.Kind, Terms: in.Terms}
	for _, c := range in.Terms.Charges {
		due, facts := dueFacts(c, of, items)
		paid, err := a.Ledger.PaidUnder(ctx, in.Org, in.OrderID, c.Type, facts)
		if err != nil {
			return err
		}
		for j, yes := range paid {
			if yes {
				charged[due[j]] = true
			}
		}
	}
	var deliver []orderbook.Fact
	for i, item := range items {
		if charged[i] {
			deliver = append(deliver, item)
		}
	}
	_, err = a.Book.Deliver(ctx, in.OrderID, deliver)
	return err
}

// release gives back what the order's hold still has.
func (a *Activities) release(ctx context.Context, in ReleaseInput) error {
	release := releaseOf(in)
	if in.Plan != "" {
		if err := a.lateRelease(ctx, in, &release); err != nil {
			return err
		}
	}
	_, err := a.Ledger.Release(ctx, release)
	return err
}

func releaseOf(in ReleaseInput) ledger.Release {
	return ledger.Release{
		Owner: in.Org, Key: in.OrderID + "/release", HoldID: in.OrderID,
		Memo: ledger.Memo{OrderID: in.OrderID, Member: in.Member, Action: string(in.Kind), Reason: string(in.Status)},
	}
}

// lateRelease says what the plan does with credits whose grant has expired
// while the order held them.
func (a *Activities) lateRelease(ctx context.Context, in ReleaseInput, release *ledger.Release) error {
	p, err := a.Accounts.Plan(ctx, in.Plan, in.PlanVersion)
	if err != nil {
		return err
	}
	release.Late = ledger.LateRelease(p.LateRelease)
	release.ReinstateUntil, err = a.billing().Until(ctx, p, in.Org, in.Member, "", in.At)
	return err
}

func (a *Activities) end(ctx context.Context, in ReleaseInput) error {
	credits, err := a.billing().OrderCredits(ctx, in.Org, in.OrderID)
	if err != nil {
		return err
	}
	if in.Status == order.Settled {
		return a.Book.Settle(ctx, in.OrderID, credits)
	}
	tally, _, err := a.Book.Tally(ctx, in.OrderID)
	if err != nil {
		return err
	}
	if in.Status == order.Cancelled {
		return a.Book.Cancel(ctx, in.OrderID, tally, credits)
	}
	failure := order.Failure{Code: order.CodeInternal}
	if in.Failure != nil {
		failure = *in.Failure
	}
	return a.Book.Fail(ctx, in.OrderID, failure, tally, credits)
}
