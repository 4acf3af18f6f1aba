package browser_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// TestNewcomer: log in, quote, order, watch it live until it is settled,
// download, find it in the history.
func TestNewcomer(t *testing.T) {
	t.Parallel()
	org := newOrg(t)
	grant(t, org, 500)
	b := as(t, org, "jane")
	b.sees("No orders yet")
	b.press("New order")
	b.press("Lead list")
	b.until(`location.pathname.endsWith("/new/leads")`)
	b.fill("count", "60")
	b.press("Show the quote")
	b.sees("Held at most")
	b.press("Place the order")
	b.until(`location.pathname.includes("/orders/ord_")`)
	loaded := script[float64](b, `performance.timeOrigin`)
	b.badge("settled")
	require.Equal(t, loaded, script[float64](b, `performance.timeOrigin`), "the page was not loaded again: it followed the order live") //nolint:testifylint // the same number
	b.sees("First rows")
	id := script[string](b, `location.pathname.split("/").pop()`)
	o, err := app.Book.Get(t.Context(), org, id)
	require.NoError(t, err)
	rows := script[int64](b, `fetch(document.querySelector("a[href$='results.csv']").href).then(r => r.text()).then(t => t.trim().split("\n").length - 1)`)
	require.Equal(t, o.Tally.Valid, rows, "the file has what is valid")
	b.open("/app/o/" + org + "/credits?order=" + id)
	b.sees("capture")
	b.sees("release")
	b.open("/app/o/" + org + "/leads")
	require.Positive(t, script[int](b, `document.querySelectorAll("tbody tr").length`))
}

// TestUpload: a file with two columns of addresses; the one that is named is read.
func TestUpload(t *testing.T) {
	t.Parallel()
	org := newOrg(t)
	grant(t, org, 100)
	file := filepath.Join(t.TempDir(), "list.csv")
	require.NoError(t, os.WriteFile(file, []byte("email,work email\na@x.invalid,b@nowhere.invalid\na@x.invalid,c@nowhere.invalid\na@x.invalid,oops\n"), 0o600))
	b := as(t, org, "jane")
	b.open("/app/o/" + org + "/new/list")
	b.fill("column", "work email")
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	require.NoError(t, chromedp.Do(ctx, chromedp.SetUploadFiles(`input[type=file]`, []string{file})))
	b.press("Read the list")
	b.sees("What was read")
	require.Regexp(t, `(?s)3\s*rows.*2\s*different addresses.*1\s*row`, b.text(), "the other column has one address only")
	b.press("Quote for verifying")
	b.press("Place the order")
	b.badge("settled")
	b.sees("no domain")
}

// TestInsufficient: credits are missing, the operator grants, the order is placed.
func TestInsufficient(t *testing.T) {
	t.Parallel()
	org := newOrg(t)
	b := as(t, org, "jane")
	order := func() {
		b.open("/app/o/" + org + "/new/leads")
		b.fill("count", "20")
		b.press("Show the quote")
		b.until(`location.pathname.endsWith("/new/quote")`)
	}
	order()
	b.sees("credits are missing")
	require.NotContains(t, b.text(), "Place the order")
	grant(t, org, 20)
	order()
	b.press("Place the order")
	b.until(`location.pathname.includes("/orders/ord_")`)
	b.badge("settled")
}

// TestRoles: what an admin sees and a member does not.
func TestRoles(t *testing.T) {
	t.Parallel()
	org := newOrg(t)
	member, admin, operator := as(t, org, "jane"), as(t, org, "ann"), with(t, operatorKey)
	has := func(b *tab, entry string) bool {
		return script[bool](b, `[...document.querySelectorAll("nav a")].some(a => a.textContent.trim() === `+quoted(entry)+`)`)
	}
	require.False(t, has(member, "Team"))
	require.True(t, has(admin, "Team"))
	require.False(t, has(admin, "All organizations"))
	require.True(t, has(operator, "All organizations"))
	member.open("/app/o/" + org + "/team")
	member.sees("Not allowed")
	admin.open("/app/o/" + org + "/team")
	admin.sees("Member jane")
	admin.open("/app/operator")
	admin.sees("Not allowed")
	operator.open("/app/o/" + org)
	operator.sees("Test " + org)
}

// TestPauseAndCancel: an order is paused, goes on, and is cancelled.
func TestPauseAndCancel(t *testing.T) {
	t.Parallel()
	org := newOrg(t)
	grant(t, org, 3000)
	b := as(t, org, "jane")
	b.open("/app/o/" + org + "/new/leads")
	b.fill("count", "2500")
	b.press("Show the quote")
	b.press("Place the order")
	b.until(`location.pathname.includes("/orders/ord_")`)
	b.press("Pause")
	b.badge("paused")
	b.open("/app/o/" + org)
	b.sees("An order is paused")
	b.press("Show")
	b.press("Resume")
	b.until(`location.search === "?done=resume"`)
	b.press("Cancel the order")
	b.badge("cancelled")
	b.sees("given back")
}

// TestOutage: while verification is interrupted every page says so.
func TestOutage(t *testing.T) {
	org := newOrg(t)
	b := as(t, org, "jane")
	require.NotContains(t, b.text(), "interrupted")
	says := "No mail host answers since 12:00."
	outage.Store(&says)
	defer outage.Store(nil)
	b.open("/app/o/" + org + "/orders")
	b.sees("Verification is interrupted")
	b.sees(says)
}

