package dashboard_test

import (
	"net/url"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestGrants: the operator grants, once however often the form is sent, and takes
// back; an admin sees it and may do neither.
func TestGrants(t *testing.T) {
	f := setup(t, "quick")
	at := "/app/o/" + f.org + "/grants"
	operator, admin := f.with(operatorKey), f.as("ann")
	require.Contains(t, admin.get(at).body, "No credits were granted yet")
	form := fields(operator.get(at).body, `action="`+at+`"`)
	form.Set("type", "email")
	form.Set("amount", "1,200")
	form.Set("source", "pack")
	for range 2 {
		require.Contains(t, operator.post(at, form).body, "The credits are granted.")
	}
	shown := operator.get(at).body
	action := regexp.MustCompile(at + `/\d+/void`).FindString(shown)
	require.NotEmpty(t, action)
	void := fields(shown, action)
	void.Set("amount", "200")
	void.Set("reason", "granted by mistake")
	require.Contains(t, operator.post(action, void).body, "200 credits were taken back")
	balances, err := app.Ledger.Balances(t.Context(), f.org)
	require.NoError(t, err)
	require.EqualValues(t, 1000, balances[0].Available)
	require.Contains(t, admin.get(at).body, "1,200")
	require.Equal(t, 403, admin.send(at, form).status)
	require.Equal(t, 403, admin.send(action, void).status)
	form.Set("amount", "many")
	require.Equal(t, 422, operator.send(at, form).status)
}

// TestKeys: an admin makes a key, which is shown once and logs in, and revokes it.
func TestKeys(t *testing.T) {
	f := setup(t, "quick")
	at := "/app/o/" + f.org + "/keys"
	admin := f.as("ann")
	made := regexp.MustCompile(`class="secret">(hf_[A-Za-z0-9_]+)<`).FindStringSubmatch(admin.send(at, url.Values{"member": {"jane"}}).body)
	require.NotNil(t, made)
	require.NotContains(t, admin.get(at).body, made[1], "once")
	jane := f.with(made[1])
	keys, err := app.Accounts.Keys(t.Context(), f.org)
	require.NoError(t, err)
	for _, k := range keys {
		if k.Member == "jane" {
			admin.send(at+"/"+k.ID+"/revoke", url.Values{})
		}
	}
	require.Equal(t, "/app/login", jane.get("/app/").at)
}

// TestPausedNotice: a paused order is noticed, also before it verifies.
func TestPausedNotice(t *testing.T) {
	f := setup(t, "quick")
	id := f.placeAs(f.org, 3)
	require.NotContains(t, f.as("jane").get("/app/o/"+f.org).body, "An order is paused")
	for _, status := range []string{"reserved", "verifying"} {
		_, err := app.Pool.Exec(t.Context(), `
			INSERT INTO orders (id, org, member, kind, request, request_hash, plan_id, plan_version, status, requested, credits, paused_at)
			SELECT id || '-' || $2::text, org, member, kind, request, request_hash, plan_id, plan_version, $2, requested, '[]', now() FROM orders WHERE id = $1`, id, status)
		require.NoError(t, err)
		require.Contains(t, f.as("jane").get("/app/o/"+f.org).body, "An order is paused", status)
		_, err = app.Pool.Exec(t.Context(), `DELETE FROM orders WHERE id = $1`, id+"-"+status)
		require.NoError(t, err)
	}
}
