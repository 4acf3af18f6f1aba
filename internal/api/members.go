package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/metadata"
	"holdfast/internal/plan"
)

func (a *API) members() {
	add(a, route{
		method: http.MethodPost, path: "/orgs/{org}/members", name: "createMember", tag: "Organizations", errors: []int{http.StatusConflict}, status: http.StatusCreated, needs: admin,
		summary: "Create a member with a licence of their own", about: "Where the plan gives licences an allotment, the first one is there at once.",
	}, func(ctx context.Context, in *struct {
		Repeatable
		Body struct {
			ID       string `json:"id" example:"jane"`
			Name     string `json:"name" example:"Jane Doe"`
			Role     string `json:"role,omitempty" enum:"admin,member" doc:"member when left out."`
			Email    string `json:"email,omitempty" maxLength:"254" doc:"The address by which single sign-on knows the member." example:"jane@example.com"`
			Metadata Labels `json:"metadata,omitempty" doc:"Up to 20 texts of your own, by name; no contact data."`
			Anchor   Moment `json:"anchor,omitzero" doc:"The licence's anniversary; now when left out. Where it is still to come, the first credit month begins then."`
		}
	},
	) (*answer[account.Member], error) {
		org := callerOf(ctx).org
		m, err := a.Accounts.CreateMember(ctx, account.Member{
			Org: org.ID, ID: in.Body.ID, Name: in.Body.Name, Role: account.Role(in.Body.Role), Anchor: in.Body.Anchor.Time,
			Email: in.Body.Email, Metadata: metadata.Data(in.Body.Metadata),
		})
		if err != nil {
			return nil, err
		}
		return body(m, a.Billing.CatchUp(ctx, org.ID, org.Time(time.Now())))
	})
	add(a, route{
		method: http.MethodGet, path: "/orgs/{org}/members", name: "listMembers", tag: "Organizations", needs: admin,
		summary: "List the members with what each has and has used in their credit period", about: "By id, without those that were removed.",
	}, func(ctx context.Context, in *struct {
		Page
		LabelFilter
	},
	) (*answer[memberList], error) {
		labels, err := in.labels()
		if err != nil {
			return nil, err
		}
		return body(a.memberUsage(ctx, callerOf(ctx).org, labels, in.Page))
	})
	add(a, route{
		method: http.MethodGet, path: "/orgs/{org}/members/{member}", name: "getMember", tag: "Organizations", needs: admin,
		summary: "Show a member", about: "Also one that was removed.",
	}, func(ctx context.Context, in *struct{ MemberID }) (*answer[account.Member], error) {
		return body(a.Accounts.Member(ctx, callerOf(ctx).org.ID, in.Member))
	})
}

// memberChanges are the routes that change a member.
func (a *API) memberChanges() {
	add(a, route{
		method: http.MethodPatch, path: "/orgs/{org}/members/{member}", name: "updateMember", tag: "Organizations", needs: admin,
		summary: "Change the name, the role, the e-mail address or the metadata of a member", errors: []int{http.StatusConflict},
		about: "An admin who becomes a member loses the admin's keys; other keys keep their role. A change of the address ends the sessions that began with single sign-on or a login link.",
	}, func(ctx context.Context, in *struct {
		MemberID
		Body struct {
			Name     string  `json:"name,omitempty" doc:"Stays when left out." example:"Jane Doe"`
			Role     string  `json:"role,omitempty" enum:"admin,member" doc:"Stays when left out." example:"admin"`
			Email    *string `json:"email,omitempty" maxLength:"254" doc:"The address by which single sign-on knows the member; empty for none, stays when left out." example:"jane@example.com"`
			Metadata *Labels `json:"metadata,omitempty" doc:"Takes the place of all that was there; stays when left out."`
		}
	},
	) (*answer[account.Member], error) {
		defer a.keys.forget()
		var data metadata.Data
		if in.Body.Metadata != nil {
			data = metadata.Data{}
			maps.Copy(data, *in.Body.Metadata)
		}
		return body(a.Accounts.UpdateMember(ctx, callerOf(ctx).org.ID, in.Member, account.MemberChange{
			Name: in.Body.Name, Role: account.Role(in.Body.Role), Email: in.Body.Email, Metadata: data,
		}))
	})
	add(a, route{
		method: http.MethodPut, path: "/orgs/{org}/members/{member}/budget", name: "setBudget", tag: "Organizations", needs: admin,
		summary: "Limit what a member may spend of the shared pool per period",
	}, func(ctx context.Context, in *struct {
		Member string `path:"member"`
		Body   struct {
			Type   string `json:"type" example:"email"`
			Amount *int64 `json:"amount" required:"true" nullable:"true" minimum:"0" maximum:"1000000000000" doc:"Credits; null takes the limit away."`
		}
	},
	) (*answer[budgetList], error) {
		defer a.keys.forget() // they know the member's budgets
		org := callerOf(ctx).org.ID
		var err error
		if in.Body.Amount == nil {
			err = a.Accounts.RemoveBudget(ctx, org, in.Member, in.Body.Type)
		} else {
			err = a.Accounts.SetBudget(ctx, org, in.Member, plan.Amount{Type: in.Body.Type, Amount: *in.Body.Amount})
		}
		if err != nil {
			return nil, err
		}
		budgets, err := a.Accounts.Budgets(ctx, org, in.Member)
		return body(budgetList{budgets}, err)
	})
}

