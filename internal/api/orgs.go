package api

import (
	"context"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/metadata"
	"holdfast/internal/plan"
)

// answer is a response with a JSON body.
type answer[T any] struct{ Body T }

func body[T any](v T, err error) (*answer[T], error) {
	if err != nil {
		return nil, err
	}
	return &answer[T]{v}, nil
}

// Idempotent is what every request carries that spends or grants.
type Idempotent struct {
	Key string `header:"Idempotency-Key" required:"true" minLength:"1" maxLength:"200" doc:"Makes the request safe to repeat: the same key with the same body gives the same answer, with another body 422."`
}

type none struct{}

func (a *API) orgs() {
	add(a, route{
		method: http.MethodPost, path: "/orgs", name: "createOrg", tag: "Organizations", errors: []int{http.StatusConflict}, status: http.StatusCreated, needs: operator, noOrg: true,
		summary: "Create an organization", about: "Its first allotment is there at once.",
	}, func(ctx context.Context, in *struct {
		Repeatable
		Body struct {
			ID       string `json:"id" doc:"Up to 63 lower-case letters, digits, - and _." example:"acme"`
			Name     string `json:"name" example:"Acme Inc."`
			Plan     string `json:"plan" example:"verified-leads"`
			TimeZone string `json:"time_zone,omitempty" doc:"IANA name; UTC when left out." example:"Europe/Berlin"`
			Metadata Labels `json:"metadata,omitempty" doc:"Up to 20 texts of your own, by name; no contact data."`
			Anchor   Moment `json:"anchor,omitzero" doc:"Its credit periods are counted from here; now when left out. Where it is still to come, the first period and its allotment begin then."`
		}
	},
	) (*answer[account.Org], error) {
		b := in.Body
		org, err := a.Accounts.CreateOrg(ctx, account.Org{ID: b.ID, Name: b.Name, Plan: b.Plan, TimeZone: b.TimeZone, Anchor: b.Anchor.Time, Metadata: metadata.Data(b.Metadata)})
		if err != nil {
			return nil, err
		}
		return body(org, a.Billing.CatchUp(ctx, org.ID, org.Time(time.Now())))
	})
	add(a, route{
		method: http.MethodGet, path: "/orgs/{org}", name: "getOrg", tag: "Organizations", needs: member,
		summary: "Show an organization", about: "And what waits: its next reset, a change of plan.",
	}, func(ctx context.Context, _ *none) (*answer[account.Org], error) {
		return body(a.Billing.Current(ctx, callerOf(ctx).org.ID))
	})
}

// orgPlans are the routes about an organization's plan.
func (a *API) orgPlans() {
	add(a, route{
		method: http.MethodPut, path: "/orgs/{org}/plan", name: "changePlan", tag: "Organizations", needs: operator,
		summary: "Move an organization to another plan", about: "Nothing that it has is taken away. Sent again, the change is the same one.",
	}, func(ctx context.Context, in *struct {
		Body struct {
			Plan string `json:"plan" example:"rollover-power"`
		}
	},
	) (*answer[billing.Change], error) {
		org := callerOf(ctx).org
		change, err := a.Billing.ChangePlan(ctx, org.ID, in.Body.Plan, org.Time(time.Now()))
		a.keys.forget() // they know the organization's plan
		return body(change, err)
	})
	add(a, route{
		method: http.MethodGet, path: "/orgs/{org}/plan-preview", name: "previewPlan", tag: "Organizations", needs: admin,
		summary: "Show what a change of plan would bring", about: "When it would be in force, and the credits that it would add at once. Nothing is changed.",
	}, func(ctx context.Context, in *struct {
		Plan string `query:"plan" required:"true" minLength:"1" maxLength:"100" doc:"The plan that is changed to." example:"rollover-power"`
	},
	) (*answer[billing.Change], error) {
		org := callerOf(ctx).org
		return body(a.Billing.PreviewChange(ctx, org.ID, in.Plan, org.Time(time.Now())))
	})
	add(a, route{
		method: http.MethodGet, path: "/orgs/{org}/reset-preview", name: "previewReset", tag: "Organizations", needs: operator,
		summary: "Show what a reset would expire, roll over and grant", about: "A rehearsal of every period that will have begun by the given time and has not been reset yet. It changes nothing.",
	}, func(ctx context.Context, in *struct {
		At Moment `query:"at" doc:"Periods that begin up to then; now when left out."`
	},
	) (*answer[billing.Preview], error) {
		return body(a.Billing.PreviewReset(ctx, callerOf(ctx).org.ID, in.At.Time))
	})
}

