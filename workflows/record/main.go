// Command record runs orders of every kind of ending, and resets, on real
// servers and writes their histories to workflows/testdata/replay, where the replay test reads
// them. Record anew only after a change that breaks no running order: a
// recording that no longer replays is the warning that a change needs
// workflow.GetVersion.
//
//	go run ./workflows/record
//	go run ./workflows/record -only resets
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/wire"
)

// stories are the orders to record. acme has 5,000 credits and buys leads, beta
// has 1,000 and has lists verified.
var stories = []struct {
	name    string
	org     string
	request order.Request
	list    int         // addresses of the list to verify, if any
	cancel  order.Stage // the stage in which the order is cancelled, if any
	want    order.Status
}{
	{"settled", "acme", leads(3000, false), 0, "", order.Settled}, // with greylisting hosts, so with a second round
	{"rejected", "acme", leads(1_000_000, false), 0, "", order.Rejected},
	{"cancelled", "acme", leads(1000, false), 0, order.StageVerifying, order.Cancelled},
	{"cut-short", "acme", leads(100, false), 0, order.StageRefunding, order.Settled},
	{"filled", "acme", leads(200, true), 0, "", order.Settled},
	{"verified-list", "beta", order.Request{Kind: order.Verify}, 600, "", order.Settled},
}

func leads(count int64, fill bool) order.Request {
	return order.Request{Kind: order.LeadList, Count: count, Fill: fill}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := flag.String("out", "workflows/testdata/replay", "folder for the recordings")
	only := flag.String("only", "", "record only orders, or only resets")
	flag.Parse()
	if err := run(ctx, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "record:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, out, only string) error {
	dir, err := devstack.TempDir("holdfast-record-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	servers, err := devstack.StartServers(ctx, config.Config{HTTPAddr: "127.0.0.1:0", GreylistRetry: 2 * time.Second, Providers: []string{config.OwnEngine}}, devstack.ServerOptions{
		Dir: dir, Lab: maillab.Config{Domains: 300, Latency: 20 * time.Millisecond, GreylistDelay: time.Second},
		Note: func(text string) { fmt.Fprintln(os.Stderr, text) },
	})
	if err != nil {
		return err
	}
	defer func() { _ = servers.Stop() }()
	rooms, stop, err := wire.StartWorker(ctx, servers.Config, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { _ = stop() }()
	if err := furnish(ctx, rooms, servers.Lab); err != nil {
		return err
	}
	if only != "resets" {
		if err := recordOrders(ctx, rooms, out); err != nil {
			return err
		}
	}
	if only == "orders" {
		return nil
	}
	return recordResets(ctx, rooms, out)
}

func recordOrders(ctx context.Context, rooms *wire.Rooms, out string) error {
	for _, story := range stories {
		sub := intake.Submission{Org: story.org, Key: story.name, Request: story.request}
		if story.list > 0 {
			if err := rooms.Pool.QueryRow(ctx, `
				SELECT array_agg(email) FROM (SELECT email FROM lead ORDER BY no LIMIT $1) AS first`, story.list).Scan(&sub.Emails); err != nil {
				return err
			}
		}
		o, err := rooms.Intake.Submit(ctx, sub)
		if err != nil {
			return err
		}
		if story.cancel != "" {
			if err := cancelIn(ctx, rooms, o.ID, story.cancel); err != nil {
				return err
			}
		}
		if err := save(ctx, rooms, o.ID, filepath.Join(out, "order-"+story.name+".json")); err != nil {
			return err
		}
		if o, err = rooms.Book.Get(ctx, story.org, o.ID); err != nil {
			return err
		}
		if o.Status != story.want {
			return fmt.Errorf("the order %s ended %s, not %s; its recording is of no use", story.name, o.Status, story.want)
		}
	}
	return nil
}

func furnish(ctx context.Context, rooms *wire.Rooms, lab *maillab.Lab) error {
	if err := rooms.Accounts.EnsurePresets(ctx); err != nil {
		return err
	}
	p, err := rooms.Accounts.Plan(ctx, "verified-leads", 0)
	if err != nil {
		return err
	}
	quick := *p
	quick.RefundDelay = 5 * time.Second
	if _, err := rooms.Accounts.SavePlan(ctx, &quick); err != nil {
		return err
	}
	if _, err := rooms.Accounts.CreateOrg(ctx, account.Org{ID: "acme", Name: "Acme", Plan: quick.ID}); err != nil {
		return err
	}
	if _, err := rooms.Ledger.Grant(ctx, ledger.Grant{Owner: "acme", Key: "pack", Type: "email", Amount: 5000, Source: ledger.SourcePack}); err != nil {
		return err
	}
	if _, err := rooms.Accounts.CreateOrg(ctx, account.Org{ID: "beta", Name: "Beta", Plan: "prepaid-verification"}); err != nil {
		return err
	}
	if _, err := rooms.Ledger.Grant(ctx, ledger.Grant{Owner: "beta", Key: "pack", Type: "email", Amount: 1000, Source: ledger.SourcePack}); err != nil {
		return err
	}
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(lab.World().WriteCatalogue(writer, 5000, 0.5)) }()
	_, err = rooms.Catalogue.Import(ctx, reader, lead.CSV, lead.ImportOptions{})
	return err
}

func cancelIn(ctx context.Context, rooms *wire.Rooms, id string, stage order.Stage) error {
	for {
		p, err := rooms.Intake.Progress(ctx, id)
		if err != nil {
			return err
		}
		if p.Stage == stage {
			return rooms.Intake.Cancel(ctx, "acme", id)
		}
		if p.Stage == order.StageOver {
			return fmt.Errorf("the order %s was over before it was %s", id, stage)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// save waits for the end of the workflow and writes its history.
func save(ctx context.Context, rooms *wire.Rooms, id, path string) error {
	return saveRun(ctx, rooms, id, "", path)
}

func saveRun(ctx context.Context, rooms *wire.Rooms, id, runID, path string) error {
	var h history.History
	events := rooms.Temporal.GetWorkflowHistory(ctx, id, runID, true, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		if err != nil {
			return err
		}
		h.Events = append(h.Events, event)
	}
	data, err := protojson.MarshalOptions{Multiline: true, Indent: " "}.Marshal(&h)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%s: %d events\n", path, len(h.Events))
	return os.WriteFile(path, append(data, '\n'), 0o644)
}
