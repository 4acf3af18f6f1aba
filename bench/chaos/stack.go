package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	sdk "go.temporal.io/sdk/client"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/lead"
	"holdfast/internal/maillab"
	"holdfast/internal/payment"
	"holdfast/internal/postgres"
	"holdfast/internal/wire"
	"holdfast/workflows"
)

const (
	operatorKey = "chaos-operator-key"
	stripeKey   = "sk_chaos_8d1c7f02"
	leads       = 3000
	kept        = 2800 // of them; the others are erased on the way

	reconcileEvery = 10 * time.Second
)

// stack is the product as it runs in production, each part in a process of its own,
// with a proxy in front of PostgreSQL and one in front of Temporal. The mail lab, the
// payment service and the webhook receiver are in this process; so is what looks at
// the database.
type stack struct {
	dir                string
	data               *devstack.Servers
	disk               *disk // PostgreSQL's; nil where this machine allows none
	postgres, temporal *proxy
	workers, servers   []*process
	urls               []string
	app                *wire.App // beside the proxies
	receiver           *receiver
	stripe             *stripe
	seen               *seen
	customers          []*customer
	clockwork          *clockwork
	leadIDs, known     []string
	erasable           []person
	pause              time.Duration // the longest between two faults

	mu       sync.Mutex
	happened []happened
	stopping bool
}

func startStack(ctx context.Context, dir string) (s *stack, err error) {
	s = &stack{dir: dir, receiver: newReceiver(), stripe: newStripe(), seen: newSeen(dir)}
	s.disk = mountDisk(filepath.Join(dir, "data", "postgres"))
	s.data, err = devstack.StartServers(ctx, config.Config{
		HTTPAddr: "127.0.0.1:0", GreylistRetry: time.Second, Providers: []string{config.OwnEngine}, OperatorKey: operatorKey,
		WebhookAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, MaxOrderCount: 1_000_000, Sandbox: true,
	}, devstack.ServerOptions{
		Dir: filepath.Join(dir, "data"), Lab: maillab.Config{Domains: 60, GreylistDelay: 500 * time.Millisecond},
		PostgresSettings: postgresSettings, Note: note,
	})
	if err != nil {
		return s, errors.Join(err, s.disk.unmount())
	}
	if err := postgres.Migrate(ctx, s.data.Config.DatabaseURL); err != nil {
		return s, err
	}
	if s.app, err = wire.Open(ctx, s.data.Config, slog.New(slog.DiscardHandler)); err != nil {
		return s, err
	}
	if err := s.seed(ctx); err != nil {
		return s, err
	}
	if _, err := s.app.Pool.Exec(ctx, ownClock); err != nil {
		return s, err
	}
	if err := s.startProduct(ctx); err != nil {
		return s, err
	}
	go s.superviseServers()
	return s, nil
}

func note(text string) { fmt.Fprintln(os.Stderr, text) }

// seed makes plans, organizations with keys and webhooks, and leads.
func (s *stack) seed(ctx context.Context) error {
	if err := s.seedPlan(ctx); err != nil {
		return err
	}
	for _, org := range []string{"acme", "poor", "buyer"} {
		w, err := s.seedOrg(ctx, org, "chaos")
		if err != nil {
			return err
		}
		s.customers = append(s.customers, w)
	}
	begin := time.Date(2028, 1, 31, 9, 0, 0, 0, time.UTC)
	clock, err := s.app.TestClocks.Create(ctx, "tick", begin)
	if err != nil {
		return err
	}
	w, err := s.seedOrg(ctx, "tick", monthly[0])
	if err != nil {
		return err
	}
	s.clockwork = &clockwork{customer: w, clock: clock.ID, at: begin}
	if _, err := s.app.Payments.MapPrice(ctx, payment.Price{ID: packPrice, Type: "email", Credits: packCredits}); err != nil {
		return err
	}
	var file bytes.Buffer
	if err := s.data.Lab.World().WriteCatalogue(&file, leads, 0.6); err != nil {
		return err
	}
	if _, err := s.app.Catalogue.Import(ctx, &file, lead.CSV, lead.ImportOptions{}); err != nil {
		return err
	}
	if err := s.readLeads(ctx); err != nil {
		return err
	}
	if _, err := s.app.Intake.EnsureReconcile(ctx, time.Minute); err != nil {
		return err
	}
	// Production's least is a minute; a short run would mostly wait for it.
	often := sdk.ScheduleSpec{Intervals: []sdk.ScheduleIntervalSpec{{Every: reconcileEvery}}}
	return s.app.Temporal.ScheduleClient().GetHandle(ctx, workflows.ReconcileSchedule).Update(ctx, sdk.ScheduleUpdateOptions{
		DoUpdate: func(now sdk.ScheduleUpdateInput) (*sdk.ScheduleUpdate, error) {
			made := now.Description.Schedule
			made.Spec = &often
			return &sdk.ScheduleUpdate{Schedule: &made}, nil
		},
	})
}

func (s *stack) readLeads(ctx context.Context) error {
	rows, err := s.app.Pool.Query(ctx, `
		SELECT id, email, CASE WHEN (SELECT count(*) FROM lead o WHERE position(l.phone IN o.phone) > 0) = 1 THEN phone ELSE '' END,
			CASE count(*) OVER (PARTITION BY direct_email) WHEN 1 THEN direct_email ELSE '' END
		FROM lead l ORDER BY no`)
	if err != nil {
		return err
	}
	var p person
	_, err = pgx.ForEachRow(rows, []any{&p.id, &p.email, &p.phone, &p.direct}, func() error {
		s.known = append(s.known, p.email)
		if len(s.known) <= kept {
			s.leadIDs = append(s.leadIDs, p.id)
		} else {
			s.erasable = append(s.erasable, p)
		}
		return nil
	})
	return err
}

