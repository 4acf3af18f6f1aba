package ledger

import "github.com/prometheus/client_golang/prometheus"

// Collectors are the metrics of this ledger, for the registry of the process.
func (l *Ledger) Collectors() []prometheus.Collector {
	refused := func(reason string, count func(Stats) int64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "holdfast_ledger_refused_total", Help: "Ledger operations refused, by reason: damage (run the audit) or clock.",
			ConstLabels: prometheus.Labels{"reason": reason},
		}, func() float64 { return float64(count(l.Stats())) })
	}
	return []prometheus.Collector{
		refused("damage", func(s Stats) int64 { return s.Refused }),
		refused("clock", func(s Stats) int64 { return s.WrongClock }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "holdfast_ledger_damaged_organizations",
			Help: "Organizations whose credits this process has found damaged; the log names them.",
		}, func() float64 { return float64(l.Stats().Damaged) }),
	}
}
