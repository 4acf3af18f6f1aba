package activities_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/activities"
	"holdfast/internal/billing"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/postgres"
)

// before finishes an order as it was done when facts were about leads.
func (o *office) before(b begun, n int64) {
	o.t.Helper()
	ctx := o.t.Context()
	do(o, o.VerifyBatch, activities.BatchInput{OrderID: b.in.ID, From: 1, To: n, Due: time.Now()})
	items, err := o.Book.Billable(ctx, b.in.ID, 1, n, []string{"valid"})
	require.NoError(o.t, err)
	for _, c := range b.terms.Charges {
		var facts []ledger.Fact
		for _, item := range items {
			if c.Field == "" || c.Field == item.Field {
				facts = append(facts, ledger.Fact{Scope: c.Scope, Subject: item.Fingerprint})
			}
		}
		_, err := o.Ledger.Capture(ctx, ledger.Capture{Owner: "acme", HoldID: b.in.ID, Type: c.Type, UnitCost: c.Amount, Facts: facts, Key: b.in.ID + c.Type})
		require.NoError(o.t, err)
	}
	_, err = o.Book.Deliver(ctx, b.in.ID, items)
	require.NoError(o.t, err)
	do(o, o.DeliverOrder, activities.DeliverInput{OrderID: b.in.ID, Org: "acme"})
	do(o, o.ReleaseHold, activities.ReleaseInput{
		OrderID: b.in.ID, Org: "acme", Plan: b.terms.Plan, PlanVersion: b.terms.PlanVersion, At: time.Now(), Status: order.Settled,
	})
}

// A database whose facts are about leads is brought up to date: the organization
// keeps what it has, also under other ids, and is not charged for it again.
func TestN2_WhatWasPaidForAsALeadIsOwnedAsAValueAfterAnUpgrade(t *testing.T) {
	for _, planID := range []string{"rollover-boost", "workspace-paid", "licence-monthly"} {
		t.Run(planID, func(t *testing.T) {
			ctx := t.Context()
			o := open(t, planID, "email", 100, "phone", 100)
			ids := o.knows([5]string{"a", "valid.a@a.test", london}, [5]string{"b", "valid.b@a.test"})
			b, _ := o.begin("jane", "old", reveal(ids, order.EmailField, order.PhoneField))
			o.before(b, b.selection.Selected)
			_, err := o.pool.Exec(ctx, `UPDATE order_item SET keys = NULL`)
			require.NoError(t, err)
			_, err = o.pool.Exec(ctx, `UPDATE lead SET email_key = NULL, phone_keys = NULL, direct_key = NULL, profile_key = NULL`)
			require.NoError(t, err)
			_, err = o.pool.Exec(ctx, `INSERT INTO ownership_due VALUES ('acme')`)
			require.NoError(t, err)

			require.NoError(t, postgres.Migrate(ctx, o.pool.Config().ConnString()))
			carry := billing.New(o.Accounts, o.Ledger, o.Book)
			require.NoError(t, carry.CarryOwnership(ctx, ""))
			require.NoError(t, carry.CarryOwnership(ctx, ""), "again is nothing")
			o.balanced()

			ids = append(ids, o.knows([5]string{"other", "valid.A@A.test", london})...)
			got := o.order("jane", "new", reveal(ids, order.EmailField, order.PhoneField))
			require.Equal(t, order.Settled, got.Status, "%+v", got.Failure)
			require.Empty(t, spent(got))
			require.Contains(t, o.results(got.ID)["a"], "valid.a@a.test,valid")
			o.balanced()
		})
	}
}

// A list of leads that is to have what is owned says of each whether it was.
func TestN2_AListWithOwnedLeadsSaysWhichAreOwned(t *testing.T) {
	o := open(t, "verified-leads", "email", 100)
	o.knows([5]string{"a", "valid.a@a.test"})
	first := o.order("", "one", order.Body{Request: order.Request{Kind: order.LeadList, Count: 5}})
	require.Equal(t, map[string]int64{"email": 1}, spent(first), "%+v", first.Failure)
	o.knows([5]string{"b", "valid.b@a.test"}, [5]string{"c", "valid.A@a.test"})
	got := o.order("", "two", order.Body{Request: order.Request{Kind: order.LeadList, Count: 5, IncludeOwned: true}})
	require.Equal(t, map[string]int64{"email": 1}, spent(got))
	var file strings.Builder
	require.NoError(t, o.Catalogue.WriteResults(t.Context(), &file, got.ID, lead.CSV, lead.ResultOptions{}))
	lines := strings.Split(strings.TrimSpace(file.String()), "\r\n")
	require.Len(t, lines, 3, "the owned address once")
	column := -1
	for i, name := range strings.Split(lines[0], ",") {
		if name == "owned" {
			column = i
		}
	}
	require.GreaterOrEqual(t, column, 0, lines[0])
	for _, line := range lines[1:] {
		cells := strings.Split(line, ",")
		require.Equal(t, cells[0] != "b", cells[column] == "true", line)
	}
}

// A text that cannot be an address, in the catalogue from before imports refused
// it, is selected by no list of leads and costs nothing when it is revealed.
func TestATextThatIsNoAddressIsNeitherSelectedNorCharged(t *testing.T) {
	o := open(t, "verified-leads", "email", 100)
	ids := o.knows([5]string{"a", "valid.a@a.test"}, [5]string{"b", "valid.b@a.test"})
	_, err := o.pool.Exec(t.Context(), `UPDATE lead SET email = 'x@@y', email_key = NULL WHERE id = 'b'`)
	require.NoError(t, err)
	got := o.order("", "list", order.Body{Request: order.Request{Kind: order.LeadList, Count: 5}})
	require.EqualValues(t, 1, got.Selected)
	require.Equal(t, map[string]int64{"email": 1}, spent(got))

	o = open(t, "rollover-boost", "email", 100)
	o.knows([5]string{"a", "valid.a@a.test"}, [5]string{"b", "valid.b@a.test"})
	_, err = o.pool.Exec(t.Context(), `UPDATE lead SET email = 'x@@y', email_key = NULL WHERE id = 'b'`)
	require.NoError(t, err)
	got = o.order("", "reveal", reveal(ids, order.EmailField))
	require.Equal(t, map[string]int64{"email": 1}, spent(got))
	require.EqualValues(t, 1, got.Credits[0].Held, "nor is anything held for it")
	o.balanced()
}
