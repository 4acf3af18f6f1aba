package activities

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
)

// FinishRide charges and delivers orders whose items have their verdicts, and
// ends those that nothing is refunded of later. It says which are over: others
// wait for their refund, or have to be cancelled, paused or failed.
func (a *Activities) FinishRide(ctx context.Context, legs []Leg) ([]bool, error) {
	defer heartbeat(ctx, noProgress)()
	return atOnce(ctx, a, func(ctx context.Context) ([]bool, error) {
		ended, err := a.finishRide(ctx, legs)
		over := make([]bool, len(legs))
		for i, leg := range legs {
			_, over[i] = ended[leg.ID]
		}
		return over, err
	})
}

// finishRide returns the orders that are over, by ID.
func (a *Activities) finishRide(ctx context.Context, legs []Leg) (over map[string]order.Order, err error) {
	over = map[string]order.Order{}
	if len(legs) == 0 {
		return over, nil
	}
	f := &finish{Activities: a, org: legs[0].Org, open: map[string]*closing{}}
	ids := make([]string, len(legs))
	for i, leg := range legs {
		ids[i] = leg.ID
	}
	now, err := a.Book.GetAll(ctx, f.org, ids)
	if err != nil {
		return nil, toTemporal(err)
	}
	for _, leg := range legs {
		o, there := now[leg.ID]
		switch {
		case !there:
		case o.Status.Over():
			over[leg.ID] = o
		case o.CancelRequestedAt == nil && !o.Paused:
			f.open[leg.ID] = &closing{Leg: leg, now: o}
		}
	}
	for _, step := range []func(context.Context) error{f.charge, f.complete, f.release} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	for id, c := range f.open {
		if c.now.Status.Over() {
			over[id] = c.now
		}
	}
	return over, nil
}

// finish is the end of a ride's orders of one organization. Each step does for all
// what the activity for one order does. An order that cannot go on is taken out
// of open: it fails in a workflow of its own.
type finish struct {
	*Activities
	org  string
	open map[string]*closing
}

// closing is an order that is charged, completed and settled.
type closing struct {
	Leg
	now   order.Order // as it stands in the book
	items []orderbook.Fact
}

func isOpen(c *closing) bool { return !c.now.Status.Delivered() }

func (c *closing) capture() CaptureInput {
	return CaptureInput{OrderID: c.ID, Org: c.Org, Member: c.Member, Kind: c.Request.Kind, Terms: c.Terms}
}

