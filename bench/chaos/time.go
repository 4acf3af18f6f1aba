package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// clockwork is an organization with a time of its own: months pass, periods end,
// it changes its plan, and orders run during all of that.
type clockwork struct {
	*customer
	clock string
	at    time.Time
}

var monthly = []string{"rollover-ignite", "rollover-boost", "rollover-power"}

// tick lets time pass until ctx is done, and then until everything is settled.
func (c *client) tick(ctx, last context.Context, rng *rand.Rand, w *clockwork) {
	for n := 0; ctx.Err() == nil; n++ {
		for i := range 1 + rng.IntN(3) {
			body := map[string]any{"kind": "lead_list", "count": 1 + rng.IntN(30)}
			if rng.IntN(3) == 0 {
				body = map[string]any{"kind": "reveal", "lead_ids": c.some(rng), "fields": []string{"email", "phone"}}
			}
			r := request{path: "/orders", key: w.key, idem: fmt.Sprintf("tick-%d-%d", n, i), body: body, what: "order, monthly plan"}
			status, answer := c.insist(last, rng, r)
			var o struct{ ID, Status string }
			if status != http.StatusCreated || json.Unmarshal(answer, &o) != nil {
				c.refuse(r.what, status, answer)
				continue
			}
			c.note(w.customer, r.idem, body["kind"].(string), o.ID, o.Status)
		}
		if rng.IntN(3) == 0 {
			plan := monthly[rng.IntN(len(monthly))]
			status, answer := c.insist(last, rng, request{
				method: http.MethodPut, path: "/orgs/" + w.org + "/plan", key: c.admin, body: map[string]any{"plan": plan}, what: "change of plan",
			})
			if status != http.StatusOK && status != 0 {
				c.complain("a change of plan was answered %d: %s", status, answer)
			}
		}
		c.advance(last, rng, w, time.Duration(1+rng.IntN(20*24))*time.Hour)
		c.rest(rng)
	}
	// An order that waits for a mail host is delivered while the time stands still,
	// so that one day may not be enough for its refund.
	for last.Err() == nil {
		c.advance(last, rng, w, 24*time.Hour)
		open := 0
		for _, state := range []string{"reserved", "verifying", "completed"} {
			_, answer := c.insist(last, rng, request{method: http.MethodGet, path: "/orders?status=" + state, key: w.key, what: "look"})
			var page struct{ Orders []struct{ ID string } }
			if json.Unmarshal(answer, &page) != nil {
				continue
			}
			open += len(page.Orders)
		}
		if open == 0 {
			return
		}
		time.Sleep(time.Second)
	}
}

// advance moves the time of the organization and waits until it is there.
func (c *client) advance(ctx context.Context, rng *rand.Rand, w *clockwork, by time.Duration) {
	w.at = w.at.Add(by)
	status, answer := c.insist(ctx, rng, request{
		path: "/test-clocks/" + w.clock + "/advance?wait=5s", key: c.admin, body: map[string]any{"to": w.at.Format(time.RFC3339)}, what: "months pass",
	})
	var clock struct{ Status string }
	for ctx.Err() == nil {
		if status != http.StatusOK || json.Unmarshal(answer, &clock) != nil {
			c.complain("the time of %s did not move: %d %s", w.org, status, answer)
			return
		}
		if clock.Status == "ready" {
			return
		}
		time.Sleep(300 * time.Millisecond)
		status, answer = c.insist(ctx, rng, request{method: http.MethodGet, path: "/test-clocks/" + w.clock, key: c.admin, what: "look"})
	}
}

// person is a lead that is erased on the way. What it shares with others is empty.
type person struct{ id, email, phone, direct string }

// erase erases people, one after the other, until ctx is done.
func (c *client) erase(ctx, last context.Context, rng *rand.Rand, people []person) {
	for _, p := range people {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(500+rng.IntN(2000)) * time.Millisecond):
		}
		status, answer := c.insist(last, rng, request{path: "/erasures", key: c.admin, body: map[string]any{"lead_ids": []string{p.id}, "emails": []string{p.email}}, what: "erasure"})
		if status != http.StatusOK {
			c.complain("an erasure was answered %d: %s", status, answer)
			return
		}
		c.mu.Lock()
		for _, value := range []string{p.email, p.phone, p.direct} {
			if value != "" {
				c.erased = append(c.erased, value)
			}
		}
		c.mu.Unlock()
	}
}
