package main_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/config"
	"holdfast/internal/intake"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/wire"
)

// What a worker does to the world it does by these statements.
const (
	book    = "INSERT INTO credit_entry"              // 1 the hold, 2 and 3 the captures, 4 the release
	enter   = "WITH fresh AS (INSERT INTO orders"     // the order
	choose  = "INSERT INTO order_item"                // its items
	move    = "WITH moved AS (UPDATE orders o SET"    // 1 verifying, 2 completed, 3 settled
	judge   = "WITH v AS MATERIALIZED"                // 1 … 3 or more: verdicts
	deliver = "UPDATE order_item SET delivered_at"    // 1 and 2: items
	handOut = "UPDATE order_item i SET delivered_at"  // 1: those of a small order
	finish  = "UPDATE order_item SET retry_at = NULL" // before it is completed
)

const momentary = 600 // leads of each order: two batches

// moments are the boundaries of an order's stages.
var moments = map[string]moment{
	"before the credits are held":             {book, 1, false},
	"credits held, order not in the book":     {book, 1, true},
	"before the order is entered":             {enter, 1, false},
	"order entered, no event sent":            {enter, 1, true},
	"before items are chosen":                 {choose, 1, false},
	"items chosen, order not verifying":       {choose, 1, true},
	"before the order is verifying":           {move, 1, false},
	"order verifying, selection not reported": {move, 1, true},
	"before the first verdicts":               {judge, 1, false},
	"first verdicts written":                  {judge, 1, true},
	"some verdicts written, before others":    {judge, 3, false},
	"a batch verified, not reported":          {judge, 3, true},
	"before the first capture":                {book, 2, false},
	"captured, items not delivered":           {book, 2, true},
	"before the first items are delivered":    {deliver, 1, false},
	"items delivered, charge not reported":    {deliver, 1, true},
	"before the second capture":               {book, 3, false},
	"captured again, items not delivered":     {book, 3, true},
	"all delivered, charge not reported":      {deliver, 2, true},
	"before the order is counted":             {finish, 1, false},
	"before the order is completed":           {move, 2, false},
	"order completed, delivery not reported":  {move, 2, true},
	"before the release":                      {book, 4, false},
	"credits released, order not settled":     {book, 4, true},
	"before the order is settled":             {move, 3, false},
	"order settled, workflow without answer":  {move, 3, true},
}

// smallMoments are those of an order that does its bookkeeping within workflow
// tasks: what was begun in a task that did not come to its end is begun again.
var smallMoments = map[string]moment{
	"credits held, order not in the book": {book, 1, true},
	"order entered, workflow task open":   {enter, 1, true},
	"items chosen, order not verifying":   {choose, 1, true},
	"order verifying, workflow task open": {move, 1, true},
	"verdicts written, not reported":      {judge, 1, true},
	"before the capture":                  {book, 2, false},
	"captured, items not delivered":       {book, 2, true},
	"items delivered, workflow task open": {handOut, 1, true},
	"order completed, workflow task open": {move, 2, true},
	"before the release":                  {book, 3, false},
	"credits released, order not settled": {book, 3, true},
	"order settled, workflow not ended":   {move, 3, true},
}

