package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/order"
)

const (
	lookEvery  = 150 * time.Millisecond // between two looks at a running order
	lookWithin = 5 * time.Second        // what one look may take; longer means that no worker answers
)

// What a watcher waits for.
const (
	untilDelivered = "delivered" // the customer has the list
	untilSettled   = "settled"   // the rest of the credits is back as well
)

func addWatchFlag(cmd *cobra.Command, watch *string) {
	cmd.Flags().StringVar(watch, "watch", "", "follow the order until it is delivered, with --watch=settled until its refund is done")
	cmd.Flags().Lookup("watch").NoOptDefVal = untilDelivered
	cmd.PreRunE = func(*cobra.Command, []string) error {
		switch *watch {
		case "", untilDelivered, untilSettled:
			return nil
		}
		return fmt.Errorf("--watch=%s is not known; use --watch or --watch=%s", *watch, untilSettled)
	}
}

func addWaitFlag(cmd *cobra.Command, wait *bool) {
	cmd.Flags().BoolVar(wait, "wait", false, "wait until the order is delivered, and write its results to the standard output")
}

// orderWatcher tells an order's progress: a meter while it verifies, a line
// for every stage that is done.
type orderWatcher struct {
	*screen
	look    func(context.Context) (order.Progress, error)
	kind    order.Kind
	shown   int // stages shown so far
	meter   *meter
	waiting string
}

// follow shows the order's progress until it is delivered or settled, or over
// in another way, and returns the last look at it. It may be called again, to
// follow the order further.
func (w *orderWatcher) follow(ctx context.Context, until string) (order.Progress, error) {
	defer w.clear()
	for {
		p, err := w.glance(ctx)
		switch {
		case ctx.Err() != nil:
			return p, ctx.Err()
		case errors.Is(err, context.DeadlineExceeded):
			w.wait("no worker answers; the order goes on when one is there")
		case err != nil:
			return p, err
		default:
			w.show(p)
			if p.Status.Over() || (until == untilDelivered && p.Status.Delivered()) {
				return p, nil
			}
			w.wait(p.Waiting)
		}
		if err := pause(ctx, lookEvery); err != nil {
			return p, err
		}
	}
}

func (w *orderWatcher) glance(ctx context.Context) (order.Progress, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWithin)
	defer cancel()
	p, err := w.look(ctx)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return p, err
}

// pause waits, or returns the context's error when that ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func (w *orderWatcher) show(p order.Progress) {
	for ; w.shown < len(p.Stages)-1; w.shown++ {
		if name, what := w.stageText(p.Stages[w.shown].Stage, p); name != "" {
			w.clear()
			w.tick(name, what, p.Stages[w.shown+1].At.Sub(p.Stages[w.shown].At))
		}
	}
	switch p.Stage {
	case order.StageVerifying:
		if w.meter == nil {
			w.meter = w.newMeter("verifying", plural(w.kind.Spec().Item), p.Total)
		}
		w.meter.grow(p.Total)
		w.meter.estimate(p.Rate, p.ETA)
		note := ""
		if p.Greylisted > 0 {
			note = number(p.Greylisted) + " greylisted"
			if again := in(p.Until); again != "" {
				note += ", asked again" + again
			}
		}
		w.meter.set(p.Done, note)
	case order.StageRefunding:
		w.status("  the refund comes%s", cmp.Or(in(p.Until), " now"))
	case order.StageReserving, order.StageSelecting, order.StageDelivering, order.StageOver:
	}
}

// in says how far away a moment is: " in 5 s".
func in(until *time.Time) string {
	if until == nil || time.Until(*until) <= 0 {
		return ""
	}
	seconds := int64((time.Until(*until) + time.Second - 1) / time.Second)
	if seconds < 60 {
		return fmt.Sprintf(" in %d s", seconds)
	}
	return " in " + took(time.Duration(seconds)*time.Second)
}

// wait says once what the order waits for.
func (w *orderWatcher) wait(reason string) {
	if reason != "" && reason != w.waiting && !w.lively {
		w.note("  %s", reason)
	}
	w.waiting = reason
}

// clear takes away what is drawn over on a terminal.
func (w *orderWatcher) clear() {
	if w.meter != nil {
		w.meter.close()
		w.meter = nil
	}
	w.status("")
}

// stageText says what a stage that is done has done. That the credits are held
// has been said when the order was accepted.
func (w *orderWatcher) stageText(s order.Stage, p order.Progress) (name, what string) {
	switch s {
	case order.StageSelecting:
		return "selected", count(p.Total, w.kind.Spec().Item)
	case order.StageVerifying:
		return "verified", count(p.Total, w.kind.Spec().Item)
	case order.StageDelivering:
		return "delivered", count(p.Tally.Valid, "valid "+w.kind.Spec().Item)
	case order.StageRefunding:
		return "refunded", "what was held and not charged"
	case order.StageReserving, order.StageOver:
	}
	return "", ""
}

// stagesOf adds the stages that an order has reached since it was looked at last,
// which the API does not tell: those it has passed in between, too.
func stagesOf(seen []order.StageTime, o order.Order) []order.StageTime {
	way := []order.Stage{order.StageSelecting, order.StageVerifying, order.StageDelivering, order.StageRefunding, order.StageOver}
	last, now := slices.Index(way, seen[len(seen)-1].Stage), slices.Index(way, o.Look().Stage)
	if o.Status.Over() && o.Status != order.Settled {
		last = max(last, now-1) // it was stopped: what it would have done is not said
	}
	for _, stage := range way[min(last+1, now+1) : now+1] {
		at := time.Now()
		if stage == order.StageRefunding && o.CompletedAt != nil {
			at = *o.CompletedAt
		}
		if stage == order.StageOver && o.SettledAt != nil {
			at = *o.SettledAt
		}
		seen = append(seen, order.StageTime{Stage: stage, At: at})
	}
	return seen
}
