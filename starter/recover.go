package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"holdfast/internal/orderbook"
	"holdfast/internal/reconcile"
)

func (a *app) orderRecoverCommand() *cobra.Command {
	var restored bool
	cmd := &cobra.Command{
		Use:   "recover [ID]",
		Short: "Restart orders that have lost their workflow",
		Long: `Starts the workflow of an order again that is open in the database while Temporal
runs none for it, because it was terminated or lost. The order goes on where it
stands; one that was cancelled in between ends. Nothing is charged twice.

Without an ID it does so for all such orders, and releases holds that no open
order has. The schedule "reconcile" does the same by itself.

After the database was restored from a backup, run it once with --after-restore:
workflows of orders that are still running are terminated first, because they
may be ahead of the database.`,
		Example: examples("holdfast order recover", "holdfast order recover ord_4k2n…", "holdfast order recover --after-restore"),
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 && restored {
				return usagef("--after-restore is for all orders; leave out the ID")
			}
			if len(args) == 1 {
				return a.recoverOrder(cmd, args[0])
			}
			parts, err := a.openApp(cmd.Context())
			if err != nil {
				return err
			}
			defer parts.Close()
			run := parts.Reconcile.Run
			if restored {
				run = parts.Reconcile.AfterRestore
			}
			done, err := run(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				err = a.printJSON(done)
			} else {
				a.showRecovered(done)
			}
			if err == nil && done.Failed > 0 {
				err = fmt.Errorf("%s could not be taken up; run \"%s order recover ID\" to see why", count(done.Failed, "order"), program())
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&restored, "after-restore", false, "terminate the workflows of all orders first; for a database that was restored from a backup")
	return cmd
}

func (a *app) recoverOrder(cmd *cobra.Command, id string) error {
	ctx := cmd.Context()
	parts, err := a.openApp(ctx)
	if err != nil {
		return err
	}
	defer parts.Close()
	recovered, err := parts.Reconcile.Recover(ctx, id)
	switch {
	case errors.Is(err, orderbook.ErrNotFound):
		return fmt.Errorf("there is no order %q; \"%s order list\" shows those there are", id, program())
	case errors.Is(err, orderbook.ErrOver):
		a.note("The order is over; there is nothing to recover.")
	case err != nil:
		return err
	case recovered:
		a.note("The order is taken up again.")
	default:
		a.note("The order is running; there is nothing to recover.")
	}
	o, err := parts.Book.Get(ctx, "", id)
	if err != nil {
		return err
	}
	return answer(a, o, a.showOrder)
}

func (a *app) showRecovered(done reconcile.Result) {
	if len(done.Lost) == 0 {
		a.say("%s All %s are running.", a.paint(green, "✓"), count(done.Open, "open order"))
		return
	}
	a.say("%s: %s taken up again, %s released, %s could not be helped.", count(done.Open, "open order"),
		number(done.Recovered), count(done.Released, "hold"), number(done.Failed))
	t := newTable("order", "organization", "status")
	for _, l := range done.Lost {
		status := string(l.Status)
		switch {
		case status == "":
			status = "a hold without an order"
		case l.Cancelled:
			status += ", to be cancelled"
		}
		t.add(l.OrderID, l.Org, status)
	}
	a.print(t)
}