// A worker dies by SIGKILL at the boundary of a stage; another one takes over.
// At each boundary, the books afterwards say what they say of an order
// that nothing has happened to.
func TestAWorkerThatDiesAtAnyStageLeavesTheSameBooks(t *testing.T) {
	// Without hosts that greylist, an order takes the same way every time.
	stack := newStack(t, laneName(0), maillab.Config{
		Domains: 60, Only: []maillab.Kind{maillab.Ordinary, maillab.Shared, maillab.CatchAll, maillab.NoDomain},
	})
	app := stack.app
	stack.seed(t, momentary)
	free := make(chan *lane, lanes)
	for i := range lanes {
		free <- newLane(t, stack.cfg, laneName(i))
	}

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	type pair struct{ want, got outcome }
	outcomes := map[string]pair{}
	var mu sync.Mutex
	var running errgroup.Group
	for _, size := range []struct {
		name     string
		request  order.Request
		captures int64
		moments  map[string]moment
	}{{"large", leadList(momentary), 2, moments}, {"small", fewLeads(t, app), 1, smallMoments}} {
		quiet := <-free
		undisturbed, err := quiet.order(ctx, size.name+"-undisturbed", intake.Submission{Request: size.request}, nil)
		free <- quiet
		require.NoError(t, err)
		require.Equal(t, order.Settled, undisturbed.Order.Status)
		require.Equal(t, size.request.Count, undisturbed.Order.Tally.Verified())
		require.Positive(t, undisturbed.Order.Tally.Valid)
		require.Subset(t, undisturbed.Entries, map[string]int64{"grant": 1, "hold": 1, "capture": size.captures, "release": 1})
		for name, m := range size.moments {
			running.Go(func() error {
				lane := <-free
				defer func() { free <- lane }()
				got, err := lane.order(ctx, size.name+"-"+strings.NewReplacer(",", "", " ", "-").Replace(name), intake.Submission{Request: size.request}, &m)
				if err != nil {
					return fmt.Errorf("%s order, %s: %w", size.name, name, err)
				}
				mu.Lock()
				defer mu.Unlock()
				outcomes[size.name+" order, "+name] = pair{undisturbed, got}
				return nil
			})
		}
	}
	require.NoError(t, running.Wait())
	for name, p := range outcomes {
		require.Equal(t, p.want, p.got, name)
	}

	report, err := ledger.Audit(ctx, app.Pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

var errMissed = errors.New("the order was over before the moment came")

// leadList is an order for so many leads that each organization finds again.
func leadList(count int64) order.Request {
	return order.Request{Kind: order.LeadList, Count: count, IncludeKnownBad: true}
}

// fewLeads is a small order, for all leads of some domains.
func fewLeads(t *testing.T, app *wire.App) order.Request {
	request := leadList(0)
	rows, err := app.Pool.Query(t.Context(), `SELECT email_domain, count(*) FROM lead GROUP BY 1 ORDER BY 1`)
	require.NoError(t, err)
	var domain string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&domain, &n}, func() error {
		if request.Count < 20 && request.Count+n <= order.SmallCount {
			request.Count += n
			request.Criteria.Domain = append(request.Criteria.Domain, domain)
		}
		return nil
	})
	require.NoError(t, err)
	require.True(t, request.Small())
	return request
}

// lane is a Temporal namespace of its own with one worker, and a proxy between
// that one and the database.
type lane struct {
	t      *testing.T
	cfg    config.Config // of its workers
	app    *wire.App
	proxy  *proxy
	worker workerProcess

	list     string // what enrichments are of
	receiver string // where exports to a webhook go
}

func newLane(t *testing.T, cfg config.Config, namespace string) *lane {
	cfg.TemporalNamespace = namespace
	l := &lane{t: t, app: openApp(t, cfg)}
	database, err := url.Parse(cfg.DatabaseURL)
	require.NoError(t, err)
	l.proxy, err = startProxy(database.Host)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.proxy.listener.Close() })
	database.Host = l.proxy.listener.Addr().String()
	database.RawQuery = "sslmode=disable"
	cfg.DatabaseURL = database.String()
	l.cfg = cfg
	l.worker, err = startWorker(t, cfg)
	require.NoError(t, err)
	return l
}

// outcome is all that an order leaves behind, but for times and identifiers.
type outcome struct {
	Order    order.Order
	Balances []ledger.Balance
	Entries  map[string]int64 // of the journal, by kind
	Facts    []fact
	Items    []itemState
	Events   []string // topics of the events
}

type fact struct {
	Type, Scope, Subject string
	Cost                 int64
	Reversed             bool
}

type itemState struct {
	N            int64
	Value        string
	Verdict      string
	Final        bool
	Delivered    bool
	AlreadyOwned bool
}

