package main_test

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/proto"

	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/wire"
)

const leads = 3000

// A worker is killed with SIGKILL in the middle of an order; another one takes
// over. The order ends as if nothing had happened: every verdict is the lab's
// truth or an honest unknown, each valid contact was charged once, the books
// balance, and no address is in the workflow's history.
func TestAKilledWorkerLeavesAnOrderThatAnotherOneFinishesExactly(t *testing.T) {
	ctx := t.Context()
	// Slow enough that there is a middle to be killed in.
	stack := newStack(t, "kill", maillab.Config{Domains: 150, Latency: 10 * time.Millisecond, GreylistDelay: 500 * time.Millisecond})
	app := stack.app
	stack.seed(t, leads)
	require.NoError(t, createOrg(ctx, app, "acme", leads))

	victim, err := startWorker(t, stack.cfg)
	require.NoError(t, err)

	submission := intake.Submission{Org: "acme", Key: "kill", Request: order.Request{Kind: order.LeadList, Count: leads}}
	o, err := app.Intake.Submit(ctx, submission)
	require.NoError(t, err)
	require.Equal(t, order.Reserved, o.Status)

	require.Eventually(t, func() bool {
		p, err := app.Intake.Progress(ctx, o.ID)
		return err == nil && p.Stage == order.StageVerifying && p.Done > leads/10
	}, 30*time.Second, 20*time.Millisecond, "the order gets going")
	victim.kill()
	atDeath, err := app.Book.Progress(ctx, o.ID, 1, leads)
	require.NoError(t, err)
	require.Less(t, atDeath.Done, int64(leads), "the worker died in the middle")

	_, err = startWorker(t, stack.cfg)
	require.NoError(t, err)
	var settled order.Order
	require.Eventually(t, func() bool {
		settled, err = app.Book.Get(ctx, "acme", o.ID)
		return err == nil && settled.Status.Over()
	}, 2*time.Minute, 100*time.Millisecond, "another worker finishes the order")

	require.Equal(t, order.Settled, settled.Status)
	require.EqualValues(t, leads, settled.Selected)
	require.EqualValues(t, leads, settled.Tally.Verified())
	require.Equal(t, []order.Credit{{
		Type: "email", Held: leads, Captured: settled.Tally.Valid, Released: leads - settled.Tally.Valid,
	}}, settled.Credits)
	requireTrueVerdicts(t, app, stack.lab, settled)

	report, err := ledger.Audit(ctx, app.Pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)

	again, err := app.Intake.Submit(ctx, submission)
	require.NoError(t, err)
	require.Equal(t, settled, again, "the same submission still gives the same order")
	requireNoAddressInHistory(t, app, o.ID)
}

// requireTrueVerdicts compares the verdicts with what the lab knows to be true,
// and the delivered file with what was charged.
func requireTrueVerdicts(t *testing.T, app *wire.App, lab *maillab.Lab, o order.Order) {
	for _, item := range items(t, app, o.ID) {
		truth := lab.Truth(item.Email)
		require.Falsef(t, truth.Wrong(item.Verdict), "%s is not %s: %+v", item.Email, item.Verdict, truth)
	}
	var file bytes.Buffer
	require.NoError(t, app.Catalogue.WriteResults(t.Context(), &file, o.ID, lead.CSV, lead.ResultOptions{}))
	rows, err := csv.NewReader(&file).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows[1:], int(o.Tally.Valid), "what was charged was delivered")
	email, verdict := slices.Index(rows[0], "email"), slices.Index(rows[0], "verdict")
	seen := map[string]bool{}
	for _, row := range rows[1:] {
		require.Equal(t, "valid", row[verdict])
		require.False(t, seen[row[email]], "no duplicates")
		seen[row[email]] = true
	}
}

type item struct{ Email, Verdict string }

func items(t *testing.T, app *wire.App, id string) []item {
	rows, err := app.Pool.Query(t.Context(), `SELECT value AS email, verdict FROM order_item WHERE order_id = $1`, id)
	require.NoError(t, err)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[item])
	require.NoError(t, err)
	require.Len(t, list, leads)
	return list
}

// requireNoAddressInHistory dumps the finished history and looks for contact
// data in it.
func requireNoAddressInHistory(t *testing.T, app *wire.App, id string) {
	var dump []byte
	events := app.Temporal.GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		// The wire format carries payloads as they are, JSON would hide them in base64.
		dump, err = proto.MarshalOptions{}.MarshalAppend(dump, event)
		require.NoError(t, err)
	}
	require.Contains(t, string(dump), "lead_list", "the payloads are readable in the dump")
	require.NotContains(t, string(dump), ".test", "the lab's domains all end in .test")
	for _, item := range items(t, app, id) {
		local, _, _ := strings.Cut(item.Email, "@")
		require.NotContains(t, string(dump), local+"@")
	}
}
