package api_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"holdfast/internal/api"
)

// access is what the routes are meant to demand, written down a second time: a
// route that is new or whose demand has changed fails the test until this says
// so, too.
var access = map[string]struct {
	needs string // member, admin or operator
	body  string // one that is valid
}{
	"GET /api/v1/me":                                          {"member", ""},
	"GET /api/v1/orgs":                                        {"operator", ""},
	"GET /api/v1/orgs/{org}/members/{member}":                 {"admin", ""},
	"PATCH /api/v1/orgs/{org}/members/{member}":               {"admin", `{"name":"Other"}`},
	"GET /api/v1/plans/{id}":                                  {"member", ""},
	"GET /api/v1/lists":                                       {"admin", ""},
	"GET /api/v1/lists/{id}":                                  {"member", ""},
	"GET /api/v1/suppressions":                                {"admin", ""},
	"POST /api/v1/suppressions":                               {"admin", `{"entries":["a@b.test"]}`},
	"POST /api/v1/suppressions/remove":                        {"admin", `{"entries":["a@b.test"]}`},
	"POST /api/v1/suppressions/check":                         {"member", `{"entries":["a@b.test"]}`},
	"POST /api/v1/suppressions/upload":                        {"admin", "a@b.test"},
	"GET /api/v1/webhooks/{id}":                               {"admin", ""},
	"PATCH /api/v1/webhooks/{id}":                             {"admin", `{"paused":true}`},
	"POST /api/v1/webhooks/{id}/test":                         {"admin", `{}`},
	"POST /api/v1/webhooks/{id}/rotate":                       {"admin", ""},
	"POST /api/v1/webhooks/{id}/replay":                       {"admin", `{}`},
	"GET /api/v1/events":                                      {"admin", ""},
	"GET /api/v1/events/{id}":                                 {"admin", ""},
	"POST /api/v1/events/{id}/replay":                         {"admin", `{}`},
	"POST /api/v1/orgs":                                       {"operator", `{"id":"new-org","name":"New","plan":"quick"}`},
	"GET /api/v1/orgs/{org}":                                  {"member", ""},
	"PATCH /api/v1/orgs/{org}":                                {"admin", `{"name":"Other"}`},
	"POST /api/v1/orgs/{org}/suspend":                         {"operator", ""},
	"POST /api/v1/orgs/{org}/resume":                          {"operator", ""},
	"POST /api/v1/orgs/{org}/close":                           {"operator", `{"reason":"asked to"}`},
	"DELETE /api/v1/orgs/{org}/members/{member}":              {"admin", ""},
	"PUT /api/v1/orgs/{org}/plan":                             {"operator", `{"plan":"slow"}`},
	"POST /api/v1/orgs/{org}/members":                         {"admin", `{"id":"max","name":"Max"}`},
	"GET /api/v1/orgs/{org}/members":                          {"admin", ""},
	"PUT /api/v1/orgs/{org}/members/{member}/budget":          {"admin", `{"type":"email","amount":5}`},
	"POST /api/v1/orgs/{org}/keys":                            {"admin", `{"member":"jane"}`},
	"GET /api/v1/orgs/{org}/keys":                             {"admin", ""},
	"POST /api/v1/orgs/{org}/login-links":                     {"admin", `{"member":"jane"}`},
	"DELETE /api/v1/orgs/{org}/keys/{id}":                     {"admin", ""},
	"POST /api/v1/orgs/{org}/grants":                          {"operator", `{"type":"email","amount":5,"source":"pack"}`},
	"GET /api/v1/orgs/{org}/grants":                           {"admin", ""},
	"GET /api/v1/orgs/{org}/reset-preview":                    {"operator", ""},
	"POST /api/v1/orgs/{org}/grants/batch":                    {"operator", `{"grants":[{"type":"email","amount":5,"source":"pack"}]}`},
	"POST /api/v1/orgs/{org}/grants/{id}/void":                {"operator", `{"reason":"refunded"}`},
	"GET /api/v1/plans":                                       {"member", ""},
	"PUT /api/v1/plans/{id}":                                  {"operator", `{}`},
	"GET /api/v1/credits":                                     {"member", ""},
	"GET /api/v1/credits/history":                             {"member", ""},
	"GET /api/v1/credits/history/{id}/leads":                  {"member", ""},
	"GET /api/v1/credits/history.csv":                         {"member", ""},
	"POST /api/v1/bounces":                                    {"member", `{"emails":["a@b.test"]}`},
	"POST /api/v1/quotes":                                     {"member", `{"kind":"lead_list","count":1}`},
	"POST /api/v1/orders":                                     {"member", `{"kind":"lead_list","count":1}`},
	"GET /api/v1/orders":                                      {"member", ""},
	"GET /api/v1/orders/{id}":                                 {"member", ""},
	"POST /api/v1/orders/{id}/cancel":                         {"member", ""},
	"POST /api/v1/orders/{id}/pause":                          {"member", ""},
	"POST /api/v1/orders/{id}/resume":                         {"member", ""},
	"POST /api/v1/orders/{id}/reverse":                        {"operator", `{"reason":"mistake"}`},
	"GET /api/v1/orders/{id}/events":                          {"member", ""},
	"GET /api/v1/orders/{id}/results.csv":                     {"member", ""},
	"GET /api/v1/orders/{id}/results.ndjson":                  {"member", ""},
	"POST /api/v1/lists":                                      {"member", "someone@example.test"},
	"DELETE /api/v1/lists/{id}":                               {"member", ""},
	"POST /api/v1/verify":                                     {"member", `{"email":"a@b.test"}`},
	"POST /api/v1/verify/batch":                               {"member", `{"emails":["a@b.test"]}`},
	"GET /api/v1/leads/owned":                                 {"member", ""},
	"GET /api/v1/leads":                                       {"member", ""},
	"POST /api/v1/erasures":                                   {"operator", `{"emails":["a@b.test"]}`},
	"POST /api/v1/test-clocks":                                {"operator", `{"org":"acme","at":"2028-01-31T09:00:00Z"}`},
	"GET /api/v1/test-clocks":                                 {"operator", ""},
	"GET /api/v1/test-clocks/{id}":                            {"operator", ""},
	"DELETE /api/v1/test-clocks/{id}":                         {"operator", ""},
	"POST /api/v1/test-clocks/{id}/advance":                   {"operator", `{"to":"2028-01-31T09:00:00Z"}`},
	"GET /api/v1/purchases":                                   {"admin", ""},
	"GET /api/v1/prices":                                      {"admin", ""},
	"GET /api/v1/credits/thresholds":                          {"member", ""},
	"PUT /api/v1/credits/thresholds":                          {"member", `{"type":"email","thresholds":[]}`},
	"DELETE /api/v1/credits/thresholds":                       {"member", ""},
	"GET /api/v1/top-ups":                                     {"admin", ""},
	"PUT /api/v1/top-ups":                                     {"admin", `{"type":"email","enabled":true,"below":5,"price":"price_1","monthly_credits":5,"monthly_amount":5,"currency":"eur"}`},
	"GET /api/v1/top-ups/charges":                             {"admin", ""},
	"GET /api/v1/reports/revenue.csv":                         {"operator", ""},
	"GET /api/v1/reports/journal.csv":                         {"operator", ""},
	"GET /api/v1/orgs/{org}/plan-preview":                     {"admin", ""},
	"POST /api/v1/checkout":                                   {"admin", `{"price":"price_1","success_url":"https://example.com/"}`},
	"GET /api/v1/integrations/stripe/prices":                  {"operator", ""},
	"PUT /api/v1/integrations/stripe/prices/{price}":          {"operator", `{"type":"email","credits":5}`},
	"GET /api/v1/integrations/stripe/customers":               {"operator", ""},
	"PUT /api/v1/integrations/stripe/customers/{customer}":    {"operator", `{"org":"acme"}`},
	"GET /api/v1/integrations/stripe/events":                  {"operator", ""},
	"POST /api/v1/integrations/stripe/events/{event}/retry":   {"operator", ""},
	"POST /api/v1/webhooks":                                   {"admin", `{"url":"https://example.com/"}`},
	"GET /api/v1/webhooks":                                    {"admin", ""},
	"DELETE /api/v1/webhooks/{id}":                            {"admin", ""},
	"POST /api/v1/webhooks/{id}/enable":                       {"admin", ""},
	"GET /api/v1/webhooks/{id}/deliveries":                    {"admin", ""},
	"POST /api/v1/webhooks/{id}/deliveries/{delivery}/resend": {"admin", ""},
}

