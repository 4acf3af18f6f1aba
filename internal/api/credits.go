package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/plan"
)

func (a *API) credits() {
	add(a, route{
		method: http.MethodGet, path: "/credits", name: "getCredits", tag: "Credits", needs: member,
		summary: "Show the credits: available, held, used",
		about:   "With a member's key, that member's own credits and the shared ones; an admin sees everybody's or, with member, one member's.",
	}, func(ctx context.Context, in *struct {
		Member string `query:"member"`
		At     Moment `query:"at" doc:"As they were at this past time; now when left out."`
	},
	) (*answer[billing.Credits], error) {
		return body(a.creditsOf(ctx, in.Member, in.At.Time))
	})
	add(a, route{
		method: http.MethodGet, path: "/credits/history", name: "listHistory", tag: "Credits", needs: member,
		summary: "List every movement of credits", about: "New movements do not shift the pages. With expand=leads a page ends early where its movements charged for many contacts.",
	}, func(ctx context.Context, in *struct {
		HistoryFilter
		Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	},
	) (*answer[billing.History], error) {
		filter, err := in.filter(ctx)
		if err != nil {
			return nil, err
		}
		filter.Cursor, filter.Limit = in.Cursor, in.Limit
		return body(a.history(ctx, filter))
	})
	add(a, route{
		method: http.MethodGet, path: "/credits/history/{id}/leads", name: "listHistoryLeads", tag: "Credits", needs: member,
		summary: "List the leads that one entry of the history charged or credited back",
	}, func(ctx context.Context, in *struct {
		Entry  string `path:"id" maxLength:"100" doc:"The number in entry." example:"42"`
		Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"1000"`
	},
	) (*answer[billing.Leads], error) {
		entry, err := strconv.ParseInt(in.Entry, 10, 64)
		if err != nil {
			return nil, ledger.ErrNoEntry
		}
		c := callerOf(ctx)
		return body(a.Billing.LeadsOfEntry(ctx, c.org.ID, c.only(), entry, in.Cursor, in.Limit))
	})
	add(a, route{
		method: http.MethodGet, path: "/credits/history.csv", name: "downloadHistory", tag: "Credits", needs: member, stream: true,
		summary: "Download the movements of credits as CSV", about: "With expand=leads a line for each contact instead, with what it cost and where the credits came from, and one for each movement that is about none.", produces: &content{"text/csv", "BillingEntry"},
	}, a.historyCSV)
	add(a, route{
		method: http.MethodPost, path: "/bounces", name: "reportBounces", tag: "Credits", needs: member,
		summary: "Report addresses that bounced", about: "What they cost is credited back, once, where they were delivered within the plan's bounce window, as far as an earlier reversal has left something. Keys of admins may report, those of members where the plan says so (`bounces.members`), and together as many addresses within a bounce window as the plan says (`bounces.most`). Each address has its own result; orders do not depend on each other.",
	}, func(ctx context.Context, in *struct {
		Idempotent
		Body struct {
			Emails []string `json:"emails" minItems:"1" maxItems:"10000" example:"[\"ann@example.com\"]"`
		}
	},
	) (*answer[billing.Bounced], error) {
		c := callerOf(ctx)
		return body(a.Billing.Bounce(ctx, billing.Bounces{Org: c.org.ID, Key: in.Key, Emails: in.Body.Emails, By: c.reporter()}, c.org.Time(time.Now())))
	})
}

// reporter is the member that a caller reports bounces for.
func (c caller) reporter() billing.Reporter {
	switch c.role {
	case operator:
		return billing.ByOperator
	case admin:
		return billing.ByAdmin
	case member:
	}
	return billing.ByMember
}

func (a *API) creditsOf(ctx context.Context, asked string, at time.Time) (billing.Credits, error) {
	c := callerOf(ctx)
	whose, err := c.concerns(asked)
	if err != nil {
		return billing.Credits{}, err
	}
	var who account.Member
	switch whose {
	case "":
	case c.member:
		who = c.licence
	default:
		if who, err = a.Accounts.Member(ctx, c.org.ID, whose); err != nil {
			return billing.Credits{}, err
		}
	}
	if !at.IsZero() {
		return a.Billing.CreditsAt(ctx, c.org, who, at)
	}
	return a.Billing.Credits(ctx, c.org, who)
}

// HistoryFilter selects movements of credits.
type HistoryFilter struct {
	Span
	Type   string `query:"type" doc:"Credit type."`
	Pool   string `query:"pool" enum:"member,organization" doc:"The licence's own credits, or the shared ones. member needs a member."`
	Kind   string `query:"kind" enum:"grant,hold,capture,release,expire,reverse,rollover,void"`
	Member string `query:"member" doc:"What was done in this member's name, and what moved in their own pool."`
	Order  string `query:"order" doc:"Of which order."`
	Sort   string `query:"sort" enum:"-at,at" default:"-at" doc:"By time: -at the newest first, at the oldest first."`
	Expand string `query:"expand" enum:"leads" doc:"leads: what each movement charged for or credited back, contact by contact."`
}

func (f HistoryFilter) filter(ctx context.Context) (ledger.HistoryFilter, error) {
	c := callerOf(ctx)
	whose, err := c.concerns(f.Member)
	if err != nil {
		return ledger.HistoryFilter{}, err
	}
	filter := ledger.HistoryFilter{Owner: c.org.ID, From: f.From.Time, To: f.To.Time, Type: f.Type, Kind: f.Kind, Member: whose, OrderID: f.Order, Oldest: f.Sort == "at", Charged: f.Expand == "leads"}
	switch f.Pool {
	case string(plan.Organization):
		filter.Pool = new(string)
	case string(plan.Member):
		if whose == "" {
			return filter, invalid("query.pool", "Name the member: member is missing.")
		}
		filter.Pool = &whose
	}
	return filter, nil
}
