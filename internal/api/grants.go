package api

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/billing"
	"holdfast/internal/ledger"
)

func (a *API) grants() {
	add(a, route{
		method: http.MethodPost, path: "/orgs/{org}/grants", name: "grant-credits", tag: "Credits", status: http.StatusCreated, needs: operator,
		summary: "Give credits to an organization or one of its members",
	}, a.grant)
	add(a, route{
		method: http.MethodGet, path: "/orgs/{org}/grants", name: "list-grants", tag: "Credits", needs: admin,
		summary: "List the grants and where their credits are, newest first",
	}, func(ctx context.Context, in *struct {
		Type   string `query:"type" doc:"Credit type."`
		Pool   string `query:"pool" enum:"organization" doc:"Only the shared pool's."`
		Member string `query:"member" doc:"This member's own."`
		Live   bool   `query:"live" doc:"Only grants with credits that are available or held."`
		Cursor string `query:"cursor" doc:"next_cursor of the page before."`
		Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	},
	) (*answer[billing.Grants], error) {
		f := ledger.GrantFilter{Owner: callerOf(ctx).org.ID, Type: in.Type, Live: in.Live, Cursor: in.Cursor, Limit: in.Limit}
		switch {
		case in.Pool != "" && in.Member != "":
			return nil, invalid("query.pool", "Name either the organization's pool or a member.")
		case in.Pool != "":
			f.Pool = new(string)
		case in.Member != "":
			f.Pool = &in.Member
		}
		return body(a.Billing.Grants(ctx, f))
	})
	add(a, route{
		method: http.MethodPost, path: "/orgs/{org}/grants/{id}/void", name: "void-grant", tag: "Credits", needs: operator,
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

type granted struct {
	GrantID   int64     `json:"grant_id"`
	Org       string    `json:"org"`
	Member    string    `json:"member,omitempty"`
	Type      string    `json:"type"`
	Amount    int64     `json:"amount"`
	Source    string    `json:"source"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

func (a *API) grant(ctx context.Context, in *struct {
	Idempotent
	Body struct {
		Type      string    `json:"type" example:"email"`
		Amount    int64     `json:"amount" minimum:"1" maximum:"1000000000000"`
		Source    string    `json:"source" enum:"pack,promotion,adjustment"`
		ExpiresAt time.Time `json:"expires_at,omitzero" doc:"Never when left out."`
		Member    string    `json:"member,omitempty" doc:"Whose own credits these are; the shared pool's when left out."`
		Reason    string    `json:"reason,omitempty" maxLength:"500" doc:"For the history; no contact data."`
	}
},
) (*answer[granted], error) {
	org, b := callerOf(ctx).org, in.Body
	terms, err := a.Accounts.Plan(ctx, org.Plan, org.PlanVersion)
	if err != nil {
		return nil, err
	}
	if types := terms.CreditTypes(); !slices.Contains(types, b.Type) {
		return nil, invalid("body.type", "The organization's plan has no credits of this type; it has "+strings.Join(types, ", ")+".")
	}
	if b.Member != "" {
		if _, err := a.Accounts.Member(ctx, org.ID, b.Member); err != nil {
			return nil, err
		}
	}
	expires := b.ExpiresAt.Truncate(time.Microsecond)
	result, err := a.Ledger.Grant(ctx, ledger.Grant{
		Owner: org.ID, Key: "api/grant/" + in.Key, Pool: b.Member, Type: b.Type, Amount: b.Amount,
		Source: ledger.Source(b.Source), ExpiresAt: expires, Memo: ledger.Memo{Reason: b.Reason},
	})
	return body(granted{result.GrantID, org.ID, b.Member, b.Type, b.Amount, b.Source, expires}, err)
}
