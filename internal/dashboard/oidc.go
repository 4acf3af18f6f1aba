package dashboard

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"holdfast/internal/account"
)

// OIDC is the OpenID Connect provider where people log in; none where Issuer is empty.
type OIDC struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	Operators    []string // e-mail addresses of those who may do all
}

const (
	signOnPath   = Prefix + "/login/oidc"
	signOnCookie = "holdfast_oidc"
	signOnLife   = 10 * time.Minute // between the first page of the provider and the last
	askProvider  = 10 * time.Second
)

// signOn is the login at a provider. What must outlive the visit there is in a
// cookie of the browser that began it, so that any process can finish it.
type signOn struct {
	OIDC

	client   *http.Client
	mu       sync.Mutex
	provider *oidc.Provider // nil until it has answered
}

func newSignOn(c OIDC) *signOn {
	return &signOn{OIDC: c, client: &http.Client{Timeout: askProvider}}
}

// begun is what a login that has begun needs at its end.
type begun struct {
	State    string // the answer belongs to this browser
	Nonce    string // the token belongs to this login
	Verifier string // the code is ours (PKCE)
	Next     string
	Org      string // chosen where the person is a member of several
}

func (d *Dashboard) signOnRoutes(mux *http.ServeMux) {
	if d.OIDC.Issuer == "" {
		return
	}
	mux.HandleFunc("GET "+signOnPath, d.beginSignOn)
	mux.HandleFunc("GET "+signOnPath+"/callback", d.endSignOn)
}

// proofs are what proves the operator now.
func (d *Dashboard) proofs() []string {
	var proofs []string
	if d.API.OperatorKey != "" {
		proofs = append(proofs, d.API.OperatorKey)
	}
	if d.OIDC.Issuer != "" {
		for _, email := range d.OIDC.Operators {
			proofs = append(proofs, account.OperatorEmail(email))
		}
	}
	return proofs
}

// discover asks the provider where its pages are, until it has answered once:
// serve starts and offers other logins while it is down.
func (s *signOn) discover(ctx context.Context) (*oidc.Provider, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.provider != nil {
		return s.provider, nil
	}
	found, err := oidc.NewProvider(ctx, s.Issuer)
	if err != nil {
		return nil, fmt.Errorf("the OpenID Connect provider does not answer: %w", err)
	}
	s.provider = found
	return found, nil
}

// oauth is how we speak to the provider, for a browser that came by r.
func (s *signOn) oauth(r *http.Request, provider *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: s.ClientID, ClientSecret: s.ClientSecret, Endpoint: provider.Endpoint(),
		RedirectURL: origin(r) + signOnPath + "/callback", Scopes: []string{oidc.ScopeOpenID, "email"},
	}
}

// origin is how the browser calls this server.
func origin(r *http.Request) string {
	if OverTLS(r) {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func (d *Dashboard) beginSignOn(w http.ResponseWriter, r *http.Request) {
	provider, err := d.signOn.discover(oidc.ClientContext(r.Context(), d.signOn.client))
	if err != nil {
		d.failLogin(w, r, err)
		return
	}
	b := begun{
		State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(),
		Next: localPage(r.URL.Query().Get("next")), Org: r.URL.Query().Get("org"),
	}
	text, err := json.Marshal(b)
	if err != nil {
		d.failLogin(w, r, err)
		return
	}
	setSignOnCookie(w, r, base64.RawURLEncoding.EncodeToString(text), int(signOnLife.Seconds()))
	http.Redirect(w, r, d.signOn.oauth(r, provider).AuthCodeURL(b.State, oidc.Nonce(b.Nonce), oauth2.S256ChallengeOption(b.Verifier)), http.StatusSeeOther) //nolint:gosec // to the provider that the operator has set up
}

func setSignOnCookie(w http.ResponseWriter, r *http.Request, value string, age int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure where the browser came over TLS
		Name: signOnCookie, Value: value, Path: signOnPath, MaxAge: age,
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: OverTLS(r),
	})
}

// loginError says to a person why they are not logged in, in one sentence.
type loginError string

// Error is that sentence.
func (e loginError) Error() string { return string(e) }

