package reconcile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// note counts a run.
func (r *Reconciler) note(ctx context.Context, res Result) error {
	return r.count(ctx, `
		runs = reconciliation.runs + 1, recovered = reconciliation.recovered + $1, released = reconciliation.released + $2,
		failed = $3, open = $4, last_at = now()`, res.Recovered, res.Released, res.Failed, res.Open)
}

func (r *Reconciler) count(ctx context.Context, set string, args ...any) error {
	batch := &pgx.Batch{}
	batch.Queue(`INSERT INTO reconciliation DEFAULT VALUES ON CONFLICT DO NOTHING`)
	batch.Queue(`UPDATE reconciliation SET `+set, args...)
	if err := r.pool.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("what reconciling did was not counted: %w", err)
	}
	return nil
}

// Stats is what reconciling has done so far.
type Stats struct {
	Runs      int64
	Recovered int64
	Released  int64
	Failed    int64 // of the last run
	Open      int64 // when it ran
	LastAt    time.Time
}

// Stats returns what reconciling has done so far, in all processes.
func (r *Reconciler) Stats(ctx context.Context) (Stats, error) {
	rows, _ := r.pool.Query(ctx, `SELECT runs, recovered, released, failed, open, last_at FROM reconciliation`)
	s, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Stats])
	if errors.Is(err, pgx.ErrNoRows) {
		return Stats{}, nil
	}
	if err != nil {
		return Stats{}, fmt.Errorf("what reconciling did cannot be read: %w", err)
	}
	return s, nil
}

// scrapeWithin is how long a scrape waits for the database.
const scrapeWithin = 2 * time.Second

var (
	recoveredDesc = prometheus.NewDesc("holdfast_orders_recovered_total", "Open orders that had lost their workflow and were started again.", nil, nil)
	releasedDesc  = prometheus.NewDesc("holdfast_holds_recovered_total", "Open holds without an order that were released.", nil, nil)
	failedDesc    = prometheus.NewDesc("holdfast_orders_lost", "Orders without a running workflow that the last reconciliation could not take up.", nil, nil)
	openDesc      = prometheus.NewDesc("holdfast_orders_open", "Open orders at the last reconciliation.", nil, nil)
	lastDesc      = prometheus.NewDesc("holdfast_reconcile_last_seconds", "When orders were last reconciled, in Unix time.", nil, nil)
)

// Describe says which metrics there are.
func (r *Reconciler) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{recoveredDesc, releasedDesc, failedDesc, openDesc, lastDesc} {
		to <- d
	}
}

// Collect reads the metrics from the database, so that every process shows the
// same, no matter which one reconciled.
func (r *Reconciler) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	s, err := r.Stats(ctx)
	if err != nil {
		to <- prometheus.NewInvalidMetric(recoveredDesc, err)
		return
	}
	to <- prometheus.MustNewConstMetric(recoveredDesc, prometheus.CounterValue, float64(s.Recovered))
	to <- prometheus.MustNewConstMetric(releasedDesc, prometheus.CounterValue, float64(s.Released))
	to <- prometheus.MustNewConstMetric(failedDesc, prometheus.GaugeValue, float64(s.Failed))
	to <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(s.Open))
	if s.Runs > 0 {
		to <- prometheus.MustNewConstMetric(lastDesc, prometheus.GaugeValue, float64(s.LastAt.Unix()))
	}
}
