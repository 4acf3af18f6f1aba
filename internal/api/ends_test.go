package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/billing"
)

// A suspended organization starts nothing and finishes what runs; a closed one is
// over, and what is kept of people for it is erased where that is asked for.
func TestSuspendedAndClosed(t *testing.T) {
	f := setupWith(t, "fuzzed", 0)
	f.fund(100)
	running := f.place("before", 5, "0s")
	org := "/orgs/" + f.org
	for range 2 {
		require.Equal(t, "suspended", f.call("POST", org+"/suspend", operatorKey, nil).is(200).text("status"))
	}
	f.call("POST", "/orders", f.jane, leadList(3), "Idempotency-Key", "while").problem(403, "suspended")
	f.call("POST", "/verify", f.jane, map[string]any{"email": "a@b.test"}, "Idempotency-Key", "v").problem(403, "suspended")
	f.call("GET", "/credits", f.jane, nil).is(200)
	require.Equal(t, running.ID, f.call("POST", "/orders", f.jane, leadList(5), "Idempotency-Key", "before").is(201).text("id"), "a repeated request has its answer")
	require.Equal(t, "settled", string(f.settled(running.ID).Status))

	require.Equal(t, "active", f.call("POST", org+"/resume", operatorKey, nil).is(200).text("status"))
	f.settled(f.place("after", 3, "20s").ID)
	require.Equal(t, "Other", f.call("PATCH", org, operatorKey, map[string]any{"name": "Other"}).is(200).text("name"))

	require.Equal(t, "Asia/Tokyo", f.call("PATCH", org, f.admin, map[string]any{"name": "Ours", "time_zone": "Asia/Tokyo"}).is(200).text("time_zone"))
	f.call("PATCH", org, f.admin, map[string]any{"metadata": map[string]any{"customer": "1"}}).problem(403, "forbidden")

	f.call("DELETE", org+"/members/bob", f.admin, nil).is(200)
	f.call("GET", "/credits", f.bob, nil).problem(401, "unauthenticated")
	f.call("DELETE", org+"/members/missing", f.admin, nil).problem(404, "not_found")

	f.call("POST", org+"/close", operatorKey, map[string]any{"reason": ""}).problem(422, "invalid_request")
	var closed billing.Closed
	for range 2 {
		f.call("POST", org+"/close", operatorKey, map[string]any{"reason": "contract ended", "erase": true}).is(200).into(&closed)
		require.EqualValues(t, "closed", closed.Status)
		require.Len(t, closed.Expired, 1)
	}
	f.call("GET", "/credits", f.admin, nil).problem(401, "unauthenticated")
	f.call("POST", "/orders?org="+f.org, operatorKey, leadList(3), "Idempotency-Key", "late").problem(403, "suspended")
	var kept int
	require.NoError(t, app.Pool.QueryRow(t.Context(), `
		SELECT count(*) FROM order_item i JOIN orders o ON o.id = i.order_id WHERE o.org = $1 AND i.value <> ''`, f.org).Scan(&kept))
	require.Zero(t, kept)
	audited(t)
}
