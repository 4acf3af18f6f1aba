package orderbook

import (
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/order"
)

func newEnded() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "holdfast_orders_ended_total", Help: "Orders that this process has ended, by kind and the status they ended in.",
	}, []string{"kind", "status"})
}

// count counts an order that has just got its status, if that is its last.
func (b *Book) count(o order.Order) {
	if o.Status.Over() {
		b.ended.WithLabelValues(string(o.Kind), string(o.Status)).Inc()
	}
}

// Collectors are the metrics of this book, for the registry of the process.
func (b *Book) Collectors() []prometheus.Collector { return []prometheus.Collector{b.ended} }
