package api_test

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"
)

// Every list is read in pages, and every POST that makes something takes an
// idempotency key.
func TestA21_RoutesAreUniform(t *testing.T) {
	f := setup(t)
	lists, plans := 0, struct {
		NextCursor string `json:"next_cursor"`
	}{}
	f.call("GET", "/plans?limit=1", f.admin, nil).is(200).into(&plans)
	for name, op := range operations(f.api) {
		elsewhere := plans.NextCursor
		if op.OperationID == "listPlans" {
			elsewhere += "x"
		}
		has := func(parameter string) bool {
			return slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == parameter })
		}
		if strings.HasPrefix(op.OperationID, "list") {
			require.True(t, has("cursor") && has("limit"), name)
		}
		if has("cursor") { // one that no page of this list gave, also where another list gave it
			path := regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(strings.ReplaceAll(strings.TrimPrefix(name, "GET /api/v1"), "{org}", f.org), "7")
			for _, cursor := range []string{"zzz", "7", "%2A", elsewhere} {
				path := path + "?cursor=" + cursor
				if has("org") && !strings.Contains(name, "{org}") {
					path += "&org=" + f.org
				}
				p := f.call("GET", path, operatorKey, nil).problem(422, "invalid_request")
				require.Equal(t, "query.cursor", p.Errors[0].Field, path)
				lists++
			}
		}
		if strings.HasPrefix(name, "POST ") && op.Responses["201"] != nil {
			require.True(t, has("Idempotency-Key"), name)
		}
	}
	require.Greater(t, lists, 80)
}

// walk reads all pages of a list, two entries each, and returns the values of a
// field in order.
func (f *fixture) walk(path, key, list, field string) []string {
	f.t.Helper()
	var found []string
	cursor := ""
	for range 100 {
		var page map[string]any
		joint := "?"
		if strings.Contains(path, "?") {
			joint = "&"
		}
		f.call("GET", path+joint+"limit=2&cursor="+cursor, key, nil).is(200).into(&page)
		entries, ok := page[list].([]any)
		require.True(f.t, ok, "%s has no %s", path, list)
		require.LessOrEqual(f.t, len(entries), 2)
		for _, e := range entries {
			found = append(found, fmt.Sprint(e.(map[string]any)[field]))
		}
		next, _ := page["next_cursor"].(string)
		if next == "" {
			return found
		}
		cursor = url.QueryEscape(next)
	}
	f.t.Fatal("the pages have no end")
	return nil
}

func TestA21_ListsHavePages(t *testing.T) {
	f, lists := setup(t), setupWith(t, "prepaid-verification", 0)
	for i := range 5 {
		f.call("POST", "/webhooks", f.admin, map[string]any{"url": fmt.Sprintf("https://example.com/%d", i)}).is(201)
		lists.call("POST", "/lists", lists.jane, fmt.Sprintf("p%d@example.test", i), "Content-Type", "text/plain").is(201)
		f.call("POST", "/suppressions", f.admin, map[string]any{"entries": []string{fmt.Sprintf("s%d@example.test", i)}}).is(200)
		f.newKey("jane")
	}
	for _, c := range []struct {
		path, list, field string
		want              int
	}{
		{"/orgs/" + f.org + "/members", "members", "id", 3},
		{"/orgs/" + f.org + "/keys", "keys", "id", 8},
		{"/orgs/" + f.org + "/keys?member=jane", "keys", "id", 6},
		{"/webhooks", "webhooks", "id", 5},
		{"/suppressions", "suppressions", "sha256", 5},
		{"/events", "events", "id", 3}, // member.created
	} {
		found := f.walk(c.path, f.admin, c.list, c.field)
		require.Len(t, found, c.want, c.path)
		slices.Sort(found)
		require.Len(t, slices.Compact(found), c.want, c.path)
		f.call("GET", strings.Split(c.path, "?")[0]+"?cursor=%2A", f.admin, nil).problem(422, "invalid_request")
	}
	require.Len(t, lists.walk("/lists", lists.admin, "lists", "id"), 5)
	require.Contains(t, f.walk("/orgs", operatorKey, "orgs", "id"), f.org)
	require.Subset(t, f.walk("/plans", f.jane, "plans", "id"), []string{"quick", "verified-leads", "workspace-free"})
	require.Equal(t, "quick", f.call("GET", "/plans/quick", f.jane, nil).is(200).text("id"))
	f.call("GET", "/plans/quick?version=99", f.jane, nil).problem(404, "not_found")
}

