package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
	"holdfast/internal/order"
)

const (
	minBatch     = 500  // items per activity for small orders
	maxBatch     = 1000 // and for large ones
	inFlight     = 8    // batches of one order that are verified at the same time
	chargeAtOnce = 4    // verified batches charged by one activity
	greylistRuns = 3    // rounds over addresses whose host said "later"
)

// batch is a range of an order's items and what is known of it.
type batch struct {
	From, To int64 // item numbers, both inclusive
	Open     bool  // to be verified in the current round
	activities.BatchResult
}

// verifyAndCharge sends the items through verification in batches, a window of
// them at a time, and charges the valid ones of each batch as it comes in.
// Addresses whose host asks to come back later are verified again in a later
// round; what is still undecided after the last one stays unknown. When nothing
// at all can be verified, the order pauses instead of calling everything
// unknown.
func (o *orderRun) verifyAndCharge(ctx workflow.Context) error {
	o.enter(ctx, order.StageVerifying)
	if err := o.preflight(ctx); err != nil {
		return err
	}
	o.batches = split(1, o.order.Selected)
	due := workflow.Now(ctx)
	for round := 1; ; {
		if err := o.runRound(ctx, round, due); err != nil {
			return err
		}
		greylisted, again := o.greylisted()
		lacking := o.lacking(round, greylisted)
		switch {
		case o.outage != nil:
			if err := o.awaitRecovery(ctx); err != nil {
				return err
			}
		case lacking > 0:
			if err := o.selectMore(ctx, lacking); err != nil {
				return err
			}
		case greylisted > 0 && round < greylistRuns:
			round++
			if err := o.awaitGreylist(ctx, greylisted, again, round); err != nil {
				return err
			}
			o.batches, due = regroup(o.batches), again
		default:
			return o.chargeUndecided(ctx, greylisted)
		}
	}
}

// runRound verifies the open batches, asking greylisted items that may be asked
// again by due, and charges each; it returns when all of them are done, when an
// outage leaves some open, or with the first error once nothing is running any
// more.
func (o *orderRun) runRound(ctx workflow.Context, round int, due time.Time) error {
	ctx, stop := workflow.WithCancel(ctx)
	defer stop()
	var firstErr error
	fail := func(err error) {
		if firstErr == nil {
			firstErr = err
			stop()
		}
	}

	var verified []batch // waiting to be charged
	allVerified := false
	charging := workflow.NewWaitGroup(ctx)
	charging.Add(1)
	workflow.GoNamed(ctx, "charge", func(ctx workflow.Context) {
		defer charging.Done()
		// A charge that has begun is seen through, cancelled or not.
		ctx, cancel := workflow.NewDisconnectedContext(ctx)
		defer cancel()
		for {
			if err := workflow.Await(ctx, func() bool { return len(verified) > 0 || allVerified }); err != nil {
				fail(err)
				return
			}
			if len(verified) == 0 || firstErr != nil {
				return
			}
			n := min(len(verified), chargeAtOnce)
			next := verified[:n]
			verified = verified[n:]
			if err := o.charge(ctx, next); err != nil {
				fail(err)
				return
			}
		}
	})

	window := workflow.NewSemaphore(ctx, inFlight)
	verification := workflow.NewWaitGroup(ctx)
	for i := range o.batches {
		b := &o.batches[i]
		if !b.Open {
			continue
		}
		if err := window.Acquire(ctx, 1); err != nil {
			fail(err)
			break
		}
		if err := o.awaitResume(ctx); err != nil {
			fail(err)
			break
		}
		if o.outage != nil {
			break
		}
		verification.Add(1)
		workflow.GoNamed(ctx, fmt.Sprintf("verify %d", b.From), func(ctx workflow.Context) {
			defer verification.Done()
			defer window.Release(1)
			if err := o.verifyBatch(ctx, b, round, due); err != nil {
				fail(err)
				return
			}
			verified = append(verified, *b)
		})
	}
	verification.Wait(ctx)
	allVerified = true
	charging.Wait(ctx)
	return firstErr
}

