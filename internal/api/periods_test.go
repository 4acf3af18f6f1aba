package api_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
)

// The clock really passes the end of a credit period. At the first instant of the
// new one it is there for all: the balance, the quote, the order, the history.
func TestB1_AnOrderAtTheFirstInstantOfAPeriod(t *testing.T) {
	f := &fixture{t: t, org: fmt.Sprintf("org-%d", orgs.Add(1))}
	f.serve(0)
	plan := func(id, duration string) map[string]any {
		return map[string]any{
			"id": id, "name": "Test", "period": "month", "refund": map[string]any{"delay": duration},
			"credits": map[string]any{"email": map[string]any{"allotment": 10, "at_period_end": "expire", "low_balance": []int{5}}},
			"actions": map[string]any{"lead_list": map[string]any{
				"charges":  []any{map[string]any{"type": "email", "amount": 1, "per": "contact", "scope": "once_per_organization"}},
				"billable": []string{"valid"},
			}},
		}
	}
	for _, duration := range []string{"90s", "1m30s", "90m", "1h0m30s", "1.5h"} { // every Go duration
		f.call("PUT", "/plans/instant", operatorKey, plan("instant", duration)).is(200)
	}
	f.call("PUT", "/plans/instant", operatorKey, plan("instant", "0s")).is(200)

	end := time.Now().Add(4 * time.Second).Truncate(time.Second).UTC()
	anchor := time.Date(2001, 1, end.Day(), end.Hour(), end.Minute(), end.Second(), 0, time.UTC)
	f.call("POST", "/orgs", operatorKey, map[string]any{"id": f.org, "name": "Test", "plan": "instant", "anchor": anchor}).is(201)
	f.call("POST", "/orgs/"+f.org+"/members", operatorKey, map[string]any{"id": "ann", "name": "Ann", "role": "admin"}).is(201)
	f.admin = f.newKey("ann")
	var org account.Org
	f.call("GET", "/orgs/"+f.org, f.admin, nil).is(200).into(&org)
	require.NotNil(t, org.NextReset)

	var preview billing.Preview
	f.call("GET", "/orgs/"+f.org+"/reset-preview?at="+end.AddDate(0, 0, 1).Format(time.RFC3339), operatorKey, nil).is(200).into(&preview)
	require.LessOrEqual(t, len(preview.Resets), 1, "none, should the period have ended already")
	for _, r := range preview.Resets {
		require.Equal(t, []account.ResetCredit{{Type: "email", Granted: 10, Expired: 10}}, r.Credits)
	}
	f.call("GET", "/credits", f.admin, nil).is(200)

	_, err := app.Pool.Exec(t.Context(), `SELECT pg_sleep_until($1)`, end)
	require.NoError(t, err)
	var credits billing.Credits
	f.call("GET", "/credits", f.admin, nil).is(200).into(&credits)
	require.Equal(t, end, credits.Period.Start)
	require.Equal(t, credits.Period.End, *credits.NextReset)
	require.EqualValues(t, 10, credits.Credits[0].Available)
	require.EqualValues(t, 10, credits.Credits[0].Allotment)
	var quote order.Quote
	f.call("POST", "/quotes", f.admin, leadList(10)).is(200).into(&quote)
	require.True(t, quote.Covered)
	f.call("POST", "/orders", f.admin, leadList(10), "Idempotency-Key", "at once").is(201)
	var events int
	require.NoError(t, app.Pool.QueryRow(t.Context(), `SELECT count(*) FROM outbox WHERE org = $1 AND topic = 'credits.low' AND (payload->>'at')::timestamptz < $2`,
		f.org, end.Add(time.Millisecond)).Scan(&events))
	require.Zero(t, events, "the reset made none")
	audited(t)
}

// The account says what waits, and amounts, reasons and expiries have one limit.
func TestA21_WhatWaitsAndWhatIsRefused(t *testing.T) {
	f := setupWith(t, "licence-monthly", 0)
	f.call("PUT", "/orgs/"+f.org+"/plan", operatorKey, map[string]any{"plan": "workspace-paid"}).is(200)
	var credits billing.Credits
	f.call("GET", "/credits", f.jane, nil).is(200).into(&credits)
	require.Empty(t, credits.Budgets)
	f.call("PUT", "/orgs/"+f.org+"/members/jane/budget", f.admin, map[string]any{"type": "email", "amount": 20}).is(200)
	f.call("GET", "/credits", f.jane, nil).is(200).into(&credits)
	require.Equal(t, "workspace-paid", credits.NextPlan.Plan)
	require.Equal(t, []billing.Budget{{Type: "email", Amount: 20}}, credits.Budgets)
	var org account.Org
	f.call("GET", "/orgs/"+f.org, f.admin, nil).is(200).into(&org)
	require.Equal(t, "workspace-paid", *org.NextPlan)
	require.WithinDuration(t, *org.NextReset, *org.NextPlanAt, 0)

	path := "/orgs/" + f.org + "/grants"
	for field, grant := range map[string]map[string]any{
		"body.expires_at": {"type": "email", "amount": 1, "source": "pack", "expires_at": time.Now().Add(-time.Second)},
		"body.amount":     {"type": "email", "amount": ledger.MaxAmount + 1, "source": "pack"},
	} {
		p := f.call("POST", path, operatorKey, grant, "Idempotency-Key", field).problem(422, "invalid_request")
		require.Equal(t, field, p.Errors[0].Field, p.Detail)
	}

	// An anchor that is still to come: no period runs before it.
	later := fmt.Sprintf("org-%d", orgs.Add(1))
	anchor := time.Now().AddDate(0, 0, 3).Truncate(time.Second).UTC()
	f.call("POST", "/orgs", operatorKey, map[string]any{"id": later, "name": "Later", "plan": "workspace-paid", "anchor": anchor}).is(201)
	credits = billing.Credits{}
	f.call("GET", "/credits?org="+later, operatorKey, nil).is(200).into(&credits)
	require.Nil(t, credits.Period)
	require.Equal(t, anchor, *credits.NextReset)
}

// A quote says as a refusal does that it is the budget: how many of the missing
// credits are there, but withheld by it.
func TestA21_QuotesSayThatItIsTheBudget(t *testing.T) {
	f := setupWith(t, "workspace-paid", 0)
	f.call("PUT", "/orgs/"+f.org+"/members/jane/budget", f.admin, map[string]any{"type": "email", "amount": 5}).is(200)
	var quote order.Quote
	f.call("POST", "/quotes", f.jane, leadList(25)).is(200).into(&quote)
	require.False(t, quote.Covered)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 20}}, quote.Missing)
	require.Equal(t, quote.Missing, quote.OverBudget)
	refused := f.call("POST", "/orders", f.jane, leadList(25), "Idempotency-Key", "over").problem(402, "insufficient_credits")
	require.Equal(t, quote.Missing, refused.Missing)
	require.Equal(t, quote.OverBudget, refused.Over)
	f.call("POST", "/quotes", f.admin, leadList(25)).is(200).into(&quote)
	require.True(t, quote.Covered)
}
