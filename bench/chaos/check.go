package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/ledger"
)

// proof is one thing that must hold in the end.
type proof struct {
	what  string
	wrong []string // what contradicts it
	of    int64    // how many things were looked at
}

// settle waits until everything is over by itself: orders, and events on their way.
func (s *stack) settle(ctx context.Context, within time.Duration) (took time.Duration, err error) {
	began := time.Now()
	for {
		var open, events int
		err := s.rooms.Pool.QueryRow(ctx, `
			SELECT (SELECT count(*) FROM orders WHERE status IN ('reserved', 'verifying', 'completed')),
				(SELECT count(*) FROM outbox WHERE published_at IS NULL) + (SELECT count(*) FROM webhook_delivery WHERE status = 'pending')`).Scan(&open, &events)
		switch {
		case err == nil && open+events == 0:
			return time.Since(began), nil
		case time.Since(began) > within:
			return 0, fmt.Errorf("after %s %d orders are open and %d events on their way: %w", within, open, events, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// verify looks at everything that must hold. heads were exported while the faults
// happened.
func (s *stack) verify(ctx context.Context, c *client, heads []ledger.Head) ([]proof, error) {
	proofs := []proof{
		{what: "no answer contradicts another", wrong: c.problems, of: c.repeated.Load()},
	}
	for _, q := range []struct{ what, of, wrong string }{
		{
			"each hold is captured or released, and closed", `SELECT count(*) FROM credit_hold`,
			`SELECT id FROM credit_hold WHERE NOT closed OR captured + released <> amount`,
		},
		{
			"held = captured + released, order by order", `SELECT count(*) FROM orders`,
			`SELECT o.id FROM orders o, jsonb_array_elements(o.credits) c
				WHERE (c ->> 'held')::bigint <> (c ->> 'captured')::bigint + (c ->> 'released')::bigint`,
		},
		{
			"orders and the ledger say the same", `SELECT count(*) FROM orders`,
			`SELECT o.id FROM orders o LEFT JOIN credit_hold h ON h.owner = o.org AND h.id = o.id
				WHERE coalesce((SELECT sum((c ->> 'captured')::bigint) FROM jsonb_array_elements(o.credits) c), 0) <> coalesce(h.captured, 0)`,
		},
		{
			"charged is what is owned, fact by fact", `SELECT count(*) FROM credit_fact`,
			`SELECT owner FROM (SELECT owner, sum(captured - reversed) AS charged FROM credit_hold GROUP BY 1) h
				JOIN (SELECT owner, sum(cost) FILTER (WHERE NOT reversed) AS owned FROM credit_fact GROUP BY 1) f USING (owner)
				WHERE charged <> owned`,
		},
		{
			"nothing is held, no balance is negative", `SELECT count(*) FROM credit_account`,
			`SELECT owner FROM credit_account WHERE held <> 0 OR available < 0`,
		},
		{
			"no order is open", `SELECT count(*) FROM orders`,
			`SELECT id FROM orders WHERE status IN ('reserved', 'verifying', 'completed')`,
		},
		{
			"no order failed", `SELECT count(*) FROM orders`,
			`SELECT id || ' ' || (failure ->> 'message') FROM orders WHERE status = 'failed'`,
		},
	} {
		p := proof{what: q.what}
		if err := s.rooms.Pool.QueryRow(ctx, q.of).Scan(&p.of); err != nil {
			return nil, err
		}
		if err := s.rooms.Pool.QueryRow(ctx, `SELECT coalesce(array_agg(x), '{}') FROM (`+q.wrong+` LIMIT 10) q (x)`).Scan(&p.wrong); err != nil {
			return nil, fmt.Errorf("%s: %w", q.what, err)
		}
		proofs = append(proofs, p)
	}
	record, err := s.compareRecord(ctx, c)
	if err != nil {
		return nil, err
	}
	audit, err := s.audit(ctx, heads)
	if err != nil {
		return nil, err
	}
	return append(append(proofs, record...), audit), nil
}

// compareRecord holds the database against what the client was told, and what its
// receiver was sent.
func (s *stack) compareRecord(ctx context.Context, c *client) ([]proof, error) {
	rows, err := s.rooms.Pool.Query(ctx, `SELECT id, status FROM orders`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	stored := map[string]string{}
	for rows.Next() {
		var id, status string
		if err := rows.Scan(&id, &status); err != nil {
			return nil, err
		}
		stored[id] = status
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	once := proof{what: "each accepted request is one order", of: int64(len(c.orders))}
	events := proof{what: "events at least once, in order"}
	told := map[string]bool{}
	for key, a := range c.orders {
		if _, there := stored[a.id]; !there || told[a.id] {
			once.wrong = append(once.wrong, key+" "+a.id)
		}
		told[a.id] = true
	}
	for id, status := range stored {
		if status != "rejected" && !told[id] {
			once.wrong = append(once.wrong, id+" was never answered")
		}
		came := s.receiver.of(id)
		events.of += int64(len(came))
		if !slices.Contains(came, "order."+status) || !inOrder(came) {
			events.wrong = append(events.wrong, fmt.Sprintf("%s is %s: %v", id, status, came))
		}
	}
	credits := proof{what: "what was granted is there, held or charged"}
	var there int64
	if err := s.rooms.Pool.QueryRow(ctx, `
		SELECT (SELECT sum(available + held) FROM credit_account WHERE owner = $1) + (SELECT coalesce(sum(captured - reversed), 0) FROM credit_hold WHERE owner = $1)`, org).Scan(&there); err != nil {
		return nil, err
	}
	if credits.of = c.granted; there != c.granted {
		credits.wrong = []string{fmt.Sprintf("granted %d, there are %d", c.granted, there)}
	}
	return []proof{once, events, credits}, nil
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

func (s *stack) audit(ctx context.Context, heads []ledger.Head) (proof, error) {
	report, err := ledger.Audit(ctx, s.rooms.Pool, ledger.AuditOptions{Against: heads})
	p := proof{what: "the audit is clean, against a head exported midway", of: report.Entries}
	for _, f := range report.Findings {
		p.wrong = append(p.wrong, fmt.Sprint(f))
	}
	return p, err
}
