package ledger

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// batchMetrics measure the batches of one ledger.
type batchMetrics struct {
	operations prometheus.Histogram
	took       prometheus.Histogram
	failed     prometheus.Counter
}

func newBatchMetrics() batchMetrics {
	return batchMetrics{
		operations: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "holdfast_ledger_batch_operations", Help: "Operations that one transaction of the ledger carried out.",
			Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		took: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "holdfast_ledger_batch_seconds", Help: "How long a transaction of the ledger took, failed ones too.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60},
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "holdfast_ledger_batches_failed_total", Help: "Transactions of the ledger that were not committed; most are tried again.",
		}),
	}
}

// observe notes a transaction that has ended.
func (m batchMetrics) observe(operations int, began time.Time, err error) {
	m.operations.Observe(float64(operations))
	m.took.Observe(time.Since(began).Seconds())
	if err != nil {
		m.failed.Inc()
	}
}

// Collectors are the metrics of this ledger, for the registry of the process.
func (l *Ledger) Collectors() []prometheus.Collector {
	refused := func(reason string, count func(Stats) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "holdfast_ledger_refused_total", Help: "Ledger operations refused, by reason: damage (run the audit) or clock.",
			ConstLabels: prometheus.Labels{"reason": reason},
		}, func() float64 { return float64(count(l.Stats())) })
	}
	return []prometheus.Collector{
		l.batches.operations, l.batches.took, l.batches.failed,
		refused("damage", func(s Stats) int64 { return s.Refused }),
		refused("clock", func(s Stats) int64 { return s.WrongClock }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "holdfast_ledger_damaged_organizations",
			Help: "Organizations whose credits this process has found damaged; the log names them.",
		}, func() float64 { return float64(l.Stats().Damaged) }),
	}
}