func (d *Dashboard) endSignOn(w http.ResponseWriter, r *http.Request) {
	b, err := begunBy(r)
	setSignOnCookie(w, r, "", -1) // each answer is for one use
	var email, session string
	var members []account.Member
	if err == nil {
		email, err = d.signOn.identify(oidc.ClientContext(r.Context(), d.signOn.client), r, b)
	}
	if err == nil {
		session, members, err = d.openSignOn(r.Context(), email, b.Org)
	}
	var refused loginError
	switch {
	case errors.As(err, &refused):
		d.renderLogin(w, http.StatusForbidden, loginPage{Problem: refused.Error()})
	case err != nil:
		d.failLogin(w, r, err)
	case session == "":
		d.renderLogin(w, http.StatusOK, loginPage{Next: b.Next, Members: members})
	default:
		setCookie(w, r, session)
		http.Redirect(w, r, cmp.Or(b.Next, Prefix+"/"), http.StatusSeeOther)
	}
}

// begunBy finds the login that an answer of the provider belongs to.
func begunBy(r *http.Request) (begun, error) {
	const again = loginError("This login was begun in another browser or took longer than 10 minutes; log in again.")
	var b begun
	cookie, err := r.Cookie(signOnCookie)
	if err != nil {
		return b, again
	}
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || json.Unmarshal(text, &b) != nil || b.State == "" || b.Nonce == "" ||
		subtle.ConstantTimeCompare([]byte(b.State), []byte(r.URL.Query().Get("state"))) != 1 {
		return b, again
	}
	b.Next = localPage(b.Next)
	return b, nil
}

// identify exchanges the provider's answer for the person's e-mail address. The
// provider has to have verified it: else anybody could give ours as theirs.
func (s *signOn) identify(ctx context.Context, r *http.Request, b begun) (email string, err error) {
	if problem := r.URL.Query().Get("error"); problem != "" {
		return "", loginError("The provider of single sign-on refused the login: " + cmp.Or(r.URL.Query().Get("error_description"), problem) + ".")
	}
	provider, err := s.discover(ctx)
	if err != nil {
		return "", err
	}
	token, err := s.oauth(r, provider).Exchange(ctx, r.URL.Query().Get("code"), oauth2.VerifierOption(b.Verifier))
	if err != nil {
		return "", fmt.Errorf("the provider's code was not exchanged: %w", err)
	}
	raw, _ := token.Extra("id_token").(string)
	proof, err := provider.VerifierContext(ctx, &oidc.Config{ClientID: s.ClientID}).Verify(ctx, raw)
	if err != nil {
		return "", fmt.Errorf("the provider's token is not valid: %w", err)
	}
	if subtle.ConstantTimeCompare([]byte(proof.Nonce), []byte(b.Nonce)) != 1 {
		return "", errors.New("the provider's token belongs to another login")
	}
	person, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return "", fmt.Errorf("the provider does not say who logged in: %w", err)
	}
	switch {
	case person.Subject != proof.Subject:
		return "", errors.New("the provider's answers are about two people")
	case person.Email == "":
		return "", loginError("The provider of single sign-on did not tell your e-mail address; ask its administrator to allow the scope email.")
	case !person.EmailVerified:
		return "", loginError("The provider of single sign-on has not verified your address " + person.Email + "; verify it there, then log in again.")
	}
	return strings.ToLower(person.Email), nil
}

// openSignOn begins the session of an operator or of a member. Where the person is
// a member of several organizations and none is chosen it returns them.
func (d *Dashboard) openSignOn(ctx context.Context, email, org string) (session string, members []account.Member, err error) {
	if slices.ContainsFunc(d.OIDC.Operators, func(o string) bool { return strings.EqualFold(o, email) }) {
		session, err = d.operators().OpenOperatorSession(ctx, account.OperatorEmail(email))
		return session, nil, err
	}
	var in *account.Accounts
	for _, there := range d.everyone() {
		found, err := there.Accounts.MembersByEmail(ctx, email)
		if err != nil {
			return "", nil, err
		}
		for _, m := range found {
			if org == "" || m.Org == org {
				members, in = append(members, m), there.Accounts
			}
		}
	}
	switch len(members) {
	case 0:
		return "", nil, loginError("You are logged in as " + email + ", but no organization has a member with this address. Ask an admin of your organization to enter it on the page “Team”, then log in again.")
	case 1:
		session, err = in.OpenMemberSession(ctx, members[0])
		return session, nil, err
	}
	return "", members, nil
}

// SignOnLink is where a login by single sign-on begins.
func (p loginPage) SignOnLink(org string) string {
	query := url.Values{}
	if p.Next != "" {
		query.Set("next", p.Next)
	}
	if org != "" {
		query.Set("org", org)
	}
	if len(query) == 0 {
		return signOnPath
	}
	return signOnPath + "?" + query.Encode()
}
