package workflows_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"holdfast/internal/intake"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
)

// What a small order costs in Temporal: the numbers are exact, so that an event
// that is added is decided about and not found in a bill.
func TestWhatASmallOrderCosts(t *testing.T) {
	s := realStack(t)
	credits := map[string]int64{"email": 100, "phone": 100, "profile": 100}
	valid := s.withVerdict(t, 2, "valid", "true")
	var email string
	require.NoError(t, s.Pool.QueryRow(t.Context(), `SELECT email FROM lead WHERE id = $1`, valid[0]).Scan(&email))
	for _, c := range []struct {
		name          string
		plan          string
		body          intake.Submission
		events, tasks int
	}{
		{
			"one address", "prepaid-verification",
			intake.Submission{Request: order.Request{Kind: order.Verify}, Emails: []string{email}},
			8, 1,
		},
		{
			"one address whose caller waits", "prepaid-verification",
			intake.Submission{Request: order.Request{Kind: order.Verify}, Emails: []string{email}, Together: true},
			6, 1,
		},
		{
			"a list of ten leads", "verified-leads",
			intake.Submission{Request: order.Request{Kind: order.LeadList, Count: 10, Criteria: order.Criteria{Domain: s.ordinaryDomains(t)}}},
			8, 1,
		},
		{
			"one lead revealed", "rollover-boost",
			intake.Submission{Request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.EmailField}}, LeadIDs: valid[1:]},
			8, 1,
		},
		{
			"one lead revealed that is on file", "licence-monthly",
			intake.Submission{Request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.ProfileField}}, LeadIDs: s.leads(t, 1, `profile <> ''`)},
			8, 1,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.body.Org, c.body.Key = s.org(t, c.plan, credits), "small"
			o := s.settled(t, c.body)
			require.Positive(t, o.Tally.Valid)
			id := o.ID // of the workflow that carried it out
			if line, err := s.Book.Line(t.Context(), o.ID); err == nil {
				id = line.RideID
			}
			require.NoError(t, s.Temporal.GetWorkflow(t.Context(), id, "").Get(t.Context(), nil))
			var kinds []enums.EventType
			for _, e := range s.runs(t, id, s.runID(t, id))[0] {
				kinds = append(kinds, e.GetEventType())
			}
			tasks := 0
			for _, kind := range kinds {
				if kind == enums.EVENT_TYPE_WORKFLOW_TASK_COMPLETED {
					tasks++
				}
			}
			require.LessOrEqual(t, len(kinds), c.events, "%v", kinds)
			require.LessOrEqual(t, tasks, c.tasks, "%v", kinds)
		})
	}
}

// ordinaryDomains are domains of the catalogue whose hosts answer at once.
func (s *stack) ordinaryDomains(t *testing.T) (domains []string) {
	t.Helper()
	rows, err := s.Pool.Query(t.Context(), `SELECT DISTINCT email_domain FROM lead ORDER BY 1`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() && len(domains) < 50 {
		var domain string
		require.NoError(t, rows.Scan(&domain))
		if s.lab.World().KindOf(domain) == maillab.Ordinary {
			domains = append(domains, domain)
		}
	}
	require.NotEmpty(t, domains)
	return domains
}

// A database that is away while a small order does its bookkeeping is waited for
// by activities, step by step, with the patience that large orders have; and the
// order is what it would have been.
func TestASmallOrderOutlastsADatabaseThatIsAway(t *testing.T) {
	for _, kind := range kindsOfOrders {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			s := newStoppable(t, matrixLeads)
			in := s.given(t, kind, "away")
			a := &away{tries: map[string]int{}}
			s.env = s.world.env()
			s.env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{a}})
			run(s.env, in)
			require.NoError(t, s.env.GetWorkflowError())
			require.Equal(t, order.Settled, s.requireExactBooks(kind, in).Status)
			s.audit(t)
			if in.Request.Small() {
				for step, tries := range a.tries {
					require.Zero(t, tries%3, "%s is tried three times before an activity takes it over", step)
				}
				require.Subset(t, slices.Collect(maps.Keys(a.tries)), []string{"SelectLeads", "CaptureCredits", "DeliverOrder", "ReleaseHold"})
			}
		})
	}
}

// away lets every step but the reservation fail within workflow tasks.
type away struct {
	interceptor.WorkerInterceptorBase

	mu    sync.Mutex
	tries map[string]int
}

func (a *away) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	i := &awayActivity{away: a}
	i.Next = next
	return i
}

type awayActivity struct {
	interceptor.ActivityInboundInterceptorBase
	away *away
}

func (i *awayActivity) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	info := activity.GetInfo(ctx)
	if info.IsLocalActivity && info.ActivityType.Name != "Reserve" && info.ActivityType.Name != "NoteWait" {
		i.away.mu.Lock()
		i.away.tries[info.ActivityType.Name]++
		i.away.mu.Unlock()
		return nil, temporal.NewApplicationError("the database is away", "temporary")
	}
	return i.Next.ExecuteActivity(ctx, in)
}
