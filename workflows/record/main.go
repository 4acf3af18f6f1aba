// Command record runs orders of every kind and of every kind of ending, and
// everything else that is a workflow, on real servers and writes their histories to
// workflows/testdata/replay, where the replay test reads them. Record again only
// after a change that breaks no running order: a recording that no longer
// replays is the warning that a change needs workflow.GetVersion.
//
//	go run ./workflows/record
//	go run ./workflows/record -only order-settled,reset-scheduled
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/encoding/protojson"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/stacktest"
	"holdfast/internal/wire"
	"holdfast/workflows"
)

// recording is an order to record.
type recording struct {
	name      string
	org       string
	request   order.Request
	given     given       // what comes with the request
	cancel    order.Stage // the stage in which the order is cancelled, if any
	happens   *happening
	maxEvents int // for an order that continues: of each run
	want      order.Status
}

// recordings are the orders to record besides ofEachKind. acme has 5,000 credits and buys leads, broke has none, beta
// has 3,000 and has lists verified, gamma has some of each type and reveals,
// enriches and exports.
var recordings = []recording{
	{name: "settled", org: "acme", request: leads(3000, false), want: order.Settled}, // with greylisting hosts, so with a second round
	{name: "rejected", org: "broke", request: leads(1000, false), want: order.Rejected},
	{name: "cut-short", org: "acme", request: leads(100, false), cancel: order.StageRefunding, want: order.Settled},
	{name: "filled", org: "acme", request: leads(200, true), want: order.Settled},
	{name: "continued", org: "acme", request: leads(1500, false), maxEvents: 10, want: order.Settled},
	{name: "verified-list", org: "beta", request: order.Request{Kind: order.Verify}, given: emails(600), want: order.Settled},
	{name: "revealed", org: "gamma", request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.EmailField, order.PhoneField}}, given: ids(100), want: order.Settled},
	{name: "revealed-on-file", org: "gamma", request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.ProfileField}}, given: ids(20), want: order.Settled},
	{name: "enriched", org: "gamma", request: order.Request{Kind: order.Enrich, Fields: []order.Field{order.EmailField}}, given: people(100), want: order.Settled},
	{name: "exported", org: "gamma", request: order.Request{Kind: order.Export}, given: ids(200), want: order.Settled},
	{name: "pushed", org: "gamma", request: order.Request{Kind: order.Export, Destination: order.ToWebhook}, given: webhookAnd(ids(1200)), want: order.Settled},

	// Small ones do their bookkeeping within workflow tasks.
	{name: "small-list", org: "acme", request: leads(90, false), want: order.Settled}, // with greylisting hosts
	{name: "small-rejected", org: "broke", request: leads(90, false), want: order.Rejected},
	{name: "small-cancelled", org: "acme", request: leads(80, false), cancel: order.StageVerifying, want: order.Cancelled},
	{name: "small-cut-short", org: "acme", request: leads(40, false), cancel: order.StageRefunding, want: order.Settled},
	{name: "small-verified", org: "beta", request: order.Request{Kind: order.Verify}, given: emails(1), want: order.Settled},
	{name: "small-revealed", org: "gamma", request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.EmailField, order.PhoneField}}, given: ids(20), want: order.Settled},
	{name: "small-on-file", org: "gamma", request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.ProfileField}}, given: ids(30), want: order.Settled},
	{name: "small-exported", org: "gamma", request: order.Request{Kind: order.Export}, given: ids(50), want: order.Settled},
	{name: "small-away", org: "beta", request: order.Request{Kind: order.Verify}, given: lockedAnd(emails(2)), want: order.Settled},
	{name: "small-pushed", org: "gamma", request: order.Request{Kind: order.Export, Destination: order.ToWebhook}, given: webhookAnd(ids(60)), want: order.Settled},

	// Since reservations are announced, they are carried out in their first task.
	{name: "announced-list", org: "acme", request: leads(95, false), want: order.Settled}, // with greylisting hosts
	{name: "announced-rejected", org: "broke", request: leads(95, false), want: order.Rejected},
	{name: "announced-cancelled", org: "acme", request: leads(85, false), cancel: order.StageVerifying, want: order.Cancelled},
	{name: "announced-verified", org: "beta", request: order.Request{Kind: order.Verify}, given: emails(1), want: order.Settled},
	{name: "announced-revealed", org: "gamma", request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.EmailField, order.PhoneField}}, given: ids(20), want: order.Settled},
	{name: "announced-enriched", org: "gamma", request: order.Request{Kind: order.Enrich, Fields: []order.Field{order.EmailField}}, given: people(20), want: order.Settled},
	{name: "announced-exported", org: "gamma", request: order.Request{Kind: order.Export}, given: ids(50), want: order.Settled},
	{name: "announced-away", org: "beta", request: order.Request{Kind: order.Verify}, given: lockedAnd(emails(2)), want: order.Settled},
}

