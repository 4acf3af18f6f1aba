// Command record runs orders of every kind and of every kind of ending, and
// resets, on real servers and writes their histories to
// workflows/testdata/replay, where the replay test reads them. Record anew only
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

// stories are the orders to record. acme has 5,000 credits and buys leads, broke has none, beta
// has 1,000 and has lists verified, gamma has some of each type and reveals,
// enriches and exports.
var stories = []struct {
	name      string
	org       string
	request   order.Request
	given     given       // what comes with the request
	cancel    order.Stage // the stage in which the order is cancelled, if any
	pause     bool        // while it verifies; it is resumed
	maxEvents int         // for an order that continues: of each run
	want      order.Status
}{
	{name: "settled", org: "acme", request: leads(3000, false), want: order.Settled}, // with greylisting hosts, so with a second round
	{name: "rejected", org: "acme", request: leads(1_000_000, false), want: order.Rejected},
	{name: "cancelled", org: "acme", request: leads(1000, false), cancel: order.StageVerifying, want: order.Cancelled},
	{name: "paused", org: "acme", request: leads(1200, false), pause: true, want: order.Settled},
	{name: "cut-short", org: "acme", request: leads(100, false), cancel: order.StageRefunding, want: order.Settled},
	{name: "filled", org: "acme", request: leads(200, true), want: order.Settled},
	{name: "continued", org: "acme", request: leads(1500, false), maxEvents: 10, want: order.Settled},
	{name: "verified-list", org: "beta", request: order.Request{Kind: order.Verify}, given: emails(600), want: order.Settled},
	{name: "verified-cancelled", org: "beta", request: order.Request{Kind: order.Verify}, given: emails(300), cancel: order.StageVerifying, want: order.Cancelled},
	{name: "revealed", org: "gamma", request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.EmailField, order.PhoneField}}, given: ids(100), want: order.Settled},
	{name: "revealed-on-file", org: "gamma", request: order.Request{Kind: order.Reveal, Fields: []order.Field{order.ProfileField}}, given: ids(20), want: order.Settled},
	{name: "enriched", org: "gamma", request: order.Request{Kind: order.Enrich, Fields: []order.Field{order.EmailField}}, given: people(100), want: order.Settled},
	{name: "enriched-cancelled", org: "gamma", request: order.Request{Kind: order.Enrich, Fields: []order.Field{order.EmailField}}, given: people(150), cancel: order.StageVerifying, want: order.Cancelled},
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
}

const (
	leadsPlan  = "verified-leads"
	fieldsPlan = "licence-monthly"
)

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
	*wire.Rooms
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
	r.Rooms = stack.Rooms
	for _, story := range stories {
		if !r.wants("order-" + story.name) {
			continue
		}
		sub := intake.Submission{Org: story.org, Key: story.name, Request: story.request}
		if story.given != nil {
			if err := story.given(ctx, r, &sub); err != nil {
				return err
			}
		}
		id := order.ID(sub.Org, sub.Key)
		if story.maxEvents > 0 {
			err = r.continued(ctx, id, sub, story.maxEvents)
		} else {
			err = r.order(ctx, id, sub, story.cancel, story.pause)
		}
		if err != nil {
			return err
		}
		o, err := r.Book.Get(ctx, story.org, id)
		if err != nil {
			return err
		}
		if o.Status != story.want {
			return fmt.Errorf("the order %s ended %s, not %s; its recording is of no use", story.name, o.Status, story.want)
		}
	}
	if err := r.rides(ctx); err != nil {
		return err
	}
	if err := r.resets(ctx); err != nil {
		return err
	}
	return r.webhooks(ctx)
}

func (r *recorder) order(ctx context.Context, id string, sub intake.Submission, cancel order.Stage, pause bool) error {
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
	if pause {
		if err := r.pause(ctx, sub.Org, id); err != nil {
			return err
		}
	}
	return r.save(ctx, id, "", "order-"+sub.Key)
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
	end, err := r.history(ctx, id, first)
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

func seed(ctx context.Context, rooms *wire.Rooms, lab *maillab.Lab) error {
	if err := rooms.Accounts.EnsurePresets(ctx); err != nil {
		return err
	}
	for _, plan := range []string{leadsPlan, fieldsPlan} {
		p, err := rooms.Accounts.Plan(ctx, plan, 0)
		if err != nil {
			return err
		}
		quick := *p
		quick.RefundDelay = 5 * time.Second
		if _, err := rooms.Accounts.SavePlan(ctx, &quick); err != nil {
			return err
		}
	}
	for _, org := range []struct {
		id, plan string
		credits  map[string]int64
	}{
		{"acme", leadsPlan, map[string]int64{"email": 5000}},
		{"broke", leadsPlan, nil},
		{"beta", "prepaid-verification", map[string]int64{"email": 1000}},
		{"gamma", fieldsPlan, map[string]int64{"email": 3000, "phone": 200, "profile": 100}},
	} {
		if _, err := rooms.Accounts.CreateOrg(ctx, account.Org{ID: org.id, Name: org.id, Plan: org.plan}); err != nil {
			return err
		}
		for credit, amount := range org.credits {
			grant := ledger.Grant{Owner: org.id, Key: "pack/" + credit, Type: credit, Amount: amount, Source: ledger.SourcePack}
			if _, err := rooms.Ledger.Grant(ctx, grant); err != nil {
				return err
			}
		}
	}
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(lab.World().WriteCatalogue(writer, 5000, 0.5)) }()
	_, err := rooms.Catalogue.Import(ctx, reader, lead.CSV, lead.ImportOptions{})
	return err
}

// pause pauses an order that verifies, and resumes it when it waits for that.
func (r *recorder) pause(ctx context.Context, org, id string) error {
	if err := r.await(ctx, id, func(p order.Progress) bool { return p.Stage == order.StageVerifying }); err != nil {
		return err
	}
	if _, err := r.Intake.Pause(ctx, org, id); err != nil {
		return err
	}
	if err := r.await(ctx, id, func(p order.Progress) bool { return p.Waiting != "" }); err != nil {
		return err
	}
	_, err := r.Intake.Resume(ctx, org, id)
	return err
}

// await waits until an order is as it should be.
func (r *recorder) await(ctx context.Context, id string, is func(order.Progress) bool) error {
	for {
		p, err := r.Intake.Progress(ctx, id)
		if err != nil || is(p) {
			return err
		}
		if p.Stage == order.StageOver {
			return fmt.Errorf("the order %s was over too early", id)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// save waits for the end of a workflow and writes the history of one of its
// runs, the last where runID is empty.
func (r *recorder) save(ctx context.Context, id, runID, name string) error {
	h, err := r.history(ctx, id, runID)
	if err != nil {
		return err
	}
	data, err := protojson.MarshalOptions{Multiline: true, Indent: " "}.Marshal(h)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %d events\n", name, len(h.Events))
	return os.WriteFile(filepath.Join(r.out, name+".json"), append(data, '\n'), 0o644)
}

func (r *recorder) history(ctx context.Context, id, runID string) (*history.History, error) {
	h := &history.History{}
	events := r.Temporal.GetWorkflowHistory(ctx, id, runID, true, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return nil, err
		}
		h.Events = append(h.Events, event)
	}
	return h, nil
}
