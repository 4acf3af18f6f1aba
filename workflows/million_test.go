package workflows_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"holdfast/activities"
	"holdfast/internal/devstack"
	"holdfast/internal/order"
	"holdfast/internal/wire"
	"holdfast/workflows"
)

// arithmetic answers an order's activities at once: of every thousand items 30
// are greylisted in the first round, half of the others are valid. What a
// million costs in Temporal does not depend on more.
type arithmetic struct{}

// millions are the orders by their id, and how many leads each is of.
var millions = map[string]int64{"bought": 1_000_000, "pushed": 300_000}

func (arithmetic) Reserve(_ context.Context, in activities.ReserveInput) (order.Reservation, error) {
	return order.Reservation{
		Order:       order.Order{ID: in.ID, Org: in.Org, Status: order.Reserved},
		Terms:       order.Terms{Billable: []string{"valid"}},
		RequestHash: in.Request.Hash(),
	}, nil
}

func (arithmetic) SelectLeads(_ context.Context, in activities.SelectInput) (activities.Selection, error) {
	return activities.Selection{Order: order.Order{ID: in.ID, Org: in.Org, Status: order.Verifying, Selected: millions[in.ID]}}, nil
}

func (arithmetic) Preflight(context.Context) (*activities.Outage, error) { return nil, nil }

func (arithmetic) VerifyBatch(_ context.Context, in activities.BatchInput) (activities.BatchResult, error) {
	n := in.To - in.From + 1
	r := activities.BatchResult{Done: n, Tally: order.Tally{Valid: n / 2, Invalid: n - n/2}}
	if n <= 1000 {
		r.Done, r.Greylisted, r.RetryAt = n-n*3/100, n*3/100, time.Now()
		r.Tally.Invalid -= r.Greylisted
	}
	return r, nil
}

func (arithmetic) CaptureCredits(context.Context, activities.CaptureInput) (activities.Captured, error) {
	return activities.Captured{}, nil
}

func (arithmetic) PushExport(context.Context, activities.PushInput) error { return nil }

func (arithmetic) DeliverOrder(_ context.Context, in activities.DeliverInput) (order.Order, error) {
	return order.Order{ID: in.OrderID, Org: in.Org, Status: order.Completed}, nil
}

func (arithmetic) ReleaseHold(_ context.Context, in activities.ReleaseInput) (order.Order, error) {
	return order.Order{ID: in.OrderID, Org: in.Org, Status: in.Status}, nil
}

// A million leads, or an export of 300 parts to a webhook, are two runs on a
// server as it is configured by default, none with more than 10,000 events.
func TestAMillionLeadsAreTwoRuns(t *testing.T) {
	server, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{Dir: filepath.Join(t.TempDir(), "temporal")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	temporal, err := client.Dial(client.Options{HostPort: server.Address})
	require.NoError(t, err)
	t.Cleanup(temporal.Close)
	for _, queue := range []string{workflows.TaskQueue, workflows.VerifyTaskQueue, workflows.WebhookTaskQueue} {
		w := worker.New(temporal, queue, worker.Options{})
		workflows.Register(w)
		w.RegisterActivity(&arithmetic{})
		require.NoError(t, w.Start())
		t.Cleanup(w.Stop)
	}
	s := &stack{App: &wire.App{Temporal: temporal}}
	for kind, request := range map[string]order.Request{
		"bought": {Kind: order.LeadList, Count: millions["bought"]},
		"pushed": {Kind: order.Export, Count: millions["pushed"], Destination: order.ToWebhook},
	} {
		t.Run(kind, func(t *testing.T) {
			run, err := temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{ID: kind, TaskQueue: workflows.TaskQueue},
				workflows.Order, workflows.OrderInput{Input: order.Input{ID: kind, Org: org, Request: request}})
			require.NoError(t, err)
			first := run.GetRunID()
			var o order.Order
			require.NoError(t, run.Get(t.Context(), &o))
			require.Equal(t, order.Settled, o.Status)
			runs := s.runs(t, kind, first)
			require.Len(t, runs, 2)
			for i, events := range runs {
				handed := len(events[0].GetWorkflowExecutionStartedEventAttributes().GetInput().GetPayloads()[0].GetData())
				t.Logf("run %d: %d events, handed %d bytes", i+1, len(events), handed)
				require.Less(t, len(events), 10_000)
				require.Less(t, handed, 20_000)
			}
		})
	}
}
