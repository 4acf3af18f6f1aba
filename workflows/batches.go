package workflows

import (
	"slices"
	"time"

	"holdfast/activities"
)

const (
	minBatch = 500  // items per activity for small orders
	maxBatch = 1000 // and for large ones
)

// batch is a range of an order's items and what is known of it.
type batch struct {
	From, To int64 // item numbers, both inclusive
	Open     bool  // to be verified in the current round
	activities.BatchResult
	Again time.Time `json:",omitzero"` // when the greylisted ones may be asked, by the workflow's clock
}

// again is Again, which batches of older builds have not.
func (b batch) again() time.Time {
	if b.Again.IsZero() {
		return b.RetryAt
	}
	return b.Again
}

// untouched reports whether no item of an open batch has been looked at.
func (b batch) untouched() bool { return b.Open && b.Done == 0 && b.Greylisted == 0 }

// queues are the task queues that ask for the greylisted items again, with "" for
// those that any worker may ask for.
func (b batch) queues() []string {
	if b.Queues == nil && b.Greylisted > 0 {
		return []string{""}
	}
	return b.Queues
}

// add joins the batch that follows to this one.
func (b *batch) add(next batch) {
	if b.Queues != nil || next.Queues != nil {
		b.Queues = slices.Clone(b.queues())
		for _, queue := range next.queues() {
			if !slices.Contains(b.Queues, queue) {
				b.Queues = append(b.Queues, queue)
			}
		}
	}
	b.To = next.To
	b.Done += next.Done
	b.Greylisted += next.Greylisted
	b.Tally.Add(next.Tally)
	if next.RetryAt.After(b.RetryAt) {
		b.RetryAt = next.RetryAt
	}
	if later := next.again(); later.After(b.again()) {
		b.Again = later
	}
}

// split cuts items first…last into batches of equal size, all of them open.
func split(first, last int64) []batch {
	size := min(max((last-first+1)/10, minBatch), maxBatch)
	var batches []batch
	for from := first; from <= last; from += size {
		batches = append(batches, batch{From: from, To: min(from+size-1, last), Open: true})
	}
	return batches
}

// regroup joins neighbouring batches as long as together they have no more
// greylisted items than one batch may have, so that a later round needs few
// activities, and opens those that have any.
func regroup(batches []batch) []batch {
	var joined []batch
	for _, b := range batches {
		b.Open = b.Greylisted > 0
		if n := len(joined); n > 0 && joined[n-1].Greylisted+b.Greylisted <= maxBatch {
			last := &joined[n-1]
			last.add(b)
			last.Open = last.Open || b.Open
			continue
		}
		joined = append(joined, b)
	}
	return joined
}
