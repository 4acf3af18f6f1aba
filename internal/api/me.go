package api

import (
	"context"
	"net/http"

	"holdfast/internal/account"
)

// whoami is who a key belongs to.
type whoami struct {
	Role   string          `json:"role" enum:"operator,admin,member" doc:"What the key may do." example:"admin"`
	KeyID  string          `json:"key_id" doc:"The key's id; operator for the operator key." example:"key_7f3a2c"`
	Org    *account.Org    `json:"org,omitempty" doc:"The organization of the key; absent for the operator."`
	Member *account.Member `json:"member,omitempty" doc:"The member of the key; absent for the operator."`
}

func (a *API) me() {
	add(a, route{
		method: http.MethodGet, path: "/me", name: "getMe", tag: "Organizations", needs: member, noOrg: true,
		summary: "Show who the key belongs to", about: "Its role, organization and member.",
	}, func(ctx context.Context, _ *none) (*answer[whoami], error) {
		c := callerOf(ctx)
		me := whoami{Role: c.role.String(), KeyID: c.keyID}
		if c.role != operator {
			org, err := a.Accounts.Org(ctx, c.org.ID)
			if err != nil {
				return nil, err
			}
			me.Org, me.Member = &org, &c.licence
		}
		return body(me, nil)
	})
}

// String is the word for a role.
func (r role) String() string {
	switch r {
	case operator:
		return "operator"
	case admin:
		return "admin"
	case member:
	}
	return "member"
}
