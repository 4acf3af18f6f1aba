package main

import (
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/billing"
)

func (a *app) creditsGrantsCommand() *cobra.Command {
	var org, member, kind, cursor string
	var limit int
	var live bool
	cmd := &cobra.Command{
		Use:     "grants",
		Short:   "List the grants and where their credits are, newest first",
		Example: examples("holdfast credits grants --org acme", "holdfast credits grants --org acme --member bob --live"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, org, "/grants")
				if err != nil {
					return err
				}
				query := set(pageQuery(limit, cursor), "member", member, "type", kind, "live", strconv.FormatBool(live))
				return ask(ctx, a, s, fetch(path, query), a.showGrants)
			})
		},
	}
	flags := cmd.Flags()
	addOrgFlag(cmd, &org)
	flags.StringVar(&member, "member", "", "only this member's own")
	flags.StringVar(&kind, "type", "", "only credits of this type")
	flags.BoolVar(&live, "live", false, "only grants with credits that are available or held")
	addPageFlags(cmd, &limit, &cursor, 1000)
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
	var org, reason, key string
	var grant, amount int64
	cmd := &cobra.Command{
		Use:   "void",
		Short: "Take credits of a grant back",
		Long: `Takes credits of a grant back, for a refunded purchase or a grant made by
mistake: what is available of it, or at most --amount. What was spent or is held
by orders stays, and is printed. "credits grants" lists the grants.

Sent again with the same --idempotency-key, the void happens once. Without it a
new one is made and printed.`,
		Example: examples(
			`holdfast credits void --org acme --grant 7 --reason "payment failed"`,
			`holdfast credits void --org acme --grant 7 --amount 500 --reason "typing error" --idempotency-key ticket-4711`),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case amount < 0 || amount == 0 && cmd.Flags().Changed("amount"):
				return usagef("the amount is %d; void at least 1 credit, or leave it out to void all that is available", amount)
			case strings.TrimSpace(reason) == "":
				return &usageError{billing.ErrNoReason}
			}
			key := a.idempotencyKey(key)
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, org, "/grants/"+strconv.FormatInt(grant, 10)+"/void")
				if err != nil {
					return err
				}
				r := post(path, nil, struct {
					Amount int64  `json:"amount,omitempty"`
					Reason string `json:"reason"`
				}{amount, reason})
				r.Key = key
				return ask(ctx, a, s, r, func(voided billing.Voided) {
					a.say("%s of grant %d voided: %s.", count(voided.Voided, voided.Type+" credit"), voided.GrantID, voided.Reason)
					a.say("Of the rest, %s spent, %s held, %s expired, %s available.",
						number(voided.Spent), number(voided.Held), number(voided.Expired), number(voided.Available+voided.Waiting))
				})
			})
		},
	}
	flags := cmd.Flags()
	addOrgFlag(cmd, &org)
	flags.Int64Var(&grant, "grant", 0, "number of the grant")
	flags.Int64Var(&amount, "amount", 0, "at most so many credits; all that is available when left out")
	flags.StringVar(&reason, "reason", "", "reason, for the journal")
	addKeyFlag(cmd, &key, "void")
	required(cmd, "grant", "reason")
	return cmd
}
