package dashboard_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"holdfast/internal/account"
	"holdfast/internal/dashboard"
)

// at is a route's address in an organization.
func at(r dashboard.Route, org string) string {
	return "/app" + strings.NewReplacer("{org}", org, "{id}", "ord_x", "{member}", "jane", "{delivery}", "1", "{type}", "email", "{step}", "suspend", "{name}", "other", "{$}", "").Replace(r.Path)
}

// try uses a route, with a token where it is a form's target.
func (b *browser) try(r dashboard.Route, org, token string) page {
	b.t.Helper()
	switch {
	case r.Method == http.MethodGet:
		return b.get(at(r, org))
	case r.Upload:
		return b.do("POST", at(r, org), strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n"+token+"\r\n--x--\r\n"), "Content-Type", "multipart/form-data; boundary=x")
	}
	return b.post(at(r, org), url.Values{"csrf": {token}, "id": {"eve"}, "name": {"Eve"}})
}

// TestEachRouteNeedsASession: without one every page leads to the login, and a form
// does nothing and asks for it.
func TestEachRouteNeedsASession(t *testing.T) {
	f := setup(t, "quick")
	b := f.browser()
	for _, r := range dashboard.Routes() {
		said := b.try(r, f.org, "0")
		if r.Method == http.MethodPost {
			require.Equal(t, 401, said.status, r.Path)
			require.Contains(t, said.body, "/app/login?", r.Path)
			continue
		}
		require.Equal(t, "/app/login", said.at, "%s %s", r.Method, r.Path)
	}
}

// TestEachFormNeedsItsToken: no form's target does anything without the token of
// the session, or for a form of another site.
func TestEachFormNeedsItsToken(t *testing.T) {
	f := setup(t, "quick")
	b := f.with(operatorKey)
	before := f.state()
	walked := 0
	for _, r := range dashboard.Routes() {
		if r.Method != http.MethodPost {
			continue
		}
		walked++
		for _, token := range []string{"", strings.Repeat("0", 64)} {
			said := b.try(r, f.org, token)
			require.Equal(t, 403, said.status, "%s %q", r.Path, token)
			require.Contains(t, said.body, "The form is too old", r.Path)
		}
		cross := b.post(at(r, f.org), url.Values{}, "Sec-Fetch-Site", "cross-site")
		require.Equal(t, 403, cross.status, r.Path)
		require.NotContains(t, cross.body, "The form is too old", "%s: refused before", r.Path)
	}
	require.Greater(t, walked, 30)
	require.Equal(t, before, f.state())
	require.Equal(t, "/app/operator", b.get("/app/").at, "not even logged out")
}

// state is what forms of the organization could have changed.
func (f *fixture) state() (state [3]int) {
	f.t.Helper()
	require.NoError(f.t, app.Pool.QueryRow(f.t.Context(), `SELECT (SELECT count(*) FROM member WHERE org = $1 AND removed_at IS NULL),
		(SELECT count(*) FROM api_key WHERE org = $1 AND revoked_at IS NULL), (SELECT count(*) FROM organization WHERE id = $1 AND suspended_at IS NULL AND closed_at IS NULL)`, f.org).Scan(&state[0], &state[1], &state[2]))
	return state
}

// TestEachRouteNeedsItsRole: what an admin or the operator may do is refused to
// who is less.
func TestEachRouteNeedsItsRole(t *testing.T) {
	f := setup(t, "quick")
	for who, b := range map[string]*browser{"member": f.as("jane"), "admin": f.as("ann")} {
		token, walked := b.token(), 0
		for _, r := range dashboard.Routes() {
			if r.Needs == "" || r.Needs == "admin" && who == "admin" {
				continue
			}
			walked++
			said := b.try(r, f.org, token)
			require.Equal(t, 403, said.status, "%s: %s %s", who, r.Method, r.Path)
			require.Contains(t, said.body, "Not allowed", "%s: %s %s", who, r.Method, r.Path)
		}
		require.Greater(t, walked, 15, who)
	}
}

// TestNamesAreText: what people write stays text on every page.
func TestNamesAreText(t *testing.T) {
	f := setup(t, "quick")
	const evil = `<img src=x onerror="alert(1)">`
	_, err := app.Pool.Exec(t.Context(), `UPDATE organization SET name = $2 WHERE id = $1`, f.org, evil)
	require.NoError(t, err)
	_, err = app.Accounts.UpdateMember(t.Context(), f.org, "jane", account.MemberChange{Name: evil})
	require.NoError(t, err)
	b := f.with(operatorKey)
	order := f.placeAs(f.org, 2)
	quoted := b.send("/app/o/"+f.org+"/new/quote", url.Values{"kind": {"lead_list"}, "count": {"1"}, "title": {evil}, "company": {evil}})
	require.NotContains(t, quoted.body, "<img")
	asked := url.Values{}
	for _, name := range []string{"find", "member", "order", "title", "country", "company", "domain", "status", "kind", "type", "from", "to", "verdict", "ids", "missing", "org", "column", "done", "sent", "added", "taken", "next"} {
		asked.Set(name, evil)
	}
	for _, query := range []string{"", "?" + asked.Encode()} {
		for _, r := range dashboard.Routes() {
			if r.Method != http.MethodGet || strings.HasSuffix(r.Path, "/events") && strings.Contains(r.Path, "{id}") {
				continue
			}
			said := b.get(strings.ReplaceAll(at(r, f.org), "ord_x", order) + query)
			require.NotEqual(t, 500, said.status, "%s%s", r.Path, query)
			if strings.HasPrefix(said.header.Get("Content-Type"), "text/html") {
				require.Empty(t, inline(said.body), "%s%s", r.Path, query)
			}
		}
	}
}

// inline are the parts of a page that would be script or style, or a picture.
func inline(body string) (found []string) {
	for z := html.NewTokenizer(strings.NewReader(body)); z.Next() != html.ErrorToken; {
		token := z.Token()
		if token.Type != html.StartTagToken && token.Type != html.SelfClosingTagToken {
			continue
		}
		from := slices.ContainsFunc(token.Attr, func(a html.Attribute) bool { return a.Key == "src" })
		if token.Data == "img" || token.Data == "style" || token.Data == "script" && !from {
			found = append(found, token.String())
		}
		for _, a := range token.Attr {
			if a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.ToLower(a.Val), "javascript:") && a.Key == "href" {
				found = append(found, token.String())
			}
		}
	}
	return found
}

// TestLocalPage: a login leads to a page of the dashboard, and nowhere else.
func TestLocalPage(t *testing.T) {
	for next, good := range map[string]bool{
		"/app/o/acme/orders?status=settled": true, "/app/": true, "/app": true, "/app/o/acme/new/leads?title=a%2F..%2Fb": true,
		"": false, "//evil.example": false, "https://evil.example/app/": false, "/\\evil.example": false, "/app/../docs": false, "/app/%2e%2e/docs": false,
		"/app/..%2f..%2fdocs": false, "/appendix": false, "app/": false, "/app/\r\nSet-Cookie: x": false, "javascript:alert(1)": false, "///app/": false, "/app/\\..\\x": false,
	} {
		want := ""
		if good {
			want = next
		}
		require.Equal(t, want, dashboard.LocalPage(next), next)
	}
}
