package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/account"
)

// role is what a caller may do; a higher one may do all that a lower one may.
type role int

const (
	member   role = iota + 1 // sees and spends their own
	admin                    // sees and manages their organization
	operator                 // may do all, for any organization
)

// caller is who sent a request and the organization the request is bound to.
// Handlers know no other source of an organization.
type caller struct {
	keyID   string
	role    role
	org     account.Org    // without an id where the operator named none
	member  string         // empty for the operator
	licence account.Member // the member's
	secret  []byte         // that only they know; nil in a session of the dashboard
}

// only is the member whose doings the caller may see; empty means everybody's.
func (c caller) only() string {
	if c.role == member {
		return c.member
	}
	return ""
}

// concerns returns the member that a request asks about: members may name
// themselves alone.
func (c caller) concerns(asked string) (string, error) {
	if only := c.only(); only != "" && asked != "" && asked != only {
		return "", newProblem(http.StatusForbidden, "A member's key shows that member's own alone; leave member out or use an admin's key.")
	}
	return cmp.Or(asked, c.only()), nil
}

// actsFor returns the member that a request is made for: its own, or where it
// names another, that one, as backends with one key do.
func (c caller) actsFor(named string) (string, error) {
	if c.role == member && named != "" && named != c.member {
		return "", newProblem(http.StatusForbidden, "A member's key orders for that member alone; leave member out or use an admin's key.")
	}
	return cmp.Or(named, c.member), nil
}

// licenceOf is the licence of a member, where it is the caller's.
func (c caller) licenceOf(who string) *account.Member {
	if who == "" || who != c.member {
		return nil
	}
	return &c.licence
}

type callerKey struct{}

