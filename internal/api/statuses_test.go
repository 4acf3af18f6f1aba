package api_test

import (
	"testing"

	"holdfast/internal/api"
)

// Answers of single routes that are about nothing else: the description says them,
// so they are seen once.
func TestA26_RarerAnswers(t *testing.T) {
	f := setupWith(t, "fuzzed", 0)
	here := "/orgs/" + f.org
	f.call("POST", "/verify", f.jane, map[string]any{"email": "ann@example.com"}, "Idempotency-Key", "v").is(402)
	f.call("POST", "/verify/batch", f.jane, map[string]any{"emails": []string{"ann@example.com"}}, "Idempotency-Key", "b").is(402)
	f.call("GET", here+"/plan-preview?plan=slow", f.admin, nil).is(200)
	f.call("POST", "/orgs", operatorKey, map[string]any{"id": f.org, "name": "Another", "plan": "quick"}).is(409)
	f.call("PUT", "/integrations/stripe/customers/cus_"+f.org, operatorKey, map[string]any{"org": f.org}).is(200)

	f.call("POST", here+"/grants", operatorKey, map[string]any{"type": "email", "amount": 5, "source": "pack"}, "Idempotency-Key", "g").is(201)
	id := f.call("POST", "/orders?wait=25s", f.jane, leadList(2), "Idempotency-Key", "o").is(201).text("id")
	f.call("POST", "/orders/"+id+"/reverse", operatorKey, map[string]any{"reason": "too much", "type": "email", "amount": 1000}, "Idempotency-Key", "r").is(409)

	f.call("POST", here+"/members", f.admin, map[string]any{"id": "bob", "name": "Another"}).is(409)
	f.call("PATCH", here+"/members/bob", f.admin, map[string]any{"email": "one@" + f.org + ".test"}).is(200)
	f.call("PATCH", here+"/members/jane", f.admin, map[string]any{"email": "one@" + f.org + ".test"}).is(409)

	f.serveWith(func(c *api.Config) { c.Sandbox = true })
	clock := "/test-clocks/" + f.call("POST", "/test-clocks", operatorKey, map[string]any{"org": f.org + "-later", "at": "2028-01-31T09:00:00Z"}).is(201).text("id")
	f.call("GET", clock, operatorKey, nil).is(200)
	f.call("DELETE", clock, operatorKey, nil).is(204)
}
