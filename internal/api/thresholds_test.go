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
	f.call("PUT", "/top-ups", f.admin, map[string]any{"type": "email", "enabled": true, "below": 10, "price": "price_x", "monthly_credits": 10, "monthly_amount": 10, "currency": "eur"}).problem(409, "not_configured")
}

// The operator downloads what finance needs, of all organizations or of one.
func TestReportsOverTheAPI(t *testing.T) {
	f := setup(t)
	f.call("POST", "/orgs/"+f.org+"/grants", operatorKey, map[string]any{
		"type": "email", "amount": 10, "source": "pack", "purchase": map[string]any{"amount": 900, "currency": "usd"},
	}, "Idempotency-Key", "g").is(201)
	for _, name := range []string{"revenue", "journal"} {
		f.call("GET", "/reports/"+name+".csv", f.admin, nil).problem(403, "forbidden")
		one := f.call("GET", "/reports/"+name+".csv?org="+f.org, operatorKey, nil).is(200)
		require.Contains(t, string(one.body), f.org+",usd,")
		require.Contains(t, string(f.call("GET", "/reports/"+name+".csv", operatorKey, nil).is(200).body), f.org+",usd,")
		require.NotContains(t, string(f.call("GET", "/reports/"+name+".csv?org="+f.org+"&to=2020-01", operatorKey, nil).is(200).body), ",usd,")
		f.call("GET", "/reports/"+name+".csv?from=2020-13", operatorKey, nil).problem(422, "invalid_request")
	}
}
