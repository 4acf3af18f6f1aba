package browser_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"holdfast/internal/dashboard"
)

const axeVersion = "4.14.1" // as in scripts/axe

// axe is axe-core's program; empty where it could not be fetched.
func axe(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(cache, "holdfast", "axe-"+axeVersion, "axe.min.js"))
	if os.IsNotExist(err) {
		t.Skip("axe-core is not in the cache; run scripts/axe where npm is available.")
	}
	require.NoError(t, err)
	return string(text)
}

// TestAccessible: axe-core finds nothing on any page, in either theme, with data
// and without, no page is wider than a phone, and nothing moves when it is loaded.
func TestAccessible(t *testing.T) {
	t.Parallel()
	program := axe(t)
	org, empty := newOrg(t), newOrg(t)
	grant(t, org, 100)
	admin, member, operator := as(t, org, "ann"), as(t, org, "jane"), with(t, operatorKey)
	at := "/app/o/" + org
	order := admin.placed(t, program, at)
	hook := admin.hooked(t, program, at)
	id := strings.NewReplacer("/orders/{id}", "/orders/"+order, "/webhooks/{id}", "/webhooks/"+hook, "/plans/{id}", "/plans/verified-leads")
	walked := 0
	for _, r := range dashboard.Routes() {
		path := dashboard.Prefix + id.Replace(r.Path)
		if r.Method != http.MethodGet || notPages[r.Path] {
			continue
		}
		require.NotContains(t, strings.ReplaceAll(path, "{org}", ""), "{", "a new page needs an example here")
		walked++
		mine := strings.ReplaceAll(path, "{org}", org)
		if r.Needs == "operator" {
			operator.look(t, program, mine)
			continue
		}
		admin.look(t, program, mine)
		if r.Needs == "" {
			member.look(t, program, mine)
		}
		if strings.Contains(path, "{org}") && path == dashboard.Prefix+r.Path { // of an organization, and of nothing in it
			operator.look(t, program, strings.ReplaceAll(path, "{org}", empty))
		}
	}
	require.Greater(t, walked, 25)
	for _, page := range []string{"/orders/none", "/orders?status=nonsense", "/new/leads?headcount_min=many", "/buy?done=1&missing=email:25", "/plan?to=rollover-boost", "/leads?find=nobody", "/credits?from=2020-01-01&to=2020-01-02"} {
		admin.look(t, program, at+page)
	}
	member.look(t, program, at+"/team")
	member.look(t, program, "/app/operator")
	admin.states(t, program, at)
	newTab(t).loggedOut(t, program)
}

// notPages are addresses of files, streams and fragments, and of redirects.
var notPages = map[string]bool{
	"/{$}": true, "/o/{org}/balances": true, "/o/{org}/credits/history.csv": true,
	"/o/{org}/orders/{id}/events": true, "/o/{org}/orders/{id}/results.csv": true, "/o/{org}/orders/{id}/results.ndjson": true,
}

// look opens a page and checks it.
func (b *tab) look(t *testing.T, program, page string) {
	t.Helper()
	b.open(page)
	b.check(t, program, page)
}

// placed orders leads, and checks the pages on the way.
func (b *tab) placed(t *testing.T, program, at string) (order string) {
	t.Helper()
	b.open(at + "/new/leads")
	b.fill("count", "5000")
	b.press("Show the quote")
	b.sees("Missing credits")
	b.check(t, program, "a quote that is not covered")
	b.open(at + "/new/leads")
	b.fill("count", "20")
	b.press("Show the quote")
	b.sees("Held at most")
	b.check(t, program, "the quote")
	b.press("Place the order")
	b.until(`location.pathname.includes("/orders/ord_")`)
	order = script[string](b, `location.pathname.split("/").pop()`)
	b.badge("settled")
	return order
}

// hooked adds a webhook, and checks what is shown once.
func (b *tab) hooked(t *testing.T, program, at string) (id string) {
	t.Helper()
	b.open(at + "/settings")
	b.fill("url", server.URL+"/healthz")
	b.press("Add a webhook")
	b.sees("The new webhook's secret")
	b.check(t, program, "a new webhook")
	b.press("Show")
	b.until(`location.pathname.includes("/settings/webhooks/")`)
	id = script[string](b, `location.pathname.split("/").pop()`)
	b.press("Send a test")
	b.sees("The endpoint")
	b.check(t, program, "a tested webhook")
	return id
}

