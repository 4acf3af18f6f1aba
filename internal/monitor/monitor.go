// Package monitor turns what the database says about all processes together
// into metrics: open orders, held credits, backlogs. See README.md.
package monitor

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/clock"
)

const (
	keptFor = 10 * time.Second // a scrape within this time asks the database nothing
	within  = 5 * time.Second  // what the database gets to answer
)

// Monitor is a collector. Every process shows the same figures: take one of them
// with max, do not add them up.
type Monitor struct {
	pool *pgxpool.Pool
	log  *slog.Logger

	mu      sync.Mutex
	read    []prometheus.Metric
	readAt  time.Time
	healthy bool
}

// New returns a monitor of the database behind pool.
func New(pool *pgxpool.Pool, log *slog.Logger) *Monitor {
	return &Monitor{pool: pool, log: log, healthy: true}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("holdfast_"+name, help, labels, nil)
}

var (
	ordersDesc     = desc("orders_running", "Orders that are not over, by kind and status.", "kind", "status")
	orderAgeDesc   = desc("order_oldest_age_seconds", "How long ago the oldest order that is not over was placed, by status; 0 where there is none.", "status")
	pausedDesc     = desc("orders_paused", "Orders that are paused.")
	holdAgeDesc    = desc("hold_oldest_age_seconds", "How long ago the oldest open hold of an order that is not over was made.")
	heldDesc       = desc("credits_held", "Credits that are held, by type.", "type")
	waitingDesc    = desc("greylist_backlog", "Addresses of running orders that wait to be asked again.")
	outboxDesc     = desc("outbox_pending", "Events that were not yet handed to the webhooks.")
	outboxAgeDesc  = desc("outbox_oldest_age_seconds", "Age of the oldest of them.")
	hooksDesc      = desc("webhook_deliveries_pending", "Deliveries to webhooks that were not yet taken.")
	hooksAgeDesc   = desc("webhook_oldest_age_seconds", "Age of the oldest of them.")
	failingDesc    = desc("webhook_endpoints_failing", "Webhook endpoints whose last delivery failed.")
	disabledDesc   = desc("webhook_endpoints_disabled", "Webhook endpoints that were disabled because they took nothing.")
	resetLagDesc   = desc("reset_lag_seconds", "How long the most overdue credit reset has been due; 0 where none is.")
	outageDesc     = desc("verification_outages_open", "Workers that can verify nothing now.")
	outagesDesc    = desc("verification_outages_total", "Times that a worker could verify nothing at any mail host.")
	databaseUpDesc = desc("database_up", "1 while the database answers the questions behind these metrics.")
)

// Describe says which metrics there are.
func (m *Monitor) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		ordersDesc, orderAgeDesc, pausedDesc, holdAgeDesc, heldDesc, waitingDesc, outboxDesc, outboxAgeDesc, hooksDesc, hooksAgeDesc,
		failingDesc, disabledDesc, resetLagDesc, outageDesc, outagesDesc, databaseUpDesc,
	} {
		to <- d
	}
}

// Collect gives what was read in the last seconds, or reads it.
func (m *Monitor) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Since(m.readAt) > keptFor {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		read, err := m.ask(ctx)
		if (err == nil) != m.healthy {
			m.log.Warn("The state of the database could be read, or no longer.", "error", err)
		}
		// While the database is away, old figures would be worse than none.
		m.read, m.readAt, m.healthy = read, time.Now(), err == nil
	}
	for _, metric := range m.read {
		to <- metric
	}
	up := 0.0
	if m.healthy {
		up = 1
	}
	to <- prometheus.MustNewConstMetric(databaseUpDesc, prometheus.GaugeValue, up)
}

