package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strings"

	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/plan"
)

func (a *API) leads() {
	add(a, route{
		method: http.MethodGet, path: "/leads", name: "findLeads", tag: "Leads", needs: member,
		summary: "Count the leads that match and show some of them, masked", about: "The criteria are those of an order. The ids are those that a reveal or an export takes. What the organization has paid for is shown unmasked. " +
			"Without limit and cursor, a few leads from all over the catalogue; with limit, a page of them in the order of the catalogue, and next_cursor for the next one.",
	}, a.findLeads)
	add(a, route{
		method: http.MethodGet, path: "/leads/owned", name: "listOwnedLeads", tag: "Leads", needs: member,
		summary: "List what the organization has paid for, newest first",
		about:   "Each value of a lead with the order that delivered it, when, and for which member. What was credited back is left out.",
	}, a.ownedLeads)
}

type found struct {
	Leads        int64              `json:"leads" doc:"How many match."`
	AlreadyOwned int64              `json:"already_owned" doc:"Of these, the ones the organization has paid for."`
	Preview      []lead.PreviewLead `json:"preview" doc:"Some of the leads, masked; with limit or cursor, a page of them."`
	NextCursor   string             `json:"next_cursor,omitempty"`
}

func (a *API) findLeads(ctx context.Context, in *struct {
	Country        []string `query:"country,explode" maxItems:"100" doc:"ISO 3166 alpha-2."`
	Region         []string `query:"region,explode" maxItems:"100"`
	City           []string `query:"city,explode" maxItems:"100"`
	Industry       []string `query:"industry,explode" maxItems:"100"`
	Title          string   `query:"title" maxLength:"200" doc:"All words must occur."`
	Seniority      []string `query:"seniority,explode" maxItems:"100"`
	Department     []string `query:"department,explode" maxItems:"100"`
	Company        []string `query:"company,explode" maxItems:"100"`
	Domain         []string `query:"domain,explode" maxItems:"100"`
	HeadcountMin   int64    `query:"headcount_min" minimum:"0"`
	HeadcountMax   int64    `query:"headcount_max" minimum:"0"`
	HasPhone       bool     `query:"has_phone"`
	HasDirectEmail bool     `query:"has_direct_email"`
	Preview        int      `query:"preview" minimum:"0" maximum:"25" default:"5" doc:"How many to show from all over the catalogue."`
	Limit          int      `query:"limit" minimum:"1" maximum:"100" doc:"Leads a page; with cursor 50 when left out. Goes before preview." example:"50"`
	Cursor         string   `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
},
) (*answer[found], error) {
	criteria := order.Criteria{
		Country: in.Country, Region: in.Region, City: in.City, Industry: in.Industry, Title: in.Title, Seniority: in.Seniority,
		Department: in.Department, Company: in.Company, Domain: in.Domain, HeadcountMin: in.HeadcountMin, HeadcountMax: in.HeadcountMax,
		HasPhone: in.HasPhone, HasDirectEmail: in.HasDirectEmail,
	}
	if err := (order.Request{Kind: order.LeadList, Count: 1, Criteria: criteria}).Validate(0); err != nil {
		var bad *order.InvalidError
		if errors.As(err, &bad) { // here the criteria are parameters
			return nil, invalid("query."+strings.TrimPrefix(bad.Field, "criteria."), bad.Message)
		}
		return nil, err
	}
	c := callerOf(ctx)
	terms, err := a.Accounts.Plan(ctx, c.org.Plan, c.org.PlanVersion)
	if err != nil {
		return nil, err
	}
	selection := lead.Selection{Org: c.org.ID, Criteria: criteria}
	if action, ok := terms.Action(order.LeadList.Action("")); ok && len(action.Charges) > 0 {
		selection.FactType, selection.FactScope = action.Charges[0].Type, action.Charges[0].FactScope(c.member, "")
		selection.PerLead = action.Charges[0].Per == plan.PerLead
	}
	count, err := a.Catalogue.Count(ctx, selection)
	if err != nil {
		return nil, err
	}
	shown := found{Leads: count.Leads, AlreadyOwned: count.AlreadyOwned, Preview: []lead.PreviewLead{}}
	switch {
	case in.Limit > 0 || in.Cursor != "":
		shown.Preview, shown.NextCursor, err = a.Catalogue.Page(ctx, viewer(c, terms), criteria, in.Cursor, cmp.Or(in.Limit, 50))
	case in.Preview > 0:
		shown.Preview, err = a.Catalogue.Preview(ctx, viewer(c, terms), criteria, in.Preview)
	}
	if errors.Is(err, lead.ErrBadCursor) {
		return nil, errBadCursor
	}
	return body(shown, err)
}

// viewer is what a caller may see of leads: what the organization has paid for,
// and what the member has where the plan charges each member.
func viewer(c caller, p *plan.Plan) lead.Viewer {
	scopes := []string{""}
	if c.member != "" {
		scopes = append(scopes, c.member)
	}
	return lead.Viewer{Org: c.org.ID, Types: p.CreditTypes(), Scopes: scopes}
}

type ownedPage struct {
	Leads      []lead.Paid `json:"leads"`
	NextCursor string      `json:"next_cursor,omitempty"`
}

func (a *API) ownedLeads(ctx context.Context, in *struct {
	Find   string `query:"find" maxLength:"200" doc:"Only what has this text in its value, id, name, title or company, letter case aside. A page of a search may have fewer than limit, also none, and a next_cursor to go on with." example:"engineer"`
	Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50"`
},
) (*answer[ownedPage], error) {
	c := callerOf(ctx)
	terms, err := a.Accounts.Plan(ctx, c.org.Plan, c.org.PlanVersion)
	if err != nil {
		return nil, err
	}
	leads, next, err := a.Catalogue.Owned(ctx, viewer(c, terms), strings.TrimSpace(in.Find), in.Cursor, in.Limit)
	if errors.Is(err, lead.ErrBadCursor) {
		return nil, errBadCursor
	}
	return body(ownedPage{append([]lead.Paid{}, leads...), next}, err)
}
