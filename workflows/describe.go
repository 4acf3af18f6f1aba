package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
	"holdfast/internal/order"
)

// notingWaits is the version since which orders note in the book what they wait
// for.
const notingWaits = "note-waits"

// newOrderRun makes an order answer from its first moment: the update that
// waits for the reservation, and the query for progress.
func newOrderRun(ctx workflow.Context, in OrderInput) (*orderRun, error) {
	o := &orderRun{in: in.Input, announced: in.Announced, maxEvents: historyLimit(in)}
	if in.Carried != nil {
		o.resume(ctx, *in.Carried)
	}
	if err := workflow.SetQueryHandler(ctx, QueryProgress, func() (order.Progress, error) {
		p := o.Progress
		p.Estimate(workflow.Now(ctx))
		return p, nil
	}); err != nil {
		return nil, err
	}
	if err := o.listenForPauses(ctx); err != nil {
		return nil, err
	}
	return o, workflow.SetUpdateHandler(ctx, UpdateReserve, func(ctx workflow.Context) (order.Reservation, error) {
		if err := workflow.Await(ctx, func() bool { return o.Reservation != nil || o.failure != nil }); err != nil {
			return order.Reservation{}, err
		}
		if o.failure != nil {
			return order.Reservation{}, o.failure
		}
		return *o.Reservation, nil
	})
}

// answerEveryone lets the last update handlers answer before the workflow ends.
func (o *orderRun) answerEveryone(ctx workflow.Context) error {
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

// stands notes where the order stands, for readers of Temporal. What
// a small order does passes too fast to be looked for, until it waits or ends.
func (o *orderRun) stands(ctx workflow.Context, now order.Order) error {
	o.Order = now
	o.Progress.Status = now.Status
	o.describe(ctx)
	if o.small() && !now.Status.Over() {
		return nil
	}
	return o.show(ctx)
}

// show makes the order found by its status.
func (o *orderRun) show(ctx workflow.Context) error {
	if o.shown == o.Order.Status {
		return nil
	}
	o.shown = o.Order.Status
	return workflow.UpsertTypedSearchAttributes(ctx, AttrOrderStatus.ValueSet(string(o.shown)))
}

// enter notes that a stage begins.
func (o *orderRun) enter(ctx workflow.Context, stage order.Stage) {
	p := &o.Progress
	if p.Stage == stage {
		return // the run before this one has said so
	}
	now := workflow.Now(ctx)
	p.Stage, p.Since = stage, nil
	if stage == order.StageVerifying {
		p.Since = &now
	}
	p.Stages = append(p.Stages, order.StageTime{Stage: stage, At: now})
	o.describe(ctx)
}

// waitFor notes what the order waits for; nothing when what is empty. The time
// that it waits does not count as time in which it verified.
func (o *orderRun) waitFor(ctx workflow.Context, what string, until time.Time) {
	p, now := &o.Progress, workflow.Now(ctx)
	switch {
	case what != "":
		p.Estimate(now)
		o.waits = now
		if err := o.show(ctx); err != nil {
			workflow.GetLogger(ctx).Warn("The order's status is not shown in Temporal.", "reason", err)
		}
	case p.Since != nil:
		since := p.Since.Add(now.Sub(o.waits))
		p.Since = &since
	}
	p.Waiting, p.Until = what, nil
	if !until.IsZero() {
		p.Until = &until
	}
	o.describe(ctx)
	if p.Until != nil && p.Stage == order.StageVerifying {
		o.noteWait(ctx)
	}
}

// noteWait lets the book show what the order waits for. Should it fail, the
// order waits all the same.
func (o *orderRun) noteWait(ctx workflow.Context) {
	if !o.knows(ctx, notingWaits) {
		return
	}
	wait := order.Wait{For: order.WaitGreylisting, Reason: o.Progress.Waiting, Until: o.Progress.Until}
	if o.outage != nil {
		wait.For, wait.Reason = order.WaitVerification, o.outage.Message
	}
	in := activities.NoteWaitInput{OrderID: o.in.ID, Wait: wait}
	if err := workflow.ExecuteLocalActivity(noting(ctx), a.NoteWait, in).Get(ctx, nil); err != nil {
		workflow.GetLogger(ctx).Info("What the order waits for was not noted.", "reason", err)
	}
}

// describe puts what a support engineer wants to know into the current details
// that the Temporal UI shows on the workflow's page. Whose order it is stands
// there too, because the server gives the static summary to the first run only.
func (o *orderRun) describe(ctx workflow.Context) {
	var b strings.Builder
	p := o.Progress
	fmt.Fprintf(&b, "%s: %s of %d\n\n**%s**", o.in.Org, o.in.Request.Kind, o.in.Request.Count, p.Stage)
	if p.Waiting != "" {
		fmt.Fprintf(&b, ", waiting for %s", p.Waiting)
	}
	if p.Until != nil {
		fmt.Fprintf(&b, " (until %s)", p.Until.UTC().Format("15:04:05 MST"))
	}
	if p.Total > 0 {
		t := p.Tally
		fmt.Fprintf(&b, "\n\n%d of %d verified: %d valid, %d invalid, %d catch-all, %d risky, %d disposable, %d unknown",
			p.Done, p.Total, t.Valid, t.Invalid, t.CatchAll, t.Risky, t.Disposable, t.Unknown)
		if t.Duplicate > 0 {
			fmt.Fprintf(&b, ", %d duplicates", t.Duplicate)
		}
		if p.Greylisted > 0 {
			fmt.Fprintf(&b, "; %d greylisted", p.Greylisted)
		}
	}
	for _, c := range o.Order.Credits {
		captured := c.Captured
		for _, a := range p.Charged {
			if a.Type == c.Type {
				captured = max(captured, a.Amount)
			}
		}
		fmt.Fprintf(&b, "\n\n%s credits: %d held, %d charged, %d released", c.Type, c.Held, captured, c.Released)
	}
	if f := o.Order.Failure; f != nil {
		fmt.Fprintf(&b, "\n\n%s", f.Message)
	}
	workflow.SetCurrentDetails(ctx, b.String())
}

// failureOf says in a sentence for the customer why an order failed. Only
// errors of our own making carry one; all else is ours to look
// up in Temporal, not the customer's to read.
func failureOf(cause error) *order.Failure {
	if info, refused := activities.Refused(cause); refused && info.Text != "" {
		return &order.Failure{Code: info.Code, Message: info.Text}
	}
	return &order.Failure{
		Code:    order.CodeInternal,
		Message: "The order could not be finished because of an error on our side; what was not delivered has been refunded.",
	}
}

func amounts(list []order.Amount) string {
	words := make([]string, len(list))
	for i, a := range list {
		words[i] = fmt.Sprintf("%d %s credits", a.Amount, a.Type)
	}
	return strings.Join(words, ", ")
}
