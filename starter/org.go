package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/wire"
)

func (a *app) orgCommand() *cobra.Command {
	return group("org", "Create, show, change, suspend and close organizations",
		a.orgCreateCommand(), a.orgShowCommand(), a.orgListCommand(), a.orgPlanCommand(),
		a.orgUpdateCommand(), a.orgSuspendCommand(), a.orgResumeCommand(), a.orgCloseCommand())
}

func (a *app) orgCreateCommand() *cobra.Command {
	var org account.Org
	var anchor string
	cmd := &cobra.Command{
		Use:     "create ID",
		Short:   "Create an organization on a plan",
		Example: examples(`holdfast org create acme --name "Acme Inc." --plan verified-leads`),
		Args:    oneArgument("the organization's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			org.ID = args[0]
			if org.Name == "" {
				org.Name = org.ID
			}
			var err error
			if org.Anchor, err = parseTime("anchor", anchor); err != nil {
				return err
			}
			return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
				created, err := rooms.Accounts.CreateOrg(cmd.Context(), org)
				if err != nil {
					return err
				}
				if err := firstCredits(cmd.Context(), rooms, created.ID); err != nil {
					return err
				}
				return a.showOrg(created)
			})
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&org.Name, "name", "", "name for people; the id when left out")
	flags.StringVar(&org.Plan, "plan", "verified-leads", "plan it is on; see \"plan list\"")
	flags.StringVar(&org.TimeZone, "time-zone", "UTC", "IANA time zone of its credit periods")
	flags.StringVar(&anchor, "anchor", "", "date its credit periods are counted from; today when left out")
	return cmd
}

func (a *app) orgShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show ID",
		Short:   "Show an organization",
		Example: examples("holdfast org show acme"),
		Args:    oneArgument("the organization's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
				org, err := rooms.Billing.Current(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return a.showOrg(org)
			})
		},
	}
}

func (a *app) orgListCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Short:   "List organizations",
		Example: examples("holdfast org list"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
				orgs, err := rooms.Accounts.Orgs(cmd.Context())
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(append([]account.Org{}, orgs...))
				}
				if len(orgs) == 0 {
					a.say("No organizations yet; create one: %s org create acme", program())
					return nil
				}
				t := newTable("id", "name", "plan", "time zone", "created")
				for _, o := range orgs {
					t.add(o.ID, o.Name, o.Plan, o.TimeZone, when(o.CreatedAt))
				}
				a.print(t)
				return nil
			})
		},
	}
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
			return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
				now, err := rooms.Accounts.Time(cmd.Context(), args[0], time.Now())
				if err != nil {
					return err
				}
				change, err := rooms.Billing.ChangePlan(cmd.Context(), args[0], args[1], now)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(change)
				}
				a.showChange(args[0], change, now)
				return nil
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

func (a *app) showOrg(o account.Org) error {
	if a.json {
		return a.printJSON(o)
	}
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
	return nil
}

func (a *app) memberCommand() *cobra.Command {
	return group("member", "Create, list and remove members of an organization",
		a.memberCreateCommand(), a.memberListCommand(), a.memberRemoveCommand())
}

func (a *app) memberCreateCommand() *cobra.Command {
	var m account.Member
	var role, anchor string
	cmd := &cobra.Command{
		Use:     "create ID",
		Short:   "Create a member with a licence of their own",
		Example: examples(`holdfast member create bob --org acme --name "Bob Berg" --role admin`),
		Args:    oneArgument("the member's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m.ID, m.Role = args[0], account.Role(role)
			if m.Name == "" {
				m.Name = m.ID
			}
			var err error
			if m.Anchor, err = parseTime("anchor", anchor); err != nil {
				return err
			}
			return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
				created, err := rooms.Accounts.CreateMember(cmd.Context(), m)
				if err != nil {
					return err
				}
				if err := firstCredits(cmd.Context(), rooms, created.Org); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(created)
				}
				a.say("%s (%s) is a member of %s with role %s.", created.Name, created.ID, created.Org, created.Role)
				return nil
			})
		},
	}
	flags := cmd.Flags()
	addOrgFlag(cmd, &m.Org)
	flags.StringVar(&m.Name, "name", "", "name for people; the id when left out")
	flags.StringVar(&role, "role", string(account.RoleMember), "admin or member")
	flags.StringVar(&anchor, "anchor", "", "anniversary of the licence; today when left out")
	return cmd
}

func (a *app) memberListCommand() *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the members of an organization",
		Example: examples("holdfast member list --org acme"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withAccounts(cmd, func(rooms *wire.Rooms) error {
				members, err := rooms.Accounts.Members(cmd.Context(), org)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(append([]account.Member{}, members...))
				}
				if len(members) == 0 {
					a.say("No members yet; create one: %s member create bob --org %s", program(), org)
					return nil
				}
				t := newTable("id", "name", "role", "created")
				for _, m := range members {
					t.add(m.ID, m.Name, string(m.Role), when(m.CreatedAt))
				}
				a.print(t)
				return nil
			})
		},
	}
	addOrgFlag(cmd, &org)
	return cmd
}

// withAccounts opens the database for a command about accounts.
func (a *app) withAccounts(cmd *cobra.Command, do func(*wire.Rooms) error) error {
	rooms, err := openDatabase(cmd.Context())
	if err != nil {
		return err
	}
	defer rooms.Close()
	return do(rooms)
}