// Open orders are found by the index orders_running, and what belongs to them by
// its primary key; the other questions are about an index's first row, or about
// few rows. Only held credits are added up over all accounts.
// Ages are in the organizations' own time.
var (
	ordersQuery = `
		SELECT o.kind, o.status, count(*), extract(epoch FROM max(t.now - o.created_at))::float8, count(o.paused_at),
			coalesce(extract(epoch FROM max(t.now - o.created_at) FILTER (WHERE NOT h.closed)), 0)::float8,
			coalesce(sum(w.waiting), 0)::bigint
		FROM orders o
		CROSS JOIN LATERAL (SELECT ` + clock.SQL("o.org", "now()") + ` AS now OFFSET 0) t
		LEFT JOIN credit_hold h ON h.owner = o.org AND h.id = o.id
		LEFT JOIN LATERAL (SELECT sum(waiting) AS waiting FROM order_tally WHERE order_id = o.id) w ON o.status = 'verifying'
		WHERE o.status IN ('reserved', 'verifying', 'completed')
		GROUP BY 1, 2`
	heldQuery = `SELECT type, sum(held)::bigint FROM credit_account GROUP BY 1`
	restQuery = `
		SELECT
			(SELECT count(*) FROM outbox WHERE published_at IS NULL),
			coalesce(extract(epoch FROM now() - (SELECT min(created_at) FROM outbox WHERE published_at IS NULL)), 0)::float8,
			(SELECT count(*) FROM webhook_delivery WHERE status = 'pending'),
			coalesce(extract(epoch FROM now() - (SELECT min(created_at) FROM webhook_delivery WHERE status = 'pending')), 0)::float8,
			(SELECT count(*) FROM webhook_endpoint WHERE deleted_at IS NULL AND disabled_at IS NULL AND failing_since IS NOT NULL),
			(SELECT count(*) FROM webhook_endpoint WHERE deleted_at IS NULL AND disabled_at IS NOT NULL),
			greatest(0, extract(epoch FROM now() - (SELECT due_at FROM subscription s WHERE ` + clock.None("s.org") + ` ORDER BY due_at LIMIT 1)))::float8,
			(SELECT count(*) FROM verification_outage WHERE ended_at IS NULL AND seen_at BETWEEN now() - interval '20 minutes' AND now() + interval '20 minutes'),
			(SELECT coalesce(sum(outages), 0)::bigint FROM verification_outage)`
)

// ask reads all figures in one round trip.
func (m *Monitor) ask(ctx context.Context) ([]prometheus.Metric, error) {
	var list []prometheus.Metric
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		list = append(list, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...))
	}
	batch := &pgx.Batch{}
	batch.Queue(ordersQuery).Query(func(rows pgx.Rows) error { return readOrders(rows, gauge) })
	batch.Queue(heldQuery).Query(func(rows pgx.Rows) error {
		var kind string
		var held int64
		_, err := pgx.ForEachRow(rows, []any{&kind, &held}, func() error {
			gauge(heldDesc, float64(held), kind)
			return nil
		})
		return err
	})
	batch.Queue(restQuery).QueryRow(func(row pgx.Row) error {
		var outbox, hooks, failing, disabled, open, outages int64
		var outboxAge, hooksAge float64
		var resetLag *float64 // nil: no organization has a credit month
		if err := row.Scan(&outbox, &outboxAge, &hooks, &hooksAge, &failing, &disabled, &resetLag, &open, &outages); err != nil {
			return err
		}
		if resetLag == nil {
			resetLag = new(float64)
		}
		for _, g := range []struct {
			desc  *prometheus.Desc
			value float64
		}{
			{outboxDesc, float64(outbox)},
			{outboxAgeDesc, outboxAge},
			{hooksDesc, float64(hooks)},
			{hooksAgeDesc, hooksAge},
			{failingDesc, float64(failing)},
			{disabledDesc, float64(disabled)},
			{resetLagDesc, *resetLag},
			{outageDesc, float64(open)},
		} {
			gauge(g.desc, g.value)
		}
		list = append(list, prometheus.MustNewConstMetric(outagesDesc, prometheus.CounterValue, float64(outages)))
		return nil
	})
	if err := m.pool.SendBatch(ctx, batch).Close(); err != nil {
		return nil, fmt.Errorf("the state of the orders cannot be read: %w", err)
	}
	return list, nil
}

// readOrders turns the rows about open orders into metrics. Statuses without an
// order show 0, so that an alert sees them end.
func readOrders(rows pgx.Rows, gauge func(*prometheus.Desc, float64, ...string)) error {
	ages := map[string]float64{"reserved": 0, "verifying": 0, "completed": 0}
	var paused, waiting int64
	var oldestHold float64
	var kind, status string
	var count, pausedHere, waitingHere int64
	var age, holdAge float64
	_, err := pgx.ForEachRow(rows, []any{&kind, &status, &count, &age, &pausedHere, &holdAge, &waitingHere}, func() error {
		gauge(ordersDesc, float64(count), kind, status)
		ages[status] = max(ages[status], age)
		oldestHold = max(oldestHold, holdAge)
		paused += pausedHere
		waiting += waitingHere
		return nil
	})
	for status, age := range ages {
		gauge(orderAgeDesc, age, status)
	}
	gauge(pausedDesc, float64(paused))
	gauge(holdAgeDesc, oldestHold)
	gauge(waitingDesc, float64(waiting))
	return err
}
