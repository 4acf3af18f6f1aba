package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// receiver takes webhooks, or fails to, and remembers which events of which order
// came, in the order of their first arrival.
type receiver struct {
	*httptest.Server
	failing atomic.Bool
	loses   atomic.Bool // it takes an event, and its answer is lost

	mu   sync.Mutex
	came map[string][]string // by order, topics
	all  int
}

func newReceiver() *receiver {
	r := &receiver{came: map[string][]string{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if r.failing.Load() {
			time.Sleep(100 * time.Millisecond)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var event struct {
			Type string
			Data struct{ ID string }
		}
		if json.NewDecoder(request.Body).Decode(&event) != nil {
			return
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.all++
		if id := event.Data.ID; strings.HasPrefix(event.Type, "order.") && !slices.Contains(r.came[id], event.Type) {
			r.came[id] = append(r.came[id], event.Type)
		}
		if r.loses.Load() {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close() // the answer is lost
			}
		}
	}))
	return r
}

func (r *receiver) of(order string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.came[order])
}
