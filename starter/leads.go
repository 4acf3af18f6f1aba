package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/billing"
	"holdfast/internal/client"
	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/payment"
)

func (a *app) leadsCommand() *cobra.Command {
	return group("leads", "Count leads that match criteria, and list those that are paid for",
		a.leadsFindCommand(), a.leadsOwnedCommand())
}

func (a *app) leadsFindCommand() *cobra.Command {
	var org string
	var preview int
	var criteria order.Criteria
	type found struct {
		Leads        int64              `json:"leads"`
		AlreadyOwned int64              `json:"already_owned"`
		Preview      []lead.PreviewLead `json:"preview"`
	}
	cmd := &cobra.Command{
		Use:     "find",
		Short:   "Count the leads that match and show a few of them, masked",
		Example: examples("holdfast leads find --org acme --country US --title engineer"),
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				query, err := s.needOrg(ctx, org)
				if err != nil {
					return err
				}
				addCriteria(query, criteria)
				query.Set("preview", strconv.Itoa(preview))
				return ask(ctx, a, s, fetch("/leads", query), func(f found) {
					a.say("%s, %s owned already", count(f.Leads, "lead"), number(f.AlreadyOwned))
					t := newTable("id", "name", "title", "company", "country", "email")
					for _, l := range f.Preview {
						t.add(l.ID, l.FirstName+" "+l.LastName, clip(l.Title, 30), clip(l.Company, 30), l.Country, l.Email)
					}
					a.print(t)
				})
			})
		},
	}
	addOrgFlag(cmd, &org)
	addCriteriaFlags(cmd, &criteria)
	cmd.Flags().IntVar(&preview, "preview", 5, "how many to show, at most 25")
	return cmd
}

// addCriteria writes criteria as parameters.
func addCriteria(query url.Values, c order.Criteria) {
	for name, values := range map[string][]string{
		"country": c.Country, "region": c.Region, "city": c.City, "industry": c.Industry, "seniority": c.Seniority,
		"department": c.Department, "company": c.Company, "domain": c.Domain,
	} {
		if len(values) > 0 {
			query[name] = values
		}
	}
	set(query, "title", c.Title)
	for name, n := range map[string]int64{"headcount_min": c.HeadcountMin, "headcount_max": c.HeadcountMax} {
		if n != 0 {
			query.Set(name, strconv.FormatInt(n, 10))
		}
	}
	for name, is := range map[string]bool{"has_phone": c.HasPhone, "has_direct_email": c.HasDirectEmail} {
		if is {
			query.Set(name, "true")
		}
	}
}

func (a *app) leadsOwnedCommand() *cobra.Command {
	var cursor string
	var limit int
	type page struct {
		Leads      []lead.Paid `json:"leads"`
		NextCursor string      `json:"next_cursor,omitempty"`
	}
	cmd := inOrganization(a.api, a, &cobra.Command{
		Use:     "owned",
		Short:   "List what the organization has paid for, newest first",
		Example: examples("holdfast leads owned --org acme"),
		Args:    cobra.NoArgs,
	}, func([]string) client.Request {
		return fetch("/leads/owned", pageQuery(limit, cursor))
	}, func(p page) {
		a.showOwned(p.Leads)
		a.more(p.NextCursor)
	})
	addPageFlags(cmd, &limit, &cursor, 500)
	return cmd
}

func (a *app) listCommand() *cobra.Command {
	return group("list", "Upload, show and delete the lists that orders verify or enrich",
		a.listUploadCommand(), a.listListCommand(), a.listShowCommand(), a.listDeleteCommand())
}

func (a *app) listUploadCommand() *cobra.Command {
	var org, column string
	cmd := &cobra.Command{
		Use:     "upload FILE|-",
		Short:   "Upload a list, CSV with any columns or plain text with an address a line",
		Long:    "Uploads a list. The same list uploaded again is the same list; one that no order\nuses is deleted after 7 days.",
		Example: examples("holdfast list upload customers.csv --org acme"),
		Args:    oneArgument("the list's file (- for the standard input)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				if _, err := s.needOrg(ctx, org); err != nil {
					return err
				}
				list, err := a.upload(ctx, s, org, column, args[0])
				if err != nil {
					return err
				}
				return answer(a, list, func(l lead.List) { a.say("%s", l.ID) })
			})
		},
	}
	addOrgFlag(cmd, &org)
	cmd.Flags().StringVar(&column, "column", "", "the column that has the addresses; found by itself when left out")
	return cmd
}

func (a *app) showLists(lists []lead.List) {
	t := newTable("id", ">rows", ">addresses", ">malformed", ">bytes", "uploaded")
	for _, l := range lists {
		t.add(l.ID, number(l.Rows), number(l.Unique), number(l.Malformed), number(l.Bytes), when(l.CreatedAt))
	}
	a.print(t)
}

