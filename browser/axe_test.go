package browser_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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

// TestAccessible: axe-core finds nothing on any page, in either theme, and no
// page is wider than a phone.
func TestAccessible(t *testing.T) {
	t.Parallel()
	program := axe(t)
	org := newOrg(t)
	grant(t, org, 100)
	admin, operator := as(t, org, "ann"), with(t, operatorKey)
	at := "/app/o/" + org
	admin.open(at + "/new/leads")
	admin.fill("count", "20")
	admin.press("Show the quote")
	admin.sees("Held at most")
	admin.check(t, program, "the quote")
	admin.press("Place the order")
	admin.until(`location.pathname.includes("/orders/ord_")`)
	order := admin.path()
	admin.badge("settled")
	for _, page := range []string{
		at, at + "/orders", order, at + "/new", at + "/new/leads", at + "/new/list", at + "/new/reveal", at + "/new/export",
		at + "/credits", at + "/grants", at + "/leads", at + "/team", at + "/keys", at + "/settings", at + "/orders/none",
		at + "/buy", at + "/buy?done=1&missing=email:25", at + "/alerts", at + "/suppressions", at + "/events", at + "/plan?to=rollover-boost",
	} {
		admin.open(page)
		admin.check(t, program, page)
	}
	for _, page := range []string{"/app/operator", "/app/operator/plans", "/app/operator/system", "/app/operator/erasure", at + "/resets", at + "/grants", at + "/manage", "/app/operator/verification", "/app/operator/plans/verified-leads"} {
		operator.open(page)
		operator.check(t, program, page)
	}
	out := newTab(t)
	out.open("/app/login")
	out.check(t, program, "the login")
	out.open("/docs")
	script[bool](out, `document.querySelectorAll("details").forEach(d => d.open = true); true`)
	out.check(t, program, "the documentation of the API")
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

// check runs axe on the page that is open, in both themes, and compares its
// width with a phone's.
func (b *tab) check(t *testing.T, program, page string) {
	t.Helper()
	script[bool](b, program+"; true")
	for _, theme := range []string{"light", "dark"} {
		_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
		})
		require.NoError(t, err)
		found := script[string](b, `axe.run(document, {resultTypes: ["violations"]}).then(r => JSON.stringify(r.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html + " " + n.failureSummary)])))`)
		var violations []json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(found), &violations))
		assert.Empty(t, violations, "%s (%s): %s", page, theme, found)
	}
	require.NoError(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(360, 780)))
	wide := script[string](b, `document.documentElement.scrollWidth > 360 ? [...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > 361 && !e.closest(".scroll")).map(e => e.outerHTML.slice(0, 80)).join("\n") || "the page" : ""`)
	assert.Empty(t, strings.TrimSpace(wide), fmt.Sprintf("%s is wider than a phone", page))
	require.NoError(t, chromedp.Do(b.ctx, chromedp.EmulateViewport(1280, 860)))
}
