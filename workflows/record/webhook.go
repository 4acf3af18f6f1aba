package main

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"holdfast/internal/account"
	"holdfast/workflows"
)

// webhooks records deliveries to an endpoint that refuses the first event, so
// that it is waited for, and gets another one in this time.
func (r *recorder) webhooks(ctx context.Context) error {
	const name = "webhook-delivered"
	if !r.wants(name) {
		return nil
	}
	var requests atomic.Int64
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	receiver := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})}
	go func() { _ = receiver.Serve(listener) }()
	if _, err := r.Accounts.CreateOrg(ctx, account.Org{ID: "receiver", Name: "receiver", Plan: leadsPlan}); err != nil {
		return err
	}
	endpoint, _, err := r.Webhooks.Create(ctx, "receiver", "http://"+listener.Addr().String(), nil)
	if err != nil {
		return err
	}
	for i, order := range []string{"ord_1", "ord_2"} {
		if _, err := r.Pool.Exec(ctx, `
			INSERT INTO outbox (org, topic, key, payload) VALUES ('receiver', 'order.settled', $1, jsonb_build_object('id', $1::text))`, order); err != nil {
			return err
		}
		for requests.Load() <= int64(i) {
			time.Sleep(20 * time.Millisecond)
		}
	}
	return r.save(ctx, workflows.WebhookID(endpoint.ID), "", name)
}