// states are pages that only a form leads to.
func (b *tab) states(t *testing.T, program, at string) {
	t.Helper()
	b.open(at + "/new/list")
	b.fill("text", "a@nowhere.invalid\nnonsense")
	b.press("Read the list")
	b.sees("Rows without a usable address")
	b.check(t, program, "a list that was read")
	b.open(at + "/keys")
	b.press("Create a key")
	b.sees("The new key")
	b.check(t, program, "a new key")
	b.open(at + "/team")
	b.press("Make a login link")
	b.sees("It logs in once")
	b.check(t, program, "a login link")
	b.open(at + "/team")
	b.fill("id", "a b")
	b.fill("name", "A B")
	b.press("Add")
	b.sees("is not a member id")
	b.check(t, program, "a form that is not valid")
	b.open(at + "/team")
	script[bool](b, `(() => { document.querySelectorAll("[name=csrf]").forEach(f => f.value = "0"); return true })()`)
	b.press("Make a login link")
	b.sees("The form is too old")
	b.check(t, program, "a form that is too old")
}

// loggedOut are the pages without a session.
func (b *tab) loggedOut(t *testing.T, program string) {
	t.Helper()
	for _, page := range []string{"/app/login", "/app/login?ended=1", "/app/login/link?token=hl_x", signOn.URL + "/app/login"} {
		b.look(t, program, page)
	}
	b.sees("Log in with single sign-on")
	b.open("/app/login")
	b.fill("key", "hf_nonsense")
	b.press("Log in")
	b.sees("not known or has been revoked")
	b.check(t, program, "a login that failed")
	b.open("/docs")
	script[bool](b, `document.querySelectorAll("details").forEach(d => d.open = true); true`)
	b.check(t, program, "the documentation of the API")
}

// The documentation of the API finds an operation by a word, and copies examples.
func TestDocumentation(t *testing.T) {
	t.Parallel()
	b := newTab(t)
	b.open("/docs")
	b.fill("find", "rotate")
	require.Equal(t, "rotateWebhookSecret", script[string](b, `[...document.querySelectorAll("nav li:not([hidden]) a")].map(a => a.hash.slice(1)).join()`))
	script[bool](b, `document.querySelector("#createOrder button[data-copy]").click(); true`)
	b.until(`document.querySelector("#createOrder button[data-copy]").textContent === "Copied"`)
	require.True(t, script[bool](b, `getComputedStyle(document.querySelector("nav")).overflowY === "auto"`), "the style is let in")
}

// check runs axe on the page that is open, in both themes and with all that folds
// open, and compares its width with a phone's.
func (b *tab) check(t *testing.T, program, page string) {
	t.Helper()
	moved := script[float64](b, `new Promise(done => { new PerformanceObserver(l => done(l.getEntries().filter(e => !e.hadRecentInput).reduce((s, e) => s + e.value, 0))).observe({type: "layout-shift", buffered: true}); setTimeout(() => done(0), 50) })`)
	assert.Less(t, moved, 0.02, "%s moves while it is loaded", page)
	script[bool](b, program+`; document.querySelectorAll("main details").forEach(d => d.open = true); true`)
	for _, theme := range []string{"light", "dark"} {
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
		})
		require.NoError(t, err)
		found := script[string](b, `axe.run(document, {resultTypes: ["violations"], rules: {"target-size": {enabled: true}}}).then(r => JSON.stringify(r.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html + " " + n.failureSummary)])))`)
		assert.Equal(t, "[]", found, "%s (%s)", page, theme)
	}
	require.NoError(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(360, 780)))
	wide := script[string](b, `document.documentElement.scrollWidth > 360 ? [...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > 361 && !e.closest(".scroll")).map(e => e.outerHTML.slice(0, 80)).join("\n") || "the page" : ""`)
	assert.Empty(t, strings.TrimSpace(wide), fmt.Sprintf("%s is wider than a phone", page))
	require.NoError(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(1280, 860)))
	script[bool](b, `(() => { const out = [...document.querySelectorAll("main .panel, main .stats > div")].filter(p => [...p.querySelectorAll("dd, dt, h2, p, button, input")].some(e => e.offsetParent && !e.closest(".scroll") && e.getBoundingClientRect().right > p.getBoundingClientRect().right + 1)); window.out = out.map(p => p.textContent.trim().slice(0, 60)).join("; "); return true })()`)
	assert.Empty(t, script[string](b, `window.out`), "%s: a panel is too narrow for what is in it", page)
}
