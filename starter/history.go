package main

import (
	"context"

	"github.com/spf13/cobra"

	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/wire"
)

func (a *app) creditsHistoryCommand() *cobra.Command {
	var f ledger.HistoryFilter
	var from, to string
	cmd := &cobra.Command{
		Use:     "history",
		Short:   "Show every movement of credits, newest first",
		Example: examples("holdfast credits history --org acme --from 2026-11-01 --kind capture"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if f.From, err = parseTime("from", from); err != nil {
				return err
			}
			if f.To, err = parseTime("to", to); err != nil {
				return err
			}
			return showOf(a, cmd, f.Owner, func(ctx context.Context, rooms *wire.Rooms) (billing.History, error) {
				return rooms.Billing.History(ctx, f)
			}, a.showHistory)
		},
	}
	flags := cmd.Flags()
	addOrgFlag(cmd, &f.Owner)
	flags.StringVar(&f.Type, "type", "", "only credits of this type")
	flags.StringVar(&f.Kind, "kind", "", "only grant, hold, capture, release, expire, reverse, rollover or void")
	flags.StringVar(&f.Member, "member", "", "only what was done in this member's name or moved in their own pool")
	flags.StringVar(&f.OrderID, "order", "", "only this order's")
	flags.StringVar(&from, "from", "", "from this date or time on")
	flags.StringVar(&to, "to", "", "before this date or time")
	addPageFlags(cmd, &f.Limit, &f.Cursor, 1000)
	return cmd
}

func (a *app) showHistory(page billing.History) {
	if len(page.Entries) == 0 {
		a.say("No movements.")
		return
	}
	t := newTable("at", "kind", "type", "pool", ">credits", ">balance", "order", "what")
	for _, e := range page.Entries {
		what := e.Action
		if e.Kind == "grant" {
			what = e.Source
		}
		if e.LeadID != "" {
			what += " " + e.LeadID
		}
		if e.Reason != "" {
			what += " (" + e.Reason + ")"
		}
		pool := e.Pool
		if e.Holder != "" {
			pool += " " + e.Holder
		}
		t.add(when(e.At), e.Kind, e.Type, pool, number(e.Amount), number(e.Balance), e.OrderID, what)
	}
	a.print(t)
	a.more(page.NextCursor)
}
