package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/client"
)

func (a *app) orgCommand() *cobra.Command {
	return group("org", "Create, show, change, suspend, close and move organizations",
		a.orgCreateCommand(), a.orgShowCommand(), a.orgListCommand(), a.orgPlanCommand(),
		a.orgUpdateCommand(), a.orgSuspendCommand(), a.orgResumeCommand(), a.orgCloseCommand(), a.orgMoveCommand())
}

func (a *app) orgCreateCommand() *cobra.Command {
	var org newOrg
	cmd := &cobra.Command{
		Use:     "create ID",
		Short:   "Create an organization on a plan",
		Example: examples(`holdfast org create acme --name "Acme Inc." --plan verified-leads`),
		Args:    oneArgument("the organization's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			org.ID = args[0]
			org.Name = cmp.Or(org.Name, org.ID)
			if _, err := parseTime("anchor", org.Anchor); err != nil {
				return err
			}
			return a.api(cmd, func(ctx context.Context, s *session) error {
				return ask(ctx, a, s, post("/orgs", nil, org), a.showOrg)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&org.Name, "name", "", "name for people; the id when left out")
	flags.StringVar(&org.Plan, "plan", "verified-leads", "plan it is on; see \"plan list\"")
	flags.StringVar(&org.TimeZone, "time-zone", "UTC", "IANA time zone of its credit periods")
	flags.StringVar(&org.Anchor, "anchor", "", "date its credit periods are counted from; today when left out")
	return cmd
}

func (a *app) orgShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show an organization",
		Example: examples("holdfast org show acme"),
		Args:    oneArgument("the organization's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, args[0], "")
				if err != nil {
					return err
				}
				return ask(ctx, a, s, fetch(path, nil), a.showOrg)
			})
		},
	}
}

func (a *app) orgListCommand() *cobra.Command {
	status, plan := oneOf("", "active", "suspended", "closed"), ""
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List organizations",
		Example: examples("holdfast org list", "holdfast org list --status suspended"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				type page struct {
					Orgs       []account.Org `json:"orgs"`
					NextCursor string        `json:"next_cursor"`
				}
				query := set(url.Values{}, "status", status.String(), "plan", plan)
				return showAll(ctx, a, s, "/orgs", query, func(p page) ([]account.Org, string) { return p.Orgs, p.NextCursor }, a.showOrgs)
			})
		},
	}
	cmd.Flags().Var(status, "status", "only those that are so: "+status.choices())
	cmd.Flags().StringVar(&plan, "plan", "", "only those on this plan")
	return cmd
}

func (a *app) showOrgs(orgs []account.Org) {
	if len(orgs) == 0 {
		a.say("No organizations yet; create one: %s org create acme", program())
		return
	}
	t := newTable("id", "name", "plan", "time zone", "created")
	for _, o := range orgs {
		t.add(o.ID, o.Name, o.Plan, o.TimeZone, when(o.CreatedAt))
	}
	a.print(t)
}

// newOrg is an organization as it is created.
type newOrg struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Plan     string `json:"plan"`
	TimeZone string `json:"time_zone,omitempty"`
	Anchor   string `json:"anchor,omitempty"`
}

func (a *app) orgPlanCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "plan ID PLAN",
		Short: "Move an organization to another plan",
		Long: `Moves an organization to the newest version of a plan: at once, with the rest
of the credit period counted by time, or, where the plan it leaves says so, with
its next period. Nothing that it has is taken away. Sent again, the change is
the same one.`,
		Example: examples("holdfast org plan acme rollover-power"),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("an organization's id and a plan's id are needed, not %d arguments", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, args[0], "/plan")
				if err != nil {
					return err
				}
				r := client.Request{Method: http.MethodPut, Path: path, Body: map[string]string{"plan": args[1]}}
				return ask(ctx, a, s, r, func(c billing.Change) { a.showChange(args[0], c, time.Now()) })
			})
		},
	}
}

func (a *app) showChange(org string, c billing.Change, now time.Time) {
	since := "from the beginning"
	switch {
	case c.Since != nil && c.Since.After(now):
		since = "from " + when(*c.Since) + " on, when its next period begins"
	case c.Since != nil:
		since = "since " + when(*c.Since)
	}
	a.say("%s is on plan %s version %d %s.", org, c.PlanID, c.PlanVersion, since)
	for _, t := range c.TopUps {
		whose := "the shared pool"
		if t.Member != "" {
			whose = t.Member
		}
		a.say("  %s for %s, until %s", count(t.Amount, t.Type+" credit"), whose, when(t.Period.End))
	}
}

func (a *app) showOrg(o account.Org) {
	a.say("%s (%s): plan %s version %d, time zone %s, periods from %s.",
		o.Name, o.ID, o.Plan, o.PlanVersion, o.TimeZone, o.Anchor.UTC().Format(time.DateOnly))
	if o.Status != account.StatusActive {
		a.say("It is %s.", o.Status)
	}
	if o.NextReset != nil {
		a.say("  next reset   %s", when(*o.NextReset))
	}
	if o.NextPlan != nil {
		a.say("  next plan    %s version %d, from %s", *o.NextPlan, *o.NextPlanVersion, when(*o.NextPlanAt))
	}
}
