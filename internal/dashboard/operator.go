package dashboard

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/api"
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
		route{method: http.MethodGet, path: "/operator/events", needs: operator, handle: (*visit).eventList},
		route{method: http.MethodGet, path: "/operator/resets", needs: operator, handle: (*visit).allResets},
		route{method: http.MethodGet, path: "/operator/plans", needs: operator, handle: (*visit).allPlans},
		route{method: http.MethodGet, path: "/o/{org}/resets", needs: operator, handle: (*visit).resets},
	)
}

type operatorPage struct {
	Orders []order.Order
	Lost   []lostWork
	NoLost []string // cells in which orders without a workflow are not known
	Outage []string
	Views  []View
}

func (v *visit) operator() error {
	var page operatorPage
	var err error
	if page.Orders, _, err = v.allOrders(url.Values{"limit": {"20"}}, "", 20); err != nil {
		return err
	}
	err = v.inEach(func(there *visit) error {
		if says := there.outage(there.r.Context()); says != "" {
			page.Outage = append(page.Outage, says)
		}
		if there.Views != nil {
			for _, view := range there.Views("") {
				page.Views = append(page.Views, View{view.Name + there.inCell(), view.URL})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	page.Lost, page.NoLost = v.lost()
	return v.render(http.StatusOK, "operator", "Operator", page)
}

// inCell names the cell where there are several.
func (v *visit) inCell() string {
	if v.Cell == "" {
		return ""
	}
	return " in the cell " + v.Cell
}

// allOrders is a page of the orders of all organizations in all cells.
func (v *visit) allOrders(query url.Values, cursor string, size int) ([]order.Order, string, error) {
	return merged(v, cursor, size, func(there *visit, cursor string) ([]order.Order, string, error) {
		var list orderPage
		err := there.listOf("/orders", query, cursor, &list)
		return list.Orders, list.NextCursor, err
	}, func(o order.Order) time.Time { return o.CreatedAt })
}

// listOf reads a page of an operator's list. An organization that is not in this cell
// has nothing in it.
func (v *visit) listOf(path string, query url.Values, cursor string, into any) error {
	asked := maps.Clone(query)
	asked.Set("cursor", cursor)
	err := v.call(http.MethodGet, path+"?"+asked.Encode(), nil, into)
	var refused *api.Problem
	if query.Get("org") != "" && errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return nil
	}
	return err
}

// askTemporal is how long a page waits for Temporal: while it is down the other
// things that the page shows are needed most.
const askTemporal = 3 * time.Second

// lostWork is an order without a running workflow, and where it is.
type lostWork struct {
	reconcile.Lost

	Cell string
}

// lost are the orders without a running workflow, and the cells in which they are not
// known.
func (v *visit) lost() (lost []lostWork, unknown []string) {
	for _, d := range v.everyone() {
		if d.Reconcile == nil {
			continue
		}
		ctx, cancel := context.WithTimeout(v.r.Context(), askTemporal)
		found, err := d.Reconcile.Find(ctx)
		cancel()
		if err != nil {
			v.Log.WarnContext(v.r.Context(), "Orders without a workflow were not looked for.", "cell", d.Cell, "error", err)
			unknown = append(unknown, d.Cell)
		}
		for _, l := range found {
			lost = append(lost, lostWork{l, d.Cell})
		}
	}
	return lost, unknown
}

// recover starts the workflow of an order again that has none.
func (v *visit) recover() error {
	there, err := v.cell(v.r.PostForm.Get("cell"))
	if err != nil {
		return err
	}
	if _, err := there.Reconcile.Recover(v.r.Context(), v.r.PathValue("id")); err != nil {
		return err
	}
	return v.redirect(Prefix + "/operator")
}

// resetsPage are the next resets of all organizations, the soonest first.
type resetsPage struct {
	Orgs []account.Org
	More int // organizations that are not shown
	Now  time.Time
}

// Due says whether the period has ended and is not reset yet.
func (p resetsPage) Due(o account.Org) bool { return !o.NextReset.After(o.Time(p.Now)) }

// resetsShown are enough to see what is due.
const resetsShown = 500

func (v *visit) allResets() error {
	page := resetsPage{Now: clock()}
	orgs, err := v.orgs()
	if err != nil {
		return err
	}
	for _, o := range orgs {
		if o.NextReset != nil && o.Status != account.StatusClosed {
			page.Orgs = append(page.Orgs, o)
		}
	}
	slices.SortStableFunc(page.Orgs, func(a, b account.Org) int { return a.NextReset.Compare(*b.NextReset) })
	page.More = max(0, len(page.Orgs)-resetsShown)
	page.Orgs = page.Orgs[:min(resetsShown, len(page.Orgs))]
	return v.render(http.StatusOK, "allresets", "Next resets", page)
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
