package workflows_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/intake"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/workflows"
)

// riders is how many orders ride together in these tests.
const riders = 4

// rideOf is a ride of orders, each for one address or lead: of an organization
// that has credits for one less than there are.
func (s *stoppable) rideOf(t *testing.T, plan, org string) (inputs []order.Input) {
	ctx := t.Context()
	s.t = t
	s.verifier = &byName{}
	s.acts.Verifier = s.verifier
	_, err := s.accounts.CreateOrg(ctx, account.Org{ID: org, Name: org, Plan: plan, Anchor: notYet()})
	require.NoError(t, err)
	_, err = s.ledger.Grant(ctx, ledger.Grant{Owner: org, Key: "email", Type: "email", Amount: riders - 1, Source: ledger.SourcePack})
	require.NoError(t, err)
	for i := range riders {
		body := order.Body{Request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.EmailField}}, LeadIDs: s.ids[i : i+1]}
		if plan == "prepaid-verification" {
			body = order.Body{Request: order.Request{Kind: order.Verify}, Emails: s.emails[i : i+1]}
		}
		request, err := offer.New(s.accounts, s.ledger, s.catalogue, s.book).Normalize(ctx, org, body, true)
		require.NoError(t, err)
		inputs = append(inputs, order.Input{ID: order.ID(org, fmt.Sprint(i)), Org: org, Request: request})
	}
	return inputs
}

// ride runs a ride to its end, with the orders that it hands over.
func (s *stoppable) ride(inputs []order.Input, w *watcher) error {
	_, err := s.book.EnterLines(s.t.Context(), "default-test-workflow-id", inputs)
	require.NoError(s.t, err)
	s.env = s.world.env()
	s.env.SetWorkerOptions(worker.Options{Interceptors: []interceptor.WorkerInterceptor{w}})
	w.cancel = s.env.CancelWorkflow
	s.handed = nil
	s.env.SetOnChildWorkflowStartedListener(func(info *workflow.Info, _ workflow.Context, _ converter.EncodedValues) {
		s.handed = append(s.handed, info.WorkflowExecution.ID)
	})
	s.env.ExecuteWorkflow(workflows.Ride, workflows.RideInput{Orders: inputs})
	require.True(s.t, s.env.IsWorkflowCompleted())
	_, err = s.pool.Exec(s.t.Context(), `DELETE FROM order_ride`) // the next ride has the same ID
	require.NoError(s.t, err)
	return s.env.GetWorkflowError()
}

// For each fault of a ride, before or after the commit of any of its steps:
// once the orders that it left open are taken up, as reconciling does, the books
// are exact. The last order is one that the credits do not cover.
func TestEveryStopOfARideLeavesExactBooks(t *testing.T) {
	for _, plan := range []string{"prepaid-verification", "rollover-boost"} {
		for where, steps := range map[string][]string{"here": {"Board"}, "elsewhere": {"Board", "VerifyRide", "FinishRide"}} {
			t.Run(plan+", verified "+where, func(t *testing.T) {
				t.Parallel()
				s := newStoppable(t, matrixLeads)
				s.acts.Verifies = where == "here"
				smooth := &watcher{calls: map[string]int{}}
				inputs := s.rideOf(t, plan, "smooth")
				require.NoError(t, s.ride(inputs, smooth))
				for i, in := range inputs { // the credits go to those that came first
					o, err := s.book.Get(t.Context(), "smooth", in.ID)
					require.NoError(t, err)
					require.Equal(t, i == riders-1, o.Status == order.Rejected, "order %d of %d is %s", i+1, riders, o.Status)
				}
				require.Subset(t, smooth.names, steps)
				require.Equal(t, s.acts.Verifies, !slices.Contains(smooth.names, "VerifyRide"))
				for i, at := range smooth.moments() {
					t.Run(at.String(), func(t *testing.T) { s.stoppedRide(t, plan, fmt.Sprintf("org-%d", i), at) })
				}
			})
		}
	}
}

