package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
	"holdfast/internal/order"
)

const (
	inFlight     = 8 // batches of one order that are verified at the same time
	chargeAtOnce = 4 // verified batches charged by one activity
	greylistRuns = 3 // rounds over addresses whose host said "later"
)

// verifyAndCharge sends the items through verification in batches, a window of
// them at a time, and charges the valid ones of each batch as it comes in.
// Addresses whose host asks to come back later are verified again in a later
// round; what is still undecided after the last one stays unknown. When nothing
// at all can be verified, the order pauses instead of calling everything
// unknown. When this run's history has grown long, the next one goes on.
func (o *orderRun) verifyAndCharge(ctx workflow.Context) error {
	if o.nothingToVerify() || o.Progress.Stage == order.StageDelivering {
		return nil
	}
	if o.Round == 0 {
		if err := o.beginVerification(ctx); err != nil {
			return err
		}
	}
	for {
		if err := o.runRound(ctx); err != nil {
			return err
		}
		if o.outage == nil {
			o.noteRecovered(ctx)
		}
		greylisted, again, due := o.greylisted()
		lacking := o.lacking(greylisted)
		switch {
		case o.outage != nil && o.endsWaiting(ctx): // the next round ends it
		case o.outage != nil:
			if err := o.awaitRecovery(ctx); err != nil {
				return err
			}
		case o.long(ctx):
			return o.continueAsNew(ctx)
		case o.Ending != nil:
			return o.chargeUndecided(ctx, greylisted)
		case lacking > 0:
			if err := o.selectMore(ctx, lacking); err != nil {
				return err
			}
		case greylisted > 0 && o.Round < greylistRuns:
			o.Round++
			if err := o.awaitGreylist(ctx, greylisted, again); err != nil {
				return err
			}
			o.Batches, o.Due = regroup(o.Batches), due
		default:
			return o.chargeUndecided(ctx, greylisted)
		}
	}
}

// asksMailHosts reports whether any of the items can be an address.
func (o *orderRun) asksMailHosts() bool {
	wanted := o.in.Request.Fields
	return len(wanted) == 0 || slices.Contains(wanted, order.EmailField) || slices.Contains(wanted, order.DirectEmailField)
}

// nothingToVerify reports whether every item had its verdict when it was
// selected: owned, on file, or not available.
func (o *orderRun) nothingToVerify() bool {
	return o.Decided > 0 && o.Decided >= o.Order.Selected
}

func (o *orderRun) beginVerification(ctx workflow.Context) error {
	o.enter(ctx, order.StageVerifying)
	if o.asksMailHosts() && !o.small() {
		if err := o.preflight(ctx); err != nil {
			return err
		}
	}
	o.Batches = split(1, o.Order.Selected)
	o.Round, o.Due = 1, workflow.Now(ctx)
	return nil
}

// runRound verifies the open batches and charges each. It returns when all of
// them are done, when an outage or a long history leaves some open, or with the
// first error; in any case once nothing is under way any more.
func (o *orderRun) runRound(ctx workflow.Context) error {
	ctx, stop := workflow.WithCancel(ctx)
	defer stop()
	var firstErr error
	fail := func(err error) {
		if firstErr == nil {
			firstErr = err
			stop()
		}
	}

	var verified verifiedBatches
	charging := workflow.NewWaitGroup(ctx)
	charging.Add(1)
	workflow.GoNamed(ctx, "charge", func(ctx workflow.Context) {
		defer charging.Done()
		if err := o.chargeVerified(ctx, &verified, &firstErr); err != nil {
			fail(err)
		}
	})

	window := workflow.NewSemaphore(ctx, inFlight)
	verification := workflow.NewWaitGroup(ctx)
	for i := range o.Batches {
		b := &o.Batches[i]
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
		if o.outage != nil || o.long(ctx) {
			break
		}
		o.begun++
		verification.Add(1)
		workflow.GoNamed(ctx, fmt.Sprintf("verify %d", b.From), func(ctx workflow.Context) {
			defer verification.Done()
			defer window.Release(1)
			if err := o.verifyBatch(ctx, b); err != nil {
				fail(err)
				return
			}
			if !o.chargedAtTheEnd() {
				verified.uncharged = append(verified.uncharged, *b)
			}
		})
	}
	verification.Wait(ctx)
	verified.all = true
	charging.Wait(ctx)
	return firstErr
}

// verifiedBatches are what verification hands to charging.
type verifiedBatches struct {
	uncharged []batch
	all       bool // no more come
}

// chargeVerified charges batches as they come, until all are charged or failed is
// set. A charge that has begun is seen through, cancelled or not.
func (o *orderRun) chargeVerified(ctx workflow.Context, verified *verifiedBatches, failed *error) error {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	for {
		if err := workflow.Await(ctx, func() bool { return len(verified.uncharged) > 0 || verified.all }); err != nil {
			return err
		}
		if len(verified.uncharged) == 0 || *failed != nil {
			return nil
		}
		n := min(len(verified.uncharged), chargeAtOnce)
		next := verified.uncharged[:n]
		verified.uncharged = verified.uncharged[n:]
		if err := o.charge(ctx, next); err != nil {
			return err
		}
	}
}

