package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/internal/order"
)

func (a *app) orderPauseCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "pause ID",
		Short:   "Keep an order from beginning new batches; those under way are finished and charged",
		Example: examples("holdfast order pause ord_4k2n…"),
		Args:    oneArgument("the order's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.stepOrder(cmd, args[0], "pause")
		},
	}
}

func (a *app) orderResumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "resume ID",
		Short:   "Let a paused order go on, or one that waits for verification to work again",
		Example: examples("holdfast order resume ord_4k2n…"),
		Args:    oneArgument("the order's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.stepOrder(cmd, args[0], "resume")
		},
	}
}

// stepOrder lets the API carry out a step of an order and shows how it stands then.
func (a *app) stepOrder(cmd *cobra.Command, id, step string) error {
	return a.apiWithOrders(cmd, func(ctx context.Context, s *session) error {
		o, err := a.moveOrder(ctx, s, id, step)
		if err != nil {
			return err
		}
		return answer(a, o, func(o order.Order) {
			a.showOrder(o)
			a.showDoing(o)
		})
	})
}

// showDoing says what an order that runs is doing, and what it waits for.
func (a *app) showDoing(o order.Order) {
	if p := o.Progress; p != nil && p.Total > 0 && o.Status == order.Verifying {
		pace := ""
		if p.Rate > 0 {
			pace = fmt.Sprintf(", %s/s", number(int64(p.Rate)))
		}
		a.say("\n  %s of %s verified, %s of them valid%s", number(p.Done), count(p.Total, o.Kind.Spec().Item), number(o.Tally.Valid), pace)
		if p.ETA != nil {
			a.say("  verified%s, %s", in(p.ETA), when(*p.ETA))
		}
	}
	if o.Paused {
		a.say("  paused; \"%s order resume %s\" continues it", program(), o.ID)
	}
	if w := o.Waiting; w != nil && w.For != order.WaitResume && w.For != order.WaitRefund {
		a.say("  waiting: %s", w.Reason)
		if w.Until != nil {
			a.say("  until %s", when(*w.Until))
		}
	}
}
