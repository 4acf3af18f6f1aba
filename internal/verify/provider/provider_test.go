package provider_test

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/verify"
	"holdfast/internal/verify/provider"
)

var write = flag.Bool("write", false, "write the table of the README instead of comparing it")

// service runs a server that speaks a provider's wire format on loopback.
func service(t *testing.T, name string, handle http.HandlerFunc, adjust ...func(*provider.Config)) *provider.Provider {
	t.Helper()
	server := httptest.NewServer(handle)
	t.Cleanup(server.Close)
	c := provider.Config{Name: name, URL: server.URL, Key: "sesame", Timeout: 5 * time.Second, Retries: -1}
	for _, a := range adjust {
		a(&c)
	}
	p, err := provider.New(c)
	require.NoError(t, err)
	return p
}

func ask(t *testing.T, v provider.Verifier, emails ...string) []verify.Result {
	t.Helper()
	results := make([]verify.Result, len(emails))
	answered := make([]int, len(emails))
	require.NoError(t, v.Verify(t.Context(), emails, func(i int, r verify.Result) {
		results[i] = r
		answered[i]++
	}))
	for i, n := range answered {
		require.Equal(t, 1, n, emails[i])
		require.Equal(t, emails[i], results[i].Email)
	}
	return results
}

func verdict(r verify.Result) string { return fmt.Sprintf("%s %s", r.Verdict, r.Reason) }

func reply(t *testing.T, w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "application/json")
	if _, err := io.WriteString(w, body); err != nil {
		t.Error(err)
	}
}

func TestReacher(t *testing.T) {
	const mx = `"mx":{"accepts_mail":true,"records":["mx.example.com."]},"syntax":{"is_valid_syntax":true}`
	misc := func(disposable bool) string {
		return fmt.Sprintf(`"misc":{"is_disposable":%t,"is_role_account":true,"is_b2c":false},`, disposable)
	}
	smtp := func(connect, full, catchAll, deliverable, disabled bool) string {
		return fmt.Sprintf(`"smtp":{"can_connect_smtp":%t,"has_full_inbox":%t,"is_catch_all":%t,"is_deliverable":%t,"is_disabled":%t},`, connect, full, catchAll, deliverable, disabled)
	}
	answers := map[string][2]string{
		"valid@x.test":      {`{"is_reachable":"safe",` + misc(false) + smtp(true, false, false, true, false) + mx + `}`, "valid accepted"},
		"missing@x.test":    {`{"is_reachable":"invalid",` + misc(false) + smtp(true, false, false, false, false) + mx + `}`, "invalid no_such_user"},
		"full@x.test":       {`{"is_reachable":"invalid",` + misc(false) + smtp(true, true, false, false, false) + mx + `}`, "risky mailbox_full"},
		"disabled@x.test":   {`{"is_reachable":"invalid",` + misc(false) + smtp(true, false, false, false, true) + mx + `}`, "invalid mailbox_disabled"},
		"all@x.test":        {`{"is_reachable":"risky",` + misc(false) + smtp(true, false, true, true, false) + mx + `}`, "catch_all domain_accepts_all"},
		"disposable@x.test": {`{"is_reachable":"risky",` + misc(true) + smtp(true, false, false, true, false) + mx + `}`, "disposable disposable_domain"},
		"error@x.test":      {`{"is_reachable":"unknown",` + misc(false) + `"smtp":{"error":{"type":"SmtpError","message":"timeout"}},` + mx + `}`, "unknown provider_failed"},
		"nomx@x.test":       {`{"is_reachable":"invalid","mx":{"accepts_mail":false,"records":[]},"syntax":{"is_valid_syntax":true},"smtp":{}}`, "invalid no_mail_host"},
		"syntax@x.test":     {`{"is_reachable":"invalid","mx":{"accepts_mail":false},"syntax":{"is_valid_syntax":false}}`, "invalid syntax"},
		"refused@x.test":    {`{"error":"no credits"}`, "unknown provider_failed"},
		"garbage@x.test":    {`<html>`, "unknown provider_failed"},
	}
	p := service(t, "reacher", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			To string `json:"to_email"`
		}
		if json.NewDecoder(r.Body).Decode(&body) != nil || r.URL.Path != "/v0/check_email" || r.Method != http.MethodPost || r.Header.Get("Authorization") != "sesame" {
			http.Error(w, "bad request", http.StatusBadRequest)
			return
		}
		reply(t, w, answers[body.To][0])
	})
	for email, a := range answers {
		r := ask(t, p, email)[0]
		require.Equal(t, a[1], verdict(r), email)
		require.Equal(t, "reacher", r.Engine)
		if r.Verdict == verify.Valid {
			require.True(t, r.Role)
			require.Equal(t, "mx.example.com", r.MXHost)
		}
	}
}

