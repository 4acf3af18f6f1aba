// Package stand is what orders are measured on: real servers on loopback, a
// worker in a process of its own, a catalogue, organizations with credits.
package stand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime/pprof"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/order"
	"holdfast/internal/postgres"
	"holdfast/internal/verify"
	"holdfast/internal/wire"
)

// Options describe a stand.
type Options struct {
	Leads   int            // of the catalogue, half of them valid
	Lab     maillab.Config // its greylisting hosts let go after GreylistDelay, or one second
	Stock   bool           // a Temporal server with its own defaults
	Unfair  bool           // a Temporal server that ignores fairness keys
	Profile string         // file for the worker's CPU profile; PostgreSQL counts its statements, too; "" = none
	Workers bool           // the caller starts workers with AddWorker
	Cluster bool           // as in devstack.ServerOptions
	Hosts   *Hosts         // nil: workers run where the servers do
}

// Stand is a running stand. The mail lab is in this process.
type Stand struct {
	Servers *devstack.Servers
	App     *wire.App

	dir    string
	hosts  *Hosts
	worker *Worker // nil: the caller starts workers
}

// workerWord as the only argument makes the program a stand's worker.
const workerWord = "worker"

// profileVariable names the file for the worker's CPU profile.
const profileVariable = "HOLDFAST_BENCH_PROFILE"

