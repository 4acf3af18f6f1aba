package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stripe/stripe-go/v82/webhook"
)

// grant gives credits, and takes some of them back at times.
func (c *client) grant(ctx context.Context, rng *rand.Rand, who *customer, idem string) {
	kind := []string{"email", "phone"}[rng.IntN(2)]
	amount := int64(1 + rng.IntN(100))
	status, answer := c.insist(ctx, rng, request{
		path: "/orgs/" + who.org + "/grants", key: c.admin, idem: idem, body: map[string]any{"type": kind, "amount": amount, "source": "pack"}, what: "grant",
	})
	var g struct {
		GrantID int64 `json:"grant_id"`
	}
	if status != http.StatusCreated || json.Unmarshal(answer, &g) != nil {
		c.complain("a grant was answered %d: %s", status, answer)
		return
	}
	who.credit(granted, amount)
	if rng.IntN(3) > 0 {
		return
	}
	status, answer = c.insist(ctx, rng, request{
		path: fmt.Sprintf("/orgs/%s/grants/%d/void", who.org, g.GrantID), key: c.admin, idem: idem + "-void",
		body: map[string]any{"reason": "chaos", "amount": 1 + rng.Int64N(amount)}, what: "void",
	})
	var v struct{ Voided int64 }
	if status != http.StatusOK || json.Unmarshal(answer, &v) != nil {
		c.complain("a void was answered %d: %s", status, answer)
		return
	}
	who.credit(voided, v.Voided)
}

type amounts []struct {
	Type   string
	Amount int64
}

func (a amounts) sum() (n int64) {
	for _, x := range a {
		n += x.Amount
	}
	return n
}

// reverse credits back what an order cost. One that still runs is refused.
func (c *client) reverse(ctx context.Context, rng *rand.Rand, who *customer, idem, id string) {
	status, answer := c.insist(ctx, rng, request{
		path: "/orders/" + id + "/reverse", key: c.admin, idem: idem, body: map[string]any{"reason": "chaos"}, what: "reverse",
	})
	var r struct{ Credits amounts }
	switch {
	case status == http.StatusOK && json.Unmarshal(answer, &r) == nil:
		who.credit(back, r.Credits.sum())
	case status != 0 && status != http.StatusConflict:
		c.complain("a reversal of %s was answered %d: %s", id, status, answer)
	}
}

// bounce reports addresses that an order has delivered.
func (c *client) bounce(ctx context.Context, rng *rand.Rand, who *customer, idem, id string) {
	status, answer := c.insist(ctx, rng, request{method: http.MethodGet, path: "/orders/" + id + "/results.csv", key: who.key, what: "results"})
	if status != http.StatusOK {
		return // it is not delivered yet
	}
	rows, err := csv.NewReader(bytes.NewReader(answer)).ReadAll()
	if err != nil || len(rows) < 2 {
		return
	}
	email, verdict := slices.Index(rows[0], "email"), slices.Index(rows[0], "verdict")
	var list []string
	for _, row := range rows[1:] {
		if email >= 0 && verdict >= 0 && row[verdict] == "valid" && len(list) < 3 {
			list = append(list, row[email])
		}
	}
	if len(list) == 0 {
		return
	}
	r := request{path: "/bounces", key: who.key, idem: idem, body: map[string]any{"emails": list}, what: "bounce"}
	for ctx.Err() == nil {
		status, answer = c.insist(ctx, rng, r)
		var b struct {
			Credits amounts
			Results []struct{ Result string }
		}
		if status != http.StatusOK || json.Unmarshal(answer, &b) != nil {
			c.complain("a bounce was answered %d: %s", status, answer)
			return
		}
		if !strings.Contains(string(answer), `"failed"`) {
			who.credit(back, b.Credits.sum())
			return
		}
	}
}

const (
	stripeSecret = "whsec_chaos"
	packPrice    = "price_pack"
	packCredits  = 40
)

// stripe answers as the payment service does: each checkout session has one pack.
type stripe struct {
	*httptest.Server
	failing atomic.Bool
}

func newStripe() *stripe {
	s := &stripe{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if s.failing.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, `{"error":{"type":"api_error","message":"chaos"}}`)
			return
		}
		fmt.Fprintf(w, `{"object":"list","has_more":false,"data":[{"id":"li_1","object":"item","quantity":1,"price":{"id":%q}}]}`, packPrice)
	}))
	return s
}

// buy has a purchase reported by two events, at times after a refund of half of
// it, to all servers, some more than once. Each is reported until it is taken.
func (c *client) buy(ctx context.Context, rng *rand.Rand, idem string) {
	who := c.customers[2]
	session := fmt.Sprintf(`{"id":"cs_%s","object":"checkout.session","mode":"payment","payment_status":"paid","client_reference_id":%q,"payment_intent":"pi_%s","amount_total":5000,"currency":"eur"}`, idem, who.org, idem)
	events := [][3]string{
		{"evt_a_" + idem, "checkout.session.completed", session},
		{"evt_b_" + idem, "checkout.session.async_payment_succeeded", session},
	}
	refund := rng.IntN(3) == 0
	if refund {
		events = append(events, [3]string{"evt_r_" + idem, "charge.refunded", fmt.Sprintf(`{"id":"ch_%s","object":"charge","payment_intent":"pi_%s","amount":5000,"amount_refunded":2500}`, idem, idem)})
	}
	rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for _, e := range events {
		text := fmt.Sprintf(`{"id":%q,"object":"event","api_version":"2025-08-27.basil","created":%d,"type":%q,"data":{"object":%s}}`, e[0], time.Now().Unix(), e[1], e[2])
		signed := webhook.GenerateTestSignedPayload(&webhook.UnsignedPayload{Payload: []byte(text), Secret: stripeSecret, Timestamp: time.Now()})
		status, answer := c.insist(ctx, rng, request{
			path: "/integrations/stripe/webhook", text: text, header: map[string]string{"Stripe-Signature": signed.Header}, what: "event of Stripe",
		})
		if status != http.StatusOK {
			c.complain("the event %s was answered %d: %s", e[0], status, answer)
			return
		}
	}
	who.credit(bought, packCredits)
	if refund {
		who.credit(refunded, packCredits/2)
	}
}
