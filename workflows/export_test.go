package workflows_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"holdfast/activities"
	"holdfast/internal/intake"
	"holdfast/internal/order"
	"holdfast/workflows"
)

// receiver is an endpoint that an export is sent to.
type receiver struct {
	*httptest.Server
	mu    sync.Mutex
	parts map[string]int // rows by message
	does  func(part int) int
}

func newReceiver(t *testing.T, does func(part int) (status int)) *receiver {
	r := &receiver{parts: map[string]int{}, does: does}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	var message struct {
		Type string
		Data struct {
			Part, Parts int
			Rows        []json.RawMessage
		}
	}
	if err := json.NewDecoder(request.Body).Decode(&message); err != nil || message.Type != "export.batch" {
		w.WriteHeader(http.StatusOK) // an event of another kind
		return
	}
	status := r.does(message.Data.Part)
	if status < 300 {
		r.mu.Lock()
		r.parts[request.Header.Get("webhook-id")] = len(message.Data.Rows)
		r.mu.Unlock()
	}
	w.WriteHeader(status)
}

// rows is how many rows the endpoint has taken, without duplicates.
func (r *receiver) rows() (n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rows := range r.parts {
		n += int64(rows)
	}
	return n
}

// downAtFirst is an endpoint that refuses the first attempt.
func downAtFirst() func(part int, cancel func()) int {
	var attempts atomic.Int64
	return func(int, func()) int {
		if attempts.Add(1) == 1 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	}
}

// An export to a webhook is charged part by part for what the endpoint took,
// with each answer of the endpoint and whenever it is cancelled.
func TestAnExportIsChargedForWhatItsWebhookTook(t *testing.T) {
	const leads, perPart = 1500, 1000
	s := realStack(t)
	ids := s.leads(t, leads, "true")
	for _, c := range []struct {
		name string
		does func(part int, cancel func()) int
		want order.Status
		most int64 // rows that the endpoint took
	}{
		{"it takes everything", func(int, func()) int { return http.StatusOK }, order.Settled, leads},
		{"it is down at first", downAtFirst(), order.Settled, leads},
		{"cancelled while it takes the first part", func(_ int, cancel func()) int {
			cancel()
			return http.StatusOK
		}, order.Cancelled, perPart},
		{"cancelled while it takes the last part", func(part int, cancel func()) int {
			if part == 2 {
				cancel()
			}
			return http.StatusOK
		}, order.Cancelled, leads},
		{"cancelled while it is down", func(part int, cancel func()) int {
			if part == 2 {
				cancel()
				return http.StatusServiceUnavailable
			}
			return http.StatusOK
		}, order.Cancelled, perPart},
		{"it is gone", func(part int, _ func()) int {
			if part == 2 {
				return http.StatusGone
			}
			return http.StatusOK
		}, order.Failed, perPart},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx := t.Context()
			org := s.org(t, "rollover-boost", map[string]int64{"email": leads})
			id := order.ID(org, "export")
			var once sync.Once
			r := newReceiver(t, func(part int) int {
				return c.does(part, func() {
					once.Do(func() {
						if _, err := s.Intake.Cancel(ctx, org, id); err != nil {
							t.Error(err)
						}
					})
				})
			})
			endpoint, _, err := s.Webhooks.Create(ctx, org, r.URL, []string{"credits.low"})
			require.NoError(t, err)
			o, err := s.Intake.Submit(ctx, intake.Submission{
				Org: org, Key: "export", LeadIDs: ids,
				Request: order.Request{Kind: order.Export, Destination: order.ToWebhook, WebhookID: endpoint.ID},
			})
			require.NoError(t, err)
			o = s.over(t, o.ID)
			require.Equal(t, c.want, o.Status, "%+v", o.Failure)
			s.requireExact(t, o)
			require.Equal(t, r.rows(), o.Credits[0].Captured, "what it took is charged, nothing else")
			require.LessOrEqual(t, r.rows(), c.most)
			require.Equal(t, []string{workflows.WebhookTaskQueue}, s.queuesOf(t, id, "PushExport"))
			require.Positive(t, r.rows())
			if c.want == order.Settled {
				require.Equal(t, o.Tally.Valid, r.rows())
			}
		})
	}
}

// queuesOf are the task queues on which a workflow scheduled an activity.
func (s *stack) queuesOf(t *testing.T, id, activity string) (queues []string) {
	t.Helper()
	events := s.Temporal.GetWorkflowHistory(t.Context(), id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		if a := event.GetActivityTaskScheduledEventAttributes(); a.GetActivityType().GetName() == activity && !slices.Contains(queues, a.GetTaskQueue().GetName()) {
			queues = append(queues, a.GetTaskQueue().GetName())
		}
	}
	return queues
}

// An activity that a build before the queue of webhooks has scheduled is still
// carried out.
func TestWebhookActivitiesAreServedWhereTheyWereScheduled(t *testing.T) {
	s := realStack(t)
	const queue = "an-earlier-build"
	earlier := func(ctx workflow.Context) error {
		ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: workflows.TaskQueue, ScheduleToCloseTimeout: 20 * time.Second})
		return workflow.ExecuteActivity(ctx, "DeliverWebhooks", activities.DeliverWebhooksInput{Endpoint: "wh_none", Limit: 1}).Get(ctx, nil)
	}
	w := worker.New(s.Temporal, queue, worker.Options{})
	w.RegisterWorkflowWithOptions(earlier, workflow.RegisterOptions{Name: "Earlier"})
	require.NoError(t, w.Start())
	defer w.Stop()
	run, err := s.Temporal.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: queue}, "Earlier")
	require.NoError(t, err)
	require.NoError(t, run.Get(t.Context(), nil))
}
