package main_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/intake"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
)

// A greylisting host knows each sending address by itself. Workers with addresses
// of their own share the batches of an order; the one that was put off asks again, so
// that no address stays unknown because another worker came back. What a worker
// leaves that is gone for good, another one asks, and asks again.
func TestGreylistedAddressesAreAskedAgainFromWhereTheyWerePutOff(t *testing.T) {
	ctx := t.Context()
	stack := newStack(t, "greylist", maillab.Config{Domains: 150, Latency: 5 * time.Millisecond, GreylistDelay: 500 * time.Millisecond})
	stack.cfg.GreylistRetry = 3 * time.Second
	app := stack.app
	stack.seed(t, leads)
	require.NoError(t, createOrg(ctx, app, "acme", 2*leads))

	_, err := startWorker(t, stack.cfg, "HOLDFAST_WORKER_ROLE=orders,webhook")
	require.NoError(t, err)
	verifiers := map[string]workerProcess{}
	for n := 2; n <= 5; n++ {
		helo := fmt.Sprintf("mail%d.verifier.test", n)
		verifiers[helo], err = startWorker(t, stack.cfg, "HOLDFAST_WORKER_ROLE=verify", "HOLDFAST_WORKER_VERIFY_SLOTS=2", // so that each has some
			"HOLDFAST_SMTP_HELO="+helo, fmt.Sprintf("HOLDFAST_SMTP_SOURCE=127.0.0.%d", n))
		require.NoError(t, err)
	}

	o, err := app.Intake.Submit(ctx, intake.Submission{Org: "acme", Key: "greylist", Request: order.Request{Kind: order.LeadList, Count: leads}})
	require.NoError(t, err)
	waiting := func(round int) (most int) {
		require.Eventually(t, func() bool {
			p, err := app.Intake.Progress(ctx, o.ID)
			if err != nil {
				return false
			}
			n, err := fmt.Sscanf(p.Waiting, fmt.Sprintf("round %d of 3 for %%d greylisted addresses", round), &most)
			return n == 1 && err == nil
		}, 2*time.Minute, 20*time.Millisecond, "some wait for round %d", round)
		return most
	}
	all := waiting(2)
	rows, err := app.Pool.Query(ctx, `SELECT retry_queue, count(*) FROM order_item WHERE order_id = $1 AND retry_at IS NOT NULL GROUP BY 1 ORDER BY 2`, o.ID)
	require.NoError(t, err)
	type putOff struct {
		Queue string
		Items int
	}
	by, err := pgx.CollectRows(rows, pgx.RowToStructByPos[putOff])
	require.NoError(t, err)
	require.Greater(t, len(by), 2, "several workers were put off")
	helo := strings.Split(by[0].Queue, ":")[1]
	verifiers[helo].kill()
	require.Less(t, by[0].Items, all)
	require.Equal(t, by[0].Items, waiting(3), "another worker is put off once more in place of the killed one, and no one else is")

	var settled order.Order
	require.Eventually(t, func() bool {
		settled, err = app.Book.Get(ctx, "acme", o.ID)
		return err == nil && settled.Status.Over()
	}, 2*time.Minute, 100*time.Millisecond)
	require.Equal(t, order.Settled, settled.Status)
	var unknown, queued int
	require.NoError(t, app.Pool.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE reason = 'greylisted'), count(retry_queue) FROM order_item WHERE order_id = $1`, o.ID).Scan(&unknown, &queued))
	require.Zero(t, unknown, "who was put off asks again and is answered")
	require.Zero(t, queued)
	requireTrueVerdicts(t, app, stack.lab, settled)
	report, err := ledger.Audit(ctx, app.Pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}