// seedPlan makes a plan that sells everything and gives back after seconds.
func (s *stack) seedPlan(ctx context.Context) error {
	a := s.app.Accounts
	if err := a.EnsurePresets(ctx); err != nil {
		return err
	}
	sold, err := a.Plan(ctx, "verified-leads", 0)
	if err != nil {
		return err
	}
	p := *sold
	p.ID, p.RefundDelay = "chaos", 2*time.Second
	p.Credits["phone"] = p.Credits["email"]
	for of, actions := range map[string][]string{
		"prepaid-verification": {"verify"},
		"rollover-ignite":      {"reveal_email", "reveal_phone", "enrich_email", "enrich_phone", "export"},
	} {
		other, err := a.Plan(ctx, of, 0)
		if err != nil {
			return err
		}
		for _, action := range actions {
			p.Actions[action] = other.Actions[action]
		}
	}
	_, err = a.SavePlan(ctx, &p)
	return err
}

func (s *stack) seedOrg(ctx context.Context, org, plan string) (*customer, error) {
	a := s.app.Accounts
	w := &customer{org: org, change: map[string]int64{}}
	if _, err := a.CreateOrg(ctx, account.Org{ID: org, Name: org, Plan: plan}); err != nil {
		return nil, err
	}
	if _, err := a.CreateMember(ctx, account.Member{Org: org, ID: "jane", Name: "Jane", Role: account.RoleAdmin}); err != nil {
		return nil, err
	}
	_, key, err := a.CreateKey(ctx, org, "jane", "")
	if err != nil {
		return nil, err
	}
	hook, secret, err := s.app.Webhooks.Create(ctx, org, s.receiver.URL, nil)
	w.key, w.webhook, w.secret = key, hook.ID, secret
	return w, err
}

// startProduct builds the programs and starts two of each behind the proxies.
func (s *stack) startProduct(ctx context.Context) error {
	build := exec.CommandContext(ctx, "go", "build", "-o", s.dir, "./starter", "./worker")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("the programs cannot be built: %w: %s", err, out)
	}
	at, err := url.Parse(s.data.Config.DatabaseURL)
	if err != nil {
		return err
	}
	if s.postgres, err = startProxy(at.Host); err != nil {
		return err
	}
	if s.temporal, err = startProxy(s.data.Config.TemporalAddress); err != nil {
		return err
	}
	cfg := s.data.Config
	at.Host = s.postgres.address()
	cfg.DatabaseURL, cfg.TemporalAddress = at.String(), s.temporal.address()
	env := append(wire.WorkerEnv(cfg), "HOLDFAST_LOG_LEVEL=warn", "HOLDFAST_WEBHOOK_ALLOW=127.0.0.1/32",
		"HOLDFAST_OPERATOR_KEY="+operatorKey, "HOLDFAST_SANDBOX=true",
		"HOLDFAST_STRIPE_KEY="+stripeKey, "HOLDFAST_STRIPE_WEBHOOK_SECRET="+stripeSecret, "HOLDFAST_STRIPE_URL="+s.stripe.URL, "HOLDFAST_REQUESTS_PER_MINUTE=0")
	env = append(env, s.seen.environment()...)
	log, err := os.Create(filepath.Join(s.dir, "product.log"))
	if err != nil {
		return err
	}
	for i := range 2 {
		address, err := freeAddress(ctx)
		if err != nil {
			return err
		}
		s.urls = append(s.urls, "http://"+address)
		var metrics [2]string
		for j := range metrics {
			if metrics[j], err = freeAddress(ctx); err != nil {
				return err
			}
		}
		with := func(more ...string) []string { return append(append([]string{}, env...), more...) }
		s.workers = append(s.workers, &process{name: fmt.Sprint("worker ", i), program: filepath.Join(s.dir, "worker"), env: with("HOLDFAST_WORKER_ADDR=" + metrics[0]), log: log, metrics: metrics[0]})
		s.servers = append(s.servers, &process{
			name: fmt.Sprint("server ", i), program: filepath.Join(s.dir, "starter"), args: []string{"serve"},
			env: with("HOLDFAST_METRICS_ADDR="+metrics[1], "HOLDFAST_HTTP_ADDR="+address), log: log, metrics: metrics[1],
		})
	}
	for _, p := range append(append([]*process{}, s.workers...), s.servers...) {
		if err := p.start(); err != nil {
			return err
		}
	}
	return nil
}

// freeAddress is one that a server which is started again can take again.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

func (s *stack) stop() error {
	s.mu.Lock()
	s.stopping = true
	data := s.data
	s.mu.Unlock()
	var all sync.WaitGroup
	for _, p := range append(append([]*process{}, s.servers...), s.workers...) {
		all.Go(p.stop)
	}
	all.Wait()
	if s.app != nil {
		s.app.Close()
	}
	s.receiver.Close()
	s.stripe.Close()
	s.seen.collector.Close()
	return errors.Join(data.Stop(), s.disk.unmount(), os.RemoveAll(s.dir))
}
