package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"holdfast/activities"
	"holdfast/internal/account"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/workflows"
)

// stopLeads is how many leads there are to stop at: enough for several
// batches and parts of every kind.
const stopLeads = 1200

// kindOfOrder is an order that can be stopped, and what belongs to its story.
type kindOfOrder struct {
	name     string
	plan     string
	body     func(s *stoppable, org string) order.Body
	verifies bool // something about it is verified
	greylist bool // by mail hosts
	refunds  bool // it waits for its refund
	pushes   bool
	fills    bool
	reported bool // what stays unknown is reported, and paid for
}

var kindsOfOrders = []kindOfOrder{
	{name: "lead_list", plan: "verified-leads", verifies: true, greylist: true, refunds: true, body: func(s *stoppable, _ string) order.Body {
		return order.Body{Request: order.Request{Kind: order.LeadList, Count: s.leads}}
	}},
	{name: "fill", plan: "verified-leads", verifies: true, greylist: true, fills: true, body: func(s *stoppable, _ string) order.Body {
		return order.Body{Request: order.Request{Kind: order.LeadList, Count: s.leads/2 - s.leads/60, Fill: true}}
	}},
	{name: "verify emails", plan: "prepaid-verification", verifies: true, greylist: true, reported: true, body: func(s *stoppable, _ string) order.Body {
		return order.Body{Request: order.Request{Kind: order.Verify}, Emails: s.emails}
	}},
	{name: "verify a list", plan: "prepaid-verification", verifies: true, greylist: true, reported: true, body: func(s *stoppable, org string) order.Body {
		return order.Body{Request: order.Request{Kind: order.Verify, ListID: s.list(org, "n,email", s.emails)}}
	}},
	{name: "reveal", plan: "rollover-boost", verifies: true, greylist: true, refunds: true, body: func(s *stoppable, _ string) order.Body {
		return order.Body{Request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.EmailField, order.PhoneField}}, LeadIDs: s.ids[:s.leads*2/3]}
	}},
	{name: "reveal what is on file", plan: "licence-monthly", body: func(s *stoppable, _ string) order.Body {
		return order.Body{Request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.ProfileField}}, LeadIDs: s.ids}
	}},
	{name: "enrich", plan: "rollover-boost", verifies: true, greylist: true, refunds: true, body: func(s *stoppable, org string) order.Body {
		return order.Body{Request: order.Request{
			Kind: order.Enrich, Fields: []order.Field{order.EmailField}, ListID: s.list(org, "n,first_name,last_name,company", s.people),
		}}
	}},
	{name: "export to a file", plan: "rollover-boost", verifies: true, greylist: true, refunds: true, body: func(s *stoppable, _ string) order.Body {
		return order.Body{Request: order.Request{Kind: order.Export}, LeadIDs: s.ids}
	}},
	{name: "export to a webhook", plan: "rollover-boost", verifies: true, greylist: true, refunds: true, pushes: true, body: func(s *stoppable, org string) order.Body {
		return order.Body{Request: order.Request{Kind: order.Export, Destination: order.ToWebhook, WebhookID: s.webhook(org)}, LeadIDs: s.ids}
	}},
}