// orgKeys are the routes about API keys.
func (a *API) orgKeys() {
	add(a, route{
		method: http.MethodPost, path: "/orgs/{org}/keys", name: "createKey", tag: "Organizations", status: http.StatusCreated, needs: admin,
		summary: "Create an API key", about: "The key is shown this once; what is stored is its hash. The same request with the same Idempotency-Key and API key shows the same key again.",
	}, func(ctx context.Context, in *struct {
		Repeatable
		Body struct {
			Member string `json:"member" example:"jane"`
			Role   string `json:"role,omitempty" enum:"admin,member" doc:"The member's own when left out."`
		}
	},
	) (*answer[newKey], error) {
		key, secret, err := a.Accounts.CreateKey(ctx, callerOf(ctx).org.ID, in.Body.Member, account.Role(in.Body.Role))
		return body(newKey{key, secret}, err)
	})
	add(a, route{
		method: http.MethodGet, path: "/orgs/{org}/keys", name: "listKeys", tag: "Organizations", needs: admin,
		summary: "List API keys, the revoked ones too",
	}, func(ctx context.Context, in *struct {
		Page
		Member string `query:"member" maxLength:"100" doc:"Only this member's." example:"jane"`
	},
	) (*answer[keyList], error) {
		keys, err := a.Accounts.Keys(ctx, callerOf(ctx).org.ID)
		if err != nil {
			return nil, err
		}
		if in.Member != "" {
			keys = slices.DeleteFunc(keys, func(k account.Key) bool { return k.Member != in.Member })
		}
		byAge := func(k account.Key) string { return sortable(k.CreatedAt, k.ID) }
		slices.SortFunc(keys, func(a, b account.Key) int { return strings.Compare(byAge(b), byAge(a)) })
		page, next := pageOf(keys, byAge, true, in.Page)
		return body(keyList{page, next}, nil)
	})
	add(a, route{
		method: http.MethodDelete, path: "/orgs/{org}/keys/{id}", name: "revokeKey", tag: "Organizations", needs: admin,
		summary: "Revoke an API key", about: "It ends for good; other server processes may believe it for one more second.",
	}, func(ctx context.Context, in *struct {
		ID string `path:"id"`
	},
	) (*none, error) {
		defer a.keys.forget()
		return nil, a.Accounts.RevokeKey(ctx, callerOf(ctx).org.ID, in.ID)
	})
}

type orgPage struct {
	Orgs       []account.Org `json:"orgs" doc:"The organizations, by id."`
	NextCursor string        `json:"next_cursor,omitempty" doc:"For the next page; absent on the last one."`
}

func (a *API) orgList() {
	add(a, route{
		method: http.MethodGet, path: "/orgs", name: "listOrgs", tag: "Organizations", needs: operator, noOrg: true,
		summary: "List the organizations, by id",
	}, func(ctx context.Context, in *struct {
		Page
		LabelFilter
		Status string `query:"status" enum:"active,suspended,closed" doc:"Only those that are so."`
		Plan   string `query:"plan" maxLength:"100" doc:"Only those on this plan." example:"verified-leads"`
	},
	) (*answer[orgPage], error) {
		labels, err := in.labels()
		if err != nil {
			return nil, err
		}
		orgs, err := a.Accounts.OrgPage(ctx, account.OrgFilter{
			Status: account.Status(in.Status), Plan: in.Plan, Metadata: labels, After: in.Cursor, Limit: in.Limit + 1,
		})
		page := orgPage{Orgs: append([]account.Org{}, orgs...)}
		if len(orgs) > in.Limit {
			page.Orgs, page.NextCursor = orgs[:in.Limit], orgs[in.Limit-1].ID
		}
		return body(page, err)
	})
}