func (a *app) listListCommand() *cobra.Command {
	var cursor string
	var limit int
	type page struct {
		Lists      []lead.List `json:"lists"`
		NextCursor string      `json:"next_cursor,omitempty"`
	}
	cmd := inOrganization(a.api, a, &cobra.Command{
		Use:     "list",
		Short:   "List the uploaded lists, newest first",
		Example: examples("holdfast list list --org acme"),
		Args:    cobra.NoArgs,
	}, func([]string) client.Request {
		return fetch("/lists", pageQuery(limit, cursor))
	}, func(p page) {
		a.showLists(p.Lists)
		a.more(p.NextCursor)
	})
	addPageFlags(cmd, &limit, &cursor, 500)
	return cmd
}

func (a *app) listShowCommand() *cobra.Command {
	return inOrganization(a.api, a, &cobra.Command{
		Use:     "show ID",
		Short:   "Show a list: how many rows of what kind it has",
		Example: examples("holdfast list show lst_7d2k4m --org acme"),
		Args:    oneArgument("the list's id"),
	}, func(args []string) client.Request {
		return fetch("/lists/"+url.PathEscape(args[0]), nil)
	}, func(l lead.List) { a.showLists([]lead.List{l}) })
}

func (a *app) listDeleteCommand() *cobra.Command {
	var org string
	cmd := &cobra.Command{
		Use:     "delete ID",
		Short:   "Delete a list that no open order uses",
		Example: examples("holdfast list delete lst_7d2k4m --org acme"),
		Args:    oneArgument("the list's id"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.api(cmd, func(ctx context.Context, s *session) error {
				query, err := s.needOrg(ctx, org)
				if err != nil {
					return err
				}
				if err := s.Do(ctx, client.Request{Method: http.MethodDelete, Path: "/lists/" + url.PathEscape(args[0]), Query: query}, nil); err != nil {
					return err
				}
				a.say("List %s is deleted.", args[0])
				return nil
			})
		},
	}
	addOrgFlag(cmd, &org)
	return cmd
}

func (a *app) bouncesCommand() *cobra.Command {
	var org, key string
	cmd := &cobra.Command{
		Use:   "bounces ADDRESS…",
		Short: "Report delivered addresses that bounced; what they cost is credited back",
		Long: `Credits back what addresses cost that were delivered within the plan's bounce
window. Each address has its own result.`,
		Example: examples("holdfast bounces ann@example.com bob@example.com --org acme"),
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("name the addresses that bounced")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			key := a.idempotencyKey(key)
			return a.api(cmd, func(ctx context.Context, s *session) error {
				query, err := s.needOrg(ctx, org)
				if err != nil {
					return err
				}
				r := post("/bounces", query, map[string][]string{"emails": args})
				r.Key = key
				return ask(ctx, a, s, r, func(b billing.Bounced) {
					t := newTable("address", "result")
					for _, result := range b.Results {
						t.add(result.Email, string(result.Result))
					}
					a.print(t)
					if len(b.Credits) > 0 {
						a.say("%s credited back.", creditsText(b.Credits))
					}
				})
			})
		},
	}
	addOrgFlag(cmd, &org)
	addKeyFlag(cmd, &key, "report")
	return cmd
}

func (a *app) purchasesCommand() *cobra.Command {
	var cursor string
	var limit int
	type page struct {
		Purchases  []payment.Purchase `json:"purchases"`
		NextCursor string             `json:"next_cursor,omitempty"`
	}
	cmd := inOrganization(a.api, a, &cobra.Command{
		Use:     "purchases",
		Short:   "List what was bought, newest first",
		Example: examples("holdfast purchases --org acme"),
		Args:    cobra.NoArgs,
	}, func([]string) client.Request {
		return fetch("/purchases", pageQuery(limit, cursor))
	}, func(p page) {
		t := newTable(">purchase", "bought", "source", ">cents", "currency", "invoice", "receipt")
		for _, b := range p.Purchases {
			t.add(number(b.ID), b.BoughtAt.Local().Format(time.DateOnly), b.Source, number(b.Amount), b.Currency, b.Invoice, b.ReceiptURL)
		}
		a.print(t)
		a.more(p.NextCursor)
	})
	addPageFlags(cmd, &limit, &cursor, 1000)
	return cmd
}

func (a *app) showOwned(leads []lead.Paid) {
	t := newTable("lead", "name", "company", "field", "value", "order", "delivered")
	for _, l := range leads {
		t.add(l.LeadID, l.FirstName+" "+l.LastName, clip(l.Company, 30), string(l.Field), l.Value, l.OrderID, when(l.DeliveredAt))
	}
	a.print(t)
}
