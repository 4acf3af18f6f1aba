package wire

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/activities"
	"holdfast/internal/monitor"
	"holdfast/internal/verify"
)

// count registers the metrics of the app.
func (r *App) count() error {
	if r.Telemetry == nil {
		return nil
	}
	collectors := []prometheus.Collector{r.Reconcile, monitor.New(r.Pool, r.Log)}
	for _, more := range [][]prometheus.Collector{r.Ledger.Collectors(), r.Book.Collectors(), r.Webhooks.Collectors(), countPool(r.Pool)} {
		collectors = append(collectors, more...)
	}
	return r.register(collectors...)
}

func (r *App) register(collectors ...prometheus.Collector) error {
	if r.Telemetry == nil {
		return nil
	}
	var errs []error
	to := r.Metrics()
	for _, c := range collectors {
		errs = append(errs, to.Register(c))
	}
	return errors.Join(errs...)
}

// Metrics is where metrics of this app are registered. Where there are cells,
// all have the cell's name as a label.
func (r *App) Metrics() prometheus.Registerer {
	if r.Config.Cell == "" {
		return r.Telemetry.Registry
	}
	return prometheus.WrapRegistererWith(prometheus.Labels{"cell": r.Config.Cell}, r.Telemetry.Registry)
}

// countPool measures the use of the connections to the database.
func countPool(pool *pgxpool.Pool) []prometheus.Collector {
	connections := func(state string, count func(*pgxpool.Stat) int32) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "holdfast_database_connections", Help: "Connections of this process to the database, by state: used, idle, or the most there may be.",
			ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(count(pool.Stat())) })
	}
	return []prometheus.Collector{
		connections("used", (*pgxpool.Stat).AcquiredConns), connections("idle", (*pgxpool.Stat).IdleConns), connections("max", (*pgxpool.Stat).MaxConns),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "holdfast_database_acquires_total", Help: "How often a connection was taken from the pool.",
		}, func() float64 { return float64(pool.Stat().AcquireCount()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "holdfast_database_acquire_seconds_total", Help: "How long was waited for connections of the pool, in all.",
		}, func() float64 { return pool.Stat().AcquireDuration().Seconds() }),
	}
}

// collectors are the metrics of those who verify.
func (v *Verification) collectors() []prometheus.Collector {
	var list []prometheus.Collector
	for _, step := range v.steps {
		list = append(list, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "holdfast_verifier_breaker_open", Help: "1 while a verifier is not asked, because it failed too often or its spend cap is reached.",
			ConstLabels: prometheus.Labels{"verifier": step.name},
		}, func() float64 {
			if step.closed() {
				return 1
			}
			return 0
		}))
	}
	if v.engine == nil {
		return list
	}
	for _, c := range []struct {
		name, help string
		count      func(verify.Stats) int64
	}{
		{"holdfast_smtp_connections_total", "Connections to mail hosts that were dialled, failed ones too.", func(s verify.Stats) int64 { return s.Connections }},
		{"holdfast_smtp_transactions_total", "MAIL commands sent.", func(s verify.Stats) int64 { return s.Transactions }},
		{"holdfast_smtp_recipients_total", "RCPT commands sent, probes too.", func(s verify.Stats) int64 { return s.Recipients }},
		{"holdfast_dns_queries_total", "DNS queries sent.", func(s verify.Stats) int64 { return s.Queries }},
	} {
		list = append(list, prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help}, func() float64 { return float64(c.count(v.engine.Stats())) }))
	}
	for name := range v.engine.Load().Resting {
		list = append(list, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "holdfast_smtp_identity_resting", Help: "1 while a sending identity rests, because mail hosts refuse it.",
			ConstLabels: prometheus.Labels{"identity": name},
		}, func() float64 {
			if v.engine.Load().Resting[name] {
				return 1
			}
			return 0
		}))
	}
	return append(list,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "holdfast_smtp_sessions", Help: "Sessions with mail hosts that are open."},
			func() float64 { return float64(v.engine.Load().Sessions) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "holdfast_smtp_hosts_waiting", Help: "Mail hosts that wait for a session."},
			func() float64 { return float64(v.engine.Load().Waiting) }))
}

// counted counts what a verifier answers.
type counted struct {
	activities.Verifier

	verdicts, reasons *prometheus.CounterVec
}

func newCounted(of activities.Verifier) *counted {
	return &counted{
		Verifier: of,
		verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_contacts_verified_total", Help: "Addresses that got a verdict, by verdict, by who verified them (remembered verdicts count for who gave them) and by the provider of the mail host.",
		}, []string{"verdict", "verifier", "host"}),
		reasons: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "holdfast_contacts_reasons_total", Help: "Addresses that got a verdict, by verdict and reason.",
		}, []string{"verdict", "reason"}),
	}
}

// Verify answers for every address, see verify.Engine.
func (c *counted) Verify(ctx context.Context, emails []string, each func(i int, r verify.Result)) error {
	return c.Verifier.Verify(ctx, emails, func(i int, r verify.Result) {
		verifier, _, _ := strings.Cut(r.Engine, "/") // holdfast-smtp, of any version
		host := r.Provider
		if host == "" {
			host = "none" // DNS has settled it
		}
		c.verdicts.WithLabelValues(string(r.Verdict), verifier, host).Inc()
		c.reasons.WithLabelValues(string(r.Verdict), string(r.Reason)).Inc()
		each(i, r)
	})
}
