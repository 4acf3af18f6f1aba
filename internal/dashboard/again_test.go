package dashboard_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/dashboard"
)

// TestRefusedFormsComeAgain: what was typed into a form that is refused stands in it,
// with the reason, also in forms that share their address with others.
func TestRefusedFormsComeAgain(t *testing.T) {
	f := setup(t, "quick")
	f.grant(10)
	at := "/app/o/" + f.org
	for _, c := range []struct {
		who, page, action string
		form              url.Values
		says, kept        string
	}{
		{"ann", "/team", "/team", url.Values{"id": {"a b"}, "name": {"Zoë \"Z\" <b>"}, "role": {"admin"}}, "is not a member id", `value="Zoë &#34;Z&#34; &lt;b&gt;"`},
		{"ann", "/team", "/team/jane/budget", url.Values{"type": {"email"}, "amount": {"-5 many"}}, "whole number of credits", `value="-5 many"`},
		{"ann", "/team", "/team/jane/remove", url.Values{"confirm": {"janne"}}, "Write the id jane", `value="janne"`},
		{"ann", "/team", "/team/jane", url.Values{"name": {strings.Repeat("x", 300)}, "role": {"member"}}, "longer than 200 bytes", strings.Repeat("x", 300)},
		{"ann", "/settings", "/settings", url.Values{"name": {"New name"}, "time_zone": {"Mars/North"}}, "Mars/North", `value="New name"`},
		{"ann", "/settings", "/settings/webhooks", url.Values{"url": {"ftp://example.com/é"}, "events": {"order.settled"}}, "", `value="ftp://example.com/é"`},
		{"ann", "/alerts", "/alerts", url.Values{"type": {"email"}, "member": {""}, "thresholds": {"5, many"}}, "Write numbers of credits", `value="5, many"`},
		{"ann", "/new/leads?country=US", "/new/quote", url.Values{"kind": {"lead_list"}, "country": {"US"}, "count": {"a lot"}, "fill": {"1"}}, "The count is not a whole number", `value="a lot"`},
		{"ann", "/new/leads?country=US", "/new/quote", url.Values{"kind": {"lead_list"}, "country": {"US"}, "count": {"99999999999"}, "fill": {"1"}}, "", `value="99999999999"`},
		{"ann", "/new/reveal", "/new/quote", url.Values{"kind": {"reveal"}, "lead_ids": {"\nlead_1 lead_2"}}, "", "lead_1 lead_2</textarea>"},
		{"", "/grants", "/grants", url.Values{"type": {"email"}, "amount": {"0"}, "source": {"promotion"}, "reason": {"a gift"}}, "1 or more", `value="a gift"`},
		{"", "/grants", "/grants", url.Values{"type": {"email"}, "amount": {"5"}, "source": {"pack"}, "member": {"nobody"}}, "", `value="nobody"`},
	} {
		b := f.with(operatorKey)
		if c.who != "" {
			b = f.as(c.who)
		}
		c.form.Set("csrf", b.token())
		said := b.post(at+c.action, c.form, "Referer", f.url+at+c.page)
		require.Equal(t, 422, said.status, "%s %s", c.action, said.body)
		require.Contains(t, said.body, c.kept, c.action)
		reason := regexp.MustCompile(`class="notice bad refused" role="alert">([^<]+)<`).FindStringSubmatch(said.body)
		require.NotNil(t, reason, c.action)
		require.Contains(t, reason[1], c.says, c.action)
		require.Contains(t, said.body, "autofocus", c.action)
		require.Equal(t, 1, strings.Count(said.body, "</html>"))
	}
	b := f.as("ann")
	said := b.post(at+"/new/quote", url.Values{"csrf": {b.token()}, "kind": {"lead_list"}, "count": {"a lot"}, "fill": {"1"}}, "Referer", f.url+at+"/new/leads")
	require.Regexp(t, `name="fill" value="1" checked`, said.body)
	elsewhere := b.post(at+"/team", url.Values{"csrf": {b.token()}, "id": {"a b"}, "name": {"Zoe"}}, "Referer", "https://evil.example/app/x")
	require.Equal(t, 422, elsewhere.status)
	require.Contains(t, elsewhere.body, "Send the form again", "where the page is not known, the form is kept")
}

