package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/bench/report"
)

// bench sends requests and writes down how they went.
type bench struct {
	options
	url, key string
	client   *http.Client
	table    *report.Table
	failed   int64 // requests
}

// measure lets callers do something for the span, adds a row to the table and
// returns how often they did it per second.
func (b *bench) measure(what string, callers int, do func(n int64) error) float64 {
	var all report.Latencies
	var wg sync.WaitGroup
	var mu sync.Mutex
	var count, errs atomic.Int64
	began := time.Now()
	for range callers {
		wg.Go(func() {
			var mine report.Latencies
			for time.Since(began) < b.span {
				start := time.Now()
				if err := do(count.Add(1)); err != nil {
					note(what + ": " + err.Error())
					errs.Add(1)
				}
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	wg.Wait()
	rate := float64(len(all)) / time.Since(began).Seconds()
	b.table.Add(what, callers, rate, all.Quantile(.5), all.Quantile(.99), errs.Load())
	b.failed += errs.Load()
	return rate
}

// send asks with the bench's key and reads the answer into a value, if any.
func (b *bench) send(ctx context.Context, method, path, idempotencyKey, body string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, b.url+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+b.key)
	request.Header.Set("Content-Type", "application/json")
	if idempotencyKey != "" {
		request.Header.Set("Idempotency-Key", idempotencyKey)
	}
	response, err := b.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s: %s", response.Status, text)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(text, into)
}