// What grants and spends says so, too, when it is repeated; also where the requests
// come at the same time: all but one.
func TestA4_RepeatedMovementsAreMarked(t *testing.T) {
	f := setup(t)
	f.fund(100)
	order := f.settled(f.place("o", 10, "20s").ID)
	require.Positive(t, order.Tally.Valid)
	var granted struct {
		ID int64 `json:"grant_id"`
	}
	grant := map[string]any{"type": "email", "amount": 5, "source": "pack"}
	f.call("POST", "/orgs/"+f.org+"/grants", operatorKey, grant, "Idempotency-Key", "void").is(201).into(&granted)
	for _, c := range []struct {
		path, key string
		body      any
	}{
		{"/orgs/" + f.org + "/grants", operatorKey, grant},
		{"/orgs/" + f.org + "/grants/batch", operatorKey, map[string]any{"grants": []any{grant, grant}}},
		{fmt.Sprintf("/orgs/%s/grants/%d/void", f.org, granted.ID), operatorKey, map[string]any{"amount": 1, "reason": "a mistake"}},
		{"/orders/" + order.ID + "/reverse", operatorKey, map[string]any{"reason": "a mistake"}},
		{"/bounces", f.admin, map[string]any{"emails": []string{"ann@nowhere.invalid"}}},
	} {
		var wait sync.WaitGroup
		marked := make(chan string, 6)
		for range cap(marked) {
			wait.Go(func() {
				marked <- f.call("POST", c.path, c.key, c.body, "Idempotency-Key", "once").header.Get("Idempotent-Replayed")
			})
		}
		wait.Wait()
		close(marked)
		n := 0
		for m := range marked {
			if m == "true" {
				n++
			}
		}
		require.Equal(t, 5, n, c.path)
	}
}

// A repeated request makes nothing more, gets the same answer, and says so.
func TestA4_WhatIsMadeIsMadeOnce(t *testing.T) {
	f := setup(t)
	other := f.org + "-b"
	for _, c := range []struct {
		path, key string
		body      any
		changed   any
		same      string // the field that is compared
	}{
		{"/orgs", operatorKey, map[string]any{"id": other, "name": "B", "plan": "quick"}, map[string]any{"id": other, "name": "C", "plan": "quick"}, "id"},
		{"/orgs/" + f.org + "/members", f.admin, map[string]any{"id": "kim", "name": "Kim"}, map[string]any{"id": "kim", "name": "Tim"}, "id"},
		{"/orgs/" + f.org + "/keys", f.admin, map[string]any{"member": "jane"}, map[string]any{"member": "bob"}, "key"},
		{"/orgs/" + f.org + "/login-links", f.admin, map[string]any{"member": "jane"}, map[string]any{"member": "jane", "for": "1m"}, "token"},
		{"/webhooks", f.admin, map[string]any{"url": "https://example.com/"}, map[string]any{"url": "https://example.com/b"}, "secret"},
	} {
		first := f.call("POST", c.path, c.key, c.body, "Idempotency-Key", "once").is(201)
		require.Empty(t, first.header.Get("Idempotent-Replayed"), c.path)
		again := f.call("POST", c.path, c.key, c.body, "Idempotency-Key", "once").is(201)
		require.Equal(t, first.text(c.same), again.text(c.same), c.path)
		require.Equal(t, "true", again.header.Get("Idempotent-Replayed"), c.path)
		f.call("POST", c.path, c.key, c.changed, "Idempotency-Key", "once").problem(422, "idempotency_key_reused")
	}
	require.Len(t, f.walk("/orgs/"+f.org+"/keys?member=jane", f.admin, "keys", "id"), 2, "the one of the fixture and one more")
	require.Len(t, f.walk("/webhooks", f.admin, "webhooks", "id"), 1)

	key := f.call("POST", "/orgs/"+f.org+"/keys", f.admin, map[string]any{"member": "jane"}, "Idempotency-Key", "once").is(201).text("key")
	require.Equal(t, "jane", f.call("GET", "/me", key, nil).is(200).nested("member", "id"))
	theirs := f.call("POST", "/orgs/"+f.org+"/keys", operatorKey, map[string]any{"member": "jane"}, "Idempotency-Key", "once").is(201)
	require.NotContains(t, string(theirs.body), `"key"`, "another caller does not learn the secret")

	lists := setupWith(t, "prepaid-verification", 0)
	list := lists.call("POST", "/lists", lists.jane, "a@example.test", "Content-Type", "text/plain", "Idempotency-Key", "l").is(201).text("id")
	require.Equal(t, list, lists.call("POST", "/lists", lists.jane, "a@example.test", "Content-Type", "text/plain", "Idempotency-Key", "l").is(201).text("id"))
	lists.call("POST", "/lists", lists.jane, "b@example.test", "Content-Type", "text/plain", "Idempotency-Key", "l").problem(422, "idempotency_key_reused")
	require.Equal(t, list, lists.call("GET", "/lists/"+list, lists.jane, nil).is(200).text("id"))

	f.fund(10)
	require.Empty(t, f.call("POST", "/orders", f.jane, leadList(1), "Idempotency-Key", "o").is(201).header.Get("Idempotent-Replayed"))
	require.Equal(t, "true", f.call("POST", "/orders", f.jane, leadList(1), "Idempotency-Key", "o").is(201).header.Get("Idempotent-Replayed"))
}

