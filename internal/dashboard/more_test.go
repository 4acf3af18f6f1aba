package dashboard_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
)

// settled waits until an order is over.
func (f *fixture) settled(id string) {
	f.t.Helper()
	require.Eventually(f.t, func() bool {
		var over bool
		return app.Pool.QueryRow(f.t.Context(), `SELECT status = 'settled' FROM orders WHERE id = $1`, id).Scan(&over) == nil && over
	}, time.Minute, 50*time.Millisecond)
}

// TestTeamForms: an admin changes a member's name and role, and removes who is
// named a second time.
func TestTeamForms(t *testing.T) {
	f := setup(t, "quick")
	b, jane := f.as("ann"), f.as("jane")
	at := "/app/o/" + f.org + "/team"
	require.Contains(t, b.send(at+"/jane", url.Values{"name": {"Jane Doe"}, "role": {"admin"}}).body, `Jane Doe <span class="badge">admin`)
	m, err := app.Accounts.Member(t.Context(), f.org, "jane")
	require.NoError(t, err)
	require.Equal(t, account.RoleAdmin, m.Role)
	refused := b.send(at+"/jane/remove", url.Values{"confirm": {"ann"}})
	require.Equal(t, 422, refused.status)
	require.Contains(t, refused.body, "Write the id jane")
	require.Equal(t, "/app/o/"+f.org, jane.get("/app/").at)
	require.NotContains(t, b.send(at+"/jane/remove", url.Values{"confirm": {"jane"}}).body, "Jane Doe")
	require.Equal(t, "/app/login", jane.get("/app/").at, "the session ends")
	for _, page := range []string{"/credits?member=ann", "/orders?member=ann"} {
		require.Equal(t, 200, b.get("/app/o/"+f.org+page).status, "the details of a member")
	}
}

// TestSettingsForm: the operator and admins change the name and the time zone, in
// which times are shown.
func TestSettingsForm(t *testing.T) {
	f := setup(t, "quick")
	b := f.with(operatorKey)
	at := "/app/o/" + f.org + "/settings"
	require.Contains(t, b.send(at, url.Values{"name": {"Renamed"}, "time_zone": {"Asia/Tokyo"}}).body, "<dd>Asia/Tokyo</dd>")
	f.settled(f.placeAs(f.org, 1))
	require.Contains(t, f.as("ann").get("/app/o/"+f.org+"/orders").body, " JST")
	require.Equal(t, 422, b.send(at, url.Values{"name": {"Renamed"}, "time_zone": {"Mars/North"}}).status)
	require.Contains(t, f.as("ann").send(at, url.Values{"name": {"Ann's"}, "time_zone": {"Europe/Oslo"}}).body, "<dd>Europe/Oslo</dd>")
	require.Equal(t, 403, f.as("jane").send(at, url.Values{"time_zone": {"UTC"}}).status)
}

// TestWebhookPage: an endpoint is tested, changed, paused and given a new secret,
// and what it has not taken is sent again.
func TestWebhookPage(t *testing.T) {
	f := setup(t, "quick")
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusTeapot)
		}
	}))
	t.Cleanup(endpoint.Close)
	b := f.as("ann")
	settings := "/app/o/" + f.org + "/settings"
	made := b.send(settings+"/webhooks", url.Values{"url": {endpoint.URL}})
	require.Equal(t, 200, made.status, made.body)
	at := regexp.MustCompile(settings + `/webhooks/wh_[a-z0-9]+`).FindString(made.body)
	require.NotEmpty(t, at)
	require.Contains(t, b.send(at+"/test", url.Values{"event": {"credits.low"}}).body, "The endpoint took the example of credits.low and answered 200.")
	require.Contains(t, b.send(at, url.Values{"url": {endpoint.URL + "/bad"}, "events": {"order.settled, credits.low"}}).body, `value="order.settled, credits.low"`)
	require.Contains(t, b.send(at+"/test", url.Values{"event": {"credits.low"}}).body, "The endpoint did not take the example")
	require.Contains(t, b.send(at, url.Values{"paused": {"true"}}).body, `b-paused">paused`)
	require.Contains(t, b.get(settings).body, `b-paused">paused`)
	require.NotContains(t, b.send(at, url.Values{"paused": {"false"}}).body, `b-paused">paused`)
	require.Contains(t, b.send(at+"/rotate", url.Values{}).body, `class="secret">whsec_`)
	require.NotContains(t, b.get(at).body, "whsec_", "once")
	require.Contains(t, b.send(at+"/replay", url.Values{}).body, "There is nothing to send again.")
	require.Equal(t, 422, b.send(at, url.Values{"url": {"nonsense"}}).status)
}

