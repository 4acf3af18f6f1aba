// Package wire puts the product together from the configuration: once, for the
// worker, the starter and the tests.
package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/codec"
	"holdfast/internal/config"
	"holdfast/internal/erasure"
	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/metadata"
	"holdfast/internal/offer"
	"holdfast/internal/orderbook"
	"holdfast/internal/payment"
	"holdfast/internal/postgres"
	"holdfast/internal/reconcile"
	"holdfast/internal/suppression"
	"holdfast/internal/telemetry"
	"holdfast/internal/testclock"
	"holdfast/internal/verify"
	"holdfast/internal/webhook"
)

// temporalWithin is how long the first connection to Temporal may take.
const temporalWithin = 5 * time.Second

// ErrNoTemporal says that Temporal cannot be reached.
var ErrNoTemporal = errors.New("Temporal cannot be reached")

// App is the product: its parts, connected. Temporal, Intake and Reconcile
// are nil where only the database was opened.
type App struct {
	Config       config.Config
	Log          *slog.Logger
	Pool         *pgxpool.Pool
	Temporal     client.Client
	Ledger       *ledger.Ledger
	Accounts     *account.Accounts
	Catalogue    *lead.Catalogue
	Book         *orderbook.Book
	Billing      *billing.Billing
	Webhooks     *webhook.Webhooks
	Erasures     *erasure.Erasures
	Suppressions *suppression.List
	Metadata     *metadata.Store
	Payments     *payment.Payments
	TestClocks   *testclock.Clocks
	Intake       *intake.Intake
	Reconcile    *reconcile.Reconciler
	Telemetry    *telemetry.Telemetry

	borrowed     bool // Temporal
	identity     identityWatch
	verification atomic.Pointer[Verification] // in a worker
}

// Option changes how the app is opened.
type Option func(*App)

// withTemporal has the app use a connection to Temporal that belongs to another one,
// which outlives it.
func withTemporal(c client.Client) Option {
	return func(r *App) { r.Temporal, r.borrowed = c, true }
}

// WithTelemetry shows in t what the app does; without it nothing is counted.
func WithTelemetry(t *telemetry.Telemetry) Option { return func(r *App) { r.Telemetry = t } }

// Open connects to PostgreSQL and Temporal. Each error is one sentence that
// says which server does not answer and what to do.
func Open(ctx context.Context, cfg config.Config, logger *slog.Logger, options ...Option) (*App, error) {
	r, err := OpenDatabase(ctx, cfg, logger, options...)
	if err != nil {
		return nil, err
	}
	if r.Temporal == nil {
		if r.Temporal, err = r.dial(ctx); err != nil {
			r.Close()
			return nil, err
		}
	}
	r.Intake = intake.New(r.Temporal, r.Accounts, r.Book, offer.New(r.Accounts, r.Ledger, r.Catalogue, r.Book), r.Webhooks, cfg.MaxOrderCount)
	if r.Intake.Converter, err = codec.Converter(cfg.Codec.Keys); err != nil {
		r.Close()
		return nil, err
	}
	r.Reconcile = reconcile.New(r.Pool, r.Book, r.Ledger, r.Intake, logger)
	return r, r.count()
}

// OpenDatabase connects to PostgreSQL alone and checks that the schema is the
// one this program was built for.
func OpenDatabase(ctx context.Context, cfg config.Config, logger *slog.Logger, options ...Option) (*App, error) {
	r := &App{Config: cfg, Log: telemetry.WithTraceIDs(logger)}
	for _, o := range options {
		o(r)
	}
	pool, err := postgres.OpenTraced(ctx, cfg.DatabaseURL, r.Telemetry.Queries())
	if err != nil {
		return nil, err
	}
	if err := postgres.CheckVersion(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	r.Pool = pool
	r.Ledger = ledger.New(pool, ledger.WithLog(r.Log))
	r.Accounts = account.New(pool)
	r.Catalogue = lead.New(pool, lead.WithQuota(lead.Quota{Rows: cfg.ListRows, Bytes: cfg.ListBytes}))
	r.Book = orderbook.New(pool)
	r.identity.check = func(ctx context.Context) ([]verify.IdentityReport, error) {
		return CheckIdentities(ctx, cfg)
	}
	r.Webhooks = webhook.New(pool, webhook.Config{Allow: cfg.WebhookAllow})
	r.Erasures = erasure.New(pool, r.Catalogue, r.Book)
	r.Suppressions, r.Metadata = suppression.New(pool), metadata.New(pool)
	r.Billing = billing.New(r.Accounts, r.Ledger, r.Book)
	r.TestClocks = testclock.New(pool, r.Accounts, r.Billing, r.Ledger, r.Book)
	r.Payments = payment.New(pool, r.Accounts, r.Billing, payment.Config{Key: cfg.StripeKey, Secret: cfg.StripeSecret, URL: cfg.StripeURL}, r.Log)
	return r, nil
}

func (r *App) dial(ctx context.Context) (client.Client, error) {
	options, err := r.Config.Temporal()
	if err != nil {
		return nil, err
	}
	options.Logger = log.NewStructuredLogger(r.Log)
	if err := codec.Use(&options, r.Config.Codec.Keys); err != nil {
		return nil, err
	}
	if r.Telemetry != nil {
		options.MetricsHandler = r.Telemetry.SDKMetrics()
	}
	if options.Interceptors, err = r.Telemetry.Interceptors(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, temporalWithin)
	defer cancel()
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("%w at %s; start it, or set TEMPORAL_ADDRESS: %w", ErrNoTemporal, options.HostPort, err)
	}
	return c, nil
}

// Close lets operations under way finish and closes all connections.
func (r *App) Close() {
	if r.Intake != nil {
		r.Intake.Close()
	}
	if r.Temporal != nil && !r.borrowed {
		r.Temporal.Close()
	}
	r.Ledger.Close()
	r.Pool.Close()
}