func TestZeroBounce(t *testing.T) {
	statuses := map[string][3]string{
		"valid@x.test":      {"valid", "", "valid accepted"},
		"missing@x.test":    {"invalid", "mailbox_not_found", "invalid no_such_user"},
		"nodns@x.test":      {"invalid", "no_dns_entries", "invalid no_mail_host"},
		"full@x.test":       {"invalid", "mailbox_quota_exceeded", "risky mailbox_full"},
		"all@x.test":        {"catch-all", "", "catch_all domain_accepts_all"},
		"disposable@x.test": {"do_not_mail", "disposable", "disposable disposable_domain"},
		"info@x.test":       {"do_not_mail", "role_based", "valid accepted"},
		"trap@x.test":       {"spamtrap", "", "risky policy"},
		"grey@x.test":       {"unknown", "greylisted", "unknown greylisted"},
		"new@x.test":        {"invalid", "a_word_of_tomorrow", "unknown provider_failed"},
	}
	one := func(email string) string {
		s := statuses[email]
		return fmt.Sprintf(`{"address":%q,"status":%q,"sub_status":%q,"free_email":false,"mx_record":"mx.x.test","did_you_mean":null}`, strings.ToLower(email), s[0], s[1])
	}
	var singles, batches atomic.Int64
	p := service(t, "zerobounce", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/validate" && r.URL.Query().Get("api_key") == "sesame" {
			singles.Add(1)
			reply(t, w, one(r.URL.Query().Get("email")))
			return
		}
		var body struct {
			Key   string `json:"api_key"`
			Batch []struct {
				Email string `json:"email_address"`
			} `json:"email_batch"`
		}
		if json.NewDecoder(r.Body).Decode(&body) != nil || body.Key != "sesame" || r.URL.Path != "/v2/validatebatch" {
			reply(t, w, `{"error":"Invalid API key or your account ran out of credits"}`)
			return
		}
		batches.Add(1)
		var list []string
		for _, b := range body.Batch {
			list = append(list, one(b.Email))
		}
		reply(t, w, `{"email_batch":[`+strings.Join(list, ",")+`],"errors":[]}`)
	})
	var emails []string
	for email := range statuses {
		emails = append(emails, email)
	}
	for i, r := range ask(t, p, emails...) {
		require.Equal(t, statuses[emails[i]][2], verdict(r), emails[i])
	}
	require.EqualValues(t, 1, batches.Load())
	for _, email := range emails {
		require.Equal(t, statuses[email][2], verdict(ask(t, p, email)[0]), email)
	}
	require.EqualValues(t, len(emails), singles.Load())

	refusing := service(t, "zerobounce", func(w http.ResponseWriter, _ *http.Request) {
		reply(t, w, `{"error":"Invalid API key or your account ran out of credits"}`)
	})
	r := ask(t, refusing, "a@x.test")[0]
	require.Equal(t, "unknown provider_failed", verdict(r))
	require.Contains(t, r.SMTPText, "ran out of credits")
	require.Zero(t, refusing.Spent())
}

