package api

import (
	"cmp"
	"context"
	"crypto/subtle"
	"net/http"

	"holdfast/internal/account"
)

// Identity is a caller who is logged in to the dashboard. A request
// that is passed on with it meets the same rules as one with that caller's key.
type Identity struct{ caller caller }

type identityKey struct{}

// Identify returns the identity behind a session.
func (a *API) Identify(ctx context.Context, s account.Session) (Identity, error) {
	if s.Operator {
		return Identity{caller{keyID: s.ID, role: operator}}, nil
	}
	org, err := a.Accounts.Org(ctx, s.Org)
	if err != nil {
		return Identity{}, err
	}
	licence, err := a.Accounts.Member(ctx, s.Org, s.Member)
	if err != nil {
		return Identity{}, err
	}
	c := caller{keyID: s.ID, role: member, org: org, member: s.Member, licence: licence}
	if s.Role == account.RoleAdmin {
		c.role = admin
	}
	return Identity{c}, nil
}

// IsOperatorKey says whether a secret is the operator key.
func (a *API) IsOperatorKey(secret string) bool {
	return a.OperatorKey != "" && subtle.ConstantTimeCompare([]byte(secret), []byte(a.OperatorKey)) == 1
}

// MayGuess counts an unknown key or link against the address it came from, as
// for requests of the API, and says whether it may have another try.
func (a *API) MayGuess(address string) bool { return a.limits.mayGuess(address) }

// ServeAs answers a request as if it came with the key of an identity.
func (a *API) ServeAs(w http.ResponseWriter, r *http.Request, id Identity) {
	a.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), identityKey{}, id)))
}

// Org is the organization of the identity; empty for the operator.
func (i Identity) Org() string { return i.caller.org.ID }

// Member is the member of the identity; empty for the operator.
func (i Identity) Member() string { return i.caller.member }

// Name is what the identity is called on a page.
func (i Identity) Name() string { return cmp.Or(i.caller.licence.Name, "Operator") }

// IsAdmin says whether the identity may manage its organization.
func (i Identity) IsAdmin() bool { return i.caller.role >= admin }

// IsOperator says whether the identity may do all.
func (i Identity) IsOperator() bool { return i.caller.role >= operator }

// Only is the member whose doings the identity may see; empty means everybody's.
func (i Identity) Only() string { return i.caller.only() }
