package dashboard_test

import (
	"html"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"

	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/dashboard"
	"holdfast/internal/site"
)

// people are those that the provider knows.
type people map[string]*storage.User

func (p people) GetUserByID(id string) *storage.User         { return p[id] }
func (p people) GetUserByUsername(name string) *storage.User { return p[name] }
func (p people) ExampleClientID() string                     { return "service" }

// at is the address of a person in this test alone: the tests share a database.
func (f *fixture) at(id string) string { return id + "@" + f.org + ".test" }

func (f *fixture) person(id string, verified bool) *storage.User {
	return &storage.User{ID: id, Username: id, Password: "secret", Email: f.at(id), EmailVerified: verified}
}

// signOn starts a provider, github.com/zitadel/oidc with its own login page, and
// a dashboard beside the fixture's that trusts it.
func (f *fixture) signOn(known people, operators ...string) {
	f.t.Helper()
	logged := slog.Default()
	f.t.Cleanup(func() { slog.SetDefault(logged) }) // the provider replaces it
	ours := httptest.NewUnstartedServer(nil)
	provider := httptest.NewUnstartedServer(nil)
	issuer := "http://" + provider.Listener.Addr().String()
	storage.RegisterClients(storage.WebClient("holdfast-"+f.org, "of-the-client", "http://"+ours.Listener.Addr().String()+"/app/login/oidc/callback"))
	provider.Config.Handler = exampleop.SetupServer(issuer, storage.NewStorage(known), slog.New(slog.DiscardHandler), false)
	provider.Start()
	f.t.Cleanup(provider.Close)

	c := site.API(app)
	c.Log, c.OperatorKey = slog.New(slog.DiscardHandler), operatorKey
	pages := site.Dashboard(app, api.New(c))
	pages.OIDC = dashboard.OIDC{Issuer: issuer, ClientID: "holdfast-" + f.org, ClientSecret: "of-the-client", Operators: operators}
	ours.Config.Handler = dashboard.New(pages)
	ours.Start()
	f.t.Cleanup(ours.Close)
	f.url = ours.URL
}

var authRequest = regexp.MustCompile(`name="id" value="([^"]*)"`)

// signOnAs goes through the provider's login page.
func (b *browser) signOnAs(user, from string) page {
	b.t.Helper()
	form := b.get(from)
	require.Equal(b.t, "/login/username", form.at, form.body)
	id := authRequest.FindStringSubmatch(form.body)
	require.NotNil(b.t, id, form.body)
	at := *b
	at.base = "http://" + form.host
	return at.post("/login/username", url.Values{"id": {html.UnescapeString(id[1])}, "username": {user}, "password": {"secret"}})
}

func (f *fixture) email(org, member, email string) account.Member {
	f.t.Helper()
	m, err := app.Accounts.UpdateMember(f.t.Context(), org, member, account.MemberChange{Email: &email})
	require.NoError(f.t, err)
	return m
}

// TestSignOn: the person that the provider names is logged in as the member with that
// address, or as the operator where the address is in the list; others are not.
func TestSignOn(t *testing.T) {
	f := setup(t, "quick")
	f.signOn(people{"jane": f.person("jane", true), "boss": f.person("boss", true), "eve": f.person("eve", true), "fake": f.person("fake", false)}, strings.ToUpper(f.at("boss")))
	require.Contains(t, f.browser().get("/app/login").body, `href="/app/login/oidc"`)

	refused := f.browser().signOnAs("jane", "/app/login/oidc")
	require.Equal(t, 403, refused.status, "no member has her address yet")
	require.Contains(t, refused.body, f.at("jane"))
	require.Contains(t, refused.body, "Ask an admin of your organization")

	ann := f.as("ann")
	require.Equal(t, "/app/o/"+f.org+"/team", ann.send("/app/o/"+f.org+"/team/jane/email", url.Values{"email": {strings.ToUpper(f.at("jane"))}}).at)
	jane := f.browser()
	in := jane.signOnAs("jane", "/app/login/oidc?next="+url.QueryEscape("/app/o/"+f.org+"/credits"))
	require.Equal(t, 200, in.status, in.body)
	require.Equal(t, "/app/o/"+f.org+"/credits", in.at)
	require.Contains(t, in.body, "Member jane")
	require.Equal(t, 403, jane.get("/app/o/"+f.org+"/team").status, "a member stays a member")

	boss := f.browser()
	require.Equal(t, "/app/operator", boss.signOnAs("boss", "/app/login/oidc").at)

	require.Equal(t, 403, f.browser().signOnAs("eve", "/app/login/oidc").status)
	f.email(f.org, "jane", f.at("fake"))
	unverified := f.browser().signOnAs("fake", "/app/login/oidc")
	require.Equal(t, 403, unverified.status)
	require.Contains(t, unverified.body, "has not verified")
	require.Equal(t, "/app/login", jane.get("/app/o/"+f.org).at, "the session of the old address ended")
}