func TestNeverBounce(t *testing.T) {
	answers := map[string][2]string{
		"valid@x.test":      {`{"status":"success","result":"valid","flags":["has_dns","has_dns_mx"],"suggested_correction":""}`, "valid accepted"},
		"missing@x.test":    {`{"status":"success","result":"invalid","flags":["has_dns"],"suggested_correction":""}`, "invalid no_such_user"},
		"nodns@x.test":      {`{"status":"success","result":"invalid","flags":[]}`, "invalid no_mail_host"},
		"syntax@x.test":     {`{"status":"success","result":"invalid","flags":["bad_syntax"]}`, "invalid syntax"},
		"all@x.test":        {`{"status":"success","result":"catchall","flags":["has_dns"]}`, "catch_all domain_accepts_all"},
		"disposable@x.test": {`{"status":"success","result":"disposable","flags":["has_dns","disposable_email"]}`, "disposable disposable_domain"},
		"unknown@x.test":    {`{"status":"success","result":"unknown","flags":["has_dns"]}`, "unknown provider_failed"},
		"auth@x.test":       {`{"status":"auth_failure","message":"Invalid API key"}`, "unknown provider_failed"},
		"throttled@x.test":  {`{"status":"throttle_triggered","message":"Too many requests"}`, "unknown provider_failed"},
	}
	p := service(t, "neverbounce", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v4/single/check" || r.URL.Query().Get("key") != "sesame" {
			reply(t, w, `{"status":"auth_failure","message":"no"}`)
			return
		}
		reply(t, w, answers[r.URL.Query().Get("email")][0])
	})
	for email, a := range answers {
		require.Equal(t, a[1], verdict(ask(t, p, email)[0]), email)
	}
}

func TestMillionVerifier(t *testing.T) {
	answers := map[string][2]string{
		"valid@x.test":      {`{"quality":"good","result":"ok","resultcode":1,"subresult":"ok","free":false,"role":true,"error":""}`, "valid accepted"},
		"missing@x.test":    {`{"quality":"bad","result":"invalid","resultcode":6,"subresult":"mailbox_not_found","error":""}`, "invalid no_such_user"},
		"full@x.test":       {`{"quality":"bad","result":"invalid","resultcode":6,"subresult":"mailbox_full","error":""}`, "risky mailbox_full"},
		"all@x.test":        {`{"quality":"risky","result":"catch_all","resultcode":2,"subresult":"catch_all","error":""}`, "catch_all domain_accepts_all"},
		"disposable@x.test": {`{"quality":"bad","result":"disposable","resultcode":5,"subresult":"disposable","error":""}`, "disposable disposable_domain"},
		"unknown@x.test":    {`{"quality":"","result":"unknown","resultcode":3,"subresult":"unknown","error":""}`, "unknown provider_failed"},
		"error@x.test":      {`{"quality":"","result":"error","resultcode":4,"subresult":"timeout","error":""}`, "unknown provider_failed"},
		"credits@x.test":    {`{"error":"insufficient credits"}`, "unknown provider_failed"},
	}
	p := service(t, "millionverifier", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v3/" || r.URL.Query().Get("api") != "sesame" {
			reply(t, w, `{"error":"apikey not found"}`)
			return
		}
		reply(t, w, answers[r.URL.Query().Get("email")][0])
	})
	for email, a := range answers {
		require.Equal(t, a[1], verdict(ask(t, p, email)[0]), email)
	}
}

const accepted = `{"result":"ok","error":""}`

// TestRetryAfter: after an answer "wait", the provider is asked again.
func TestRetryAfter(t *testing.T) {
	var requests atomic.Int64
	p := service(t, "millionverifier", func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		reply(t, w, accepted)
	}, func(c *provider.Config) { c.Retries = 1 })
	require.Equal(t, verify.Valid, ask(t, p, "a@x.test")[0].Verdict)
	require.EqualValues(t, 2, requests.Load())
}

// TestThrottled: a provider that is asked too often works; its circuit stays
// closed.
func TestThrottled(t *testing.T) {
	var requests atomic.Int64
	p := service(t, "millionverifier", func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) <= 5 {
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		reply(t, w, accepted)
	}, func(c *provider.Config) { c.Failures, c.Concurrency = 2, 1 })
	for _, r := range ask(t, p, "1@x.test", "2@x.test", "3@x.test", "4@x.test", "5@x.test") {
		require.Equal(t, "unknown provider_failed", verdict(r))
	}
	require.NoError(t, p.Preflight(t.Context()))
	require.Equal(t, verify.Valid, ask(t, p, "6@x.test")[0].Verdict)
}

