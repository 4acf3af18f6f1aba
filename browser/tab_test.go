package browser_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
)

// patience is for what a busy machine may take; waiting ends as soon as it can.
const patience = time.Minute

// tab is a tab in a profile of its own.
type tab struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp's tabs are contexts
}

func newTab(t *testing.T) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t, ctx}
	require.NoError(t, chromedp.Do(ctx, chromedp.Navigate("about:blank")))
	return b
}

// as logs a member in with a key, through the form.
func as(t *testing.T, org, member string) *tab {
	t.Helper()
	_, key, err := app.Accounts.CreateKey(t.Context(), org, member, "")
	require.NoError(t, err)
	return with(t, key)
}

func with(t *testing.T, key string) *tab {
	t.Helper()
	b := newTab(t)
	b.open("/app/login")
	b.fill("key", key)
	b.press("Log in")
	b.until(`location.pathname !== "/app/login"`)
	return b
}

// script runs an expression, which may be a promise, in the page.
func script[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, func(p *runtime.EvaluateParams) { p.AwaitPromise = new(true) }))
	require.NoError(b.t, err, expression)
	return value
}

// until waits for an expression to be true. A page that is just being left
// cannot be asked; it is asked again.
func (b *tab) until(expression string) {
	b.t.Helper()
	last := ""
	require.Eventually(b.t, func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		value, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`document.readyState === "complete" && !!(`+expression+`)`))
		if err != nil {
			last = err.Error()
			return false
		}
		return value
	}, patience, 20*time.Millisecond, "%s %s", expression, last)
}

func quoted(text string) string {
	encoded, _ := json.Marshal(text) //nolint:errchkjson // a string
	return string(encoded)
}

// open goes to an address of the site, or of another one.
func (b *tab) open(path string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if strings.HasPrefix(path, "/") {
		path = server.URL + path
	}
	require.NoError(b.t, chromedp.Do(ctx, chromedp.Navigate(path)))
	b.until(`document.querySelector("main")`)
}

// fill types into a field, as far as the form's code can see: the first one of
// that name that is seen, or else the first one.
func (b *tab) fill(name, value string) {
	b.t.Helper()
	script[bool](b, `(() => { const all = [...document.querySelectorAll("[name=" + `+quoted(name)+` + "]:not([type=hidden])")], f = all.find(e => e.checkVisibility()) ?? all[0]; f.value = `+quoted(value)+`; f.dispatchEvent(new Event("input", {bubbles: true})); f.dispatchEvent(new Event("change", {bubbles: true})); return true })()`)
}

// press clicks the button or link that is called so. The page that it leads to is
// another document, or the same one with other content: the caller waits for what
// it expects.
func (b *tab) press(name string) {
	b.t.Helper()
	b.until(`(() => { const all = [...document.querySelectorAll("button, a")].filter(e => e.textContent.trim().startsWith(` + quoted(name) + `)); if (!all.length) return false; all[0].click(); return true })()`)
}

// sees waits until a text is on the page.
func (b *tab) sees(text string) {
	b.t.Helper()
	b.until(`document.body.innerText.includes(` + quoted(text) + `)`)
}

func (b *tab) text() string {
	b.t.Helper()
	return script[string](b, `document.body.innerText`)
}

func (b *tab) path() string {
	b.t.Helper()
	return script[string](b, `location.pathname`)
}

// badge waits for the order's status.
func (b *tab) badge(status string) {
	b.t.Helper()
	b.until(`document.querySelector(".b-` + status + `")`)
}

func grant(t *testing.T, org string, amount int64) {
	t.Helper()
	_, err := app.Ledger.Grant(t.Context(), ledger.Grant{Owner: org, Key: "fund", Type: "email", Amount: amount, Source: ledger.SourcePack})
	require.NoError(t, err)
}
