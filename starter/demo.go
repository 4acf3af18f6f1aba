package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
)

const (
	demoCredit = "email"
	demoRows   = 5 // delivered leads that are shown
)

// demo is one run of the product's main job from nothing to nothing.
type demo struct {
	*app
	leads       int64
	refundDelay time.Duration
	latency     time.Duration
	keep        bool

	dir    string
	stack  *stack
	order  order.Order
	report demoReport
}

func (a *app) demoCommand() *cobra.Command {
	d := &demo{app: a}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See the main job for real: everything is started, 10,000 leads are ordered, everything is stopped",
		Long: `Starts PostgreSQL, Temporal, a mail lab and a worker, imports a synthetic
catalogue, gives an organization credits and orders leads from it. About half
of them verify as valid: these are delivered and charged, the credits held for
the others are refunded after the refund delay. In the end the books are proven,
everything is stopped and nothing is left behind.

The mail lab is a small internet of DNS and mail servers on loopback; no mail
server of the world is asked. HOLDFAST_DATABASE_URL, TEMPORAL_ADDRESS and
HOLDFAST_DNS_SERVERS make it use what you have instead.`,
		Example: examples(
			"holdfast demo",
			"holdfast demo --leads 2000 --refund-delay 3s --json",
			"holdfast demo --latency 20ms --keep"),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Context())
			if err != nil {
				return err
			}
			request := order.Request{Kind: order.LeadList, Count: d.leads}
			if err := request.Validate(cfg.MaxOrderCount); err != nil {
				return err
			}
			if d.refundDelay < 0 || d.latency < 0 {
				return usagef("a delay cannot be negative; leave it out or give one such as 10s")
			}
			return d.run(cmd.Context(), cfg, request)
		},
	}
	flags := cmd.Flags()
	flags.Int64Var(&d.leads, "leads", 10_000, "how many leads to order")
	flags.DurationVar(&d.refundDelay, "refund-delay", 10*time.Second, "time from delivery to the refund")
	flags.DurationVar(&d.latency, "latency", 0, "round-trip time that the mail lab adds")
	flags.BoolVar(&d.keep, "keep", false, "keep everything running at the end, to look around, until Ctrl-C")
	return cmd
}

// run runs the demo; what it started is gone afterwards, after an error as well.
func (d *demo) run(ctx context.Context, cfg config.Config, request order.Request) (err error) {
	began := time.Now()
	d.say("%s", d.paint(bold, fmt.Sprintf("Holdfast demo: %s ordered, only the valid ones paid for", count(d.leads, "lead"))))
	if d.dir, err = devstack.TempDir("holdfast-demo-"); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, os.RemoveAll(d.dir))
		if ctx.Err() != nil {
			d.note("Interrupted; everything that was started is stopped, nothing is left behind.")
		}
	}()
	cfg, dropDatabase, err := demoDatabase(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dropDatabase()) }()

	if err := d.start(ctx, cfg); err != nil {
		return err
	}
	defer func() {
		d.status("  stopping everything …")
		err = errors.Join(err, d.stack.stop())
		d.status("")
	}()
	for _, step := range []func(context.Context) error{
		d.importCatalogue, d.grantCredits,
		func(ctx context.Context) error { return d.placeOrder(ctx, request) },
		d.collect, d.audit,
	} {
		if err := step(ctx); err != nil {
			return d.cause(ctx, err)
		}
	}
	d.report.finish(d.order, time.Since(began))
	if err := d.tell(); err != nil {
		return err
	}
	if d.keep {
		d.note("\nStill running; Ctrl-C stops everything.")
		return d.stack.failed(ctx)
	}
	return nil
}

// cause prefers the reason why a part of the stack died to its consequences.
func (d *demo) cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	now, cancel := context.WithCancel(ctx)
	cancel()
	if died := d.stack.failed(now); !errors.Is(died, context.Canceled) {
		return died
	}
	return err
}

// start starts the stack and tells of each part that is up.
func (d *demo) start(ctx context.Context, cfg config.Config) error {
	d.heading("Starting")
	cfg.WorkerAddr, cfg.DrainWait = "", 0 // nothing watches it
	var err error
	d.stack, err = d.startStack(ctx, cfg, d.dir, maillab.Config{Latency: d.latency, GreylistDelay: demoGreylist},
		slog.New(slog.NewTextHandler(d.err, &slog.HandlerOptions{Level: slog.LevelError})), d.step)
	return err
}

// demoGreylist is how long the demo's greylisting mail hosts turn us away;
// five minutes in the world, a moment here.
const demoGreylist = time.Second

// step reports a step that is done and notes its time for the report.
func (d *demo) step(name, what string, elapsed time.Duration) {
	d.tick(name, what, elapsed)
	d.report.addStage(name, elapsed)
}

func (d *demo) importCatalogue(ctx context.Context) error {
	began := time.Now()
	report, err := d.importSynthetic(ctx, d.stack, d.dir, d.leads+d.leads/5) // more than are ordered: a choice
	if err != nil {
		return err
	}
	d.step("Catalogue", count(report.Imported, "lead")+" imported from a CSV file", time.Since(began))
	return nil
}

