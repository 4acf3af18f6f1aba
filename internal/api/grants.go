package api

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"strconv"

	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/metadata"
	"holdfast/internal/payment"
)

func (a *API) grants() {
	add(a, route{
		method: http.MethodPost, path: "/orgs/{org}/grants", name: "grantCredits", tag: "Credits", status: http.StatusCreated, needs: operator,
		summary: "Give credits to an organization or one of its members",
	}, a.grant)
	add(a, route{
		method: http.MethodPost, path: "/orgs/{org}/grants/batch", name: "grantCreditsBatch", tag: "Credits", status: http.StatusCreated, needs: operator,
		summary: "Give several grants at once", about: "All or none of them.",
	}, a.grantAll)
	add(a, route{
		method: http.MethodGet, path: "/orgs/{org}/grants", name: "listGrants", tag: "Credits", needs: admin,
		summary: "List the grants and where their credits are, newest first",
	}, func(ctx context.Context, in *struct {
		Type   string `query:"type" doc:"Credit type."`
		Pool   string `query:"pool" enum:"organization" doc:"Only the shared pool's."`
		Member string `query:"member" doc:"This member's own."`
		Live   bool   `query:"live" doc:"Only grants with credits that are available or held."`
		Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	},
	) (*answer[grantPage], error) {
		f := ledger.GrantFilter{Owner: callerOf(ctx).org.ID, Type: in.Type, Live: in.Live, Cursor: in.Cursor, Limit: in.Limit}
		switch {
		case in.Pool != "" && in.Member != "":
			return nil, invalid("query.pool", "Name either the organization's pool or a member.")
		case in.Pool != "":
			f.Pool = new(string)
		case in.Member != "":
			f.Pool = &in.Member
		}
		return body(a.grantsWithMetadata(ctx, f))
	})
	add(a, route{
		method: http.MethodPost, path: "/orgs/{org}/grants/{id}/void", name: "voidGrant", tag: "Credits", needs: operator,
		summary: "Take credits of a grant back",
		about:   "For a refunded purchase or a grant made by mistake. Takes what is available, at most amount; what was spent or is held stays, and the answer says how much that is.",
	}, func(ctx context.Context, in *struct {
		Idempotent
		ID   string `path:"id" maxLength:"100" doc:"grant_id of the grant." example:"42"`
		Body struct {
			Amount int64  `json:"amount,omitempty" minimum:"1" maximum:"1000000000000" doc:"At most so many credits; all that is available when left out."`
			Reason string `json:"reason" minLength:"1" maxLength:"500" doc:"For the journal; no contact data."`
		}
	},
	) (*answer[billing.Voided], error) {
		no, err := strconv.ParseInt(in.ID, 10, 64)
		if err != nil || no < 1 {
			return nil, ledger.ErrUnknownGrant
		}
		return body(a.Billing.Void(ctx, billing.Void{
			Org: callerOf(ctx).org.ID, Key: in.Key, Grant: no, Amount: in.Body.Amount, Reason: in.Body.Reason,
		}))
	})
}

type grantPage struct {
	Grants     []grantView `json:"grants" doc:"The grants."`
	NextCursor string      `json:"next_cursor,omitempty" doc:"For the next page; absent on the last one."`
}

type grantView struct {
	billing.Grant
	Metadata Labels `json:"metadata,omitempty" doc:"As the grant came with it."`
}

func (a *API) grantsWithMetadata(ctx context.Context, f ledger.GrantFilter) (grantPage, error) {
	list, err := a.Billing.Grants(ctx, f)
	if err != nil {
		return grantPage{}, err
	}
	page := grantPage{Grants: make([]grantView, len(list.Grants)), NextCursor: list.NextCursor}
	ids := make([]string, len(list.Grants))
	for i, g := range list.Grants {
		ids[i] = strconv.FormatInt(g.ID, 10)
	}
	data, err := a.Metadata.Of(ctx, f.Owner, metadata.Grant, ids)
	for i, g := range list.Grants {
		page.Grants[i] = grantView{g, Labels(data[ids[i]])}
	}
	return page, err
}