// TestSignOnEnds: sessions end with what they stand on.
func TestSignOnEnds(t *testing.T) {
	f := setup(t, "quick")
	known := people{"boss": f.person("boss", true), "jane": f.person("jane", true)}
	f.signOn(known, f.at("boss"))
	boss, jane := f.browser(), f.browser()
	require.Equal(t, "/app/operator", boss.signOnAs("boss", "/app/login/oidc").at)
	f.email(f.org, "jane", f.at("jane"))
	require.Equal(t, "/app/o/"+f.org, jane.signOnAs("jane", "/app/login/oidc").at)

	f.signOn(known) // started again, with an empty list
	boss.base = f.url
	require.Equal(t, "/app/login", boss.get("/app/operator").at, "who left the list of operators is out")

	_, err := app.Accounts.RemoveMember(t.Context(), f.org, "jane")
	require.NoError(t, err)
	require.Equal(t, "/app/login", jane.get("/app/o/"+f.org).at)
	m, err := app.Accounts.Member(t.Context(), f.org, "jane")
	require.NoError(t, err)
	require.Empty(t, m.Email, "the address of who was removed is not kept")
}

// TestSignOnChoice: a person in several organizations chooses one.
func TestSignOnChoice(t *testing.T) {
	f := setup(t, "quick")
	other := f.org + "-too"
	f.addOrg(other, "quick")
	f.signOn(people{"jane": f.person("jane", true)})
	f.email(f.org, "jane", f.at("jane"))
	f.email(other, "ann", f.at("jane"))
	b := f.browser()
	choice := b.signOnAs("jane", "/app/login/oidc")
	require.Equal(t, 200, choice.status)
	require.Contains(t, choice.body, "Choose an organization")
	require.Contains(t, choice.body, `href="/app/login/oidc?org=`+f.org+`"`)
	require.Equal(t, "/app/o/"+other, b.signOnAs("jane", "/app/login/oidc?org="+other).at)
	require.Equal(t, 403, b.signOnAs("jane", "/app/login/oidc?org=acme").status, "and no other")
}

// TestSignOnIsBound: an answer of the provider is good once, in the browser that
// began the login, with the code and the token of that login.
func TestSignOnIsBound(t *testing.T) {
	f := setup(t, "quick")
	f.signOn(people{"jane": f.person("jane", true)})
	f.email(f.org, "jane", f.at("jane"))

	stopped := func() (*browser, string) { // before the answer reaches us
		b := f.browser()
		var answer string
		b.http.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasSuffix(r.URL.Path, "/login/oidc/callback") {
				answer = r.URL.RequestURI()
				return http.ErrUseLastResponse
			}
			return nil
		}
		b.signOnAs("jane", "/app/login/oidc")
		require.NotEmpty(t, answer)
		b.http.CheckRedirect = nil
		return b, answer
	}
	_, answer := stopped()
	require.Equal(t, 403, f.browser().get(answer).status, "another browser")

	b, answer := stopped()
	at := mustParse(t, answer)
	require.Equal(t, 403, b.get(at.Path+"?code="+at.Query().Get("code")+"&state=other").status, "another state")
	require.Equal(t, 403, b.get(answer).status, "the first answer used the login up")

	b, answer = stopped()
	in := b.get(answer)
	require.Equal(t, "/app/o/"+f.org, in.at, in.body)
	require.Equal(t, 403, b.get(answer).status, "once")

	// The code of one login in another one: the provider refuses the verifier.
	_, theirs := stopped()
	b, mine := stopped()
	mixed := mustParse(t, mine)
	query := mixed.Query()
	query.Set("code", mustParse(t, theirs).Query().Get("code"))
	require.Equal(t, 500, b.get(mixed.Path+"?"+query.Encode()).status)
	require.Equal(t, "/app/login", b.get("/app/").at)

	b, answer = stopped()
	at = mustParse(t, answer)
	denied := b.get(at.Path + "?error=access_denied&state=" + at.Query().Get("state"))
	require.Equal(t, 403, denied.status)
	require.Contains(t, denied.body, "access_denied")
}

// TestSignOnWithoutProvider: keys work while the provider is down.
func TestSignOnWithoutProvider(t *testing.T) {
	f := setup(t, "quick")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, free.Close())
	c := site.API(app)
	c.Log = slog.New(slog.DiscardHandler)
	pages := site.Dashboard(app, api.New(c))
	pages.Log = slog.New(slog.DiscardHandler)
	pages.OIDC = dashboard.OIDC{Issuer: "http://" + free.Addr().String(), ClientID: "holdfast"}
	server := httptest.NewServer(dashboard.New(pages))
	t.Cleanup(server.Close)
	f.url = server.URL
	down := f.browser().get("/app/login/oidc")
	require.Equal(t, 500, down.status)
	require.Contains(t, down.body, "try again")
	f.as("jane")
}

func mustParse(t *testing.T, address string) *url.URL {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	return u
}