// grantCredits makes an organization on the preset plan, with the demo's
// refund delay, and gives it half as many credits again as the order holds.
func (d *demo) grantCredits(ctx context.Context) error {
	began := time.Now()
	parts := d.stack.parts
	terms, err := parts.Accounts.Plan(ctx, "verified-leads", 0)
	if err != nil {
		return err
	}
	quick := *terms
	quick.ID, quick.Name, quick.RefundDelay = "verified-leads-demo", "Verified leads, refunded quickly", d.refundDelay
	if _, err := parts.Accounts.SavePlan(ctx, &quick); err != nil {
		return err
	}
	org, err := parts.Accounts.CreateOrg(ctx, account.Org{ID: sampleOrg, Name: "Acme Inc.", Plan: quick.ID})
	if err != nil {
		return err
	}
	action, _ := quick.Action(order.LeadList.Action(""))
	granted := d.leads * action.Charges[0].Amount * 3 / 2
	if _, err := parts.Ledger.Grant(ctx, ledger.Grant{
		Owner: org.ID, Key: "demo/grant", Type: demoCredit, Amount: granted, Source: ledger.SourcePack,
	}); err != nil {
		return err
	}
	d.report.Organization, d.report.Plan, d.report.Granted = org.ID, quick.ID, granted
	d.report.RefundDelay = d.refundDelay.String()
	d.tick("Credits", fmt.Sprintf("%s granted to %s on plan %s", number(granted), org.ID, quick.ID), time.Since(began))
	return d.readBooks(ctx, "granted")
}

// placeOrder orders the leads and follows the order to its end.
func (d *demo) placeOrder(ctx context.Context, request order.Request) error {
	parts := d.stack.parts
	began := time.Now()
	o, err := parts.Intake.Submit(ctx, intake.Submission{Org: sampleOrg, Key: "demo", Request: request})
	if err != nil {
		return err
	}
	if o.Failure != nil {
		return errors.New(o.Failure.Message)
	}
	accepted := time.Since(began)
	d.report.AcceptedMS = accepted.Milliseconds()
	d.heading("Order %s", o.ID)
	d.say("  %s holds %s for %s; accepted in %s", sampleOrg, heldText(o.Credits), count(o.Requested, "lead"), took(accepted))
	if page := d.stack.page(o.ID); page != "" {
		d.say("  %s", d.paint(dim, page))
	}

	watcher := &orderWatcher{screen: d.screen, look: func(ctx context.Context) (order.Progress, error) { return parts.Intake.Progress(ctx, o.ID) }}
	p, err := watcher.follow(ctx, untilDelivered)
	if err != nil {
		return err
	}
	if p.Status == order.Completed {
		if err := d.readBooks(ctx, "delivered"); err != nil {
			return err
		}
		d.tellVerdicts()
		if p, err = watcher.follow(ctx, untilSettled); err != nil {
			return err
		}
	}
	d.report.addStages(p.Stages)
	if p.Status != order.Settled {
		return fmt.Errorf("the order ended as %s instead of settled", p.Status)
	}
	return d.readBooks(ctx, "settled")
}

// readBooks notes what the ledger says at a moment of the demo.
func (d *demo) readBooks(ctx context.Context, moment string) error {
	balances, err := d.stack.parts.Ledger.Balances(ctx, sampleOrg)
	if err != nil {
		return err
	}
	at := demoBalance{Moment: moment}
	for _, b := range balances {
		if b.Type == demoCredit {
			at.Available, at.Held, at.Charged = at.Available+b.Available, at.Held+b.Held, at.Charged+b.Captured
		}
	}
	if moment != "granted" {
		if d.order, err = d.stack.parts.Book.Get(ctx, sampleOrg, order.ID(sampleOrg, "demo")); err != nil {
			return err
		}
		for _, c := range d.order.Credits {
			at.Refunded += c.Released
		}
	}
	d.report.Balances = append(d.report.Balances, at)
	return nil
}

// collect reads the delivered list as the customer gets it, and how much
// history the order left in Temporal.
func (d *demo) collect(ctx context.Context) error {
	d.report.TemporalUI = d.stack.Temporal.UIURL
	var rows rowReader
	if err := d.stack.parts.Catalogue.WriteResults(ctx, &rows, d.order.ID, lead.NDJSON, lead.ResultOptions{}); err != nil {
		return err
	}
	d.report.Delivered = rows.n
	for _, line := range rows.first {
		var row deliveredLead
		if err := json.Unmarshal(line, &row); err != nil {
			return fmt.Errorf("a delivered row cannot be read: %w", err)
		}
		d.report.FirstRows = append(d.report.FirstRows, row)
	}
	description, err := d.stack.parts.Temporal.DescribeWorkflowExecution(ctx, d.order.ID, "")
	if err != nil {
		return err
	}
	info := description.GetWorkflowExecutionInfo()
	d.report.History = demoHistory{Events: info.GetHistoryLength(), Bytes: info.GetHistorySizeBytes()}
	return nil
}

// rowReader counts lines and keeps the first few.
type rowReader struct {
	n     int64
	first [][]byte
	part  []byte
}

var _ io.Writer = (*rowReader)(nil)

func (r *rowReader) Write(p []byte) (int, error) {
	rest := p
	for {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if len(r.first) < demoRows {
			r.part = append(r.part, line...)
		}
		if !found {
			return len(p), nil
		}
		if len(r.first) < demoRows {
			r.first, r.part = append(r.first, r.part), nil
		}
		r.n++
		rest = after
	}
}

func (d *demo) audit(ctx context.Context) error {
	began := time.Now()
	report, err := ledger.Audit(ctx, d.stack.parts.Pool, ledger.AuditOptions{})
	if err != nil {
		return err
	}
	d.report.Audit = auditJSON(report)
	d.report.auditTook = time.Since(began)
	d.report.addStage("audit", d.report.auditTook)
	if !report.Clean() {
		d.showAudit(report, d.report.auditTook)
		return fmt.Errorf("the books do not balance: %s", count(report.Total, "finding"))
	}
	return nil
}