// ids are the open orders for which is holds, sorted.
func (f *finish) ids(is func(*closing) bool) (ids []string) {
	for _, id := range slices.Sorted(maps.Keys(f.open)) {
		if is(f.open[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// failed takes an order that cannot go on out; an error that may pass is returned.
func (f *finish) failed(id string, err error) error {
	if err = toTemporal(err); temporary(err) {
		return err
	}
	if err != nil {
		delete(f.open, id)
	}
	return nil
}

// charge charges the billable items of orders that are not delivered yet.
func (f *finish) charge(ctx context.Context) error {
	groups := map[string][]string{} // by what is delivered
	for _, id := range f.ids(isOpen) {
		verdicts := delivered(f.open[id].Terms)
		groups[fmt.Sprint(verdicts)] = append(groups[fmt.Sprint(verdicts)], id)
	}
	if len(groups) == 0 {
		return nil
	}
	if _, err := f.billing().Current(ctx, f.org); err != nil { // a period that has ended is booked before the charge
		return toTemporal(err)
	}
	for _, ids := range groups {
		items, err := f.Book.BillableAll(ctx, ids, delivered(f.open[ids[0]].Terms))
		if err != nil {
			return toTemporal(err)
		}
		for _, id := range ids {
			f.open[id].items = items[id]
		}
	}
	return f.captureAll(ctx)
}

// due is a charge of an order, and what it is for.
type due struct {
	id    string
	c     order.Charge
	facts []ledger.Fact
}

func (f *finish) captureAll(ctx context.Context) error {
	var dues []due
	var ops []ledger.Capture
	for _, id := range f.ids(isOpen) {
		closing := f.open[id]
		in := closing.capture()
		for _, c := range in.Terms.Charges {
			if _, facts := dueFacts(c, in, closing.items); len(facts) > 0 {
				dues, ops = append(dues, due{id, c, facts}), append(ops, captureOf(in, c, "capture", c.Amount, facts))
			}
		}
	}
	paid := map[string][]bool{} // by another order, in between
	for k, captured := range f.Ledger.CaptureAll(ctx, ops) {
		closing := f.open[dues[k].id]
		if closing == nil {
			continue
		}
		err := captured.Err
		if err == nil && captured.Result.KnownFacts > 0 {
			if paid[closing.ID] == nil {
				paid[closing.ID] = make([]bool, len(closing.items))
			}
			err = f.findPaid(ctx, closing.capture(), dues[k].c, closing.items, dues[k].facts, paid[closing.ID])
		}
		if err := f.failed(closing.ID, err); err != nil {
			return err
		}
	}
	for id, yes := range paid {
		if closing := f.open[id]; closing != nil && closing.Request.Kind.Spec().Source == order.FromCriteria && slices.Contains(yes, true) {
			delete(f.open, id) // they are left out when it is charged once more, by its workflow
		}
	}
	for _, id := range f.ids(isOpen) {
		closing := f.open[id]
		for _, c := range closing.Terms.Charges {
			if err := f.failed(id, f.ownValues(ctx, closing.capture(), c, closing.items)); err != nil {
				return err
			}
		}
		for i, yes := range paid[id] {
			closing.items[i].AlreadyOwned = closing.items[i].AlreadyOwned || yes
		}
	}
	return nil
}

// complete delivers what was charged and closes the lists.
func (f *finish) complete(ctx context.Context) error {
	ids := f.ids(isOpen)
	if len(ids) == 0 {
		return nil
	}
	credits, err := f.billing().CreditsOf(ctx, f.org, ids)
	if err != nil {
		return toTemporal(err)
	}
	var lists []string
	for _, id := range ids {
		if r := f.open[id].Request; r.Kind.Spec().Source == order.FromAddresses {
			lists = append(lists, r.ListID)
		}
	}
	duplicates, err := f.Catalogue.DuplicatesIn(ctx, f.org, lists)
	if err != nil {
		return toTemporal(err)
	}
	completions := make([]orderbook.Completion, len(ids))
	for i, id := range ids {
		c := f.open[id]
		completions[i] = orderbook.Completion{
			OrderID: id, Selected: c.Selected, Items: c.items, Credits: credits[id], Refund: c.Terms.RefundDelay, Duplicates: duplicates[c.Request.ListID],
		}
	}
	completed, refused, err := f.Book.CompleteAll(ctx, completions)
	if err != nil {
		return toTemporal(err)
	}
	for _, o := range completed {
		f.open[o.ID].now = o
	}
	for id, err := range refused {
		if err := f.failed(id, err); err != nil {
			return err
		}
	}
	return nil
}

// release gives back what the holds still have and settles the orders; those whose
// refund waits are left as they are.
func (f *finish) release(ctx context.Context) error {
	ids := f.ids(func(c *closing) bool {
		return c.now.Status.Delivered() && (c.Terms.RefundDelay == 0 || !slices.ContainsFunc(c.now.Credits, unspent))
	})
	if len(ids) == 0 {
		return nil
	}
	ops, err := f.releases(ctx, ids)
	if err != nil {
		return toTemporal(err)
	}
	var released []string
	for k, done := range f.Ledger.ReleaseAll(ctx, ops) {
		if errors.Is(done.Err, ledger.ErrUnknownHold) {
			delete(f.open, ids[k])
			continue
		}
		if err := f.failed(ids[k], done.Err); err != nil {
			return err
		}
		if done.Err == nil {
			released = append(released, ids[k])
		}
	}
	if len(released) == 0 {
		return nil
	}
	credits, err := f.billing().CreditsOf(ctx, f.org, released)
	if err != nil {
		return toTemporal(err)
	}
	settled, refused, err := f.Book.SettleAll(ctx, credits)
	if err != nil {
		return toTemporal(err)
	}
	for _, o := range settled {
		f.open[o.ID].now = o
	}
	for id, err := range refused {
		if err := f.failed(id, err); err != nil {
			return err
		}
	}
	return nil
}

func unspent(c order.Credit) bool { return c.Held > c.Captured+c.Released }

// releases are the releases of orders that are completed. Orders of one member and
// plan that were completed in the same moment say the same about late credits.
func (f *finish) releases(ctx context.Context, ids []string) ([]ledger.Release, error) {
	type alike struct {
		plan, member string
		version      int
		at           time.Time
	}
	known := map[alike]ledger.Release{}
	ops := make([]ledger.Release, len(ids))
	for i, id := range ids {
		c := f.open[id]
		in := ReleaseInput{
			OrderID: id, Org: f.org, Member: c.Member, Kind: c.Request.Kind,
			Plan: c.Terms.Plan, PlanVersion: c.Terms.PlanVersion, Terms: c.Terms, At: *c.now.CompletedAt, Status: order.Settled,
		}
		if ops[i] = releaseOf(in); !slices.ContainsFunc(c.now.Credits, unspent) { // nothing comes back
			continue
		}
		like := alike{in.Plan, in.Member, in.PlanVersion, in.At}
		late, there := known[like]
		if !there {
			if err := f.lateRelease(ctx, in, &late); err != nil {
				return nil, err
			}
			known[like] = late
		}
		ops[i].Late, ops[i].ReinstateUntil = late.Late, late.ReinstateUntil
	}
	return ops, nil
}