// TestSession: a form with another token changes nothing, and a session that has
// ended leads to the login and back.
func TestSession(t *testing.T) {
	t.Parallel()
	org := newOrg(t)
	b := as(t, org, "ann")
	b.open("/app/o/" + org + "/team")
	script[bool](b, `(() => { document.querySelectorAll("[name=csrf]").forEach(f => f.value = "0"); return true })()`)
	b.fill("id", "eve")
	b.fill("name", "Eve")
	b.press("Add")
	b.sees("The form is too old")
	_, err := app.Accounts.Member(t.Context(), org, "eve")
	require.Error(t, err)
	_, err = app.Pool.Exec(t.Context(), `UPDATE session SET seen_at = now() - interval '13 hours' WHERE org = $1`, org)
	require.NoError(t, err)
	b.open("/app/o/" + org + "/orders")
	require.Equal(t, "/app/login", b.path())
	_, key, err := app.Accounts.CreateKey(t.Context(), org, "ann", "")
	require.NoError(t, err)
	b.fill("key", key)
	b.press("Log in")
	b.until(`location.pathname === "/app/o/` + org + `/orders"`)
}

// TestForeign: another organization's addresses show nothing of it.
func TestForeign(t *testing.T) {
	t.Parallel()
	org, foreign := newOrg(t), newOrg(t)
	b := as(t, org, "ann")
	for _, page := range []string{"", "/orders", "/credits", "/leads", "/team", "/settings", "/new/leads", "/credits/history.csv"} {
		b.open("/app/o/" + foreign + page)
		b.sees("Not found")
		require.NotContains(t, b.text(), "Test "+foreign, page)
	}
}

// TestWithoutScript: the pages work without JavaScript, but for live updates.
func TestWithoutScript(t *testing.T) {
	t.Parallel()
	org := newOrg(t)
	grant(t, org, 50)
	b := as(t, org, "jane")
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	require.NoError(t, err)
	b.open("/app/o/" + org + "/new/leads")
	b.fill("count", "10")
	b.press("Show the quote")
	b.press("Place the order")
	b.until(`location.pathname.includes("/orders/ord_")`)
	at := b.path()
	require.Eventually(t, func() bool {
		b.open(at)
		return strings.Contains(script[string](b, `document.body.innerHTML`), "b-settled")
	}, patience, 200*time.Millisecond)
}

// TestDrop: a file is dropped on the form, its columns are offered, and the list
// that was read survives a reload.
func TestDrop(t *testing.T) {
	t.Parallel()
	org := newOrg(t)
	b := as(t, org, "jane")
	b.open("/app/o/" + org + "/new/list")
	script[bool](b, `(() => {
		const data = new DataTransfer();
		data.items.add(new File(["email;work email\na@x.invalid;b@nowhere.invalid\na@x.invalid;oops\n"], "list.csv", {type: "text/csv"}));
		document.querySelector("textarea").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
		return true })()`)
	b.until(`[...document.querySelectorAll("datalist option")].map(o => o.value).join() === "email,work email"`)
	b.fill("column", "work email")
	b.press("Read the list")
	b.sees("What was read")
	b.until(`location.search.startsWith("?list=lst_")`)
	script[bool](b, `location.reload(); true`)
	b.sees("Rows without a usable address")
	b.sees("oops")

	b.open("/app/o/" + org + "/new/list")
	script[bool](b, `(() => {
		const data = new DataTransfer();
		data.items.add(new File(["name\nAnn\n"], "list.csv", {type: "text/csv"}));
		document.querySelector("[type=file]").files = data.files;
		return true })()`)
	b.fill("column", "nothing")
	b.press("Read the list")
	b.until(`document.querySelector("main form .notice.bad")?.textContent.includes("nothing")`)
	require.False(t, script[bool](b, `document.querySelector("main form button").disabled`), "it can be sent again")
}

// TestKeyboard: from the top of a page the tabulator reaches each control, in the
// order of the page and visibly, and the first one skips the navigation.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	org := newOrg(t)
	b := as(t, org, "ann")
	tab := func() {
		t.Helper()
		require.NoError(t, chromedp.Do(b.ctx, chromedp.KeyEvent(kb.Tab)))
	}
	for _, page := range []string{"", "/new/leads", "/team", "/settings", "/credits"} {
		b.open("/app/o/" + org + page)
		script[bool](b, `document.activeElement.blur(); true`)
		tab()
		require.Equal(t, "Skip to the content", script[string](b, `document.activeElement.textContent`))
		want := script[int](b, `(window.controls = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")].filter(e => e.checkVisibility())).length`)
		for i := range want {
			at := script[int](b, `window.controls.indexOf(document.activeElement)`)
			if at < 0 { // inside of a control: the parts of a date
				tab()
				continue
			}
			seen := script[string](b, `(() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect(); return s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 1 && r.width > 0 && r.bottom > 0 && r.top < innerHeight ? "" : e.outerHTML.slice(0, 120) })()`)
			require.Empty(t, seen, "%s: the focus is not seen at control %d", page, i)
			if at == want-1 {
				break
			}
			for last := at; last == at; { // a date field has several stops
				tab()
				last = script[int](b, `window.controls.indexOf(document.activeElement)`)
			}
			require.Equal(t, at+1, script[int](b, `window.controls.indexOf(document.activeElement)`), "%s: behind control %d", page, at)
		}
	}
	b.open("/app/o/" + org + "/orders")
	tab()
	require.NoError(t, chromedp.Do(b.ctx, chromedp.KeyEvent(kb.Enter)))
	b.until(`document.activeElement.id === "main" || location.hash === "#main"`)
}