// TestCircuit: a provider that keeps failing is left alone, and costs nothing.
func TestCircuit(t *testing.T) {
	var requests atomic.Int64
	broken := atomic.Bool{}
	broken.Store(true)
	p := service(t, "millionverifier", func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		if broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		reply(t, w, accepted)
	}, func(c *provider.Config) { c.Failures, c.Pause, c.Concurrency = 3, 500*time.Millisecond, 1 })
	for _, r := range ask(t, p, "1@x.test", "2@x.test", "3@x.test", "4@x.test", "5@x.test", "6@x.test") {
		require.Equal(t, "unknown provider_failed", verdict(r))
	}
	require.EqualValues(t, 3, requests.Load())
	require.Zero(t, p.Spent())
	var outage *verify.OutageError
	err := p.Verify(t.Context(), []string{"7@x.test"}, func(int, verify.Result) { t.Error("no service was asked") })
	require.ErrorAs(t, err, &outage)
	require.Equal(t, verify.ProviderFailed, outage.Reason)
	broken.Store(false)
	require.Eventually(t, func() bool { return p.Preflight(t.Context()) == nil }, 5*time.Second, 5*time.Millisecond)
	require.Equal(t, verify.Valid, ask(t, p, "7@x.test")[0].Verdict)
}

// TestSpendCap: no more addresses are asked for than may be paid.
func TestSpendCap(t *testing.T) {
	var requests atomic.Int64
	p := service(t, "millionverifier", func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		reply(t, w, accepted)
	}, func(c *provider.Config) { c.MaxSpend = 2 })
	valid := 0
	for _, r := range ask(t, p, "1@x.test", "2@x.test", "3@x.test", "4@x.test") {
		if r.Verdict == verify.Valid {
			valid++
		} else {
			require.Contains(t, r.SMTPText, "spend cap")
		}
	}
	require.Equal(t, 2, valid)
	require.EqualValues(t, 2, requests.Load())
	require.EqualValues(t, 2, p.Spent())
	require.ErrorContains(t, p.Preflight(t.Context()), "spend cap")
}

// TestSpendCapIsShared: workers that count together ask for no more than the cap,
// also at the same time.
func TestSpendCapIsShared(t *testing.T) {
	var requests atomic.Int64
	spent := verify.NewSpent(nil)
	worker := func() *provider.Provider {
		return service(t, "millionverifier", func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			reply(t, w, accepted)
		}, func(c *provider.Config) { c.MaxSpend, c.Spending, c.Concurrency = 10, spent, 25 })
	}
	var all sync.WaitGroup
	for _, p := range []*provider.Provider{worker(), worker()} {
		all.Go(func() {
			emails := make([]string, 25)
			for i := range emails {
				emails[i] = fmt.Sprintf("%d@x.test", i)
			}
			_ = p.Verify(t.Context(), emails, func(int, verify.Result) {}) // one may find the cap reached before it begins
		})
	}
	all.Wait()
	require.EqualValues(t, 10, requests.Load())
}

// TestWaterfall: what one does not know the next is asked for; where none
// knows the first one's answer stands.
func TestWaterfall(t *testing.T) {
	knows := func(name string, known ...string) provider.Verifier {
		return service(t, "millionverifier", func(w http.ResponseWriter, r *http.Request) {
			for _, k := range known {
				if k == r.URL.Query().Get("email") {
					reply(t, w, accepted)
					return
				}
			}
			reply(t, w, fmt.Sprintf(`{"result":"unknown","subresult":%q,"error":""}`, name))
		})
	}
	w := provider.Waterfall{knows("first", "1@x.test"), knows("second", "2@x.test"), knows("third", "1@x.test", "3@x.test")}
	results := ask(t, w, "1@x.test", "2@x.test", "3@x.test", "4@x.test")
	for _, r := range results[:3] {
		require.Equal(t, verify.Valid, r.Verdict, r.Email)
	}
	require.Equal(t, verify.Unknown, results[3].Verdict)
	require.Equal(t, "unknown first", results[3].SMTPText)
}