// order has a new organization make an order, lets the worker die at the
// moment, if there is one, starts another and waits for the outcome.
func (l *lane) order(ctx context.Context, org string, submission intake.Submission, m *moment) (outcome, error) {
	if err := createOrg(ctx, l.app, org, 2000); err != nil {
		return outcome{}, err
	}
	succeeded := make(chan error, 1)
	if m != nil {
		l.proxy.await(*m, func() {
			l.worker.kill()
			var err error
			l.worker, err = startWorker(l.t, l.cfg)
			succeeded <- err
		})
	}
	submission.Org, submission.Key = org, "order"
	if err := l.bring(ctx, &submission); err != nil {
		return outcome{}, err
	}
	o, err := l.app.Intake.Submit(ctx, submission)
	for errors.Is(err, intake.ErrNoAnswer) { // on a slow machine: as the docs tell customers to do
		o, err = l.app.Intake.Submit(ctx, submission)
	}
	if err != nil {
		return outcome{}, err
	}
	if err := l.over(ctx, org, o.ID); err != nil {
		return outcome{}, err
	}
	var missed error
	if m != nil {
		select {
		case err := <-succeeded:
			if err != nil {
				return outcome{}, err
			}
		default:
			missed = errMissed
		}
	}
	found, err := l.outcome(ctx, org, o.ID)
	return found, errors.Join(err, missed)
}

// bring makes what an order of an organization names: its list, its endpoint.
func (l *lane) bring(ctx context.Context, s *intake.Submission) error {
	switch {
	case s.Request.Kind == order.Enrich:
		list, err := l.app.Catalogue.KeepList(ctx, s.Org, "", strings.NewReader(l.list))
		s.Request.ListID = list.ID
		return err
	case s.Request.Destination == order.ToWebhook:
		e, _, err := l.app.Webhooks.Create(ctx, s.Org, l.receiver, []string{"order.settled"})
		s.Request.WebhookID = e.ID
		return err
	}
	return nil
}

// over waits until an order has ended: its own workflow, or the one that it shares.
func (l *lane) over(ctx context.Context, org, id string) error {
	for {
		o, err := l.app.Book.Get(ctx, org, id)
		if err == nil && o.Status.Over() {
			err = l.app.Temporal.GetWorkflow(ctx, id, "").Get(ctx, nil)
			var shared *serviceerror.NotFound
			if errors.As(err, &shared) {
				return nil
			}
			return err
		}
		if err != nil && !errors.Is(err, orderbook.ErrNotFound) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("order %s is not over: %w", id, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (l *lane) outcome(ctx context.Context, org, id string) (outcome, error) {
	found := outcome{Entries: map[string]int64{}}
	o, err := l.app.Book.Get(ctx, org, id)
	if err != nil {
		return found, err
	}
	o.ID, o.Org, o.CreatedAt, o.RefundAt, o.CompletedAt, o.SettledAt = "", "", time.Time{}, nil, nil, nil
	found.Order = o
	if found.Balances, err = l.app.Ledger.Balances(ctx, org); err != nil {
		return found, err
	}
	var kind string
	var count int64
	rows, _ := l.app.Pool.Query(ctx, `SELECT kind, count(*) FROM credit_entry WHERE owner = $1 GROUP BY kind`, org)
	if _, err := pgx.ForEachRow(rows, []any{&kind, &count}, func() error { found.Entries[kind] = count; return nil }); err != nil {
		return found, err
	}
	rows, _ = l.app.Pool.Query(ctx, `
		SELECT type, replace(scope, $2, 'the order'), subject::text, cost, reversed FROM credit_fact WHERE owner = $1 ORDER BY 1, 2, 3`, org, id)
	if found.Facts, err = pgx.CollectRows(rows, pgx.RowToStructByPos[fact]); err != nil {
		return found, err
	}
	rows, _ = l.app.Pool.Query(ctx, `
		SELECT n, value, verdict, retry_at IS NULL, delivered_at IS NOT NULL, already_owned FROM order_item WHERE order_id = $1 ORDER BY n`, id)
	if found.Items, err = pgx.CollectRows(rows, pgx.RowToStructByPos[itemState]); err != nil {
		return found, err
	}
	rows, _ = l.app.Pool.Query(ctx, `SELECT topic FROM outbox WHERE org = $1 ORDER BY topic`, org)
	found.Events, err = pgx.CollectRows(rows, pgx.RowTo[string])
	return found, err
}
