package dashboard

import (
	"context"
	"net/http"
	"time"

	"holdfast/internal/billing"
	"holdfast/internal/order"
	"holdfast/internal/plan"
	"holdfast/internal/reconcile"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/operator", needs: operator, handle: (*visit).operator},
		route{method: http.MethodGet, path: "/operator/orders", needs: operator, handle: (*visit).orders},
		route{method: http.MethodPost, path: "/operator/recover/{id}", needs: operator, handle: (*visit).recover},
		route{method: http.MethodGet, path: "/operator/plans", needs: operator, handle: (*visit).allPlans},
		route{method: http.MethodGet, path: "/o/{org}/resets", needs: operator, handle: (*visit).resets},
	)
}

type operatorPage struct {
	Orders []order.Order
	Lost   []reconcile.Lost
	NoLost bool // which orders have no workflow is not known
	Outage string
	Views  []View
}

func (v *visit) operator() error {
	var list orderPage
	if err := v.call(http.MethodGet, "/orders?limit=20", nil, &list); err != nil {
		return err
	}
	page := operatorPage{Orders: list.Orders, Outage: v.outage(v.r.Context())}
	if v.Views != nil {
		page.Views = v.Views("")
	}
	page.Lost, page.NoLost = v.lost()
	return v.render(http.StatusOK, "operator", "Operator", page)
}

// askTemporal is how long a page waits for Temporal: while it is down the other
// things that the page shows are needed most.
const askTemporal = 3 * time.Second

// lost are the orders without a running workflow, unless they are not known.
func (v *visit) lost() (lost []reconcile.Lost, unknown bool) {
	if v.Reconcile == nil {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), askTemporal)
	defer cancel()
	lost, err := v.Reconcile.Find(ctx)
	if err != nil {
		v.Log.WarnContext(v.r.Context(), "Orders without a workflow were not looked for.", "error", err)
	}
	return lost, err != nil
}

// recover starts the workflow of an order again that has none.
func (v *visit) recover() error {
	if _, err := v.Reconcile.Recover(v.r.Context(), v.r.PathValue("id")); err != nil {
		return err
	}
	return v.redirect(Prefix + "/operator")
}

func (v *visit) allPlans() error {
	plans, err := v.Accounts.Plans(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "plans", "Plans", struct{ Plans []*plan.Plan }{plans})
}

func (v *visit) resets() error {
	var preview billing.Preview
	query := "?at=" + v.Org.Time(clock()).AddDate(0, 1, 0).UTC().Format("2006-01-02T15:04:05Z")
	if err := v.call(http.MethodGet, "/orgs/"+pathEscape(v.Org.ID)+"/reset-preview"+query, nil, &preview); err != nil {
		return err
	}
	return v.render(http.StatusOK, "resets", "Next resets", preview)
}
