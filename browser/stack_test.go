// Package browser_test uses the dashboard in Chromium, against the real stack.
package browser_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"holdfast/browser/chrome"
	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/config"
	"holdfast/internal/dashboard"
	"holdfast/internal/devstack"
	"holdfast/internal/lead"
	"holdfast/internal/maillab"
	"holdfast/internal/plan"
	"holdfast/internal/postgres"
	"holdfast/internal/wire"
)

const operatorKey = "op_browser"

var (
	rooms   *wire.Rooms
	site    *httptest.Server
	browser context.Context // one Chromium for all tests; each test has a profile of its own
	outage  atomic.Pointer[string]
)

// TestMain starts the stack and Chromium once. Without Chromium nothing is tested.
func TestMain(m *testing.M) {
	if chrome.Path() == "" {
		fmt.Println("No Chromium: the tests in a browser are skipped; install it (apt-get install chromium) or set HOLDFAST_CHROMIUM.")
		return
	}
	os.Exit(func() int {
		stop, err := start()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

func start() (stop func() error, err error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "holdfast-browser")
	if err != nil {
		return nil, err
	}
	servers, err := devstack.StartServers(ctx, config.Config{
		HTTPAddr: "127.0.0.1:0", GreylistRetry: time.Second, OperatorKey: operatorKey, Providers: []string{"smtp"}, MaxOrderCount: 1_000_000,
	}, devstack.ServerOptions{Dir: dir, Lab: maillab.Config{Domains: 200, GreylistDelay: 500 * time.Millisecond}})
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	if err := postgres.Migrate(ctx, servers.Config.DatabaseURL); err != nil {
		return nil, err
	}
	if rooms, err = wire.Open(ctx, servers.Config, log); err != nil {
		return nil, err
	}
	if err := fill(ctx, servers.Lab); err != nil {
		return nil, err
	}
	allocator, stopChrome := chrome.Start(ctx)
	opened, closeBrowser := chromedp.NewContext(allocator)
	browser = opened
	if err := chromedp.Do(browser); err != nil {
		return nil, fmt.Errorf("Chromium does not start: %w", err)
	}
	working, endWork := context.WithCancel(ctx)
	worker := make(chan error, 1)
	go func() { worker <- wire.RunWorker(working, servers.Config, log) }()
	site = httptest.NewServer(handler())
	return func() error {
		closeBrowser()
		stopChrome()
		site.Close()
		endWork()
		if err := <-worker; err != nil {
			return err
		}
		rooms.Close()
		if err := servers.Stop(); err != nil {
			return err
		}
		return os.RemoveAll(dir)
	}, nil
}

// handler is what serve offers: the API and the dashboard.
func handler() http.Handler {
	backend := api.New(api.Config{
		Accounts: rooms.Accounts, Ledger: rooms.Ledger, Billing: rooms.Billing, Book: rooms.Book, Catalogue: rooms.Catalogue,
		Intake: rooms.Intake, Webhooks: rooms.Webhooks, Erasures: rooms.Erasures, Log: slog.New(slog.DiscardHandler), OperatorKey: operatorKey,
	})
	mux := http.NewServeMux()
	mux.Handle("/", backend)
	mux.Handle(dashboard.Prefix+"/", dashboard.New(dashboard.Config{
		API: backend, Accounts: rooms.Accounts, Ledger: rooms.Ledger, Book: rooms.Book, Catalogue: rooms.Catalogue, Reconcile: rooms.Reconcile, Log: rooms.Log,
		Outage: func(context.Context) (string, error) {
			if says := outage.Load(); says != nil {
				return *says, nil
			}
			return "", nil
		},
	}))
	return mux
}

// fill stores the plans, one of them with everything for sale and a short refund
// delay, and leads.
func fill(ctx context.Context, lab *maillab.Lab) error {
	if err := rooms.Accounts.EnsurePresets(ctx); err != nil {
		return err
	}
	p, err := rooms.Accounts.Plan(ctx, "workspace-paid", 0)
	if err != nil {
		return err
	}
	verifies, err := rooms.Accounts.Plan(ctx, "prepaid-verification", 0)
	if err != nil {
		return err
	}
	quick := *p
	quick.ID, quick.Name, quick.RefundDelay = "quick", "Quick", time.Second
	quick.Actions["verify"] = verifies.Actions["verify"]
	quick.Credits["email"] = plan.Credit{Owner: "organization", AtPeriodEnd: "expire"}
	if _, err := rooms.Accounts.SavePlan(ctx, &quick); err != nil {
		return err
	}
	var file bytes.Buffer
	if err := lab.World().WriteCatalogue(&file, 3000, 0.5); err != nil {
		return err
	}
	_, err = rooms.Catalogue.Import(ctx, &file, lead.CSV, lead.ImportOptions{})
	return err
}

var orgs atomic.Int64

// newOrg makes an organization with an admin, ann, and a member, jane.
func newOrg(t *testing.T) (id string) {
	t.Helper()
	id = fmt.Sprintf("org-%d", orgs.Add(1))
	_, err := rooms.Accounts.CreateOrg(t.Context(), account.Org{ID: id, Name: "Test " + id, Plan: "quick", TimeZone: "Europe/Berlin"})
	require.NoError(t, err)
	for member, role := range map[string]account.Role{"ann": account.RoleAdmin, "jane": account.RoleMember} {
		_, err := rooms.Accounts.CreateMember(t.Context(), account.Member{Org: id, ID: member, Name: "Member " + member, Role: role})
		require.NoError(t, err)
	}
	return id
}
