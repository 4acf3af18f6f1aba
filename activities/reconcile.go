package activities

import (
	"context"

	"holdfast/internal/reconcile"
)

// ReconcileActivities is what reconciling works with.
type ReconcileActivities struct {
	Reconciler *reconcile.Reconciler
}

// Reconciled is what reconciling has found and done.
type Reconciled = reconcile.Result

// Reconcile takes up again every open order that no workflow is running for. It
// may be repeated at any time.
func (a *ReconcileActivities) Reconcile(ctx context.Context) (Reconciled, error) {
	defer heartbeat(ctx, noProgress)()
	done, err := a.Reconciler.Run(ctx)
	return done, toTemporal(err)
}
