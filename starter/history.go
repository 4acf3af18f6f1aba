package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"holdfast/internal/billing"
)

func (a *app) creditsHistoryCommand() *cobra.Command {
	var org, kind, member, orderID, from, to, cursor string
	var limit int
	move := oneOf("", "grant", "hold", "capture", "release", "expire", "reverse", "rollover", "void")
	cmd := &cobra.Command{
		Use:     "history",
		Short:   "Show every movement of credits, newest first",
		Example: examples("holdfast credits history --org acme --from 2026-11-01 --kind capture"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, fromErr := parseTime("from", from)
			_, toErr := parseTime("to", to)
			if err := cmp.Or(fromErr, toErr); err != nil {
				return err
			}
			return a.api(cmd, func(ctx context.Context, s *session) error {
				query, err := s.needOrg(ctx, org)
				if err != nil {
					return err
				}
				set(inPage(query, limit, cursor), "type", kind, "kind", move.String(), "member", member, "order", orderID, "from", from, "to", to)
				return ask(ctx, a, s, fetch("/credits/history", query), a.showHistory)
			})
		},
	}
	flags := cmd.Flags()
	addOrgFlag(cmd, &org)
	flags.StringVar(&kind, "type", "", "only credits of this type")
	flags.Var(move, "kind", "only "+move.choices())
	flags.StringVar(&member, "member", "", "only what was done in this member's name or moved in their own pool")
	flags.StringVar(&orderID, "order", "", "only this order's")
	addSpanFlags(cmd, &from, &to)
	addPageFlags(cmd, &limit, &cursor, 1000)
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
