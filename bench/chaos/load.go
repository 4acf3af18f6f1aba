package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// client is a customer's backend: it repeats a request under the same key until it
// has a definite answer, on whichever server answers, and keeps a record.
type client struct {
	urls  []string
	http  *http.Client
	key   string // of the member
	admin string // operator key
	org   string
	leads []string // ids that it has seen in results

	mu       sync.Mutex
	orders   map[string]accepted // by idempotency key
	granted  int64
	problems []string
	accepts  []time.Time
	refused  atomic.Int64
	repeated atomic.Int64
}

type accepted struct{ id, status string }

func (c *client) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// send sends a request once. status 0: no answer.
func (c *client) send(ctx context.Context, within time.Duration, server int, key, path, idem string, body any) (status int, answer []byte) {
	text, _ := json.Marshal(body) // maps of strings and numbers
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.urls[server%len(c.urls)]+"/api/v1"+path, bytes.NewReader(text))
	if err != nil {
		return 0, nil
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", idem)
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = response.Body.Close() }()
	if answer, err = io.ReadAll(response.Body); err != nil {
		return 0, nil
	}
	return response.StatusCode, answer
}

// insist repeats a request until its answer is definite. At times it does not wait
// for an answer, or asks both servers at once.
func (c *client) insist(ctx context.Context, rng *rand.Rand, key, path, idem string, body any) (status int, answer []byte) {
	for try := 0; ctx.Err() == nil; try++ {
		within := 20 * time.Second
		if try == 0 && rng.IntN(10) == 0 {
			within = time.Duration(1+rng.IntN(80)) * time.Millisecond // the answer is lost
		}
		if rng.IntN(8) == 0 {
			c.repeated.Add(1)
			go c.send(ctx, 20*time.Second, try+1, key, path, idem, body) // a double click
		}
		status, answer = c.send(ctx, within, try, key, path, idem, body)
		if status != 0 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout {
			return status, answer
		}
		c.repeated.Add(1)
		time.Sleep(time.Duration(50+rng.IntN(400)) * time.Millisecond)
	}
	return 0, nil
}

// work makes requests until ctx is done; those that were begun are finished.
func (c *client) work(ctx, last context.Context, rng *rand.Rand, name string) {
	for n := 0; ctx.Err() == nil; n++ {
		idem := fmt.Sprintf("%s-%d", name, n)
		switch rng.IntN(12) {
		case 0:
			c.grant(last, rng, idem)
		case 1, 2, 3:
			c.verify(last, rng, idem)
		case 4, 5:
			c.order(last, rng, idem, c.reveal(rng))
		case 6:
			c.order(last, rng, idem, map[string]any{"kind": "verify", "emails": emails(rng, 1+rng.IntN(40))})
		default:
			c.order(last, rng, idem, map[string]any{"kind": "lead_list", "count": 1 + rng.IntN(40), "fill": rng.IntN(6) == 0})
		}
		time.Sleep(time.Duration(rng.IntN(100)) * time.Millisecond)
	}
}

func (c *client) grant(ctx context.Context, rng *rand.Rand, idem string) {
	amount := int64(1 + rng.IntN(100))
	status, answer := c.insist(ctx, rng, c.admin, "/orgs/"+c.org+"/grants", idem, map[string]any{"type": "email", "amount": amount, "source": "pack"})
	if status != http.StatusCreated {
		c.complain("a grant was answered %d: %s", status, answer)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.granted += amount
}

func emails(rng *rand.Rand, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("p%d@nowhere%d.test", rng.IntN(100_000), rng.IntN(50))
	}
	return list
}

func (c *client) verify(ctx context.Context, rng *rand.Rand, idem string) {
	status, answer := c.insist(ctx, rng, c.key, "/verify/batch", idem, map[string]any{"emails": emails(rng, 1+rng.IntN(3))})
	var v struct{ Order struct{ ID, Status string } }
	if status != http.StatusOK || json.Unmarshal(answer, &v) != nil {
		c.refuse(status, answer)
		return
	}
	c.note(idem, v.Order.ID, v.Order.Status)
}

func (c *client) reveal(rng *rand.Rand) map[string]any {
	ids := make([]string, 1+rng.IntN(10))
	for i := range ids {
		ids[i] = c.leads[rng.IntN(len(c.leads))]
	}
	if rng.IntN(3) == 0 {
		return map[string]any{"kind": "export", "lead_ids": ids}
	}
	return map[string]any{"kind": "reveal", "lead_ids": ids, "fields": []string{"email"}}
}

func (c *client) order(ctx context.Context, rng *rand.Rand, idem string, body any) {
	status, answer := c.insist(ctx, rng, c.key, "/orders", idem, body)
	var o struct{ ID, Status string }
	if status != http.StatusCreated || json.Unmarshal(answer, &o) != nil {
		c.refuse(status, answer)
		return
	}
	c.note(idem, o.ID, o.Status)
	switch rng.IntN(10) {
	case 0:
		c.insist(ctx, rng, c.key, "/orders/"+o.ID+"/cancel", idem+"-c", map[string]any{})
	case 1:
		c.insist(ctx, rng, c.key, "/orders/"+o.ID+"/pause", idem+"-p", map[string]any{})
		c.insist(ctx, rng, c.key, "/orders/"+o.ID+"/resume", idem+"-r", map[string]any{})
	case 2: // the same again, later: the same order
		again, answer := c.insist(ctx, rng, c.key, "/orders", idem, body)
		var same struct{ ID string }
		if json.Unmarshal(answer, &same) != nil || same.ID != o.ID {
			c.complain("the key %s gave order %s, then %d %s", idem, o.ID, again, answer)
		}
	}
}

// refuse takes note of a definite refusal: missing credits are none of ours.
func (c *client) refuse(status int, answer []byte) {
	c.refused.Add(1)
	if status != 0 && status != http.StatusPaymentRequired && status != http.StatusUnprocessableEntity && status != http.StatusConflict {
		c.complain("a request was answered %d: %s", status, answer)
	}
}

func (c *client) note(idem, id, status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orders[idem] = accepted{id, status}
	c.accepts = append(c.accepts, time.Now())
}
