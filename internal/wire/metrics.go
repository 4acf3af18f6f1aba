package wire

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/verdicts"
)

// countWithin is what a scrape gives the database to answer.
const countWithin = 2 * time.Second

// count registers the metrics of the rooms.
func (r *Rooms) count() error {
	if r.Telemetry == nil {
		return nil
	}
	var errs []error
	for _, c := range append(r.Ledger.Collectors(), r.Reconcile, r.countOutages()) {
		errs = append(errs, r.Telemetry.Registry.Register(c))
	}
	return errors.Join(errs...)
}

// countOutages counts the outages of verification that workers have noted.
func (r *Rooms) countOutages() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "holdfast_verification_outages_total", Help: "Times that a worker could verify nothing, whichever mail host it asked.",
	}, func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), countWithin)
		defer cancel()
		_, count, err := verdicts.Outages(ctx, r.Pool)
		if err != nil {
			r.Log.Warn("The outages of verification could not be counted.", "error", err)
		}
		return float64(count)
	})
}