// ways are all the ways in which an order can be stopped, but one: while a
// webhook takes a part. The test environment does not wait for an activity that
// is cancelled, so that is for a real server; see export_test.go.
var ways = []struct {
	name  string
	of    func(k kindOfOrder) bool // nil = orders of every kind
	setup func(s *stoppable)
	want  order.Status
}{
	{"before anything is selected", nil, func(s *stoppable) {
		s.env.RegisterDelayedCallback(s.env.CancelWorkflow, 0)
	}, order.Cancelled},
	{"while it selects", nil, func(s *stoppable) { s.onSelect(1, s.cancel) }, order.Cancelled},
	{"while nothing can be verified", func(k kindOfOrder) bool { return k.verifies }, func(s *stoppable) {
		s.verifier.out = func(int) bool { return true }
		s.env.RegisterDelayedCallback(s.env.CancelWorkflow, 90*time.Second)
	}, order.Cancelled},
	{"while it is paused", nil, func(s *stoppable) {
		s.env.RegisterDelayedCallback(func() { update(s.t, s.env, workflows.UpdatePause) }, 0)
		s.env.RegisterDelayedCallback(s.env.CancelWorkflow, time.Hour)
	}, order.Cancelled},
	{"in the middle of verification", func(k kindOfOrder) bool { return k.verifies }, func(s *stoppable) {
		s.verifier.during = func(call int) error {
			if call == 2 {
				s.env.CancelWorkflow()
			}
			return nil
		}
	}, order.Cancelled},
	{"while it selects more", func(k kindOfOrder) bool { return k.fills }, func(s *stoppable) { s.onSelect(2, s.cancel) }, order.Cancelled},
	{"while greylisting hosts are waited for", func(k kindOfOrder) bool { return k.greylist }, func(s *stoppable) {
		s.verifier.greylisted = 1000
		s.env.RegisterDelayedCallback(s.env.CancelWorkflow, time.Minute)
	}, order.Cancelled},
	{"while it charges", nil, func(s *stoppable) { s.onCapture(1, s.cancel) }, order.Cancelled},
	{"while it waits for its refund", func(k kindOfOrder) bool { return k.refunds }, func(s *stoppable) {
		s.env.RegisterDelayedCallback(s.env.CancelWorkflow, time.Minute)
	}, order.Settled},
	{"failing to select", nil, func(s *stoppable) { s.onSelect(1, s.fail) }, order.Failed},
	{"failing to select more", func(k kindOfOrder) bool { return k.fills }, func(s *stoppable) { s.onSelect(2, s.fail) }, order.Failed},
	{"failing to verify a batch", func(k kindOfOrder) bool { return k.verifies }, func(s *stoppable) {
		s.env.OnActivity(s.acts.VerifyBatch, mock.Anything, mock.Anything).Return(
			func(ctx context.Context, in activities.BatchInput) (activities.BatchResult, error) {
				if in.From > 500 {
					return activities.BatchResult{}, broken
				}
				return s.acts.VerifyBatch(ctx, in)
			})
	}, order.Failed},
	{"failing to charge at all", nil, func(s *stoppable) {
		s.unpaid = true
		s.onCapture(1, s.fail)
	}, order.Failed},
	{"failing to charge what stays unknown", func(k kindOfOrder) bool { return k.reported }, func(s *stoppable) {
		s.verifier.greylisted = 1000
		s.env.OnActivity(s.acts.CaptureCredits, mock.Anything, mock.Anything).Return(
			func(ctx context.Context, in activities.CaptureInput) (activities.Captured, error) {
				if in.Last {
					return activities.Captured{}, broken
				}
				return s.acts.CaptureCredits(ctx, in)
			})
	}, order.Failed},
	{"failing to push a later part", func(k kindOfOrder) bool { return k.pushes }, func(s *stoppable) { s.onPush(2, s.fail) }, order.Failed},
	{"failing to deliver", nil, func(s *stoppable) {
		s.env.OnActivity(s.acts.DeliverOrder, mock.Anything, mock.Anything).Return(order.Order{}, broken)
	}, order.Failed},
	{"paused and resumed at every stage", nil, func(s *stoppable) {
		again := func(int) error {
			update(s.t, s.env, workflows.UpdatePause)
			s.env.RegisterDelayedCallback(func() { update(s.t, s.env, workflows.UpdateResume) }, time.Hour)
			return nil
		}
		s.verifier.during = again
		s.env.RegisterDelayedCallback(func() { _ = again(0) }, 0)
	}, order.Settled},
}

var broken = temporal.NewNonRetryableApplicationError("the disk is on fire", "broken", nil)

// However an order of any kind is stopped, and at each place: what was charged is
// delivered, what was not delivered is refunded, nothing stays held, and no
// webhook got what it was not charged for.
func TestStoppingAnOrderLeavesExactBooks(t *testing.T) {
	for _, kind := range kindsOfOrders {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			s := newStoppable(t, stopLeads)
			for i, way := range ways {
				if way.of != nil && !way.of(kind) {
					continue
				}
				t.Run(way.name, func(t *testing.T) {
					o := s.stopped(t, kind, fmt.Sprintf("org-%d", i), way.setup)
					require.Equal(t, way.want, o.Status, "%+v", o.Failure)
					if way.want == order.Failed {
						require.Equal(t, "broken", o.Failure.Code)
					}
				})
			}
			s.audit(t)
		})
	}
}

// stoppable is a world in which one order after the other is stopped.
type stoppable struct {
	*world
	leads               int64
	env                 *testsuite.TestWorkflowEnvironment
	ids, emails, people []string
	received            atomic.Int64 // rows that a webhook took
	messages            sync.Map     // their ids: a message that comes again counts once
	unpaid              bool         // our ledger fails after the webhook took them
	url                 string
	announced           bool     // the first task of an order keeps no caller waiting
	handed              []string // orders that a ride gave workflows of their own
}

