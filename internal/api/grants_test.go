package api_test

import (
	"testing"
	"time"

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
	f.call("POST", path, operatorKey, map[string]any{"amount": 30, "reason": "typing error"}, "Idempotency-Key", "v").problem(422, "idempotency_key_reused")
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

// Grants have priorities and starts, and many are given at once, all or none.
func TestGrantsAtOnce(t *testing.T) {
	f := setup(t)
	path := "/orgs/" + f.org + "/grants"
	one := func(more map[string]any) map[string]any {
		g := map[string]any{"type": "email", "amount": 10, "source": "pack"}
		for k, v := range more {
			g[k] = v
		}
		return g
	}
	batch := map[string]any{"reason": "launch", "grants": []any{
		one(nil), one(map[string]any{"member": "jane", "priority": -1}), one(map[string]any{"starts_at": "2099-01-01T00:00:00Z"}),
	}}
	var given struct {
		Grants []struct {
			GrantID int64 `json:"grant_id"`
			Member  string
		}
	}
	for range 2 {
		f.call("POST", path+"/batch", operatorKey, batch, "Idempotency-Key", "b").is(201).into(&given)
		require.Len(t, given.Grants, 3)
		require.EqualValues(t, 2, given.Grants[1].GrantID)
		require.Equal(t, "jane", given.Grants[1].Member)
	}
	var page billing.Grants
	f.call("GET", path, f.admin, nil).is(200).into(&page)
	require.Len(t, page.Grants, 3)
	require.EqualValues(t, 10, page.Grants[0].Waiting)
	require.EqualValues(t, -1, page.Grants[1].Priority)
	var credits billing.Credits
	f.call("GET", "/credits?member=jane", f.admin, nil).is(200).into(&credits)
	for _, c := range credits.Credits {
		require.EqualValues(t, 10, c.Available)
	}
	batch["grants"] = batch["grants"].([]any)[:1]
	f.call("POST", path+"/batch", operatorKey, batch, "Idempotency-Key", "b").problem(422, "idempotency_key_reused")
	for field, wrong := range map[string]map[string]any{
		"body.grants[1].type":       {"type": "gold"},
		"body.grants[1].expires_at": {"expires_at": "2020-01-01T00:00:00Z"},
	} {
		batch["grants"] = []any{one(nil), one(wrong)}
		p := f.call("POST", path+"/batch", operatorKey, batch, "Idempotency-Key", "c").problem(422, "invalid_request")
		require.Equal(t, field, p.Errors[0].Field)
	}
	batch["grants"] = []any{one(nil), one(map[string]any{"member": "unknown"})}
	f.call("POST", path+"/batch", operatorKey, batch, "Idempotency-Key", "c").problem(404, "not_found")
	f.call("GET", path, f.admin, nil).is(200).into(&page)
	require.Len(t, page.Grants, 3, "none of what was refused was given")

	// A repeated grant has its answer, also when it could not be given any more.
	end := time.Now().Add(2 * time.Second)
	short := one(map[string]any{"expires_at": end.Format(time.RFC3339Nano)})
	f.call("POST", path, operatorKey, short, "Idempotency-Key", "g").is(201)
	time.Sleep(time.Until(end) + time.Millisecond)
	f.call("POST", path, operatorKey, short, "Idempotency-Key", "g").is(201)
	f.call("POST", path, operatorKey, short, "Idempotency-Key", "h").problem(422, "invalid_request")
}
