package api

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"holdfast/internal/account"
)

// LoginLinkBody says who logs in with a link, and how long it can be used.
type LoginLinkBody struct {
	Member string `json:"member,omitempty" maxLength:"100" doc:"Who logs in; the organization's only admin when left out." example:"jane"`
	For    string `json:"for,omitempty" maxLength:"20" doc:"How long the link can be used: a duration from 1s to 24h; 15m when left out." example:"15m"`
}

// LoginLink is what logs a member in to the dashboard, once.
type LoginLink struct {
	Org    string `json:"org" doc:"The organization."`
	Member string `json:"member" doc:"Who is logged in." example:"jane"`
	Token  string `json:"token" doc:"What stands behind /app/login/link?token= in the link." example:"hl_mf2k5xq3"`
}

func (a *API) loginLinks() {
	add(a, route{
		method: http.MethodPost, path: "/orgs/{org}/login-links", name: "createLoginLink", tag: "Organizations", status: http.StatusCreated, needs: admin,
		summary: "Make a link that logs a member in to the dashboard, once",
		about:   "The link is the address of the dashboard, /app/login/link?token= and the token. What is stored is its hash; the same request with the same Idempotency-Key and API key shows the same link again, used or not.",
	}, func(ctx context.Context, in *struct {
		Repeatable
		Body LoginLinkBody
	},
	) (*answer[LoginLink], error) {
		life, err := time.ParseDuration(cmp.Or(in.Body.For, account.LoginLinkLife.String()))
		if err != nil {
			return nil, invalid("body.for", "The time is a duration from 1s to 24h, such as 15m.")
		}
		m, token, err := a.Accounts.CreateLoginLink(ctx, callerOf(ctx).org.ID, in.Body.Member, life)
		return body(LoginLink{Org: m.Org, Member: m.ID, Token: token}, err)
	})
}
