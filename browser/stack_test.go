// Package browser_test uses the dashboard in Chromium, against the real stack.
package browser_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
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
	"holdfast/internal/ledger"
	"holdfast/internal/maillab"
	"holdfast/internal/plan"
	"holdfast/internal/site"
	"holdfast/internal/stacktest"
	"holdfast/internal/wire"
)

const operatorKey = "op_browser"

var (
	app     *wire.App
	server  *httptest.Server
	signOn  *httptest.Server // the same with single sign-on
	browser context.Context  // one Chromium for all tests; each test has a profile of its own
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
	stack, err := stacktest.Start(ctx, stacktest.Options{
		Config: config.Config{OperatorKey: operatorKey, WebhookAllow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}, Lab: maillab.Config{Domains: 200}, Seed: fill,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
	})
	if err != nil {
		return nil, err
	}
	app = stack.App
	allocator, stopChrome := chrome.Start(ctx)
	opened, closeBrowser := chromedp.NewContext(allocator)
	browser = opened
	if err := chromedp.Do(browser); err != nil {
		return nil, fmt.Errorf("Chromium does not start: %w", err)
	}
	server, signOn = httptest.NewServer(handler(dashboard.OIDC{})), httptest.NewServer(handler(dashboard.OIDC{Issuer: "https://login.example", ClientID: "holdfast"}))
	return func() error {
		closeBrowser()
		stopChrome()
		server.Close()
		signOn.Close()
		return stack.Stop()
	}, nil
}

// handler is what serve offers: the API and the dashboard.
func handler(oidc dashboard.OIDC) http.Handler {
	c := site.API(app)
	c.Log, c.OperatorKey = slog.New(slog.DiscardHandler), operatorKey
	backend := api.New(c)
	pages := site.Dashboard(app, backend)
	pages.OIDC = oidc
	pages.Outage = func(context.Context) (string, error) {
		if says := outage.Load(); says != nil {
			return *says, nil
		}
		return "", nil
	}
	pages.Audit = func(ctx context.Context) (ledger.Report, error) {
		return ledger.Audit(ctx, app.Pool, ledger.AuditOptions{})
	}
	mux := http.NewServeMux()
	mux.Handle("/", backend)
	mux.Handle(dashboard.Prefix+"/", dashboard.New(pages))
	return mux
}

// fill stores the plans, one of them with everything for sale and a short refund
// delay, and leads.
func fill(ctx context.Context, app *wire.App, lab *maillab.Lab) error {
	if err := app.Accounts.EnsurePresets(ctx); err != nil {
		return err
	}
	p, err := app.Accounts.Plan(ctx, "workspace-paid", 0)
	if err != nil {
		return err
	}
	verifies, err := app.Accounts.Plan(ctx, "prepaid-verification", 0)
	if err != nil {
		return err
	}
	quick := *p
	quick.ID, quick.Name, quick.RefundDelay = "quick", "Quick", time.Second
	quick.Actions["verify"] = verifies.Actions["verify"]
	quick.Credits["email"] = plan.Credit{Owner: "organization", AtPeriodEnd: "expire"}
	if _, err := app.Accounts.SavePlan(ctx, &quick); err != nil {
		return err
	}
	return stacktest.ImportLeads(ctx, app, lab, 3000)
}

var orgs atomic.Int64

// newOrg makes an organization with an admin, ann, and a member, jane.
func newOrg(t *testing.T) (id string) {
	t.Helper()
	id = fmt.Sprintf("org-%d", orgs.Add(1))
	_, err := app.Accounts.CreateOrg(t.Context(), account.Org{ID: id, Name: "Test " + id, Plan: "quick", TimeZone: "Europe/Berlin"})
	require.NoError(t, err)
	for member, role := range map[string]account.Role{"ann": account.RoleAdmin, "jane": account.RoleMember} {
		_, err := app.Accounts.CreateMember(t.Context(), account.Member{Org: id, ID: member, Name: "Member " + member, Role: role})
		require.NoError(t, err)
	}
	return id
}