type newKey struct {
	account.Key
	Secret string `json:"key,omitempty" doc:"The key itself; it cannot be shown again. Absent where the request is repeated with another API key than the first time." example:"hf_3k5m7p"`
}

type keyList struct {
	Keys       []account.Key `json:"keys" doc:"The keys, newest first."`
	NextCursor string        `json:"next_cursor,omitempty" doc:"For the next page; absent on the last one."`
}

func (a *API) plans() {
	add(a, route{
		method: http.MethodGet, path: "/plans", name: "listPlans", tag: "Plans", needs: member, noOrg: true,
		summary: "List the newest version of every plan",
	}, func(ctx context.Context, in *struct{ Page }) (*answer[planList], error) {
		plans, err := a.Accounts.Plans(ctx)
		if err != nil {
			return nil, err
		}
		plans, next := pageOf(plans, func(p *plan.Plan) string { return p.ID }, false, in.Page)
		list := planList{Plans: make([]planBody, len(plans)), NextCursor: next}
		for i, p := range plans {
			if list.Plans[i], err = p.MarshalJSON(); err != nil {
				return nil, err
			}
		}
		return body(list, nil)
	})
	add(a, route{
		method: http.MethodGet, path: "/plans/{id}", name: "getPlan", tag: "Plans", needs: member, noOrg: true,
		summary: "Show a plan", about: "Its newest version, or the one that is named.",
	}, func(ctx context.Context, in *struct {
		ID      string `path:"id" maxLength:"100" doc:"The plan." example:"verified-leads"`
		Version int    `query:"version" minimum:"1" maximum:"2147483647" doc:"The newest when left out." example:"1"`
	},
	) (*answer[planBody], error) {
		p, err := a.Accounts.Plan(ctx, in.ID, in.Version)
		if err != nil {
			return nil, err
		}
		text, err := p.MarshalJSON()
		return body(planBody(text), err)
	})
	add(a, route{
		method: http.MethodPut, path: "/plans/{id}", name: "savePlan", tag: "Plans", needs: operator, noOrg: true,
		summary: "Store a plan", about: "What is left out has its default. A plan that differs from its newest version becomes the next one. Organizations stay on the version they have.",
	}, func(ctx context.Context, in *struct {
		ID   string `path:"id"`
		Body json.RawMessage
	},
	) (*answer[savedPlan], error) {
		p, err := plan.Parse("plan", in.Body)
		if err != nil {
			return nil, invalid("body", sentence(err.Error()))
		}
		if p.ID != in.ID {
			return nil, invalid("body.id", "The plan in the body has another id than the address; make them the same.")
		}
		version, err := a.Accounts.SavePlan(ctx, p)
		return body(savedPlan{p.ID, version}, err)
	})
}

// planBody is a plan as the package that knows plans writes it.
type planBody json.RawMessage

// MarshalJSON is the plan itself.
func (p planBody) MarshalJSON() ([]byte, error) { return p, nil }

// Schema is that of a plan's document.
func (planBody) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[plan.Document](), true, "Document")
}

type planList struct {
	Plans      []planBody `json:"plans" doc:"The plans, by id."`
	NextCursor string     `json:"next_cursor,omitempty" doc:"For the next page; absent on the last one."`
}

type savedPlan struct {
	ID      string `json:"id"`
	Version int    `json:"version"`
}
