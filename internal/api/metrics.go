package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are of requests: per route, never per customer.
type metrics struct {
	open prometheus.Gauge
	took *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "holdfast_http_requests_open", Help: "Requests being answered, streams included.",
		}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "holdfast_http_request_seconds", Help: "How long requests took, by method, route and status.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"method", "route", "status"}),
	}
	registry.MustRegister(m.open, m.took)
	return m
}

// begin counts a request in; the function returned counts it out.
func (m *metrics) begin() func(method, route string, status int, took time.Duration) {
	m.open.Inc()
	return func(method, route string, status int, took time.Duration) {
		m.open.Dec()
		switch method {
		case http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead:
		default:
			method = "other" // clients cannot make up labels
		}
		m.took.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
	}
}