// TestContacts: the contacts of an order are searched and paged, each with its
// evidence; what was not delivered is masked.
func TestContacts(t *testing.T) {
	f := setup(t, "quick")
	id := f.placeAs(f.org, 120)
	f.settled(id)
	b := f.as("jane")
	at := "/app/o/" + f.org + "/orders/" + id + "/contacts"
	o, err := app.Book.Get(t.Context(), f.org, id)
	require.NoError(t, err)
	count := func(query string) (rows int, delivered []string) {
		for next := at + "?" + query; ; {
			shown := b.get(next)
			require.Equal(t, 200, shown.status, shown.body)
			on := strings.Count(shown.body, `data-label="Verdict"`)
			require.LessOrEqual(t, on, 50)
			rows += on
			delivered = append(delivered, regexp.MustCompile(`[a-z.\-_0-9]+@[a-z\-0-9.]+\.test`).FindAllString(shown.body, -1)...)
			more := regexp.MustCompile(`href="([^"]+cursor=[^"]+)"`).FindStringSubmatch(shown.body)
			if more == nil {
				return rows, delivered
			}
			next = unescape(more[1])
		}
	}
	rows, _ := count("")
	require.EqualValues(t, o.Tally.Verified(), rows)
	valid, addresses := count("verdict=valid")
	require.EqualValues(t, o.Tally.Valid, valid)
	require.NotEmpty(t, addresses)
	invalid, masked := count("verdict=invalid")
	require.EqualValues(t, o.Tally.Invalid, invalid)
	require.Empty(t, masked, "what was not delivered is masked")
	one, _ := count("find=" + url.QueryEscape(strings.ToUpper(addresses[0])))
	require.Equal(t, 1, one)
	require.Contains(t, b.get(at+"?verdict=valid").body, "SMTP reply")
	require.Contains(t, b.get(at+"?find=nobody-has-this").body, "No contact matches the filter.")
	require.Contains(t, b.get("/app/o/"+f.org+"/orders/"+id).body, at)

	found := b.get("/app/o/" + f.org + "/leads?find=" + url.QueryEscape(addresses[0]))
	require.Equal(t, 1, strings.Count(found.body, `data-label="Lead"`), "what is owned is searched")
	require.Contains(t, found.body, addresses[0])
	require.Contains(t, b.get("/app/o/"+f.org+"/leads?find=nobody-has-this").body, "Nothing found")
	lead := regexp.MustCompile(`data-label="Lead"><code>([^<]+)<`).FindStringSubmatch(found.body)
	require.NotNil(t, lead)
	require.Equal(t, 422, b.send("/app/o/"+f.org+"/new/quote", url.Values{"kind": {"export"}, "lead_ids": {lead[1]}}).status, "the plan sells no exports")
}

// TestReverse: the operator credits back what an order charged, once however often
// the form is sent.
func TestReverse(t *testing.T) {
	f := setup(t, "quick")
	id := f.placeAs(f.org, 20)
	f.settled(id)
	at := "/app/o/" + f.org + "/orders/" + id
	b := f.with(operatorKey)
	form := fields(b.get(at).body, at+"/reverse")
	require.NotEmpty(t, form.Get("key"))
	require.NotContains(t, f.as("ann").get(at).body, at+"/reverse")
	form.Set("reason", "ordered by mistake")
	for range 2 {
		require.Contains(t, b.post(at+"/reverse", form).body, "is credited back")
	}
	o, err := app.Book.Get(t.Context(), f.org, id)
	require.NoError(t, err)
	require.Positive(t, o.Credits[0].Captured)
	require.Equal(t, o.Credits[0].Captured, o.Credits[0].Reversed)
	require.NotContains(t, b.get(at).body, at+"/reverse", "nothing is left to credit back")
	require.Contains(t, b.get(at).body, "Credited back")
}

// TestAllOrders: the operator's list is of all organizations, or of one.
func TestAllOrders(t *testing.T) {
	f := setup(t, "quick")
	id := f.placeAs(f.org, 1)
	f.settled(id)
	b := f.with(operatorKey)
	require.Contains(t, b.get("/app/operator/orders").body, id)
	require.Contains(t, b.get("/app/operator/orders?kind=lead_list&org="+f.org).body, id)
	require.NotContains(t, b.get("/app/operator/orders?kind=export&org="+f.org).body, id)
	none := b.get("/app/o/" + f.org + "/orders?from=2020-01-01&to=2020-01-02")
	require.Contains(t, none.body, "No order matches the filter.")
	today := time.Now().In(berlin(t)).Format(time.DateOnly)
	require.Contains(t, b.get("/app/o/"+f.org+"/orders?member=jane&from="+today+"&to="+today).body, id, "the last day counts")
	require.Contains(t, b.get("/app/o/"+f.org+"/events?from="+today+"&to="+today).body, "credits.granted", "of events, too")
}

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	return zone
}

