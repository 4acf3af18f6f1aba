package main_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/intake"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
)

// A hundred orders come in the same moment, ten from each organization, for
// the same few leads: each ends exactly, no lead is charged twice to anybody,
// and no credit stays held.
func TestAHundredOrdersAtOnce(t *testing.T) {
	const orgs, each, count, catalogue = 10, 10, 20, 400
	ctx := t.Context()
	stack := newStack(t, "rush", maillab.Config{Domains: 40, GreylistDelay: 500 * time.Millisecond})
	app := stack.app
	stack.seed(t, catalogue)
	_, err := startWorker(t, stack.cfg)
	require.NoError(t, err)

	var mu sync.Mutex
	ended := map[string][]order.Order{} // by organization
	var orders errgroup.Group
	for i := range orgs {
		org := fmt.Sprintf("org-%d", i)
		require.NoError(t, createOrg(ctx, app, org, each*count))
		for k := range each {
			orders.Go(func() error {
				submission := intake.Submission{Org: org, Key: fmt.Sprint(k), Request: order.Request{Kind: order.LeadList, Count: count}}
				o, err := app.Intake.Submit(ctx, submission)
				for errors.Is(err, intake.ErrNoAnswer) { // on a slow machine: as the docs tell customers to do
					o, err = app.Intake.Submit(ctx, submission)
				}
				if err != nil {
					return err
				}
				if err := app.Temporal.GetWorkflow(ctx, o.ID, "").Get(ctx, nil); err != nil {
					return err
				}
				if o, err = app.Book.Get(ctx, org, o.ID); err != nil {
					return err
				}
				mu.Lock()
				defer mu.Unlock()
				ended[org] = append(ended[org], o)
				return nil
			})
		}
	}
	require.NoError(t, orders.Wait())

	for org, list := range ended {
		var charged int64
		for _, o := range list {
			require.Equal(t, order.Settled, o.Status)
			require.EqualValues(t, count, o.Selected)
			require.Equal(t, o.Selected, o.Tally.Verified())
			paid := o.Tally.Valid - o.Tally.AlreadyOwned
			require.Equal(t, []order.Credit{{Type: "email", Held: count, Captured: paid, Released: count - paid}}, o.Credits)
			charged += paid
		}
		var facts, distinct int64
		require.NoError(t, app.Pool.QueryRow(ctx, `
			SELECT count(*), count(DISTINCT subject) FROM credit_fact WHERE owner = $1`, org).Scan(&facts, &distinct))
		require.Equal(t, charged, facts, "each charge is for a lead")
		require.Equal(t, facts, distinct)
		balances, err := app.Ledger.Balances(ctx, org)
		require.NoError(t, err)
		require.Len(t, balances, 1)
		require.Zero(t, balances[0].Held)
		require.Equal(t, each*count-charged, balances[0].Available)
	}
	report, err := ledger.Audit(ctx, app.Pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}