func newStoppable(t *testing.T, leads int) *stoppable {
	s := &stoppable{world: newWorld(t, 0, 0), leads: int64(leads)}
	var file strings.Builder
	file.WriteString("id,email,first_name,last_name,company,country,phone,profile\n")
	for i := range leads {
		name := []string{"valid", "missing"}[i%2]
		s.ids = append(s.ids, fmt.Sprintf("lead-%d", i))
		s.emails = append(s.emails, fmt.Sprintf("%s.%d@domain%d.test", name, i, i%17))
		s.people = append(s.people, fmt.Sprintf("Ada,Lovelace%d,Company %d", i, i%17))
		fmt.Fprintf(&file, "%s,%s,%s,US,+1 212 555 %04d,She counts\n", s.ids[i], s.emails[i], s.people[i], i)
	}
	_, err := s.catalogue.Import(t.Context(), strings.NewReader(file.String()), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	receiver := httptest.NewServer(http.HandlerFunc(s.receive))
	t.Cleanup(receiver.Close)
	s.url = receiver.URL
	return s
}

// stopped runs an order that setup stops, and checks the books.
func (s *stoppable) stopped(t *testing.T, kind kindOfOrder, org string, setup func(*stoppable)) order.Order {
	in := s.given(t, kind, org)
	s.env = s.world.env()
	setup(s)
	run(s.env, in)
	require.True(t, s.env.IsWorkflowCompleted())
	return s.requireExactBooks(kind, in)
}

// stopCredits is what an organization has of each type before its order.
const stopCredits = 5000

// given is an order of a kind, by an organization of its own.
func (s *stoppable) given(t *testing.T, kind kindOfOrder, org string) order.Input {
	ctx := t.Context()
	s.t = t
	s.verifier = &byName{}
	s.acts.Verifier = s.verifier
	s.received.Store(0)
	s.unpaid = false
	_, err := s.accounts.CreateOrg(ctx, account.Org{ID: org, Name: org, Plan: kind.plan, Anchor: notYet()})
	require.NoError(t, err)
	for _, credit := range []string{"email", "phone", "profile"} {
		_, err = s.ledger.Grant(ctx, ledger.Grant{Owner: org, Key: credit, Type: credit, Amount: stopCredits, Source: ledger.SourcePack})
		require.NoError(t, err)
	}
	request, err := offer.New(s.accounts, s.ledger, s.catalogue, s.book).Normalize(ctx, org, kind.body(s, org), true)
	require.NoError(t, err)
	require.NoError(t, request.Validate(0))
	return order.Input{ID: order.ID(org, "stopped"), Org: org, Request: request}
}

// requireExactBooks demands of an order that is over that it left exact books. The
// audit, which costs as much as an order, comes when all orders are over.
func (s *stoppable) requireExactBooks(kind kindOfOrder, in order.Input) order.Order {
	t, ctx := s.t, s.t.Context()
	o, err := s.book.Get(ctx, in.Org, in.ID)
	if !errors.Is(err, orderbook.ErrNotFound) {
		require.NoError(t, err)
		s.requireCharged(o)
	}
	charged := map[string]int64{}
	for _, c := range o.Credits {
		charged[c.Type] = c.Captured
	}
	balances, err := s.ledger.Balances(ctx, in.Org)
	require.NoError(t, err)
	for _, b := range balances {
		require.Equal(t, [2]int64{stopCredits - charged[b.Type], 0}, [2]int64{b.Available, b.Held}, "%s available, held", b.Type)
	}
	if kind.pushes && !s.unpaid {
		require.Equal(t, charged["email"], s.received.Load(), "the webhook got what was charged")
	}
	return o
}

// audit proves the books of all orders.
func (s *stoppable) audit(t *testing.T) {
	t.Helper()
	s.t = t
	s.requireCleanAudit("")
}

func (s *stoppable) list(org, header string, rows []string) string {
	var file strings.Builder
	fmt.Fprintln(&file, header)
	for i, row := range rows {
		fmt.Fprintf(&file, "%d,%s\n", i, row)
	}
	list, err := s.catalogue.KeepList(s.t.Context(), org, "", strings.NewReader(file.String()))
	require.NoError(s.t, err)
	return list.ID
}

func (s *stoppable) webhook(org string) string {
	endpoint, _, err := s.hooks.Webhooks.Create(s.t.Context(), org, s.url, nil)
	require.NoError(s.t, err)
	return endpoint.ID
}

func (s *stoppable) receive(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if _, again := s.messages.LoadOrStore(r.Header.Get("webhook-id"), true); !again {
		s.received.Add(int64(strings.Count(string(body), `"email":`)))
	}
}

// cancel and fail are what can happen to an activity: the workflow is cancelled
// while it runs, or it fails for good.
func (s *stoppable) cancel() error { s.env.CancelWorkflow(); return nil }

func (s *stoppable) fail() error { return broken }

func (s *stoppable) onSelect(call int, happens func() error) {
	var calls int
	s.env.OnActivity(s.acts.SelectLeads, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, in activities.SelectInput) (activities.Selection, error) {
			if calls++; calls == call {
				if err := happens(); err != nil {
					return activities.Selection{}, err
				}
			}
			return s.acts.SelectLeads(ctx, in)
		})
}

func (s *stoppable) onCapture(call int, happens func() error) {
	var calls int
	s.env.OnActivity(s.acts.CaptureCredits, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, in activities.CaptureInput) (activities.Captured, error) {
			if calls++; calls == call {
				if err := happens(); err != nil {
					return activities.Captured{}, err
				}
			}
			return s.acts.CaptureCredits(ctx, in)
		})
}

func (s *stoppable) onPush(part int, happens func() error) {
	s.env.OnActivity(s.hooks.PushExport, mock.Anything, mock.Anything).Return(
		func(ctx context.Context, in activities.PushInput) error {
			if in.Part == part {
				if err := happens(); err != nil {
					return err
				}
			}
			return s.hooks.PushExport(ctx, in)
		})
}