type budgetList struct {
	Budgets []plan.Amount `json:"budgets" doc:"Per credit month of the organization; a type that is missing is not limited."`
}

type memberList struct {
	Members    []memberUse `json:"members" doc:"The members."`
	NextCursor string      `json:"next_cursor,omitempty" doc:"For the next page; absent on the last one."`
}

// MemberID is the member that a route is about.
type MemberID struct {
	Member string `path:"member" maxLength:"100" doc:"The member." example:"jane"`
}

// memberUse is a member and what was charged under their name.
type memberUse struct {
	account.Member
	Period  *billing.Period  `json:"period,omitempty" doc:"The member's credit period; absent where the plan has none, and usage is then of all time."`
	Usage   []usage          `json:"usage"`
	Budgets []plan.Amount    `json:"budgets"`
	Credits []billing.Credit `json:"credits" doc:"The member's own credits, as GET /credits shows them; empty where the plan gives members none."`
}

type usage struct {
	Type string `json:"type"`
	Pool string `json:"pool" enum:"member,organization"`
	Used int64  `json:"used" doc:"Credits charged, less what was credited back."`
}

func (a *API) memberUsage(ctx context.Context, org account.Org, labels map[string]string, page Page) (memberList, error) {
	list := memberList{Members: []memberUse{}}
	members, err := a.Accounts.Members(ctx, org.ID)
	if err != nil {
		return list, err
	}
	members = slices.DeleteFunc(members, func(m account.Member) bool {
		for name, value := range labels {
			if m.Metadata[name] != value {
				return true
			}
		}
		return false
	})
	members, list.NextCursor = pageOf(members, func(m account.Member) string { return m.ID }, false, page)
	credits, err := a.Billing.Credits(ctx, org, account.Member{})
	if err != nil {
		return list, err
	}
	terms, err := a.Accounts.Plan(ctx, org.Plan, org.PlanVersion)
	if err != nil {
		return list, err
	}
	now := org.Time(time.Now())
	spent := map[time.Time][]ledger.Usage{} // by the period's start: licences of one day share it
	for _, m := range members {
		use := memberUse{Member: m, Usage: []usage{}, Budgets: m.Budgets(terms), Credits: []billing.Credit{}}
		for _, c := range credits.Credits {
			if c.Member == m.ID {
				use.Credits = append(use.Credits, c)
			}
		}
		var from, to time.Time
		if use.Period, err = a.periodOf(ctx, org, m, now); err != nil {
			return list, err
		}
		if use.Period != nil {
			from, to = use.Period.Start, use.Period.End
		}
		if _, ok := spent[from]; !ok {
			if spent[from], err = a.Ledger.UsageBetween(ctx, org.ID, from, to); err != nil {
				return list, err
			}
		}
		for _, u := range spent[from] {
			if u.Member == m.ID {
				use.Usage = append(use.Usage, usage{u.Type, billing.PoolName(u.Pool), u.Captured - u.Reversed})
			}
		}
		list.Members = append(list.Members, use)
	}
	return list, nil
}

// periodOf is a member's credit period, or nil where the plan has none.
func (a *API) periodOf(ctx context.Context, org account.Org, m account.Member, now time.Time) (*billing.Period, error) {
	terms, err := a.Accounts.Plan(ctx, org.Plan, org.PlanVersion)
	if err != nil || terms.Period != plan.Month {
		return nil, err
	}
	p, err := m.Period(now, org)
	if err != nil || p.N < 0 { // its first one is still to come
		return nil, err
	}
	return &billing.Period{Start: p.Start.UTC(), End: p.End.UTC()}, nil
}