// scripted gives the verdicts it holds, and then fails.
type scripted struct {
	verdicts map[string]verify.Verdict
	err      error
}

func (s scripted) Preflight(context.Context) error { return s.err }

func (s scripted) Verify(_ context.Context, emails []string, each func(i int, r verify.Result)) error {
	for i, email := range emails {
		if v, ok := s.verdicts[email]; ok {
			each(i, verify.Result{Email: email, Verdict: v, Reason: verify.Temporary})
		}
	}
	return s.err
}

// TestWaterfall_outage: what an outage leaves unanswered falls through; the
// outage is reported only when it leaves an address without an answer.
func TestWaterfall_outage(t *testing.T) {
	down := scripted{map[string]verify.Verdict{"1@x.test": verify.Valid, "2@x.test": verify.Unknown}, &verify.OutageError{Reason: verify.ConnectFailed}}
	up := scripted{map[string]verify.Verdict{"2@x.test": verify.Unknown, "3@x.test": verify.Invalid}, nil}
	w := provider.Waterfall{down, up}
	require.NoError(t, w.Preflight(t.Context()))
	results := ask(t, w, "1@x.test", "2@x.test", "3@x.test")
	require.Equal(t, "valid temporary", verdict(results[0]))
	require.Equal(t, "unknown temporary", verdict(results[1]))
	require.Equal(t, "invalid temporary", verdict(results[2]))

	var outage *verify.OutageError
	answered := map[int]verify.Verdict{}
	err := provider.Waterfall{down, down}.Verify(t.Context(), []string{"3@x.test", "2@x.test", "1@x.test"}, func(i int, r verify.Result) { answered[i] = r.Verdict })
	require.ErrorAs(t, err, &outage)
	require.Equal(t, map[int]verify.Verdict{1: verify.Unknown, 2: verify.Valid}, answered)
	require.ErrorAs(t, provider.Waterfall{down, down}.Preflight(t.Context()), &outage)
}

func TestVerify_cancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := service(t, "millionverifier", func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	err := p.Verify(ctx, []string{"a@x.test", "b@x.test"}, func(int, verify.Result) { t.Error("nothing was answered") })
	require.ErrorIs(t, err, context.Canceled)
}

func TestNew_config(t *testing.T) {
	for want, c := range map[string]provider.Config{
		`there is no verification provider "best"`:                      {Name: "best"},
		`the address "" of the provider reacher is not an http address`: {Name: "reacher"},
		`the provider zerobounce needs an API key`:                      {Name: "zerobounce"},
	} {
		_, err := provider.New(c)
		require.EqualError(t, err, want)
	}
}

// The README's table of services is what the services say of themselves.
func TestTheTableOfServicesIsUpToDate(t *testing.T) {
	const page, begin, end = "../README.md", "<!-- services -->\n", "<!-- end of services -->"
	var table strings.Builder
	table.WriteString("| in `HOLDFAST_VERIFY_PROVIDERS` | its settings | its address where none is set | its key |\n|---|---|---|---|\n")
	for _, s := range provider.Services() {
		key := "needed"
		if s.Keyless {
			key = "where the service asks for one"
		}
		fmt.Fprintf(&table, "| `%s` | `HOLDFAST_%s_…` | %s | %s |\n", s.Name, strings.ToUpper(s.Name), cmp.Or(s.URL, "none; set it"), key)
	}
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, found := strings.Cut(string(text), begin)
	require.True(t, found)
	_, after, found := strings.Cut(rest, end)
	require.True(t, found)
	now := before + begin + table.String() + end + after
	if *write {
		require.NoError(t, os.WriteFile(page, []byte(now), 0o600))
		return
	}
	require.Equal(t, now, string(text), "go test ./internal/verify/provider -run TestTheTableOfServices -write")
}
