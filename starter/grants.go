package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/wire"
)

func (a *app) creditsGrantsCommand() *cobra.Command {
	var f ledger.GrantFilter
	var member string
	cmd := &cobra.Command{
		Use:     "grants",
		Short:   "List the grants and where their credits are, newest first",
		Example: examples("holdfast credits grants --org acme", "holdfast credits grants --org acme --member bob --live"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if member != "" {
				f.Pool = &member
			}
			return showOf(a, cmd, f.Owner, func(ctx context.Context, rooms *wire.Rooms) (billing.Grants, error) {
				return rooms.Billing.Grants(ctx, f)
			}, a.showGrants)
		},
	}
	flags := cmd.Flags()
	addOrgFlag(cmd, &f.Owner)
	flags.StringVar(&member, "member", "", "only this member's own")
	flags.StringVar(&f.Type, "type", "", "only credits of this type")
	flags.BoolVar(&f.Live, "live", false, "only grants with credits that are available or held")
	addPageFlags(cmd, &f.Limit, &f.Cursor, 1000)
	return cmd
}

func (a *app) showGrants(page billing.Grants) {
	if len(page.Grants) == 0 {
		a.say("No grants.")
		return
	}
	t := newTable(">grant", "type", "pool", "source", "granted", "expires", ">credits", ">available", ">held", ">spent", ">expired", ">voided")
	for _, g := range page.Grants {
		expires, pool := "never", g.Pool
		if g.ExpiresAt != nil {
			expires = when(*g.ExpiresAt)
		}
		if g.Member != "" {
			pool += " " + g.Member
		}
		available := number(g.Available)
		if g.Waiting > 0 {
			available = number(g.Waiting) + " from " + when(*g.StartsAt)
		}
		t.add(number(g.ID), g.Type, pool, g.Source, when(g.GrantedAt), expires,
			number(g.Amount), available, number(g.Held), number(g.Spent), number(g.Expired), number(g.Voided))
	}
	a.print(t)
	a.more(page.NextCursor)
}

func (a *app) creditsVoidCommand() *cobra.Command {
	var v billing.Void
	cmd := &cobra.Command{
		Use:   "void",
		Short: "Take credits of a grant back",
		Long: `Takes credits of a grant back, for a refunded purchase or a grant made by
mistake: what is available of it, or at most --amount. What was spent or is held
by orders stays, and is printed. "credits grants" lists the grants.

Sent again with the same key, the void happens once. Without --key a new one is
made and printed.`,
		Example: examples(
			`holdfast credits void --org acme --grant 7 --reason "payment failed"`,
			`holdfast credits void --org acme --grant 7 --amount 500 --reason "typing error" --key ticket-4711`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if v.Amount < 0 || v.Amount == 0 && cmd.Flags().Changed("amount") {
				return usagef("the amount is %d; void at least 1 credit, or leave it out to void all that is available", v.Amount)
			}
			if v.Key == "" {
				v.Key = newKey()
				a.note("Idempotency key: %s", v.Key)
			}
			return showOf(a, cmd, v.Org, func(ctx context.Context, rooms *wire.Rooms) (billing.Voided, error) {
				voided, err := rooms.Billing.Void(ctx, v)
				if errors.Is(err, billing.ErrNoReason) {
					err = &usageError{err}
				}
				return voided, err
			}, func(voided billing.Voided) {
				a.say("%s of grant %d voided: %s.", count(voided.Voided, voided.Type+" credit"), voided.GrantID, voided.Reason)
				a.say("Of the rest, %s spent, %s held, %s expired, %s available.",
					number(voided.Spent), number(voided.Held), number(voided.Expired), number(voided.Available+voided.Waiting))
			})
		},
	}
	flags := cmd.Flags()
	addOrgFlag(cmd, &v.Org)
	flags.Int64Var(&v.Grant, "grant", 0, "number of the grant")
	flags.Int64Var(&v.Amount, "amount", 0, "at most so many credits; all that is available when left out")
	flags.StringVar(&v.Reason, "reason", "", "why, for the journal")
	flags.StringVar(&v.Key, "key", "", "idempotency key: the same key is the same void")
	required(cmd, "grant", "reason")
	return cmd
}