// TestBadRows: what cannot be read of a list is shown with its line, and the page
// can be loaded again.
func TestBadRows(t *testing.T) {
	f := setup(t, "quick")
	b := f.as("jane")
	at := "/app/o/" + f.org + "/new/list"
	read := b.do("POST", at, strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n"+b.token()+
		"\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"l.csv\"\r\n\r\nemail,name\na@nowhere.invalid,A\nnonsense,<b>B</b>\n\r\n--x--\r\n"), "Content-Type", "multipart/form-data; boundary=x")
	require.Equal(t, 200, read.status, read.body)
	require.Contains(t, read.body, "Rows without a usable address")
	require.Regexp(t, `<td class="num">3</td><td class="wide"><code>nonsense, &lt;b&gt;B`, read.body)
	id := fields(read.body, "/new/quote").Get("list_id")
	require.Contains(t, b.get(at+"?list="+id).body, "What was read")
	foreign := f.org + "-foreign"
	f.addOrg(foreign, "quick")
	g := *f
	g.org = foreign
	require.Equal(t, 404, g.as("ann").get("/app/o/"+foreign+"/new/list?list="+id).status)
}

// TestErrorsSayWhatToDo: a form that is not valid says which field, leads back, and
// is not followed by a button that does nothing.
func TestErrorsSayWhatToDo(t *testing.T) {
	f := setup(t, "quick")
	f.grant(10)
	b := f.as("ann")
	at := "/app/o/" + f.org
	bad := b.get(at + "/new/leads?headcount_min=many")
	require.Equal(t, 422, bad.status)
	require.Contains(t, bad.body, "Headcount min: ")
	require.Contains(t, bad.body, `value="many"`, "the form keeps what was written")
	status := b.get(at + "/orders?status=bogus")
	require.NotContains(t, status.body, "query.")
	token := b.token()
	refused := b.post(at+"/team", url.Values{"csrf": {token}, "id": {"a b"}, "name": {"X"}, "role": {"member"}}, "Referer", f.url+at+"/team")
	require.Equal(t, 422, refused.status)
	require.Equal(t, 1, strings.Count(refused.body, "is not a member id"), "once")
	require.NotContains(t, b.do("GET", at+"/orders/none", nil, "Referer", "https://evil.example/app/x").body, ">Back<")
	nothing := b.send(at+"/new/quote", url.Values{"kind": {"lead_list"}, "count": {"5"}, "country": {"XX"}})
	require.Contains(t, nothing.body, "There is nothing to order")
	require.NotContains(t, nothing.body, "Place the order")
	ended := f.as("jane")
	_, err := app.Pool.Exec(t.Context(), `DELETE FROM session WHERE org = $1`, f.org)
	require.NoError(t, err)
	require.Contains(t, ended.get(at).body, "Your session has ended")
	require.NotContains(t, f.browser().get(at).body, "Your session has ended")
}

// TestDownloadsAreSafe: cells of files do nothing in a spreadsheet.
func TestDownloadsAreSafe(t *testing.T) {
	f := setup(t, "quick")
	f.grant(10)
	operator := f.with(operatorKey)
	form := fields(operator.get("/app/o/"+f.org+"/grants").body, `action="/app/o/`+f.org+`/grants"`)
	form.Set("type", "email")
	form.Set("amount", "5")
	form.Set("source", "pack")
	form.Set("reason", "=cmd|' /C calc'!A0")
	require.Equal(t, 200, operator.post("/app/o/"+f.org+"/grants", form).status)
	history := operator.get("/app/o/" + f.org + "/credits/history.csv").body
	require.Contains(t, history, "cmd|' /C calc'!A0")
	require.NotRegexp(t, `(?m)(^|[,"])=cmd`, history)
	b := f.as("jane")
	at := "/app/o/" + f.org
	read := b.do("POST", at+"/new/list", strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n"+b.token()+
		"\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"l.csv\"\r\n\r\nemail,=cmd|head\na@nowhere.invalid,=cmd|' /C calc'!A0\n\r\n--x--\r\n"), "Content-Type", "multipart/form-data; boundary=x")
	quoted := b.post(at+"/new/quote", fields(read.body, "/new/quote"))
	placed := b.post(at+"/new/place", fields(quoted.body, "/new/place"))
	id := placed.at[strings.LastIndex(placed.at, "/")+1:]
	f.settled(id)
	file := b.get(placed.at + "/results.csv").body
	require.Contains(t, file, "cmd|' /C calc'!A0")
	require.NotRegexp(t, `(?m)(^|[,"])=cmd`, file)
	var row map[string]any
	require.NoError(t, json.Unmarshal([]byte(b.get(placed.at+"/results.ndjson").body), &row))
	require.Contains(t, fmt.Sprint(row), "=cmd|' /C calc'!A0", "as it is for programs")
}

