package main

import (
	"cmp"
	"context"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/client"
	"holdfast/internal/plan"
)

func (a *app) memberCommand() *cobra.Command {
	return group("member", "Create, list, change and remove members of an organization",
		a.memberCreateCommand(), a.memberListCommand(), a.memberUpdateCommand(), a.memberBudgetCommand(), a.memberRemoveCommand())
}

func (a *app) memberCreateCommand() *cobra.Command {
	var org string
	var m struct {
		ID     string `json:"id"`
		Name   string `json:"name"`
		Role   string `json:"role"`
		Email  string `json:"email,omitempty"`
		Anchor string `json:"anchor,omitempty"`
	}
	role := oneOf(string(account.RoleMember), string(account.RoleAdmin), string(account.RoleMember))
	cmd := &cobra.Command{
		Use:     "create ID",
		Short:   "Create a member with a licence of their own",
		Example: examples(`holdfast member create bob --org acme --name "Bob Berg" --role admin`),
		Args:    oneArgument("the member's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m.ID, m.Role = args[0], role.String()
			m.Name = cmp.Or(m.Name, m.ID)
			if _, err := parseTime("anchor", m.Anchor); err != nil {
				return err
			}
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, org, "/members")
				if err != nil {
					return err
				}
				return ask(ctx, a, s, post(path, nil, m), func(m account.Member) {
					a.say("%s (%s) is a member of %s with role %s.", m.Name, m.ID, m.Org, m.Role)
				})
			})
		},
	}
	flags := cmd.Flags()
	addOrgFlag(cmd, &org)
	flags.StringVar(&m.Name, "name", "", "name for people; the id when left out")
	flags.Var(role, "role", role.choices())
	flags.StringVar(&m.Email, "email", "", "address by which single sign-on knows the member")
	flags.StringVar(&m.Anchor, "anchor", "", "anniversary of the licence; today when left out")
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
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, org, "/members")
				if err != nil {
					return err
				}
				type page struct {
					Members    []account.Member `json:"members"`
					NextCursor string           `json:"next_cursor"`
				}
				return showAll(ctx, a, s, path, nil, func(p page) ([]account.Member, string) { return p.Members, p.NextCursor },
					func(members []account.Member) { a.showMembers(s.asked, members) })
			})
		},
	}
	addOrgFlag(cmd, &org)
	return cmd
}

func (a *app) showMembers(org string, members []account.Member) {
	if len(members) == 0 {
		a.say("No members yet; create one: %s member create bob --org %s", program(), org)
		return
	}
	t := newTable("id", "name", "role", "created")
	for _, m := range members {
		t.add(m.ID, m.Name, string(m.Role), when(m.CreatedAt))
	}
	a.print(t)
}

func (a *app) memberUpdateCommand() *cobra.Command {
	var org, name, email string
	role := oneOf("", string(account.RoleAdmin), string(account.RoleMember))
	cmd := &cobra.Command{
		Use:     "update ID",
		Short:   "Change the name, the role or the e-mail address of a member",
		Long:    "Changes the name, the role or the e-mail address of a member. An admin who becomes\na member loses the admin's keys; other keys keep their role.",
		Example: examples(`holdfast member update bob --org acme --name "Bob Berg" --role member`),
		Args:    oneArgument("the member's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if name == "" && role.String() == "" && !cmd.Flags().Changed("email") {
				return usagef("nothing would change; give --name, --role or --email")
			}
			change := given("name", name, "role", role.String())
			if cmd.Flags().Changed("email") {
				change["email"] = email
			}
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, org, "/members/"+url.PathEscape(args[0]))
				if err != nil {
					return err
				}
				r := client.Request{Method: http.MethodPatch, Path: path, Body: change}
				return ask(ctx, a, s, r, func(m account.Member) { a.say("%s (%s) has role %s.", m.Name, m.ID, m.Role) })
			})
		},
	}
	addOrgFlag(cmd, &org)
	cmd.Flags().StringVar(&name, "name", "", "the new name")
	cmd.Flags().Var(role, "role", "the new role: "+role.choices())
	cmd.Flags().StringVar(&email, "email", "", "address by which single sign-on knows the member; empty for none")
	return cmd
}

func (a *app) memberBudgetCommand() *cobra.Command {
	var org, kind string
	var amount int64
	var none bool
	cmd := &cobra.Command{
		Use:     "budget ID",
		Short:   "Limit what a member may spend of the shared pool per period",
		Example: examples("holdfast member budget bob --org acme --type email --amount 500", "holdfast member budget bob --org acme --type email --none"),
		Args:    oneArgument("the member's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if none == cmd.Flags().Changed("amount") {
				return usagef("say how much: --amount with a number of credits, or --none to take the limit away")
			}
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, org, "/members/"+url.PathEscape(args[0])+"/budget")
				if err != nil {
					return err
				}
				limit := struct {
					Type   string `json:"type"`
					Amount *int64 `json:"amount"`
				}{kind, &amount}
				if none {
					limit.Amount = nil
				}
				type budgets struct {
					Budgets []plan.Amount `json:"budgets"`
				}
				return ask(ctx, a, s, client.Request{Method: http.MethodPut, Path: path, Body: limit}, func(b budgets) {
					t := newTable("type", ">budget")
					for _, budget := range b.Budgets {
						t.add(budget.Type, number(budget.Amount))
					}
					a.print(t)
				})
			})
		},
	}
	addOrgFlag(cmd, &org)
	cmd.Flags().StringVar(&kind, "type", "", "credit type, such as email")
	cmd.Flags().Int64Var(&amount, "amount", 0, "how many credits a period")
	cmd.Flags().BoolVar(&none, "none", false, "take the limit away")
	required(cmd, "type")
	return cmd
}

func (a *app) memberRemoveCommand() *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use:   "remove ID",
		Short: "Remove a member",
		Long: `Removes a member: the licence ends at once, keys are revoked, and unused credits
of the member's own expire. What the member revealed stays the organization's.`,
		Example: examples("holdfast member remove bob --org acme"),
		Args:    oneArgument("the member's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				path, err := s.inOrg(ctx, org, "/members/"+url.PathEscape(args[0]))
				if err != nil {
					return err
				}
				return ask(ctx, a, s, client.Request{Method: http.MethodDelete, Path: path}, func(removed billing.Removed) {
					a.say("%s was removed.", removed.Name)
					if len(removed.Expired) > 0 {
						a.say("%s expired.", creditsText(removed.Expired))
					}
				})
			})
		},
	}
	addOrgFlag(cmd, &org)
	return cmd
}

// given is a body of those values that are not empty.
func given(pairs ...string) map[string]string {
	body := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			body[pairs[i]] = pairs[i+1]
		}
	}
	return body
}
