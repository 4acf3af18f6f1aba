package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"
)

// work makes requests until ctx is done; those that were begun are finished before
// last ends.
func (c *client) work(ctx, last context.Context, rng *rand.Rand, name string) {
	for n := 0; ctx.Err() == nil; n++ {
		idem := fmt.Sprintf("%s-%d", name, n)
		who := c.customers[0]
		if rng.IntN(6) == 0 {
			who = c.customers[1] // who has few credits
		}
		switch rng.IntN(24) {
		case 0, 1:
			c.grant(last, rng, who, idem)
		case 2, 3, 4, 5:
			c.single(last, rng, who, idem)
		case 6, 7:
			c.verify(last, rng, who, idem)
		case 8:
			c.buy(last, rng, idem)
		case 9:
			c.upload(last, rng, who, idem)
		case 10:
			c.check(last, rng, who, idem)
		default:
			c.order(last, rng, who, idem, c.body(rng, who))
		}
		c.rest(rng)
	}
}

// rest is the time between two pieces of work of a client.
func (c *client) rest(rng *rand.Rand) { time.Sleep(time.Duration(rng.Int64N(int64(c.think) + 1))) }

func emails(rng *rand.Rand, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("p%d@nowhere%d.test", rng.IntN(100_000), rng.IntN(50))
	}
	return list
}

// some are ids of leads that stay.
func (c *client) some(rng *rand.Rand) []string {
	ids := make([]string, 1+rng.IntN(10))
	for i := range ids {
		ids[i] = c.leads[rng.IntN(len(c.leads))]
	}
	return ids
}

// body is an order of any kind.
func (c *client) body(rng *rand.Rand, who *customer) map[string]any {
	fields := [][]string{{"email"}, {"phone"}, {"email", "phone"}}[rng.IntN(3)]
	switch rng.IntN(10) {
	case 0, 1:
		return map[string]any{"kind": "reveal", "lead_ids": c.some(rng), "fields": fields}
	case 2:
		return map[string]any{"kind": "export", "lead_ids": c.some(rng)}
	case 3:
		return map[string]any{"kind": "export", "lead_ids": c.some(rng), "destination": "webhook", "webhook_id": who.webhook}
	case 4:
		return map[string]any{"kind": "verify", "emails": emails(rng, 1+rng.IntN(40))}
	case 5:
		return map[string]any{"kind": "verify", "list_id": who.list(rng)}
	case 6:
		return map[string]any{"kind": "enrich", "list_id": who.list(rng), "fields": fields}
	default:
		return map[string]any{"kind": "lead_list", "count": 1 + rng.IntN(40), "fill": rng.IntN(6) == 0}
	}
}

// single verifies one address: calls that come together ride together.
func (c *client) single(ctx context.Context, rng *rand.Rand, who *customer, idem string) {
	c.verified(ctx, rng, who, request{
		path: "/verify", key: who.key, idem: idem, body: map[string]any{"email": emails(rng, 1)[0]}, what: "verify, one address",
	})
}

func (c *client) verify(ctx context.Context, rng *rand.Rand, who *customer, idem string) {
	c.verified(ctx, rng, who, request{
		path: "/verify/batch", key: who.key, idem: idem, body: map[string]any{"emails": emails(rng, 1+rng.IntN(3))}, what: "verify, batch",
	})
}

func (c *client) verified(ctx context.Context, rng *rand.Rand, who *customer, r request) {
	status, answer := c.insist(ctx, rng, r)
	var v struct{ Order struct{ ID, Status string } }
	if status != http.StatusOK || json.Unmarshal(answer, &v) != nil {
		c.refuse(r.what, status, answer)
		return
	}
	c.note(who, r.idem, "verify", v.Order.ID, v.Order.Status)
}

func (c *client) order(ctx context.Context, rng *rand.Rand, who *customer, idem string, body map[string]any) {
	r := request{path: "/orders", key: who.key, idem: idem, body: body, what: "order, " + body["kind"].(string)}
	if body["destination"] != nil {
		r.what += " to a webhook"
	}
	if rng.IntN(5) == 0 {
		r.path += "?wait=2s" // such orders ride together
	}
	status, answer := c.insist(ctx, rng, r)
	var o struct{ ID, Status string }
	if status != http.StatusCreated || json.Unmarshal(answer, &o) != nil {
		c.refuse(r.what, status, answer)
		return
	}
	c.note(who, idem, body["kind"].(string), o.ID, o.Status)
	step := func(word string) {
		c.insist(ctx, rng, request{path: "/orders/" + o.ID + "/" + word, key: who.key, idem: idem + "-" + word, body: map[string]any{}, what: word})
	}
	switch rng.IntN(10) {
	case 0:
		step("cancel")
	case 1:
		step("pause")
		step("resume")
	case 2: // the same again, later: the same order
		again, answer := c.insist(ctx, rng, r)
		var same struct{ ID string }
		if json.Unmarshal(answer, &same) != nil || same.ID != o.ID {
			c.complain("the key %s gave order %s, then %d %s", idem, o.ID, again, answer)
		}
	case 3:
		time.Sleep(time.Second)
		c.reverse(ctx, rng, who, idem+"-back", o.ID)
	case 4:
		time.Sleep(time.Second)
		c.bounce(ctx, rng, who, idem+"-bounce", o.ID)
	}
}

// check looks at what anybody may look at; it must answer, and change nothing.
func (c *client) check(ctx context.Context, rng *rand.Rand, who *customer, idem string) {
	paths := []string{"/credits", "/credits/history", "/orders", "/events", "/orgs/" + who.org}
	path := paths[rng.IntN(len(paths))]
	if status, answer := c.insist(ctx, rng, request{method: http.MethodGet, path: path, key: who.key, what: "look"}); status != http.StatusOK && status != 0 {
		c.complain("GET %s (%s) was answered %d: %s", path, idem, status, answer)
	}
}

// upload uploads a list: addresses without a lead, and of leads that may be erased.
func (c *client) upload(ctx context.Context, rng *rand.Rand, who *customer, idem string) {
	text := "email,company\n"
	for _, email := range emails(rng, 5+rng.IntN(10)) {
		text += email + ",Nowhere\n"
	}
	for range 5 {
		text += c.known[rng.IntN(len(c.known))] + ",Somewhere\n"
	}
	status, answer := c.insist(ctx, rng, request{
		path: "/lists", key: who.key, idem: idem, text: text, header: map[string]string{"Content-Type": "text/csv"}, what: "upload",
	})
	var l struct {
		ID string `json:"id"`
	}
	if status != http.StatusCreated || json.Unmarshal(answer, &l) != nil {
		c.refuse("upload", status, answer)
		return
	}
	who.mu.Lock()
	defer who.mu.Unlock()
	who.lists = append(who.lists, l.ID)
	who.lists = who.lists[max(0, len(who.lists)-10):]
}

func (w *customer) list(rng *rand.Rand) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lists[rng.IntN(len(w.lists))]
}