const (
	leadsPlan  = "verified-leads"
	fieldsPlan = "licence-monthly"
)

// kinds has an order of each kind, of which ofEachKind makes recordings.
var kinds = []struct {
	prefix, org string
	request     order.Request
	given       func(n int) given // nil: nothing comes with the request
}{
	{"", "acme", leads(120, false), nil},
	{"verified-", "beta", order.Request{Kind: order.Verify}, emails},
	{"revealed-", "gamma", order.Request{Kind: order.Reveal, Fields: []order.Field{order.EmailField}}, ids},
	{"enriched-", "gamma", order.Request{Kind: order.Enrich, Fields: []order.Field{order.EmailField}}, people},
	{"exported-", "gamma", order.Request{Kind: order.Export}, ids},
}

// ofEachKind are orders of which something comes in between: a cancellation, a pause,
// an outage, steps that fail and are tried again, and one that fails for good; and
// histories that have not ended. They come behind one whose mail hosts worked: without
// a host that should work, the engine cannot tell an outage from hosts that refuse us.
func ofEachKind() []recording {
	var list []recording
	for _, between := range []recording{
		{name: "cancelled", cancel: order.StageVerifying, want: order.Cancelled},
		{name: "paused", happens: paused, want: order.Settled},
		{name: "waited", happens: outage, want: order.Settled},
		{name: "retried", happens: retries, want: order.Settled},
		{name: "failed", happens: failure, want: order.Failed},
		{name: "open", happens: open, want: order.Settled},
	} {
		for _, kind := range kinds {
			rec := between
			rec.name, rec.org, rec.request = kind.prefix+between.name, kind.org, kind.request
			switch {
			case kind.given == nil:
			case rec.happens == outage:
				rec.given = scattered(kind.given)
			default:
				rec.given = fresh(kind.given)
			}
			list = append(list, rec)
		}
	}
	return list
}

func leads(count int64, fill bool) order.Request {
	return order.Request{Kind: order.LeadList, Count: count, Fill: fill}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r := &recorder{}
	only := flag.String("only", "", "record only these, separated by commas")
	flag.StringVar(&r.out, "out", "workflows/testdata/replay", "folder for the recordings")
	flag.Parse()
	if *only != "" {
		r.only = strings.Split(*only, ",")
	}
	if err := r.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		stop()
		os.Exit(1)
	}
}

// recorder writes recordings from a stack of its own.
type recorder struct {
	*wire.App
	lab  *maillab.Lab
	used int    // leads of the catalogue that were given out
	skip int    // leads that the next order is not given
	by   string // how leads are sorted before some are given; empty: as they were imported
	lock pgx.Tx
	out  string
	only []string // the names of the recordings to make; empty: all
}

func (r *recorder) wants(name string) bool { return len(r.only) == 0 || slices.Contains(r.only, name) }