// TestPastedTextIsWhole: what is too long to be pasted is refused, not cut.
func TestPastedTextIsWhole(t *testing.T) {
	f := setup(t, "quick")
	b := f.as("jane")
	long := strings.Repeat("someone@nowhere.invalid\n", 1<<20/24+10)
	said := b.do("POST", "/app/o/"+f.org+"/new/list", strings.NewReader("--x\r\nContent-Disposition: form-data; name=\"csrf\"\r\n\r\n"+b.token()+
		"\r\n--x\r\nContent-Disposition: form-data; name=\"text\"\r\n\r\n"+long+"\r\n--x--\r\n"), "Content-Type", "multipart/form-data; boundary=x")
	require.Equal(t, 413, said.status)
	require.Contains(t, said.body, "Upload a file instead")
	require.Equal(t, 413, b.send("/app/o/"+f.org+"/new/quote", url.Values{"lead_ids": {long}}).status)
}

// TestCreditMonth: shared credits end with the organization's month, those of a
// licence with the licence's.
func TestCreditMonth(t *testing.T) {
	zone := berlin(t)
	for planID, shared := range map[string]bool{"workspace-paid": true, "licence-monthly": false} {
		f := &fixture{t: t, org: "month-" + planID}
		f.serve()
		anchor := time.Now().AddDate(0, 0, -10)
		_, err := app.Accounts.CreateOrg(t.Context(), account.Org{ID: f.org, Name: "Test " + f.org, Plan: planID, TimeZone: "Europe/Berlin", Anchor: anchor})
		require.NoError(t, err)
		_, err = app.Accounts.CreateMember(t.Context(), account.Member{Org: f.org, ID: "ann", Name: "Ann", Role: account.RoleAdmin})
		require.NoError(t, err)
		home, last := f.as("ann").get("/app/o/"+f.org).body, anchor.In(zone).AddDate(0, 1, 0).Add(-time.Second).Format("2 Jan 2006")
		require.Equal(t, shared, strings.Contains(home, "<dt>Credit month ends</dt><dd>"+last), planID)
		require.Contains(t, home, "<dt>Credit month ends</dt>", planID)
		require.Equal(t, !shared, strings.Contains(f.as("ann").get("/app/o/"+f.org+"/team").body, "last day of the credit month"), planID)
	}
}

// TestOverAllOrganizations: the operator sees events and resets of all organizations,
// and a period that has ended is marked; admins see none of it.
func TestOverAllOrganizations(t *testing.T) {
	f := setup(t, "workspace-paid")
	other := f.org + "-other"
	f.addOrg(other, "workspace-paid")
	for _, org := range []string{f.org, other} {
		_, err := app.Accounts.Suspend(t.Context(), org)
		require.NoError(t, err)
	}
	b := f.with(operatorKey)
	require.Eventually(t, func() bool {
		all := b.get("/app/operator/events?type=org.suspended").body
		return strings.Contains(all, `/app/o/`+f.org+`/events"`) && strings.Contains(all, `/app/o/`+other+`/events"`)
	}, 20*time.Second, 50*time.Millisecond)
	one := b.get("/app/operator/events?org=" + other).body
	require.Contains(t, one, other+`/events"`)
	require.NotContains(t, one, `/app/o/`+f.org+`/events"`)
	require.Contains(t, b.get("/app/operator/events?org=none").body, "No event matches the filter.")
	require.Equal(t, 422, b.get("/app/operator/events?from=yesterday").status, "a filter that is none selects nothing")
	require.Equal(t, 422, b.get("/app/operator/orders?to=32.13.2026").status)

	_, err := app.Pool.Exec(t.Context(), `UPDATE subscription SET anchor = anchor - interval '2 months', due_at = now() - interval '1 hour' WHERE org = $1`, f.org)
	require.NoError(t, err)
	resets := b.get("/app/operator/resets").body
	require.Regexp(t, `>due</span></td><td[^>]*><a href="/app/o/`+f.org+`">`, resets)
	require.Contains(t, resets, `/app/o/`+other+`/resets"`)
	for _, page := range []string{"events", "resets"} {
		require.Equal(t, 403, f.as("ann").get("/app/operator/"+page).status)
	}
}