// stoppedRide runs a ride to which something happens, and takes up what it left.
func (s *stoppable) stoppedRide(t *testing.T, plan, org string, at stop) {
	inputs := s.rideOf(t, plan, org)
	w := &watcher{calls: map[string]int{}, at: at}
	_ = s.ride(inputs, w) // its end does not matter: the orders' do
	require.True(t, w.happened)
	w.gone = false
	ends := map[order.Status]int{}
	var charged int64
	for _, in := range inputs {
		if _, err := s.book.OpenOrder(t.Context(), in.ID); err == nil || at.activity == "Board" {
			run(s.world.env(), in) // reconciling, or its submitter again
		}
		o, err := s.book.Get(t.Context(), org, in.ID)
		require.NoError(t, err)
		s.requireExact(o)
		ends[o.Status]++
		for _, c := range o.Credits {
			charged += c.Captured
		}
	}
	if at.activity != "Board" || at.after { // else they came one after the other, and what is not valid gave its credit back
		require.Equal(t, 1, ends[order.Rejected], "credits for one less: %v", ends)
	}
	balances, err := s.ledger.Balances(t.Context(), org)
	require.NoError(t, err)
	require.Equal(t, [2]int64{riders - 1 - charged, 0}, [2]int64{balances[0].Available, balances[0].Held})
}

// Orders whose addresses are greylisted or slow, or whose rest is refunded later,
// get workflows of their own, which wait.
func TestARideHandsOverWhatHasToWait(t *testing.T) {
	s := newStoppable(t, matrixLeads)
	for _, where := range []string{"here", "elsewhere"} {
		s.acts.Verifies = where == "here"
		for _, c := range []struct {
			org        string
			greylisted int
			slow       string
			handed     []int
		}{
			{"greylisted", 1, "", []int{1}}, // and the address that is asked first
			{"refunded", 0, "", []int{1}},   // it is not valid
			{"slow", 0, s.emails[2], []int{1, 2}},
		} {
			org := c.org + "-" + where
			inputs := s.rideOf(t, "rollover-boost", org)
			s.verifier.greylisted, s.verifier.slow = c.greylisted, c.slow
			require.NoError(t, s.ride(inputs, &watcher{calls: map[string]int{}}))
			var handed []string
			for _, i := range c.handed {
				handed = append(handed, inputs[i].ID)
			}
			if first := min(inputs[0].ID, inputs[1].ID, inputs[2].ID); c.greylisted > 0 && !slices.Contains(handed, first) {
				handed = append(handed, first)
			}
			require.ElementsMatch(t, handed, s.handed, org)
			for i, in := range inputs[:riders-1] {
				o, err := s.book.Get(t.Context(), org, in.ID)
				require.NoError(t, err)
				require.Equal(t, order.Settled, o.Status)
				require.EqualValues(t, 1-i%2, o.Tally.Valid)
				s.requireExact(o)
			}
		}
	}
}

// On real servers: calls of one organization that come at the same moment share
// workflows, those whose hosts ask to come back later get one of their own, and
// each order ends as it would have alone.
func TestOrdersThatComeTogetherOnARealServer(t *testing.T) {
	const calls = 40
	s := realStack(t)
	org := s.org(t, "prepaid-verification", map[string]int64{"email": calls})
	rows, err := s.Pool.Query(t.Context(), `SELECT email FROM lead WHERE email_domain IN (SELECT email_domain FROM lead GROUP BY 1 HAVING count(*) > 3) ORDER BY no DESC`)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	var emails, later []string
	greylisting := map[string]bool{}
	for _, email := range all {
		_, domain, _ := strings.Cut(email, "@")
		if s.lab.World().KindOf(domain) != maillab.Greylisting {
			if len(emails) < calls/2 {
				emails = append(emails, email)
			}
		} else if !greylisting[domain] { // mailboxes that no other test has asked for
			greylisting[domain] = true
			later = append(later, s.lab.World().Mailboxes(domain, calls)...)
		}
	}
	emails = append(emails, later[:calls/2]...)
	orders := make([]order.Order, calls)
	var submitting errgroup.Group
	for i, email := range emails {
		submitting.Go(func() (err error) {
			orders[i], err = s.Intake.Submit(t.Context(), intake.Submission{
				Org: org, Key: email, Request: order.Request{Kind: order.Verify}, Emails: []string{email}, Together: true,
			})
			return err
		})
	}
	require.NoError(t, submitting.Wait())
	own := 0
	for _, o := range orders {
		o = s.over(t, o.ID)
		if line, err := s.Book.Line(t.Context(), o.ID); err == nil && !line.Alone() {
			if _, err := s.Temporal.DescribeWorkflowExecution(t.Context(), o.ID, ""); err == nil {
				own++
			}
		}
		require.Equal(t, order.Settled, o.Status)
		s.requireExact(t, o)
		s.requireTrue(t, o)
	}
	var rides int
	require.NoError(t, s.Pool.QueryRow(t.Context(), `SELECT count(DISTINCT ride_id) FROM order_ride WHERE org = $1`, org).Scan(&rides))
	require.Less(t, rides, calls/4)
	require.Positive(t, own, "greylisting hosts are waited for by workflows of their own")
}
