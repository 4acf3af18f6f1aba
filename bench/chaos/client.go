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

// client is the customers' backend: it repeats a request under the same key until
// it has a definite answer, on any server that answers, and keeps a record.
type client struct {
	urls      []string
	http      *http.Client
	admin     string   // operator key
	leads     []string // ids of leads that stay
	known     []string // addresses of leads of all sorts
	customers []*customer
	think     time.Duration // the longest between two pieces of work

	mu       sync.Mutex
	orders   map[string]accepted // by organization and idempotency key
	problems []string
	accepts  []time.Time
	done     map[string]int // what was answered, by what was asked for
	erased   []string       // addresses and numbers of people
	refused  atomic.Int64
	repeated atomic.Int64
	errors   *appended // answers
}

// customer is an organization, and what the answers said about its credits.
type customer struct {
	org, key string
	webhook  string
	secret   string // that its webhook signs with

	mu     sync.Mutex
	change map[string]int64 // credits that came and went, by what it was
	lists  []string         // the newest
}

type accepted struct{ id, org, kind, status string }

func (c *client) complain(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.problems = append(c.problems, fmt.Sprintf(format, args...))
}

// request is one that may be repeated.
type request struct {
	method, path string
	key          string // of who asks
	idem         string
	body         any
	text         string // in place of a body of JSON
	header       map[string]string
	what         string // for the record
}

// send sends a request once. status 0: no answer.
func (c *client) send(ctx context.Context, within time.Duration, server int, r request) (status int, answer []byte) {
	text := []byte(r.text)
	if r.body != nil {
		text, _ = json.Marshal(r.body) // maps of strings and numbers
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	method := r.method
	if method == "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, c.urls[server%len(c.urls)]+"/api/v1"+r.path, bytes.NewReader(text))
	if err != nil {
		return 0, nil
	}
	if r.key != "" {
		request.Header.Set("Authorization", "Bearer "+r.key)
	}
	request.Header.Set("Content-Type", "application/json")
	if r.idem != "" {
		request.Header.Set("Idempotency-Key", r.idem)
	}
	for name, value := range r.header {
		request.Header.Set(name, value)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = response.Body.Close() }()
	if answer, err = io.ReadAll(response.Body); err != nil {
		return 0, nil
	}
	if response.StatusCode >= 400 {
		c.errors.from(bytes.NewReader(answer))
	}
	return response.StatusCode, answer
}

// insist repeats a request until its answer is definite. At times it does not wait
// for an answer, or asks both servers at once.
func (c *client) insist(ctx context.Context, rng *rand.Rand, r request) (status int, answer []byte) {
	for try := 0; ctx.Err() == nil; try++ {
		within := 20 * time.Second
		if try == 0 && rng.IntN(10) == 0 {
			within = time.Duration(1+rng.IntN(80)) * time.Millisecond // the answer is lost
		}
		if rng.IntN(8) == 0 {
			c.repeated.Add(1)
			go c.send(ctx, 20*time.Second, try+1, r) // a double click
		}
		status, answer = c.send(ctx, within, try, r)
		if status != 0 && status < 500 && status != http.StatusTooManyRequests && status != http.StatusRequestTimeout {
			c.count(r.what, status)
			return status, answer
		}
		c.repeated.Add(1)
		time.Sleep(time.Duration(50+rng.IntN(400)) * time.Millisecond)
	}
	c.complain("%s %s under %s had no answer in the end, the last was %d: %.300s", r.method, r.path, r.idem, status, answer)
	return 0, nil
}

func (c *client) count(what string, status int) {
	if status >= 300 {
		what += ", refused"
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[what]++
}

// refuse takes note of a definite refusal: missing credits are none of ours.
func (c *client) refuse(what string, status int, answer []byte) {
	c.refused.Add(1)
	if status != 0 && status != http.StatusPaymentRequired && status != http.StatusConflict {
		c.complain("%s was answered %d: %s", what, status, answer)
	}
}

func (c *client) note(who *customer, idem, kind, id, status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := who.org + " " + idem
	if before, ok := c.orders[key]; ok && before.id != id {
		c.problems = append(c.problems, fmt.Sprintf("the key %s gave order %s, then %s", key, before.id, id))
	}
	c.orders[key] = accepted{id, who.org, kind, status}
	c.accepts = append(c.accepts, time.Now())
}

// credit takes note of credits that came or went.
func (w *customer) credit(what string, amount int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.change[what] += amount
}

// total is what was given to the customer and not taken back.
func (w *customer) total() int64 {
	return w.change[granted] + w.change[bought] - w.change[voided] - w.change[refunded]
}

// What credits come and go by.
const (
	granted  = "granted"
	voided   = "voided"
	bought   = "bought"
	refunded = "refunded"
	back     = "credited back" // by reversals and bounces
)