func (r *recorder) run(ctx context.Context) error {
	stack, err := stacktest.Start(ctx, stacktest.Options{
		Config: config.Config{GreylistRetry: 2 * time.Second, WebhookAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Lab:    maillab.Config{Domains: 300, Latency: 20 * time.Millisecond, GreylistDelay: time.Second},
		Note:   func(text string) { fmt.Fprintln(os.Stderr, text) },
		Seed:   seed,
	})
	if err != nil {
		return err
	}
	defer func() { _ = stack.Stop() }()
	r.App, r.lab = stack.App, stack.Lab
	for _, rec := range slices.Concat(recordings, ofEachKind()) {
		if !r.wants("order-" + rec.name) {
			continue
		}
		sub := intake.Submission{Org: rec.org, Key: rec.name, Request: rec.request}
		if rec.given != nil {
			if err := rec.given(ctx, r, &sub); err != nil {
				return err
			}
		}
		id := order.ID(sub.Org, sub.Key)
		if rec.maxEvents > 0 {
			err = r.continued(ctx, id, sub, rec.maxEvents)
		} else {
			err = r.order(ctx, id, sub, rec.cancel, rec.happens)
		}
		if err != nil {
			return err
		}
		o, err := r.Book.Get(ctx, rec.org, id)
		if err != nil {
			return err
		}
		if o.Status != rec.want {
			return fmt.Errorf("the order %s ended %s, not %s; its recording is of no use", rec.name, o.Status, rec.want)
		}
	}
	if err := r.rides(ctx); err != nil {
		return err
	}
	if err := r.resets(ctx); err != nil {
		return err
	}
	if err := r.webhooks(ctx); err != nil {
		return err
	}
	if err := r.clocks(ctx); err != nil {
		return err
	}
	return r.reconcile(ctx)
}

func (r *recorder) order(ctx context.Context, id string, sub intake.Submission, cancel order.Stage, happens *happening) error {
	if happens != nil && happens.before != nil {
		if err := happens.before(ctx, r); err != nil {
			return err
		}
	}
	if _, err := r.Intake.Submit(ctx, sub); err != nil {
		return err
	}
	if cancel != "" {
		if err := r.await(ctx, id, func(p order.Progress) bool { return p.Stage == cancel }); err != nil {
			return err
		}
		if _, err := r.Intake.Cancel(ctx, sub.Org, id); err != nil {
			return err
		}
	}
	if happens != nil {
		if err := happens.then(ctx, r, sub.Org, id); err != nil {
			return err
		}
	}
	h, err := r.history(ctx, id, "", happens != open)
	if err != nil {
		return err
	}
	if happens == open {
		if err := r.Temporal.GetWorkflow(ctx, id, "").Get(ctx, nil); err != nil {
			return err
		}
	} else if happens != nil && happens.tries && !triedAgain(h) {
		return fmt.Errorf("no step of the order %s was tried again; its recording is of no use", sub.Key)
	}
	return r.write(h, "order-"+sub.Key)
}

// triedAgain reports whether an activity took more than one attempt.
func triedAgain(h *history.History) bool {
	return slices.ContainsFunc(h.Events, func(e *history.HistoryEvent) bool {
		return e.GetActivityTaskStartedEventAttributes().GetAttempt() > 1
	})
}

// continued records the first and the second run of an order that continues.
func (r *recorder) continued(ctx context.Context, id string, sub intake.Submission, maxEvents int) error {
	run, err := r.Temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: id, TaskQueue: workflows.TaskQueue},
		workflows.Order, workflows.OrderInput{Input: order.Input{ID: id, Org: sub.Org, Request: sub.Request}, MaxEvents: maxEvents})
	if err != nil {
		return err
	}
	first := run.GetRunID() // Get follows the run to those it continues in
	if err := run.Get(ctx, nil); err != nil {
		return err
	}
	end, err := r.history(ctx, id, first, true)
	if err != nil {
		return err
	}
	second := end.Events[len(end.Events)-1].GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
	if second == "" {
		return errors.New("the order did not continue; its recording is of no use")
	}
	if err := r.save(ctx, id, first, "order-"+sub.Key); err != nil {
		return err
	}
	return r.save(ctx, id, second, "order-"+sub.Key+"-again")
}

func seed(ctx context.Context, app *wire.App, lab *maillab.Lab) error {
	if err := app.Accounts.EnsurePresets(ctx); err != nil {
		return err
	}
	for _, plan := range []string{leadsPlan, fieldsPlan} {
		p, err := app.Accounts.Plan(ctx, plan, 0)
		if err != nil {
			return err
		}
		quick := *p
		quick.RefundDelay = 5 * time.Second
		if _, err := app.Accounts.SavePlan(ctx, &quick); err != nil {
			return err
		}
	}
	for _, org := range []struct {
		id, plan string
		credits  map[string]int64
	}{
		{"acme", leadsPlan, map[string]int64{"email": 5000}},
		{"broke", leadsPlan, nil},
		{"clocked", leadsPlan, map[string]int64{"email": 1000}},
		{"beta", "prepaid-verification", map[string]int64{"email": 3000}},
		{"gamma", fieldsPlan, map[string]int64{"email": 3000, "phone": 200, "profile": 100}},
	} {
		if _, err := app.Accounts.CreateOrg(ctx, account.Org{ID: org.id, Name: org.id, Plan: org.plan}); err != nil {
			return err
		}
		for credit, amount := range org.credits {
			grant := ledger.Grant{Owner: org.id, Key: "pack/" + credit, Type: credit, Amount: amount, Source: ledger.SourcePack}
			if _, err := app.Ledger.Grant(ctx, grant); err != nil {
				return err
			}
		}
	}
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(lab.World().WriteCatalogue(writer, 5000, 0.5)) }()
	_, err := app.Catalogue.Import(ctx, reader, lead.CSV, lead.ImportOptions{})
	return err
}

// save waits for the end of a workflow and writes the history of one of its
// runs, the last where runID is empty.
func (r *recorder) save(ctx context.Context, id, runID, name string) error {
	h, err := r.history(ctx, id, runID, true)
	if err != nil {
		return err
	}
	return r.write(h, name)
}

func (r *recorder) write(h *history.History, name string) error {
	data, err := protojson.MarshalOptions{Multiline: true, Indent: " "}.Marshal(h)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %d events\n", name, len(h.Events))
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, name+".json"), append(data, '\n'), 0o644)
}

func (r *recorder) history(ctx context.Context, id, runID string, toItsEnd bool) (*history.History, error) {
	h := &history.History{}
	events := r.Temporal.GetWorkflowHistory(ctx, id, runID, toItsEnd, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return nil, err
		}
		h.Events = append(h.Events, event)
	}
	return h, nil
}