// Twenty equal requests at the same moment make one key.
func TestA4_EqualRequestsAtOnceMakeOneThing(t *testing.T) {
	f := setup(t)
	var all sync.WaitGroup
	keys := make([]string, 20)
	for i := range keys {
		all.Go(func() {
			keys[i] = f.call("POST", "/orgs/"+f.org+"/keys", f.admin, map[string]any{"member": "jane"}, "Idempotency-Key", "rush").is(201).text("key")
		})
	}
	all.Wait()
	require.Len(t, slices.Compact(keys), 1)
	f.call("GET", "/credits", keys[0], nil).is(200)
}

// nested returns a text within an object of the answer.
func (r *reply) nested(object, field string) string {
	r.t.Helper()
	var fields map[string]map[string]any
	var all map[string]any
	r.into(&all)
	fields = map[string]map[string]any{}
	if m, ok := all[object].(map[string]any); ok {
		fields[object] = m
	}
	text, ok := fields[object][field].(string)
	require.True(r.t, ok, "%s.%s in %s", object, field, r.body)
	return text
}

func TestA22_MetadataIsKeptAndFiltersBy(t *testing.T) {
	f := setup(t)
	labels := map[string]any{"customer": "4711", "team": "emea:west"}
	org := f.org + "-m"
	f.call("POST", "/orgs", operatorKey, map[string]any{"id": org, "name": "M", "plan": "quick", "metadata": labels}).is(201)
	require.Equal(t, []string{org}, f.walk("/orgs?metadata=customer:4711", operatorKey, "orgs", "id"))
	require.Equal(t, "emea:west", f.call("GET", "/orgs/"+org, operatorKey, nil).is(200).nested("metadata", "team"))
	f.call("PATCH", "/orgs/"+org, operatorKey, map[string]any{"metadata": map[string]any{"customer": "4712"}}).is(200)
	require.Empty(t, f.walk("/orgs?metadata=customer:4711", operatorKey, "orgs", "id"))

	f.call("POST", "/orgs/"+f.org+"/members", f.admin, map[string]any{"id": "kim", "name": "Kim", "metadata": labels}).is(201)
	require.Equal(t, []string{"kim"}, f.walk("/orgs/"+f.org+"/members?metadata=customer:4711", f.admin, "members", "id"))

	grant := map[string]any{"type": "email", "amount": 100, "source": "pack", "metadata": labels}
	f.call("POST", "/orgs/"+f.org+"/grants", operatorKey, grant, "Idempotency-Key", "g").is(201)
	require.Equal(t, "4711", f.call("POST", "/orgs/"+f.org+"/grants", operatorKey, grant, "Idempotency-Key", "g").is(201).nested("metadata", "customer"))
	grant["metadata"] = map[string]any{}
	f.call("POST", "/orgs/"+f.org+"/grants", operatorKey, grant, "Idempotency-Key", "g").problem(422, "idempotency_key_reused")
	require.Contains(t, string(f.call("GET", "/orgs/"+f.org+"/grants", f.admin, nil).is(200).body), "emea:west")

	order := leadList(1)
	order["metadata"] = labels
	placed := f.call("POST", "/orders?wait=20s", f.jane, order, "Idempotency-Key", "o").is(201)
	require.Equal(t, "4711", placed.nested("metadata", "customer"))
	f.call("POST", "/orders?wait=20s", f.jane, leadList(1), "Idempotency-Key", "plain").is(201)
	require.Equal(t, []string{placed.text("id")}, f.walk("/orders?metadata=customer:4711&metadata="+url.QueryEscape("team:emea:west"), f.jane, "orders", "id"))
	require.Empty(t, f.walk("/orders?metadata=customer:4712", f.jane, "orders", "id"))
	f.call("POST", "/orders", f.jane, leadList(1), "Idempotency-Key", "o").problem(422, "idempotency_key_reused")

	order["metadata"] = map[string]any{}
	for i := range 21 {
		order["metadata"].(map[string]any)[fmt.Sprint(i)] = "x"
	}
	f.call("POST", "/orders", f.jane, order, "Idempotency-Key", "many").problem(422, "invalid_request")
	order["metadata"] = map[string]any{"n": 1}
	f.call("POST", "/orders", f.jane, order, "Idempotency-Key", "number").problem(422, "invalid_request")
	f.call("GET", "/orders?metadata=customer", f.jane, nil).problem(422, "invalid_request")
}

