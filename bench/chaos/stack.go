package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/config"
	"holdfast/internal/devstack"
	"holdfast/internal/lead"
	"holdfast/internal/maillab"
	"holdfast/internal/postgres"
	"holdfast/internal/wire"
)

const (
	operatorKey = "chaos-operator-key"
	org         = "acme"
	leads       = 3000
)

// stack is the product as it runs in production, each part in a process of its own,
// with a proxy in front of PostgreSQL and one in front of Temporal. The mail lab and
// the webhook receiver are in this process; so is what looks at the database.
type stack struct {
	dir                string
	data               *devstack.Servers
	postgres, temporal *proxy
	workers, servers   []*process
	urls               []string
	rooms              *wire.Rooms // beside the proxies
	receiver           *receiver
	memberKey          string
	leadIDs            []string
	pause              time.Duration // the longest between two faults

	mu       sync.Mutex
	happened []happened
}

func startStack(ctx context.Context, dir string) (s *stack, err error) {
	s = &stack{dir: dir, receiver: newReceiver()}
	s.data, err = devstack.StartServers(ctx, config.Config{
		HTTPAddr: "127.0.0.1:0", GreylistRetry: time.Second, Providers: []string{config.OwnEngine}, OperatorKey: operatorKey,
		WebhookAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, MaxOrderCount: 1_000_000,
	}, devstack.ServerOptions{
		Dir: filepath.Join(dir, "data"), Lab: maillab.Config{Domains: 60, GreylistDelay: 500 * time.Millisecond},
		Note: func(text string) { fmt.Fprintln(os.Stderr, text) },
	})
	if err != nil {
		return nil, err
	}
	if err := postgres.Migrate(ctx, s.data.Config.DatabaseURL); err != nil {
		return s, err
	}
	if s.rooms, err = wire.Open(ctx, s.data.Config, slog.New(slog.NewTextHandler(io.Discard, nil))); err != nil {
		return s, err
	}
	if err := s.furnish(ctx); err != nil {
		return s, err
	}
	return s, s.startProduct(ctx)
}

// furnish makes plans, an organization with credits, a key, leads and a webhook.
func (s *stack) furnish(ctx context.Context) error {
	a := s.rooms.Accounts
	if err := a.EnsurePresets(ctx); err != nil {
		return err
	}
	sold, err := a.Plan(ctx, "verified-leads", 0)
	if err != nil {
		return err
	}
	p := *sold
	p.ID, p.RefundDelay = "chaos", 2*time.Second
	for action, of := range map[string]string{"verify": "prepaid-verification", "reveal_email": "licence-monthly", "export": "licence-monthly"} {
		other, err := a.Plan(ctx, of, 0)
		if err != nil {
			return err
		}
		p.Actions[action] = other.Actions[action]
	}
	if _, err := a.SavePlan(ctx, &p); err != nil {
		return err
	}
	if _, err := a.CreateOrg(ctx, account.Org{ID: org, Name: "Acme", Plan: p.ID}); err != nil {
		return err
	}
	if _, err := a.CreateMember(ctx, account.Member{Org: org, ID: "jane", Name: "Jane", Role: account.RoleAdmin}); err != nil {
		return err
	}
	if _, s.memberKey, err = a.CreateKey(ctx, org, "jane", ""); err != nil {
		return err
	}
	if _, _, err := s.rooms.Webhooks.Create(ctx, org, s.receiver.URL, nil); err != nil {
		return err
	}
	var file bytes.Buffer
	if err := s.data.Lab.World().WriteCatalogue(&file, leads, 0.6); err != nil {
		return err
	}
	if _, err := s.rooms.Catalogue.Import(ctx, &file, lead.CSV, lead.ImportOptions{}); err != nil {
		return err
	}
	if err := s.rooms.Pool.QueryRow(ctx, `SELECT array_agg(id) FROM (SELECT id FROM lead ORDER BY no LIMIT 400) l`).Scan(&s.leadIDs); err != nil {
		return err
	}
	_, err = s.rooms.Intake.EnsureReconcile(ctx, time.Minute)
	return err
}

// startProduct builds the programs and starts two of each behind the proxies.
func (s *stack) startProduct(ctx context.Context) error {
	for _, program := range []string{"starter", "worker"} {
		build := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(s.dir, program), "./"+program)
		build.Dir = ".."
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%s cannot be built: %w: %s", program, err, out)
		}
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
		"HOLDFAST_OPERATOR_KEY="+operatorKey, "HOLDFAST_WORKER_ADDR=127.0.0.1:0", "HOLDFAST_METRICS_ADDR=127.0.0.1:0", "HOLDFAST_REQUESTS_PER_MINUTE=0")
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
		s.workers = append(s.workers, &process{name: fmt.Sprint("worker ", i), program: filepath.Join(s.dir, "worker"), env: env, log: log})
		s.servers = append(s.servers, &process{
			name: fmt.Sprint("server ", i), program: filepath.Join(s.dir, "starter"), args: []string{"serve"},
			env: append(append([]string{}, env...), "HOLDFAST_HTTP_ADDR="+address), log: log,
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
	var all sync.WaitGroup
	for _, p := range append(append([]*process{}, s.servers...), s.workers...) {
		all.Go(p.stop)
	}
	all.Wait()
	if s.rooms != nil {
		s.rooms.Close()
	}
	s.receiver.Close()
	return errors.Join(s.data.Stop(), os.RemoveAll(s.dir))
}
