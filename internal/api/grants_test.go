package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/billing"
)

// Credits are taken back as far as they are there; the answer says the rest.
func TestVoidAGrant(t *testing.T) {
	f := setup(t)
	f.fund(100)
	var page billing.Grants
	f.call("GET", "/orgs/"+f.org+"/grants?live=true", f.admin, nil).is(200).into(&page)
	require.Len(t, page.Grants, 1)
	require.EqualValues(t, 100, page.Grants[0].Available)
	f.call("GET", "/orgs/"+f.org+"/grants?pool=organization&member=jane", f.admin, nil).problem(422, "invalid_request")

	path := "/orgs/" + f.org + "/grants/1/void"
	request := map[string]any{"amount": 30, "reason": "refunded"}
	f.call("POST", path, operatorKey, request).problem(422, "invalid_request")
	for range 2 {
		var voided billing.Voided
		f.call("POST", path, operatorKey, request, "Idempotency-Key", "v").is(200).into(&voided)
		require.Equal(t, billing.Voided{GrantID: 1, Org: f.org, Type: "email", Voided: 30, Available: 70, Reason: "refunded"}, voided)
	}
	request["amount"] = 31
	f.call("POST", path, operatorKey, request, "Idempotency-Key", "v").problem(422, "idempotency_key_reused")
	f.call("POST", path, operatorKey, map[string]any{"reason": ""}, "Idempotency-Key", "w").problem(422, "invalid_request")
	for _, id := range []string{"2", "0", "-1", "x", "99999999999999999999"} {
		f.call("POST", "/orgs/"+f.org+"/grants/"+id+"/void", operatorKey, request, "Idempotency-Key", "x").problem(404, "not_found")
	}
	var history billing.History
	f.call("GET", "/credits/history?kind=void", f.admin, nil).is(200).into(&history)
	require.Len(t, history.Entries, 1)
	require.Equal(t, "refunded", history.Entries[0].Reason)
	require.EqualValues(t, 70, history.Entries[0].Balance)
}