func (o *orderRun) verifyBatch(ctx workflow.Context, b *batch, round int, due time.Time) error {
	summary := fmt.Sprintf("verify items %d–%d", b.From, b.To)
	if b.Greylisted > 0 {
		summary = fmt.Sprintf("round %d: verify %d greylisted of items %d–%d", round, b.Greylisted, b.From, b.To)
	}
	in := activities.BatchInput{OrderID: o.in.ID, From: b.From, To: b.To, Due: due}
	var result activities.BatchResult
	if err := workflow.ExecuteActivity(verifying(ctx, o.in.Org, summary), a.VerifyBatch, in).Get(ctx, &result); err != nil {
		return err
	}
	b.BatchResult = result
	if b.Outage != nil {
		o.outage = b.Outage // what was verified is charged, the rest of the batch stays open
	} else {
		b.Open = false
	}
	o.recount(ctx)
	return nil
}

// chargeUndecided makes what is still greylisted after the last round unknown
// for good, and charges it where the customer pays for that answer too.
func (o *orderRun) chargeUndecided(ctx workflow.Context, greylisted int64) error {
	if greylisted == 0 || !slices.Contains(o.terms.Delivered, "unknown") {
		return nil
	}
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	in := activities.CaptureInput{
		OrderID: o.in.ID, Org: o.in.Org, Member: o.in.Member, Kind: o.in.Request.Kind, Terms: o.terms, Last: true,
	}
	for _, b := range o.batches {
		if b.Greylisted > 0 {
			in.Ranges = append(in.Ranges, activities.Range{From: b.From, To: b.To})
		}
	}
	var charged activities.Captured
	summary := fmt.Sprintf("charge %d that stay unknown", greylisted)
	if err := workflow.ExecuteActivity(bookkeeping(ctx, o.in.Org, summary), a.CaptureCredits, in).Get(ctx, &charged); err != nil {
		return err
	}
	o.progress.Charged = charged.Total
	return nil
}

func (o *orderRun) charge(ctx workflow.Context, verified []batch) error {
	in := activities.CaptureInput{OrderID: o.in.ID, Org: o.in.Org, Member: o.in.Member, Kind: o.in.Request.Kind, Terms: o.terms}
	for _, b := range verified {
		in.Ranges = append(in.Ranges, activities.Range{From: b.From, To: b.To})
	}
	var charged activities.Captured
	summary := fmt.Sprintf("charge the valid of %d batches", len(verified))
	if len(verified) == 1 {
		summary = fmt.Sprintf("charge the valid of items %d–%d", verified[0].From, verified[0].To)
	}
	if err := workflow.ExecuteActivity(bookkeeping(ctx, o.in.Org, summary), a.CaptureCredits, in).Get(ctx, &charged); err != nil {
		return err
	}
	o.progress.Charged = charged.Total
	return nil
}

// awaitGreylist sleeps until the hosts that said "later" may be asked again.
func (o *orderRun) awaitGreylist(ctx workflow.Context, count int64, again time.Time, round int) error {
	what := fmt.Sprintf("round %d of %d for %d greylisted addresses", round, greylistRuns, count)
	o.waitFor(ctx, what, again)
	err := workflow.NewTimerWithOptions(ctx, again.Sub(workflow.Now(ctx)), workflow.TimerOptions{Summary: what}).Get(ctx, nil)
	o.waitFor(ctx, "", time.Time{})
	return err
}

// greylisted is how many items wait for another round, and when all of them
// may be asked again.
func (o *orderRun) greylisted() (count int64, again time.Time) {
	for _, b := range o.batches {
		count += b.Greylisted
		if b.RetryAt.After(again) {
			again = b.RetryAt
		}
	}
	return count, again
}

// recount brings the progress up to date with the batches.
func (o *orderRun) recount(ctx workflow.Context) {
	o.progress.Done, o.progress.Greylisted, o.progress.Tally = 0, 0, order.Tally{}
	for _, b := range o.batches {
		o.progress.Done += b.Done
		o.progress.Greylisted += b.Greylisted
		o.progress.Tally.Add(b.Tally)
	}
	o.describe(ctx)
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
			last.To = b.To
			last.Open = last.Open || b.Open
			last.Done += b.Done
			last.Greylisted += b.Greylisted
			last.Tally.Add(b.Tally)
			continue
		}
		joined = append(joined, b)
	}
	return joined
}
