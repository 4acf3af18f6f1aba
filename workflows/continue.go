package workflows

import (
	"cmp"
	"time"

	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
	"holdfast/internal/order"
)

const (
	// longHistory is how many events a run may have before the order goes on in
	// a new one. The server suggests it earlier, at 4,096 by default; it would
	// end a run at 51,200. What is under way is finished first, which takes a
	// hundred events more.
	longHistory = 8_000

	// carriedBatches bounds what one run hands to the next, about 200 bytes a
	// batch, however large the order is.
	carriedBatches = 500

	// continuing is the version that orders got when they learned to continue
	// as a new run: one that runs since before, with a long history, goes on.
	continuing = "continue-as-new"
)

// OrderInput starts the workflow Order. MaxEvents and Carried are the
// workflow's own: clients leave them empty.
type OrderInput struct {
	order.Input
	Announced bool     `json:"announced,omitempty"`  // the submitter waits for an announcement, not for the first workflow task
	MaxEvents int      `json:"max_events,omitempty"` // instead of longHistory
	Carried   *carried `json:"carried,omitempty"`    // of a continued order: how it stands
}

// carried is what one run of an order hands to the next: all that cannot be
// read from the books, and the answers that callers may ask for at any time.
type carried struct {
	Reservation *order.Reservation `json:"reservation"` // set once it is decided
	Order       order.Order        `json:"order"`       // as the books have it, refreshed by each step
	Progress    order.Progress     `json:"progress"`
	Decided     int64              `json:"decided,omitempty"` // items that needed no verification
	Batches     []batch            `json:"batches,omitempty"`
	Round       int                `json:"round,omitempty"`       // of verification, from 1
	Due         time.Time          `json:"due,omitzero"`          // greylisted items that may be asked by then are asked in this round
	Recoveries  int                `json:"recoveries,omitempty"`  // outages waited for so far
	Since       time.Time          `json:"outage_since,omitzero"` // nothing could be verified since then
	Ending      *activities.Outage `json:"ending,omitempty"`      // it has lasted too long: what has no verdict ends as unknown
	Selections  int                `json:"selections,omitempty"`  // times that more candidates were looked for
	Exhausted   bool               `json:"exhausted,omitempty"`   // there are no more
	Paused      bool               `json:"paused,omitempty"`      // the order was asked to wait
	Parts       int64              `json:"parts,omitempty"`       // handed over so far
}

// resume takes up a continued order where the run before left it.
func (o *orderRun) resume(ctx workflow.Context, left carried) {
	o.carried = left
	o.terms = left.Reservation.Terms
	o.shown = left.Order.Status
	o.Batches = unfold(left.Batches)
	o.describe(ctx)
}

// long reports whether what comes next belongs into a new run, because the
// history of this one has grown long. A run begins at least one batch or part.
func (o *orderRun) long(ctx workflow.Context) bool {
	if o.begun == 0 {
		return false
	}
	info := workflow.GetInfo(ctx)
	if !info.GetContinueAsNewSuggested() && info.GetCurrentHistoryLength() < o.maxEvents {
		return false
	}
	return o.knows(ctx, continuing)
}

// continueAsNew ends this run in favour of a new one. The caller has seen to it
// that no activity and no timer is under way, or they would be lost. A
// cancellation that is known goes first; one that comes later finds the new run.
func (o *orderRun) continueAsNew(ctx workflow.Context) error {
	if err := o.answerEveryone(ctx); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	left := o.carried
	left.Batches = condense(o.Batches)
	// In a Worker Deployment the new run is with the newest build.
	return workflow.NewContinueAsNewErrorWithOptions(ctx, workflow.ContinueAsNewErrorOptions{
		InitialVersioningBehavior: workflow.ContinueAsNewVersioningBehaviorAutoUpgrade,
	}, Order, OrderInput{Input: o.in, MaxEvents: o.maxEvents, Carried: &left})
}

// condense joins neighbouring batches that the next run can treat alike, until
// there are few enough of them.
func condense(batches []batch) []batch {
	joined := join(batches, maxBatch)
	for limit := int64(2 * maxBatch); len(joined) > carriedBatches && limit <= 2*joined[len(joined)-1].To; limit *= 2 {
		joined = join(batches, limit)
	}
	return joined
}

// unfold is what the next run makes of it: the ranges without results
// are batches again.
func unfold(condensed []batch) []batch {
	var batches []batch
	for _, b := range condensed {
		if b.untouched() {
			batches = append(batches, split(b.From, b.To)...)
		} else {
			batches = append(batches, b)
		}
	}
	return batches
}

// join joins neighbours as long as together they have no more greylisted items
// than the limit and are all open or all done. What has no results yet is
// joined to one range, which the next run splits again.
func join(batches []batch, limit int64) []batch {
	var joined []batch
	for _, b := range batches {
		if n := len(joined); n > 0 {
			last := &joined[n-1]
			if last.Open == b.Open && last.untouched() == b.untouched() && last.Greylisted+b.Greylisted <= limit {
				last.add(b)
				continue
			}
		}
		joined = append(joined, b)
	}
	return joined
}

func historyLimit(in OrderInput) int { return cmp.Or(in.MaxEvents, longHistory) }