// operations lists everything the OpenAPI document describes.
func operations(a *api.API) map[string]*huma.Operation {
	list := map[string]*huma.Operation{}
	for path, item := range a.OpenAPI().Paths {
		for method, op := range map[string]*huma.Operation{
			http.MethodGet: item.Get, http.MethodPost: item.Post, http.MethodPut: item.Put, http.MethodDelete: item.Delete,
			http.MethodPatch: item.Patch, http.MethodHead: item.Head, http.MethodOptions: item.Options,
		} {
			if op != nil {
				list[method+" "+path] = op
			}
		}
	}
	return list
}

// Every route of the OpenAPI document is called with another organization's
// key, a revoked key, keys of too low a role, and none.
func TestA1_EveryRouteAsksWhoIsCalling(t *testing.T) {
	f, stranger := setupWith(t, "slow", 0), setup(t)
	f.fund(100)
	placed := f.place("walk", 5, "20s")
	hook := f.call("POST", "/webhooks", f.admin, `{"url":"https://example.com/"}`).is(201).text("id")
	revoked := f.newKey("ann")
	var keys struct {
		Keys []struct{ ID, Prefix string }
	}
	f.call("GET", "/orgs/"+f.org+"/keys", f.admin, nil).is(200).into(&keys)
	var keyID string
	for _, k := range keys.Keys {
		if strings.HasPrefix(revoked, k.Prefix) {
			keyID = k.ID
		}
	}
	f.call("DELETE", "/orgs/"+f.org+"/keys/"+keyID, f.admin, nil).is(204)

	described := operations(f.api)
	require.ElementsMatch(t, slices.Collect(maps.Keys(access)), slices.Collect(maps.Keys(described)), "every route is in the table of this test")
	for name, op := range described {
		t.Run(name, func(t *testing.T) {
			f := &fixture{t: t, api: f.api, url: f.url, org: f.org, admin: f.admin, jane: f.jane, bob: f.bob}
			f.serve(0) // with a fresh count of guessed keys
			want := access[name]
			id := placed.ID
			switch op.Tags[0] {
			case "Webhooks":
				id = hook
			case "Organizations":
				id = keyID
			}
			fill := func(id string) string {
				return strings.NewReplacer("{org}", f.org, "{id}", id, "{member}", "jane", "{delivery}", "1", "{price}", "price_walk", "{customer}", "cus_walk", "{event}", "evt_walk").Replace(op.Path)
			}
			send := func(path, key string) *reply {
				var body any
				if want.body != "" {
					body = want.body
				}
				return f.call(op.Method, path, key, body, "Idempotency-Key", "walk-2")
			}
			path := fill(id)
			for _, key := range []string{"", "hf_unknown", revoked, f.jane + "x"} {
				r := send(path, key)
				r.problem(401, "unauthenticated")
				require.Equal(t, `Bearer realm="holdfast"`, r.header.Get("WWW-Authenticate"))
			}
			if want.needs != "member" {
				send(path, f.jane).problem(403, "forbidden")
			}
			if want.needs == "operator" {
				send(path, f.admin).problem(403, "forbidden")
				return // no key of another organization comes further
			}
			if !strings.Contains(path, f.org) && op.Tags[0] != "Plans" && name != "GET /api/v1/me" {
				send(path+"?org="+f.org, stranger.admin).problem(404, "not_found")
			}
			if strings.Contains(op.Path, "{") && op.Tags[0] != "Plans" { // plans are everyone's
				theirs := send(path, stranger.admin).problem(404, "not_found")
				nobodys := send(strings.ReplaceAll(fill("none"), f.org, "nowhere"), stranger.admin).problem(404, "not_found")
				theirs.RequestID, nobodys.RequestID = "", ""
				require.Equal(t, nobodys, theirs, "the answer does not tell that it exists")
			}
			if strings.HasPrefix(op.Path, "/api/v1/orders/{id}") {
				send(path, f.bob).problem(404, "not_found") // Jane's
			}
		})
	}
	o := f.order(placed.ID)
	require.Equal(t, "completed", string(o.Status), "nothing of all this moved the order")
	f.call("GET", "/webhooks", f.admin, nil).is(200)
}

