package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/orderbook"
	"holdfast/internal/payment"
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
	reported := began
	for {
		var open, events int
		err := s.app.Pool.QueryRow(ctx, `
			SELECT (SELECT count(*) FROM orders WHERE status IN ('reserved', 'verifying', 'completed')),
				(SELECT count(*) FROM outbox WHERE published_at IS NULL) + (SELECT count(*) FROM webhook_delivery WHERE status = 'pending')`).Scan(&open, &events)
		switch {
		case err == nil && open+events == 0:
			return time.Since(began), nil
		case time.Since(began) > within || ctx.Err() != nil:
			return 0, errors.Join(err, fmt.Errorf("after %s %d orders are open and %d events on their way%s", within, open, events, s.waits(ctx)))
		}
		if time.Since(reported) > tellEvery {
			reported = time.Now()
			note(fmt.Sprintf("settling for %s: %d orders are open and %d events on their way", time.Since(began).Round(time.Second), open, events))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// waits says what some of the open orders wait for: the book's words, and Temporal's.
func (s *stack) waits(ctx context.Context) (text string) {
	rows, _ := s.app.Pool.Query(ctx, `
		SELECT coalesce((SELECT ride_id FROM order_ride WHERE order_id = o.id), id),
			concat_ws(' ', id, org, kind, status, 'of', created_at, 'paused', paused_at, 'cancelled', cancel_requested_at, 'waits', waiting)
		FROM orders o WHERE status IN ('reserved', 'verifying', 'completed') ORDER BY seq LIMIT 5`)
	var workflow, words string
	_, err := pgx.ForEachRow(rows, []any{&workflow, &words}, func() error {
		text += "\n" + words
		flow, err := s.app.Temporal.DescribeWorkflowExecution(ctx, workflow, "")
		if err != nil {
			text += ": " + err.Error()
			return nil //nolint:nilerr // it was reported
		}
		text += fmt.Sprintf(": its workflow is %s, %d events", flow.GetWorkflowExecutionInfo().GetStatus(), flow.GetWorkflowExecutionInfo().GetHistoryLength())
		for _, a := range flow.GetPendingActivities() {
			text += fmt.Sprintf("; %s %s, attempt %d, next at %s: %.300s", a.GetActivityType().GetName(), a.GetState(), a.GetAttempt(),
				a.GetNextAttemptScheduleTime().AsTime().Format(time.TimeOnly), a.GetLastFailure().GetMessage())
		}
		return nil
	})
	if err != nil {
		text += "\n" + err.Error()
	}
	return text
}

// statements are what must hold in the database: what is looked at, and what
// contradicts it.
var statements = []struct{ what, of, wrong string }{
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
		"delivered and new = charged, lead list by lead list", `SELECT count(*) FROM orders WHERE kind = 'lead_list'`,
		`SELECT o.id FROM orders o LEFT JOIN credit_hold h ON h.owner = o.org AND h.id = o.id
			WHERE o.kind = 'lead_list' AND coalesce(h.captured, 0) <>
				(SELECT count(*) FROM order_item i WHERE i.order_id = o.id AND i.delivered_at IS NOT NULL AND NOT i.already_owned)`,
	},
	{
		"charged is what is owned, fact by fact", `SELECT count(*) FROM credit_fact`,
		`SELECT owner FROM (SELECT owner, sum(captured - reversed) AS charged FROM credit_hold GROUP BY 1) h
			JOIN (SELECT owner, coalesce(sum(cost) FILTER (WHERE NOT reversed), 0) AS owned FROM credit_fact GROUP BY 1) f USING (owner)
			WHERE charged <> owned`,
	},
	{
		"what is refused holds nothing", `SELECT count(*) FROM orders WHERE status = 'rejected'`,
		`SELECT o.id FROM orders o JOIN credit_hold h ON h.owner = o.org AND h.id = o.id WHERE o.status = 'rejected'`,
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
	{
		"each event of the payment service is carried out", `SELECT count(*) FROM payment_event`,
		`SELECT id || ' ' || status FROM payment_event WHERE status <> 'done'`,
	},
}

// verify looks at everything that must hold. heads were exported while the faults
// happened.
func (s *stack) verify(ctx context.Context, c *client, heads []ledger.Head) ([]proof, error) {
	proofs := []proof{
		{what: "no answer contradicts another", wrong: c.problems, of: c.repeated.Load()},
	}
	for _, q := range statements {
		p := proof{what: q.what}
		if err := s.app.Pool.QueryRow(ctx, q.of).Scan(&p.of); err != nil {
			return nil, fmt.Errorf("%s: %w", q.what, err)
		}
		if err := s.app.Pool.QueryRow(ctx, `SELECT coalesce(array_agg(x), '{}') FROM (`+q.wrong+` LIMIT 10) q (x)`).Scan(&p.wrong); err != nil {
			return nil, fmt.Errorf("%s: %w", q.what, err)
		}
		proofs = append(proofs, p)
	}
	for _, look := range []func(context.Context, *client) ([]proof, error){s.compareOrders, s.compareCredits, s.lookForSecrets, s.lookForLost} {
		found, err := look(ctx, c)
		if err != nil {
			return nil, err
		}
		proofs = append(proofs, found...)
	}
	audit, err := s.audit(ctx, heads)
	return append(proofs, audit), err
}

func (s *stack) audit(ctx context.Context, heads []ledger.Head) (proof, error) {
	report, err := ledger.Audit(ctx, s.app.Pool, ledger.AuditOptions{
		Against: heads, Also: []ledger.Check{account.CheckLedger, orderbook.CheckLedger, payment.CheckLedger},
	})
	p := proof{what: "the audit is clean at every entry of the journal, against heads exported midway", of: report.Entries}
	for _, f := range report.Findings {
		p.wrong = append(p.wrong, fmt.Sprint(f))
	}
	return p, err
}

// lookForLost asks Temporal for open orders and holds that no workflow runs for.
func (s *stack) lookForLost(ctx context.Context, _ *client) ([]proof, error) {
	lost, err := s.app.Reconcile.Find(ctx)
	p := proof{what: "nothing waits for a workflow that is gone", of: int64(len(s.happened))}
	for _, l := range lost {
		p.wrong = append(p.wrong, fmt.Sprint(l))
	}
	return []proof{p}, err
}
