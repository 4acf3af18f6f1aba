package workflows_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"holdfast/internal/order"
	"holdfast/workflows"
)

// matrixLeads is how many leads a small and a large order of the matrix are
// about: one batch, so that some hundred orders take seconds.
const (
	matrixLeads      = 40
	largeMatrixLeads = order.SmallCount + 20
)

// event is what can happen to an order while one of its activities runs.
type event string

const (
	cancelled event = "cancel"  // its customer cancels it
	killed    event = "kill"    // the worker dies, and the activity is tried again
	failing   event = "failure" // the activity fails for good
	lost      event = "loss"    // Temporal loses the workflow, and the order is taken up again
)

// stop is a moment of an order, and what happens then.
type stop struct {
	activity string
	call     int  // of this activity, from 1
	after    bool // after its commit, or before
	event    event
}

func (s stop) String() string {
	when := "before"
	if s.after {
		when = "after"
	}
	return fmt.Sprintf("%s %s %s %d", s.event, when, s.activity, s.call)
}

// For each fault of an order of each kind, before or after the commit of
// each of its activities: it ends, and leaves exact books. The matrix is
// made from a run in which nothing happens, so that an activity that is added
// is stopped too.
func TestEveryStopOfEveryActivityLeavesExactBooks(t *testing.T) {
	for _, kind := range kindsOfOrders {
		if !kind.fills { // such an order is never small
			t.Run("small "+kind.name, func(t *testing.T) { matrix(t, kind, matrixLeads, nil) })
			t.Run("small "+kind.name+", announced", func(t *testing.T) {
				matrix(t, kind, matrixLeads, func(s *stoppable) { s.announced, s.acts.Verifies = true, true })
			})
			t.Run("small "+kind.name+", announced and verified elsewhere", func(t *testing.T) {
				matrix(t, kind, matrixLeads, func(s *stoppable) { s.announced = true })
			})
		}
		t.Run(kind.name, func(t *testing.T) { matrix(t, kind, largeMatrixLeads, nil) })
	}
}

func matrix(t *testing.T, kind kindOfOrder, leads int, setup func(*stoppable)) {
	t.Parallel()
	s := newStoppable(t, leads)
	if setup != nil {
		setup(s)
	}
	smooth, o := s.runStopped(t, kind, "smooth", stop{})
	require.Equal(t, order.Settled, o.Status)
	for i, at := range smooth.moments() {
		if at.activity == "PushExport" && at.event == cancelled {
			continue // the test environment does not wait for an activity that is cancelled; see export_test.go
		}
		t.Run(at.String(), func(t *testing.T) {
			w, o := s.runStopped(t, kind, fmt.Sprintf("org-%d", i), at)
			require.True(t, w.happened)
			if at == (stop{"Reserve", 1, false, failing}) {
				return // it was never entered
			}
			require.Contains(t, w.ends(s.acts.Verifies), o.Status, "%+v", o.Failure)
			require.Equal(t, o.CompletedAt != nil, o.Status == order.Settled, "what is delivered is settled, and nothing else is")
		})
	}
	s.audit(t)
}

// runStopped runs an order to which something happens. One that was lost is
// taken up again.
func (s *stoppable) runStopped(t *testing.T, kind kindOfOrder, org string, at stop) (*watcher, order.Order) {
	in := s.given(t, kind, org)
	w := &watcher{calls: map[string]int{}, at: at}
	// What a webhook took is given away where the charge fails for good.
	s.unpaid = at.event == failing && (at.activity == "PushExport" && at.after || at.activity == "CaptureCredits" && !at.after)
	for {
		s.env = s.world.env()
		s.env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{w}})
		w.cancel = s.env.CancelWorkflow
		s.env.ExecuteWorkflow(workflows.Order, workflows.OrderInput{Input: in, Announced: s.announced})
		require.True(t, s.env.IsWorkflowCompleted())
		if !w.gone {
			return w, s.requireExactBooks(kind, in)
		}
		w.gone = false
	}
}

// watcher counts the calls of activities, and lets something happen at one.
type watcher struct {
	interceptor.WorkerInterceptorBase

	mu       sync.Mutex
	names    []string // of activities, as they first came
	calls    map[string]int
	at       stop
	happened bool
	cancel   func()
	gone     bool // the workflow is lost: nothing that it does has an effect
}

// moments are all stops of an order of which a smooth run was watched, at the
// first and the second call of each activity.
func (w *watcher) moments() (all []stop) {
	for _, name := range w.names {
		for _, call := range slices.Compact([]int{1, min(2, w.calls[name])}) {
			for _, after := range []bool{false, true} {
				for _, e := range []event{cancelled, killed, failing, lost} {
					all = append(all, stop{name, call, after, e})
				}
			}
		}
	}
	return all
}

// ends are the statuses in which an order may end after what happened to it; atOnce
// says that CarryOut does all of it.
func (w *watcher) ends(atOnce bool) []order.Status {
	delivered := w.at.activity == "ReleaseHold" || (w.at.activity == "DeliverOrder" || w.at.activity == "CarryOut" && atOnce) && w.at.after
	switch {
	case delivered, w.at.event == killed, w.at.event == lost:
		return []order.Status{order.Settled}
	case w.at.event == failing:
		return []order.Status{order.Failed}
	case w.at.activity == "DeliverOrder", w.at.activity == "CarryOut" && atOnce: // the list may be closed before the cancellation is known
		return []order.Status{order.Cancelled, order.Settled}
	}
	return []order.Status{order.Cancelled}
}

func (w *watcher) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	i := &watched{watcher: w}
	i.Next = next
	return i
}

type watched struct {
	interceptor.ActivityInboundInterceptorBase
	watcher *watcher
}

func (i *watched) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	isAt, err := i.watcher.begin(activity.GetInfo(ctx).ActivityType.Name)
	if err != nil {
		return nil, err
	}
	if isAt && !i.watcher.at.after {
		if err := i.watcher.happen(); err != nil {
			return nil, err
		}
	}
	value, err := i.Next.ExecuteActivity(ctx, in)
	if err == nil && isAt && i.watcher.at.after {
		err = i.watcher.happen()
	}
	return value, err
}

// begin counts a call, and says whether it is the one at which something
// happens.
func (w *watcher) begin(name string) (isAt bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return false, broken
	}
	if w.calls[name]++; w.calls[name] == 1 {
		w.names = append(w.names, name)
	}
	return name == w.at.activity && w.calls[name] == w.at.call, nil
}

func (w *watcher) happen() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.happened = true
	switch w.at.event {
	case cancelled:
		w.cancel()
	case killed:
		return temporal.NewApplicationError("the worker died", "temporary")
	case lost:
		w.gone = true
		return broken
	case failing:
		return broken
	}
	return nil
}