func TestA1_MembersSeeTheirOwn(t *testing.T) {
	f := setup(t)
	f.fund(100)
	o := f.place("one", 3, "20s")
	var page struct{ Orders []struct{ ID string } }
	f.call("GET", "/orders", f.bob, nil).is(200).into(&page)
	require.Empty(t, page.Orders)
	for _, key := range []string{f.jane, f.admin} {
		f.call("GET", "/orders", key, nil).is(200).into(&page)
		require.Len(t, page.Orders, 1)
		require.Equal(t, o.ID, page.Orders[0].ID)
	}
	f.call("GET", "/orders?org="+f.org, operatorKey, nil).is(200).into(&page)
	require.Len(t, page.Orders, 1)
	f.call("GET", "/orders/"+o.ID, operatorKey, nil).is(200)
	f.call("GET", "/credits?member=jane", f.bob, nil).problem(403, "forbidden")
	f.call("GET", "/credits?member=jane", f.admin, nil).is(200)
	f.call("GET", "/credits/history?member=jane", f.bob, nil).problem(403, "forbidden")
	f.call("GET", "/credits", operatorKey, nil).problem(422, "invalid_request")
	f.call("GET", "/credits?org="+f.org, operatorKey, nil).is(200)
	f.call("GET", "/credits?org=nowhere", operatorKey, nil).problem(404, "not_found")
	f.call("POST", "/orders", f.bob, leadList(3), "Idempotency-Key", "one").problem(422, "idempotency_key_reused")
}

func TestA2_KeysAreShownOnceAndNotLogged(t *testing.T) {
	f := setup(t)
	key := f.newKey("jane")
	require.Greater(t, len(key), 50, "256 bits and a prefix")
	listed := f.call("GET", "/orgs/"+f.org+"/keys", f.admin, nil).is(200)
	require.NotContains(t, string(listed.body), key)
	require.Contains(t, string(listed.body), key[:11])
	f.call("GET", "/credits", key, nil).is(200)
	require.Contains(t, string(f.call("GET", "/orgs/"+f.org+"/keys", f.admin, nil).body), "last_used_at")
	f.call("POST", "/bounces", f.admin, map[string]any{"emails": []string{"other@secret.test"}}, "Idempotency-Key", "b").is(200)
	f.call("GET", "/leads?domain=secret.test", f.jane, nil).is(200)
	text := logLines.String()
	require.Contains(t, text, "/api/v1/credits")
	require.NotContains(t, text, key)
	require.NotContains(t, text, operatorKey)
	require.NotContains(t, text, "secret.test")
}