// A backend with one key orders for its members.
func TestA23_AnAdminOrdersForAMember(t *testing.T) {
	f := setup(t)
	f.fund(100)
	order := leadList(2)
	order["member"] = "jane"
	placed := f.call("POST", "/orders?wait=20s", f.admin, order, "Idempotency-Key", "for-jane").is(201)
	require.Equal(t, "jane", placed.text("member"))
	require.Equal(t, placed.text("id"), f.call("GET", "/orders/"+placed.text("id"), f.jane, nil).is(200).text("id"))
	require.Equal(t, []string{placed.text("id")}, f.walk("/orders?member=jane", f.admin, "orders", "id"))
	require.Empty(t, f.walk("/orders?member=bob", f.admin, "orders", "id"))
	f.call("POST", "/orders?org="+f.org, operatorKey, order, "Idempotency-Key", "for-jane").is(201)
	f.call("POST", "/orders", f.bob, order, "Idempotency-Key", "not-bob").problem(403, "forbidden")
	f.call("POST", "/quotes", f.bob, order).problem(403, "forbidden")
	f.call("GET", "/orders?member=jane", f.bob, nil).problem(403, "forbidden")
	order["member"] = "missing"
	f.call("POST", "/orders", f.admin, order, "Idempotency-Key", "for-missing").problem(404, "not_found")
	f.settled(placed.text("id"))

	require.Empty(t, f.walk("/orders?from=2099-01-01", f.admin, "orders", "id"))
	require.Len(t, f.walk("/orders?to=2099-01-01", f.admin, "orders", "id"), 1)
	require.Empty(t, f.walk("/orders?to=2001-01-01T00:00:00Z", f.admin, "orders", "id"))
}

func TestA24_MembersAreChanged(t *testing.T) {
	f := setup(t)
	path := "/orgs/" + f.org + "/members/jane"
	f.call("PATCH", path, f.admin, map[string]any{"role": "admin", "name": "Jane D."}).is(200)
	promoted := f.newKey("jane")
	require.Equal(t, "admin", f.call("GET", "/me", promoted, nil).is(200).text("role"))
	require.Equal(t, "Jane D.", f.call("GET", path, f.admin, nil).is(200).text("name"))
	f.call("PATCH", path, f.admin, map[string]any{"role": "member"}).is(200)
	f.call("GET", "/me", promoted, nil).problem(401, "unauthenticated")
	f.call("GET", "/me", f.jane, nil).is(200)
	f.call("PATCH", path, f.admin, map[string]any{"role": "boss"}).problem(422, "invalid_request")
	f.call("PATCH", "/orgs/"+f.org+"/members/none", f.admin, map[string]any{"name": "X"}).problem(404, "not_found")
	require.Equal(t, "operator", f.call("GET", "/me", operatorKey, nil).is(200).text("role"))
}

func TestA25_SuppressionsOverHTTP(t *testing.T) {
	f := setup(t)
	check := func(entry string) bool {
		var answer struct{ Results []struct{ Suppressed bool } }
		f.call("POST", "/suppressions/check", f.jane, map[string]any{"entries": []string{entry}}).is(200).into(&answer)
		return answer.Results[0].Suppressed
	}
	entries := map[string]any{"entries": []string{"ann@example.test", "partner.test"}, "reason": "asked to"}
	require.Equal(t, `{"added":2,"removed":0,"entries":2}`, strings.TrimSpace(string(f.call("POST", "/suppressions", f.admin, entries).is(200).body)))
	require.True(t, check("ann@example.test"))
	require.True(t, check("anyone@partner.test"))
	require.False(t, check("bob@example.test"))
	f.call("POST", "/suppressions/remove", f.admin, map[string]any{"entries": []string{"ann@example.test"}}).is(200)
	require.False(t, check("ann@example.test"))
	p := f.call("POST", "/suppressions", f.admin, map[string]any{"entries": []string{"fine.test", "not one"}}).problem(422, "invalid_request")
	require.Equal(t, "body.entries[1]", p.Errors[0].Field)
	require.False(t, check("x@fine.test"), "all or none")

	f.call("POST", "/suppressions/upload?reason=moved", f.admin, "email,why\nkim@example.test,x\nold.test,y\n", "Content-Type", "text/csv").is(200)
	require.True(t, check("kim@example.test"))
	require.True(t, check("x@old.test"))
	p = f.call("POST", "/suppressions/upload", f.admin, "a@b.test\nnot one\n", "Content-Type", "text/plain").problem(422, "invalid_request")
	require.Contains(t, p.Detail, "Line 2")
}
