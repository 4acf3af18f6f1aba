package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/billing"
)

// Customers say themselves which balances are low, of the pools that are theirs
// to manage.
func TestThresholdsOverTheAPI(t *testing.T) {
	f := setupWith(t, "licence-monthly", 0)
	type list struct{ Thresholds []billing.Watch }
	var shown list
	f.call("PUT", "/credits/thresholds", f.admin, map[string]any{"type": "email", "thresholds": []any{map[string]any{"credits": 20}}}).is(200)
	f.call("PUT", "/credits/thresholds", f.jane, map[string]any{"type": "email", "member": "jane", "thresholds": []any{map[string]any{"percent": 25}}}).is(200).into(&shown)
	at := map[string]int64{}
	for _, w := range shown.Thresholds {
		if w.Type == "email" {
			at[w.Pool+w.Source] = *w.Thresholds[0].At
		}
	}
	require.Equal(t, map[string]int64{"organizationown": 20, "memberown": 250}, at)

	f.call("PUT", "/credits/thresholds", f.jane, map[string]any{"type": "email", "thresholds": []any{}}).problem(403, "forbidden")
	f.call("PUT", "/credits/thresholds", f.jane, map[string]any{"type": "email", "member": "bob", "thresholds": []any{}}).problem(403, "forbidden")
	f.call("GET", "/credits/thresholds?member=bob", f.jane, nil).problem(403, "forbidden")
	f.call("PUT", "/credits/thresholds", f.admin, map[string]any{"type": "email", "thresholds": []any{map[string]any{"percent": 5}}}).problem(422, "invalid_request")
	f.call("PUT", "/credits/thresholds", f.admin, map[string]any{"type": "email", "thresholds": []any{map[string]any{"percent": 5, "credits": 5}}}).problem(422, "invalid_request")
	f.call("DELETE", "/credits/thresholds?type=email&member=jane", f.jane, nil).is(200).into(&shown)
	for _, w := range shown.Thresholds {
		if w.Member == "jane" && w.Type == "email" {
			require.Equal(t, "plan", w.Source)
			require.EqualValues(t, 100, *w.Thresholds[0].At)
		}
	}
	f.call("GET", "/top-ups", f.jane, nil).problem(403, "forbidden")
	f.call("GET", "/top-ups", f.admin, nil).is(200)
	f.call("GET", "/top-ups/charges", f.admin, nil).is(200)
	f.call("PUT", "/top-ups/email", f.admin, map[string]any{"enabled": true, "below": 10, "price": "price_x", "monthly_credits": 10, "monthly_amount": 10, "currency": "eur"}).problem(409, "not_configured")
}
