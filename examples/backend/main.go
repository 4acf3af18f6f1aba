// Command backend orders leads, waits for the webhook that says that they are
// delivered, and downloads them: what a program that sells leads has to do.
//
//	HOLDFAST_URL=http://127.0.0.1:8080 HOLDFAST_KEY=hf_… go run ./examples/backend -count 100 > leads.csv
//
// The key is an admin's: only admins make webhooks. For Holdfast to reach this
// program on the same machine, start it with HOLDFAST_WEBHOOK_ALLOW=127.0.0.1/32.
package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	count := flag.Int64("count", 100, "how many leads to order")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	b := backend{url: os.Getenv("HOLDFAST_URL") + "/api/v1", key: os.Getenv("HOLDFAST_KEY")}
	if err := b.run(ctx, *count, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

type backend struct{ url, key string }

type order struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Tally  struct {
		Valid int64 `json:"valid"`
	} `json:"tally"`
}

func (b backend) run(ctx context.Context, count int64, results io.Writer) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var hook struct{ ID, Secret string }
	err = b.post(ctx, "/webhooks", "", map[string]any{
		"url": "http://" + listener.Addr().String(), "events": []string{"order.completed", "order.failed"},
	}, &hook)
	if err != nil {
		return err
	}
	done := make(chan order, 100)
	server := &http.Server{Handler: receive(hook.Secret, done), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = server.Serve(listener) }()
	defer func() { _ = server.Close() }()

	// The same idempotency key makes the request safe to repeat: a real backend
	// takes the number of its own purchase.
	var placed order
	err = b.post(ctx, "/orders", rand.Text(), map[string]any{"kind": "lead_list", "count": count}, &placed)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "Order %s is %s.\n", placed.ID, placed.Status)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event := <-done:
			if event.ID != placed.ID {
				continue
			}
			if event.Status != "completed" {
				return fmt.Errorf("order %s is %s", event.ID, event.Status)
			}
			fmt.Fprintf(os.Stderr, "%d leads were delivered.\n", event.Tally.Valid)
			return b.get(ctx, "/orders/"+placed.ID+"/results.csv", results)
		}
	}
}

// receive takes webhooks whose signature is good. The same event may come
// twice; handing over an order a second time changes nothing here.
func receive(secret string, done chan<- order) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		var event struct{ Data order }
		if err == nil {
			var check *standardwebhooks.Webhook
			if check, err = standardwebhooks.NewWebhook(secret); err == nil {
				err = check.Verify(body, r.Header)
			}
		}
		if err == nil {
			err = json.Unmarshal(body, &event)
		}
		if err != nil {
			http.Error(w, "this is no event of ours", http.StatusBadRequest)
			return
		}
		done <- event.Data
	}
}

func (b backend) post(ctx context.Context, path, key string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	var read bytes.Buffer
	if err := b.do(request, &read); err != nil {
		return err
	}
	return json.Unmarshal(read.Bytes(), answer)
}

func (b backend) get(ctx context.Context, path string, to io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+path, nil)
	if err != nil {
		return err
	}
	return b.do(request, to)
}

func (b backend) do(request *http.Request, to io.Writer) error {
	request.Header.Set("Authorization", "Bearer "+b.key)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode >= http.StatusBadRequest {
		var problem struct{ Detail string }
		_ = json.NewDecoder(response.Body).Decode(&problem) // without it, the status has to do
		return errors.New(response.Status + ": " + problem.Detail)
	}
	_, err = io.Copy(to, response.Body)
	return err
}