type granted struct {
	GrantID int64  `json:"grant_id"`
	Org     string `json:"org"`
	GrantBody
	Metadata Labels `json:"metadata,omitempty" doc:"As the grant came with it."`
}

// GrantBody is a grant as it is asked for.
type GrantBody struct {
	Member    string `json:"member,omitempty" doc:"The member that gets the credits; the shared pool when left out."`
	Type      string `json:"type" example:"email"`
	Amount    int64  `json:"amount" minimum:"1" maximum:"1000000000000"`
	Source    string `json:"source" enum:"pack,promotion,adjustment"`
	Priority  int32  `json:"priority,omitempty" minimum:"-1000" maximum:"1000" doc:"Credits with a lower priority are spent first; 0 when left out, as a plan's allotments are."`
	StartsAt  Moment `json:"starts_at,omitzero" doc:"The credits are not there before; at once when left out."`
	ExpiresAt Moment `json:"expires_at,omitzero" doc:"Never when left out."`
}

func (b GrantBody) grant() billing.NewGrant {
	return billing.NewGrant{
		Member: b.Member, Type: b.Type, Amount: b.Amount, Source: ledger.Source(b.Source),
		Priority: b.Priority, StartsAt: b.StartsAt.Time, ExpiresAt: b.ExpiresAt.Time,
	}
}

func (a *API) grant(ctx context.Context, in *struct {
	Idempotent
	Body struct {
		GrantBody
		Reason   string   `json:"reason,omitempty" maxLength:"500" doc:"For the history; no contact data." example:"invoice 2026-0007"`
		Metadata Labels   `json:"metadata,omitempty" doc:"Up to 20 texts of your own, by name; no contact data."`
		Purchase *paidFor `json:"purchase,omitempty" doc:"Where the credits were bought: what was paid. It is listed under purchases."`
	}
},
) (*answer[granted], error) {
	org := callerOf(ctx).org
	if err := cmp.Or(a.checkBuyer(ctx, org, in.Body.Purchase), metadata.Check(metadata.Data(in.Body.Metadata))); err != nil {
		return nil, err
	}
	id, err := a.Billing.Grant(ctx, org, in.Key, in.Body.grant(), in.Body.Reason)
	if err != nil {
		return nil, err
	}
	if p := in.Body.Purchase; p != nil {
		if err := a.Payments.Note(ctx, org, in.Key, id, in.Body.Type, in.Body.Amount, payment.Paid(*p)); err != nil {
			return nil, err
		}
	}
	kept, err := a.Metadata.Keep(ctx, org.ID, metadata.Grant, strconv.FormatInt(id, 10), metadata.Data(in.Body.Metadata))
	if err == nil && !maps.Equal(kept, metadata.Data(in.Body.Metadata)) {
		err = ledger.ErrKeyReused
	}
	return body(granted{id, org.ID, in.Body.GrantBody, Labels(kept)}, err)
}

type grantedList struct {
	Grants []granted `json:"grants"`
}

func (a *API) grantAll(ctx context.Context, in *struct {
	Idempotent
	Body struct {
		Grants []GrantBody `json:"grants" minItems:"1" maxItems:"1000"`
		Reason string      `json:"reason,omitempty" maxLength:"500" doc:"For the history; no contact data."`
	}
},
) (*answer[grantedList], error) {
	org := callerOf(ctx).org
	grants := make([]billing.NewGrant, len(in.Body.Grants))
	for i, g := range in.Body.Grants {
		grants[i] = g.grant()
	}
	ids, err := a.Billing.GrantAll(ctx, org, in.Key, grants, in.Body.Reason)
	list := grantedList{Grants: make([]granted, len(ids))}
	for i, id := range ids {
		list.Grants[i] = granted{GrantID: id, Org: org.ID, GrantBody: in.Body.Grants[i]}
	}
	return body(list, err)
}
