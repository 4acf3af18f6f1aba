package main

import (
	"github.com/spf13/cobra"

	"holdfast/internal/billing"
	"holdfast/internal/ledger"
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
			rooms, err := openDatabase(cmd.Context())
			if err != nil {
				return err
			}
			defer rooms.Close()
			if _, err := rooms.Accounts.Org(cmd.Context(), f.Owner); err != nil {
				return err
			}
			page, err := rooms.Billing.History(cmd.Context(), f)
			if err != nil {
				return err
			}
			return a.showHistory(page)
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
	flags.IntVar(&f.Limit, "limit", 50, "how many, at most 1000")
	flags.StringVar(&f.Cursor, "cursor", "", "go on where the last page ended")
	return cmd
}

func (a *app) showHistory(page billing.History) error {
	if a.json {
		return a.printJSON(page)
	}
	if len(page.Entries) == 0 {
		a.say("No movements.")
		return nil
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
	if page.NextCursor != "" {
		a.note("More: --cursor %s", page.NextCursor)
	}
	return nil
}
