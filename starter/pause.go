package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/internal/order"
	"holdfast/internal/wire"
)

func (a *app) orderPauseCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "pause ID",
		Short:   "Keep an order from beginning new batches; those under way are finished and charged",
		Example: examples("holdfast order pause ord_4k2n…"),
		Args:    oneArgument("the order's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.tellOrder(cmd.Context(), args[0], "The order was paused before; nothing was changed.", func(rooms *wire.Rooms, o order.Order) (bool, error) {
				return rooms.Intake.Pause(cmd.Context(), o.Org, o.ID)
			})
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
			return a.tellOrder(cmd.Context(), args[0], "The order is not paused; nothing was changed.", func(rooms *wire.Rooms, o order.Order) (bool, error) {
				return rooms.Intake.Resume(cmd.Context(), o.Org, o.ID)
			})
		},
	}
}

// tellOrder tells a running order something and shows how it stands. Where that
// changed nothing it says idle.
func (a *app) tellOrder(ctx context.Context, id, idle string, tell func(*wire.Rooms, order.Order) (changed bool, err error)) error {
	return a.withOrder(ctx, id, openRooms, func(rooms *wire.Rooms, o order.Order) error {
		changed, err := tell(rooms, o)
		if err != nil {
			return err
		}
		if !changed {
			a.note("%s", idle)
		}
		if o, err = rooms.Book.Get(ctx, o.Org, o.ID); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(o)
		}
		a.showOrder(o)
		a.showDoing(o)
		return nil
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