// Main runs a benchmark, or, in the process that Start starts, its worker
// together with what beside, when set, runs.
func Main(name string, benchmark func(context.Context) error, beside func(context.Context, config.Config) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	run := benchmark
	if len(os.Args) == 2 && os.Args[1] == workerWord {
		run = func(ctx context.Context) error { return work(ctx, beside) }
	}
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func work(ctx context.Context, beside func(context.Context, config.Config) error) error {
	if path := os.Getenv(profileVariable); path != "" {
		file, err := os.Create(path)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	cfg, err := config.Load(ctx)
	if err != nil {
		return err
	}
	workers, ctx := errgroup.WithContext(ctx)
	workers.Go(func() error { return wire.RunWorker(ctx, cfg, cfg.Logger(os.Stderr)) })
	if beside != nil {
		workers.Go(func() error { return beside(ctx, cfg) })
	}
	return workers.Wait()
}

// Note tells the person who waits what is going on.
func Note(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Start starts servers and worker and imports the catalogue.
func Start(ctx context.Context, o Options) (s *Stand, err error) {
	dir, err := devstack.TempDir("holdfast-bench-")
	if err != nil {
		return nil, err
	}
	s = &Stand{dir: dir, hosts: o.Hosts}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if o.Lab.GreylistDelay == 0 {
		o.Lab.GreylistDelay = time.Second
	}
	var settings []string
	if o.Profile != "" {
		settings = append(settings, CountStatements...)
	}
	s.Servers, err = devstack.StartServers(ctx, config.Config{
		HTTPAddr: "127.0.0.1:0", GreylistRetry: o.Lab.GreylistDelay + 200*time.Millisecond, MaxOrderCount: order.MaxCount,
	}, devstack.ServerOptions{
		Dir: dir, Lab: o.Lab, Stock: o.Stock, Unfair: o.Unfair, Cluster: o.Cluster, PostgresSettings: settings, Note: func(text string) { Note("%s", text) },
	})
	if err != nil {
		return s, err
	}
	if err := postgres.Migrate(ctx, s.Servers.Config.DatabaseURL); err != nil {
		return s, err
	}
	if s.App, err = wire.Open(ctx, s.Servers.Config, slog.New(slog.DiscardHandler)); err != nil {
		return s, err
	}
	if o.Hosts != nil {
		if err := o.Hosts.admit(ctx, s.App.Pool); err != nil {
			return s, err
		}
	}
	if err := s.stock(ctx, o.Leads); err != nil {
		return s, err
	}
	if o.Workers {
		return s, nil
	}
	s.worker, err = s.AddWorker(profileVariable + "=" + o.Profile)
	return s, err
}

// Stop ends the worker, which drains, and the servers, and removes all data.
func (s *Stand) Stop() error {
	var err error
	if s.worker != nil {
		err = s.worker.Stop()
	}
	if s.App != nil {
		s.App.Close()
	}
	if s.Servers != nil {
		err = errors.Join(err, s.Servers.Stop())
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// workerEnded says whether the stand's worker has ended by itself.
func (s *Stand) workerEnded() bool { return s.worker != nil && len(s.worker.ended) > 0 }

// Worker is a worker's process that the caller ends.
type Worker struct {
	cmd     *exec.Cmd
	ended   chan error // how it ended, once it has
	address string     // of its own host; "" without one
	leave   func()     // gives its host back
}

// AddWorker starts a worker with more environment variables.
func (s *Stand) AddWorker(env ...string) (*Worker, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	w := &Worker{exec.Command(program, workerWord), make(chan error, 1), "", func() {}} //nolint:noctx // the caller ends it
	own := []string{"HOLDFAST_LOG_LEVEL=error"}
	if s.hosts != nil {
		on, err := s.hosts.take()
		if err != nil {
			return nil, err
		}
		w.cmd = on.command(program, workerWord)
		w.address = on.address + ":9464"
		w.leave = func() { s.hosts.free = append(s.hosts.free, on) }
		own = append(own, "HOLDFAST_WORKER_ADDR="+w.address, "HOLDFAST_SMTP_HELO="+on.namespace+".test")
	}
	w.cmd.Env = slices.Concat(wire.WorkerEnv(s.Servers.Config), own, env)
	w.cmd.Stderr = os.Stderr
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for us; we stop it
	if err := w.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { w.ended <- w.cmd.Wait() }()
	return w, nil
}

// Ready waits until a worker on a host of its own is ready; one beside the servers
// starts in a moment.
func (w *Worker) Ready(ctx context.Context) error {
	for w.address != "" {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.address+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		if len(w.ended) > 0 {
			return errors.New("a worker ended as soon as it was started")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// Stop ends a worker, which drains.
func (w *Worker) Stop() error {
	_ = w.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	defer w.leave()
	return <-w.ended
}

// Kill ends a worker as a power cut does.
func (w *Worker) Kill() {
	_ = w.cmd.Process.Kill() // it may have ended by itself
	defer w.leave()
	if err := <-w.ended; err == nil {
		Note("a worker had ended before it was killed")
	}
}

// stock imports the catalogue and makes the plan that orders run under: the
// preset, with a refund that does not wait.
func (s *Stand) stock(ctx context.Context, leads int) error {
	began := time.Now()
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(s.Servers.Lab.World().WriteCatalogue(writer, leads, 0.5)) }()
	imported, err := s.App.Catalogue.Import(ctx, reader, lead.CSV, lead.ImportOptions{})
	_ = reader.Close()
	if err != nil {
		return err
	}
	if imported.Imported != int64(leads) {
		return fmt.Errorf("the lab made %d different leads, not %d", imported.Imported, leads)
	}
	Note("%d leads imported in %s", leads, time.Since(began).Round(time.Second))
	if err := s.App.Accounts.EnsurePresets(ctx); err != nil {
		return err
	}
	preset, err := s.App.Accounts.Plan(ctx, "verified-leads", 0)
	if err != nil {
		return err
	}
	prompt := *preset
	prompt.RefundDelay = 0
	_, err = s.App.Accounts.SavePlan(ctx, &prompt)
	return err
}

// Organization creates one with this many credits.
func (s *Stand) Organization(ctx context.Context, id string, credits int64) error {
	return s.OrganizationOn(ctx, id, "verified-leads", credits)
}

// OrganizationOn creates one on a plan.
func (s *Stand) OrganizationOn(ctx context.Context, id, plan string, credits int64) error {
	if _, err := s.App.Accounts.CreateOrg(ctx, account.Org{ID: id, Name: id, Plan: plan}); err != nil {
		return err
	}
	_, err := s.App.Ledger.Grant(ctx, ledger.Grant{Owner: id, Key: "pack", Type: "email", Amount: credits, Source: ledger.SourcePack})
	return err
}

// Submit orders leads for an organization and returns how long it took until
// the credits were held. An answer that takes too long is asked for again, as
// the documentation tells customers to do.
func (s *Stand) Submit(ctx context.Context, org, key string, leads int) (order.Order, time.Duration, error) {
	began := time.Now()
	for {
		o, err := s.App.Intake.Submit(ctx, intake.Submission{
			Org: org, Key: key, Request: order.Request{Kind: order.LeadList, Count: int64(leads)},
		})
		switch {
		case errors.Is(err, intake.ErrNoAnswer) && ctx.Err() == nil && !s.workerEnded():
			continue
		case err == nil && o.Status == order.Rejected:
			err = fmt.Errorf("order %s is rejected: %s", o.ID, o.Failure.Message)
		}
		return o, time.Since(began), err
	}
}

// Settled waits until the order is over, which the server tells, and returns
// it. It must have delivered what its credits say.
func (s *Stand) Settled(ctx context.Context, org, id string) (order.Order, error) {
	if err := s.App.Temporal.GetWorkflow(ctx, id, "").Get(ctx, nil); err != nil {
		return order.Order{}, err
	}
	o, err := s.App.Book.Get(ctx, org, id)
	if err != nil {
		return o, err
	}
	if c := o.Credits; o.Status != order.Settled || o.Tally.Verified() != o.Selected || o.Selected != o.Requested ||
		len(c) != 1 || c[0].Held != o.Requested || c[0].Captured != o.Tally.Valid-o.Tally.AlreadyOwned || c[0].Captured+c[0].Released != c[0].Held {
		return o, fmt.Errorf("order %s did not end as it should: %+v", id, o)
	}
	return o, nil
}

// EngineAlone runs the verification engine, in this process, over n addresses
// of the catalogue, without order and database. It returns how long all took, and
// how long most did, 95 of 100: the last ones are at hosts that have asked for a
// slower pace.
func (s *Stand) EngineAlone(ctx context.Context, n int) (most, all time.Duration, err error) {
	var emails []string
	err = s.App.Pool.QueryRow(ctx, `
		SELECT array_agg(email ORDER BY email_domain) FROM (SELECT email, email_domain FROM lead ORDER BY hashint8(no) LIMIT $1) l`, n).Scan(&emails)
	if err != nil {
		return 0, 0, err
	}
	engine, err := verify.New(wire.EngineConfig(s.Servers.Config))
	if err != nil {
		return 0, 0, err
	}
	defer engine.Close()
	began := time.Now()
	var answered, mostTook atomic.Int64
	err = engine.Verify(ctx, emails, func(int, verify.Result) {
		if answered.Add(1) == int64(len(emails)*95/100) {
			mostTook.Store(int64(time.Since(began)))
		}
	})
	return time.Duration(mostTook.Load()), time.Since(began), err
}

// Audited is what a report says after Audit.
const Audited = "The audit of the books afterwards found nothing, and no credit is held any more."

// Audit proves the books of everything that was measured.
func (s *Stand) Audit(ctx context.Context) error {
	audit, err := ledger.Audit(ctx, s.App.Pool, ledger.AuditOptions{})
	if err != nil {
		return err
	}
	if len(audit.Findings) > 0 {
		return fmt.Errorf("the books do not balance: %v", audit.Findings)
	}
	var held int64
	if err := s.App.Pool.QueryRow(ctx, `SELECT coalesce(sum(held), 0)::bigint FROM credit_account`).Scan(&held); err != nil {
		return err
	}
	if held != 0 {
		return fmt.Errorf("%d credits are still held by orders that are over", held)
	}
	return nil
}
