package browser_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// filled is one use of a form: what is written into it, its button, and what the
// page says afterwards.
type filled struct {
	page   string
	fields map[string]string
	button string
	sees   string
}

// TestFormsWithoutScript: forms do their work in a browser that runs no scripts.
func TestFormsWithoutScript(t *testing.T) {
	t.Parallel()
	org := newOrg(t)
	grant(t, org, 200)
	at := "/app/o/" + org
	use(t, as(t, org, "ann"), []filled{
		{at + "/new/leads", map[string]string{"count": "10", "country": "DE"}, "Count and preview", "leads match"},
		{at + "/new/list", map[string]string{"text": "a@nowhere.invalid\nb@nowhere.invalid"}, "Read the list", "What was read"},
		{at + "/alerts", map[string]string{"thresholds": "7"}, "Save", "your own"},
		{at + "/alerts", nil, "Use the plan's", "Saved."},
		{at + "/team", map[string]string{"id": "zoe", "name": "Zoe Zimmer"}, "Add", "Zoe Zimmer"},
		{at + "/team", map[string]string{"amount": "12"}, "Save", "Budget: 12"},
		{at + "/keys", nil, "Create a key", "The new key"},
		{at + "/suppressions", map[string]string{"entries": "partner.example"}, "Add", "new entries"},
		{at + "/suppressions", map[string]string{"entries": "partner.example"}, "Check", "On the list?"},
		{at + "/credits", map[string]string{"member": "jane"}, "Filter", "Credits"},
		{at + "/orders", map[string]string{"status": "failed"}, "Filter", "No order matches the filter."},
	})
	use(t, with(t, operatorKey), []filled{
		{"/app/operator/system", nil, "Run the audit", "the books balance"},
		{at + "/grants", map[string]string{"amount": "5", "reason": "a gift"}, "Grant the credits", "The credits are granted."},
		{at + "/manage", nil, "Suspend", "suspended"},
	})
}

func use(t *testing.T, b *tab, forms []filled) {
	t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	require.NoError(t, err)
	for _, form := range forms {
		b.open(form.page)
		for name, value := range form.fields {
			b.fill(name, value)
		}
		loaded := script[float64](b, `performance.timeOrigin`)
		b.press(form.button)
		b.until(fmt.Sprintf(`performance.timeOrigin !== %v`, loaded))
		b.sees(form.sees)
	}
}