func callerOf(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// nameOrg describes how an organization is named in a route, so that no handler
// has to read it.
func nameOrg(op *huma.Operation, r route) {
	schema := &huma.Schema{Type: huma.TypeString}
	switch {
	case r.noOrg:
	case strings.Contains(r.path, "{org}"):
		op.Parameters = append(op.Parameters, &huma.Param{Name: "org", In: "path", Required: true, Schema: schema, Description: "Organization; with an organization's key its own."})
	default:
		op.Parameters = append(op.Parameters, &huma.Param{Name: "org", In: "query", Schema: schema, Description: "Organization. Needed with the operator key alone; an organization's key stands for its own."})
	}
}

// enter lets a request in: it finds out who is calling, whether they may call
// this, and binds the request to one organization. This is the one place where
// an organization is chosen.
func (a *API) enter(ctx huma.Context, next func(huma.Context)) {
	r, _ := ctx.Operation().Metadata["route"].(route)
	timed, cancel := context.WithTimeout(ctx.Context(), answerWithin)
	defer cancel()
	c, err := a.identify(huma.WithContext(ctx, timed), r)
	if err != nil {
		a.refuse(ctx, a.problem(ctx.Context(), err))
		return
	}
	inner := timed
	if r.stream {
		inner = context.WithValue(ctx.Context(), stillKey{}, func() bool { return a.still(ctx, r, c) })
	}
	inner = context.WithValue(context.WithValue(inner, callerKey{}, c), answerKey{}, ctx)
	logged(inner).caller(c)
	if name := unknownQuery(ctx); name != "" {
		a.refuse(ctx, a.problem(inner, invalid("query."+name, "There is no such parameter here; take it out.")))
		return
	}
	if err := openCursor(ctx, r); err != nil {
		a.refuse(ctx, a.problem(inner, err))
		return
	}
	next(huma.WithContext(ctx, inner))
}

// stillKey is where a stream finds whether its caller may still call.
type stillKey struct{}

// still says whether the caller of a stream may still have it: not when the key was
// revoked, or the member removed. A database that does not answer ends no stream.
func (a *API) still(ctx huma.Context, r route, before caller) bool {
	timed, cancel := context.WithTimeout(ctx.Context(), answerWithin)
	defer cancel()
	now, err := a.identify(huma.WithContext(ctx, timed), r)
	if err != nil {
		return a.problem(timed, err).Status >= http.StatusInternalServerError
	}
	return now.keyID == before.keyID && now.org.ID == before.org.ID
}

// unknownQuery returns a query parameter that the route does not have: a
// misspelt filter never silently selects everything.
func unknownQuery(ctx huma.Context) string {
	u := ctx.URL()
	for name := range u.Query() {
		if !slices.ContainsFunc(ctx.Operation().Parameters, func(p *huma.Param) bool { return p.In == "query" && p.Name == name }) {
			return name
		}
	}
	return ""
}

func (a *API) identify(ctx huma.Context, r route) (caller, error) {
	c, err := a.whoCalls(ctx)
	if err != nil {
		return caller{}, err
	}
	named := cmp.Or(ctx.Param("org"), ctx.Query("org"))
	switch {
	case c.role != operator && named != "" && named != c.org.ID:
		return caller{}, errNoOrg // the same answer as for one that is not there
	case c.role < r.needs:
		return caller{}, newProblem(http.StatusForbidden, "This key's role does not allow this; use the key of "+r.needs.holder()+".")
	case c.role == operator && named != "" && !r.noOrg:
		c.org, err = a.Accounts.Org(ctx.Context(), named)
		if errors.Is(err, account.ErrNotFound) {
			return caller{}, errNoOrg
		}
		return c, err
	case c.org.ID == "" && !r.anyOrg && !r.noOrg:
		return caller{}, invalid("org", "The operator key stands for no organization; name one with ?org=.")
	}
	return c, nil
}

// whoCalls returns the caller by the request's key or, where the dashboard
// passes a request on, by its session.
func (a *API) whoCalls(ctx huma.Context) (caller, error) {
	if id, ok := ctx.Context().Value(identityKey{}).(Identity); ok {
		return id.caller, nil
	}
	secret, ok := Bearer(ctx.Header("Authorization"))
	if !ok {
		return caller{}, errNoKey
	}
	c, err := a.keys.caller(ctx.Context(), secret)
	if errors.Is(err, errUnknownKey) && !a.limits.mayGuess(ctx.RemoteAddr()) {
		ctx.SetHeader("Retry-After", "60")
		return caller{}, errTooManyGuesses
	}
	return c, err
}

func (r role) holder() string {
	if r == operator {
		return "the operator"
	}
	return "an admin"
}

// Bearer returns the key in an Authorization header (RFC 6750 section 2.1); ok is
// false where it has none.
func Bearer(header string) (string, bool) {
	scheme, secret, ok := strings.Cut(header, " ")
	return strings.TrimSpace(secret), ok && strings.EqualFold(scheme, "Bearer") && strings.TrimSpace(secret) != ""
}

// keptFor is how long a key that was good is believed to be so without asking
// the database again. A key that is revoked through this process ends at once.
const keptFor = time.Second

// keyring knows the owner of a secret.
type keyring struct {
	accounts *account.Accounts
	operator [sha256.Size]byte // of the operator key
	usable   bool              // there is an operator key

	mu    sync.Mutex
	known map[[sha256.Size]byte]known
}

type known struct {
	caller caller
	until  time.Time
}

func newKeyring(accounts *account.Accounts, operatorKey string) *keyring {
	return &keyring{
		accounts: accounts, operator: sha256.Sum256([]byte(operatorKey)), usable: operatorKey != "",
		known: map[[sha256.Size]byte]known{},
	}
}

// caller returns who a secret belongs to, or errUnknownKey.
func (k *keyring) caller(ctx context.Context, secret string) (caller, error) {
	hash := sha256.Sum256([]byte(secret))
	if k.usable && subtle.ConstantTimeCompare(hash[:], k.operator[:]) == 1 {
		return caller{keyID: "operator", role: operator, secret: callersSecret(secret)}, nil
	}
	k.mu.Lock()
	found, ok := k.known[hash]
	k.mu.Unlock()
	if ok && time.Now().Before(found.until) {
		return found.caller, nil
	}
	asked := time.Now()
	key, err := k.accounts.Authenticate(ctx, secret)
	if errors.Is(err, account.ErrNotFound) {
		return caller{}, errUnknownKey
	}
	if err != nil {
		return caller{}, err
	}
	org, err := k.accounts.Org(ctx, key.Org)
	if err != nil {
		return caller{}, err
	}
	licence, err := k.accounts.Member(ctx, key.Org, key.Member)
	if err != nil {
		return caller{}, err
	}
	c := caller{keyID: key.ID, role: member, org: org, member: key.Member, licence: licence, secret: callersSecret(secret)}
	if key.Role == account.RoleAdmin {
		c.role = admin
	}
	if org.TestClock != nil {
		return c, nil // its time may be another one the next time
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for hash, old := range k.known {
		if len(k.known) < 1000 {
			break
		}
		if asked.After(old.until) {
			delete(k.known, hash)
		}
	}
	k.known[hash] = known{c, asked.Add(keptFor)}
	return c, nil
}

// forget makes the database be asked again for every key.
func (k *keyring) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.known)
}
