package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
	"holdfast/internal/order"
)

// selections is how often a filled order may look for candidates. Each time it
// takes as many as it lacks: with one valid in ten it needs about ninety times
// to fill 10,000, with one in two about fourteen.
const selections = 200

// lacking is how many leads an order with fill has yet to find. What
// is greylisted may turn out valid in a later round and is not replaced before,
// so that no more leads are ever valid than were ordered and paid for.
func (o *orderRun) lacking(greylisted int64) int64 {
	if !o.in.Request.Fill || o.Exhausted || o.Selections >= selections {
		return 0
	}
	found := o.Progress.Tally.Of(o.terms.Billable)
	if o.Round < greylistRuns {
		found += greylisted
	}
	wanted := o.in.Request.Count
	if o.terms.Most != nil { // no more than the hold covers
		wanted = min(wanted, *o.terms.Most)
	}
	return wanted - found
}

// selectMore freezes further candidates. A catalogue that has none left ends
// the order with what was found.
func (o *orderRun) selectMore(ctx workflow.Context, count int64) error {
	o.Selections++
	in := activities.SelectInput{ID: o.in.ID, Org: o.in.Org, Member: o.in.Member, Terms: o.terms, Round: o.Selections, Count: count}
	summary := fmt.Sprintf("choose %d more leads", count)

	var selected order.Order
	if err := o.book(bookkeeping(ctx, o.in.Org, summary), a.SelectLeads, in, &selected); err != nil {
		return err
	}
	before := o.Order.Selected
	if selected.Selected == before {
		o.Exhausted, o.Progress.More = true, false
	}
	o.Batches = append(o.Batches, split(before+1, selected.Selected)...)
	o.Progress.Total = selected.Selected
	return o.stands(ctx, selected)
}