// again is the form that a page offers to send once more.
func again(t *testing.T, body, action string) url.Values {
	t.Helper()
	require.Contains(t, body, "Send the form again")
	return fields(body, `action="`+action+`"`)
}

// TestFormsOutliveTheirSession: a form that comes after its session has ended does
// nothing, and is sent again after a login.
func TestFormsOutliveTheirSession(t *testing.T) {
	f := setup(t, "quick")
	b := f.as("ann")
	action := "/app/o/" + f.org + "/team"
	form := url.Values{"csrf": {b.token()}, "id": {"zoe"}, "name": {"Zoë <b>"}, "role": {"member"}}
	_, err := app.Pool.Exec(t.Context(), `DELETE FROM session WHERE org = $1`, f.org)
	require.NoError(t, err)
	said := b.post(action, form, "Referer", f.url+action)
	require.Equal(t, 401, said.status)
	require.Contains(t, said.body, "Your session has ended")
	require.Contains(t, said.body, "Zoë &lt;b&gt;")
	require.Contains(t, said.body, "next="+url.QueryEscape(action))
	_, key, err := app.Accounts.CreateKey(t.Context(), f.org, "ann", "")
	require.NoError(t, err)
	require.Equal(t, 200, b.post("/app/login", url.Values{"key": {key}}).status)
	said = b.post(action, again(t, said.body, action))
	require.Equal(t, 403, said.status)
	require.Contains(t, said.body, "The form is too old")
	said = b.post(action, again(t, said.body, action))
	require.Equal(t, 200, said.status)
	m, err := app.Accounts.Member(t.Context(), f.org, "zoe")
	require.NoError(t, err)
	require.Equal(t, "Zoë <b>", m.Name)
}

// TestPastedListsAreKept: pasted text outlives its session, and a column that the
// list does not have.
func TestPastedListsAreKept(t *testing.T) {
	f := setup(t, "quick")
	b := f.as("ann")
	action := "/app/o/" + f.org + "/new/list"
	paste := func(token, column string) page {
		body := "--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n" + token + "\r\n--x\r\nContent-Disposition: form-data; name=\"column\"\r\n\r\n" + column +
			"\r\n--x\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\nname,mail\nAnn,ann@example.com\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\r\n\r\n--x--\r\n"
		return b.do("POST", action, strings.NewReader(body), "Content-Type", "multipart/form-data; boundary=x")
	}
	wrong := paste(b.token(), "address")
	require.Equal(t, 422, wrong.status)
	require.Contains(t, wrong.body, "Ann,ann@example.com</textarea>")
	require.Contains(t, wrong.body, `value="address"`)
	old := paste("0", "mail")
	require.Equal(t, 403, old.status)
	require.Contains(t, old.body, `enctype="multipart/form-data"`)
	require.Contains(t, again(t, old.body, action).Get("text"), "Ann,ann@example.com")
	b.send("/app/logout", url.Values{})
	ended := paste("0", "mail")
	require.Equal(t, 401, ended.status)
	require.Contains(t, again(t, ended.body, action).Get("text"), "Ann,ann@example.com")
}

// TestSlowFormsAreKept: a form that took too long can be sent again, as the same one.
func TestSlowFormsAreKept(t *testing.T) {
	f := setup(t, "quick")
	b := f.with(operatorKey)
	at := "/app/o/" + f.org + "/grants"
	form := fields(b.get(at).body, `action="`+at+`"`)
	form.Set("type", "email")
	form.Set("amount", "70")
	form.Set("source", "pack")
	restore := dashboard.PageWithin(300 * time.Millisecond)
	t.Cleanup(restore)
	tx, err := app.Pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), `LOCK TABLE session, api_key IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	slow := b.post(at, form, "Referer", f.url+at)
	require.Equal(t, 503, slow.status)
	kept := again(t, slow.body, at)
	require.Equal(t, form.Get("key"), kept.Get("key"), "the same one")
	require.Equal(t, "70", kept.Get("amount"))
}
