package main

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/plan"
)

func (a *app) planCommand() *cobra.Command {
	return group("plan", "Show the plans there are and what they charge",
		a.planListCommand(), a.planShowCommand())
}

func (a *app) planListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List plans",
		Example: examples("holdfast plan list"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				type page struct {
					Plans      []*plan.Plan `json:"plans"`
					NextCursor string       `json:"next_cursor"`
				}
				return showAll(ctx, a, s, "/plans", nil, func(p page) ([]*plan.Plan, string) { return p.Plans, p.NextCursor }, a.showPlans)
			})
		},
	}
}

func (a *app) showPlans(plans []*plan.Plan) {
	t := newTable("id", ">version", "period", "credits", "what it is")
	for _, p := range plans {
		t.add(p.ID, fmt.Sprint(p.Version), string(p.Period), strings.Join(p.CreditTypes(), " "), p.Description)
	}
	a.print(t)
}

func (a *app) planShowCommand() *cobra.Command {
	var version int
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show what a plan allots and charges",
		Example: examples("holdfast plan show verified-leads"),
		Args:    oneArgument("the plan's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				query := url.Values{}
				if version != 0 {
					query.Set("version", strconv.Itoa(version))
				}
				return ask(ctx, a, s, fetch("/plans/"+url.PathEscape(args[0]), query), a.showPlan)
			})
		},
	}
	cmd.Flags().IntVar(&version, "version", 0, "a stored version; 0 for the newest")
	return cmd
}

func (a *app) showPlan(p *plan.Plan) {
	a.heading("%s (%s, version %d)", p.Name, p.ID, p.Version)
	a.say("  %s", p.Description)
	for _, note := range p.Notes {
		a.say("  %s", note)
	}
	credits := newTable("credits", ">allotment", "of", "at the period's end", "spent from")
	credits.indent = 2
	for _, t := range p.CreditTypes() {
		c := p.Credits[t]
		allotment, owner, end := "–", "–", "–"
		if c.Allotment > 0 {
			allotment, owner, end = number(c.Allotment)+" a "+string(p.Period), string(c.Owner), string(c.AtPeriodEnd)
		}
		var burn []string
		for _, o := range c.Burn {
			burn = append(burn, string(o))
		}
		credits.add(t, allotment, owner, end, strings.Join(burn, ", then "))
	}
	a.say("")
	a.print(credits)

	prices := newTable("action", "charges", "for")
	prices.indent = 2
	for _, name := range slices.Sorted(maps.Keys(p.Actions)) {
		action := p.Actions[name]
		var charges []string
		for _, c := range action.Charges {
			charges = append(charges, fmt.Sprintf("%s per %s, %s", count(c.Amount, c.Type+" credit"), c.Per, strings.ReplaceAll(string(c.Once), "_", " ")))
		}
		billable := strings.Join(action.Billable, ", ")
		if billable == "" {
			billable = "–"
		}
		prices.add(name, strings.Join(charges, "; "), billable)
	}
	a.say("")
	a.print(prices)
	a.say("\n  Unused credits of an order come back %s after it is complete.", took(p.RefundDelay))
}