func (o *orderRun) verifyBatch(ctx workflow.Context, b *batch) error {
	summary := fmt.Sprintf("verify items %d–%d", b.From, b.To)
	if b.Greylisted > 0 {
		summary = fmt.Sprintf("round %d: verify %d greylisted of items %d–%d", o.Round, b.Greylisted, b.From, b.To)
	}
	in := activities.BatchInput{OrderID: o.in.ID, From: b.From, To: b.To, Due: o.Due, Ending: o.Ending, Preflight: o.small()}
	result, asked, err := o.verifyWhereItWas(ctx, b, summary, in)
	if err != nil {
		return err
	}
	if !asked {
		if err := workflow.ExecuteActivity(verifying(ctx, o.in.Org, summary), a.VerifyBatch, in).Get(ctx, &result); err != nil {
			return err
		}
	}
	b.BatchResult, b.Again = result, result.RetryAt
	if result.RetryIn > 0 {
		b.Again = workflow.Now(ctx).Add(result.RetryIn)
	}
	if b.Outage != nil {
		o.outage = b.Outage // what was verified is charged, the rest of the batch stays open
	} else {
		b.Open = false
		o.Since = time.Time{}
	}
	o.recount(ctx)
	return nil
}

// verifyWhereItWas asks for the greylisted items of a batch again from where each
// was put off: a greylisting host knows each sending address by itself and puts
// off another one, too. It reports whether that was all; what the workers there
// do not take up in time, and what may be asked from anywhere, is left. Results
// of builds that do not know where they asked name no queue.
func (o *orderRun) verifyWhereItWas(ctx workflow.Context, b *batch, summary string, in activities.BatchInput) (latest activities.BatchResult, all bool, err error) {
	if in.Ending != nil || b.Outage != nil || !slices.ContainsFunc(b.Queues, isNamed) {
		return latest, false, nil
	}
	all = true
	asking := workflow.NewWaitGroup(ctx)
	for _, queue := range b.Queues {
		if !isNamed(queue) {
			all = false
			continue
		}
		in.Queue = queue
		answer := workflow.ExecuteActivity(verifyingAgain(ctx, o.in.Org, summary, queue), a.VerifyBatch, in)
		asking.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer asking.Done()
			var result activities.BatchResult
			switch failed := answer.Get(ctx, &result); {
			case failed == nil:
				latest = later(latest, result)
			case nobodyThere(failed):
				all = false
			case err == nil:
				err = failed
			}
		})
	}
	asking.Wait(ctx)
	return latest, all && err == nil, err
}

func isNamed(queue string) bool { return queue != "" }

// later is the later one of two looks at the same batch, with an outage that
// either of them met: items only become done, and times of retries only later.
func later(x, y activities.BatchResult) activities.BatchResult {
	if y.Done < x.Done || y.Done == x.Done && y.RetryAt.Before(x.RetryAt) {
		x, y = y, x
	}
	if y.Outage == nil {
		y.Outage = x.Outage
	}
	return y
}

// nobodyThere reports whether no worker took up an activity in the time it had.
func nobodyThere(err error) bool {
	var timeout *temporal.TimeoutError
	return errors.As(err, &timeout) && timeout.TimeoutType() == enums.TIMEOUT_TYPE_SCHEDULE_TO_START
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
	for _, b := range o.Batches {
		if b.Greylisted > 0 {
			in.Ranges = append(in.Ranges, activities.Range{From: b.From, To: b.To})
		}
	}
	var charged activities.Captured
	summary := fmt.Sprintf("charge %d that stay unknown", greylisted)
	if err := o.book(bookkeeping(ctx, o.in.Org, summary), a.CaptureCredits, in, &charged); err != nil {
		return err
	}
	o.Progress.Charged = charged.Total
	return nil
}

// charge charges what is billable in the batches, and delivers it.
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
	if err := o.book(bookkeeping(ctx, o.in.Org, summary), a.CaptureCredits, in, &charged); err != nil {
		return err
	}
	o.Progress.Charged = charged.Total
	return nil
}

// awaitGreylist sleeps until the hosts that said "later" may be asked again.
func (o *orderRun) awaitGreylist(ctx workflow.Context, count int64, again time.Time) error {
	what := fmt.Sprintf("round %d of %d for %d greylisted addresses", o.Round, greylistRuns, count)
	o.waitFor(ctx, what, again)
	err := workflow.NewTimerWithOptions(ctx, again.Sub(workflow.Now(ctx)), workflow.TimerOptions{Summary: what}).Get(ctx, nil)
	o.waitFor(ctx, "", time.Time{})
	return err
}

// greylisted is how many items wait for another round, and when all of them
// may be asked again: by the workflow's clock, which sets the timer, and by that of
// the database, which says which items are due.
func (o *orderRun) greylisted() (count int64, again, due time.Time) {
	for _, b := range o.Batches {
		count += b.Greylisted
		if later := b.again(); later.After(again) {
			again = later
		}
		if b.RetryAt.After(due) {
			due = b.RetryAt
		}
	}
	return count, again, due
}

// recount brings the progress up to date with the batches.
func (o *orderRun) recount(ctx workflow.Context) {
	p := &o.Progress
	p.Done, p.Tally, p.Again = 0, order.Tally{}, nil
	for _, b := range o.Batches {
		p.Done += b.Done
		p.Tally.Add(b.Tally)
	}
	var again time.Time
	if p.Greylisted, again, _ = o.greylisted(); p.Greylisted > 0 {
		p.Again = &again
	}
	o.describe(ctx)
}
