package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// compareOrders compares the database with the answers that the client got, and what its
// receiver was sent.
func (s *stack) compareOrders(ctx context.Context, c *client) ([]proof, error) {
	rows, err := s.app.Pool.Query(ctx, `SELECT id, status FROM orders`)
	if err != nil {
		return nil, err
	}
	stored := map[string]string{}
	var id, status string
	if _, err := pgx.ForEachRow(rows, []any{&id, &status}, func() error { stored[id] = status; return nil }); err != nil {
		return nil, err
	}
	once := proof{what: "each accepted request is one order, each order was answered", of: int64(len(c.orders))}
	events := proof{what: "events came at least once, those of an order in order"}
	known := map[string]bool{}
	for key, a := range c.orders {
		if _, there := stored[a.id]; !there || known[a.id] {
			once.wrong = append(once.wrong, key+" "+a.id)
		}
		known[a.id] = true
	}
	for id, status := range stored {
		if status != "rejected" && !known[id] {
			once.wrong = append(once.wrong, id+" was never answered")
		}
		came := s.receiver.of(id)
		events.of += int64(len(came))
		if !slices.Contains(came, "order."+status) || !inOrder(came) {
			events.wrong = append(events.wrong, fmt.Sprintf("%s is %s: %v", id, status, came))
		}
	}
	return []proof{once, events}, nil
}

// inOrder says whether the first arrivals of an order's events are in the order in
// which they happened. It may stop and go on while it runs.
func inOrder(came []string) bool {
	steps := map[string]int{
		"order.reserved": 1, "order.started": 2, "order.paused": 2, "order.outage": 2, "order.resumed": 2, "order.completed": 3,
	}
	last := 0
	for _, topic := range came {
		step, ok := steps[topic]
		if !ok {
			step = 4 // it has ended
		}
		if step < last {
			return false
		}
		last = step
	}
	return true
}

// compareCredits compares what each customer has with the answers that the client got:
// what was given is there or charged, and what was answered to be credited back is.
func (s *stack) compareCredits(ctx context.Context, c *client) ([]proof, error) {
	there := proof{what: "granted + bought − voided − refunded = available + charged"}
	returned := proof{what: "what reversals and bounces answered was credited back, once"}
	sales := proof{what: "each sale was given once", of: int64(c.done["event of Stripe"])}
	for _, w := range c.customers {
		var have, reversed, purchases int64
		if err := s.app.Pool.QueryRow(ctx, `
			SELECT (SELECT coalesce(sum(available + held), 0) FROM credit_account WHERE owner = $1)
					+ (SELECT coalesce(sum(captured - reversed), 0) FROM credit_hold WHERE owner = $1),
				(SELECT coalesce(sum(reversed), 0) FROM credit_hold WHERE owner = $1),
				(SELECT count(*) FROM purchase WHERE org = $1 AND source = 'stripe')`, w.org).Scan(&have, &reversed, &purchases); err != nil {
			return nil, err
		}
		there.of += w.total()
		if have != w.total() {
			there.wrong = append(there.wrong, fmt.Sprintf("%s was given %d (%v), there are %d", w.org, w.total(), w.change, have))
		}
		returned.of += reversed
		if reversed != w.change[back] {
			returned.wrong = append(returned.wrong, fmt.Sprintf("%s was answered %d, there are %d", w.org, w.change[back], reversed))
		}
		if purchases*packCredits != w.change[bought] {
			sales.wrong = append(sales.wrong, fmt.Sprintf("%s bought %d credits, there are %d purchases", w.org, w.change[bought], purchases))
		}
	}
	return []proof{there, returned, sales}, nil
}
