package dashboard

import (
	"context"
	"net/http"
	"slices"
	"time"

	"holdfast/internal/billing"
	"holdfast/internal/order"
	"holdfast/internal/plan"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/o/{org}", handle: (*visit).home},
		route{method: http.MethodGet, path: "/o/{org}/balances", handle: (*visit).balances},
	)
}

const (
	spendingDays   = 14
	spendingWithin = 2 * time.Second // a very long journal is not worth waiting for
)

type orderPage struct {
	Orders     []order.Order `json:"orders"`
	NextCursor string        `json:"next_cursor"`
}

type homePage struct {
	Credits  billing.Credits
	PlanName string
	Reset    *time.Time // when the next credit month begins; nil where the plan has none
	Days     []day
	Most     int64 // of a day
	Spent    int64 // of all days
	Running  []order.Order
	Recent   []order.Order
	Shown    []order.Order // the running ones, then the recent ones
	Valid    int64         // contacts of recent orders that were valid
	Verified int64
}

// day is what was charged on a day of the organization.
type day struct {
	Start time.Time
	Spent int64
}

// Height is that of the day's bar in the chart.
func (d day) Height(most int64) int64 {
	if d.Spent == 0 {
		return 0
	}
	return max(2, d.Spent*80/max(1, most))
}

// X is where the bar of the i-th day begins.
func (d day) X(i int) int { return 3 + 20*i }

// Y is where the bar begins, from above.
func (d day) Y(most int64) int64 { return 82 - d.Height(most) }

func (v *visit) home() error {
	var page homePage
	var err error
	if page.Credits, err = v.credits(); err != nil {
		return err
	}
	var list orderPage
	if err := v.call(http.MethodGet, "/orders?limit=50", nil, &list); err != nil {
		return err
	}
	for _, o := range list.Orders {
		if !o.Status.Over() {
			page.Running = append(page.Running, o)
		} else if len(page.Recent) < 8 {
			page.Recent = append(page.Recent, o)
		}
		page.Valid += o.Tally.Valid
		page.Verified += o.Tally.Verified()
	}
	page.Shown = slices.Concat(page.Running, page.Recent)
	terms, err := v.Accounts.Plan(v.r.Context(), v.Org.Plan, v.Org.PlanVersion)
	if err != nil {
		return err
	}
	page.PlanName, page.Reset = terms.Name, v.Org.NextReset
	if page.Credits.Period != nil && slices.ContainsFunc(page.Credits.Credits, func(c billing.Credit) bool { return c.Pool == string(plan.Member) }) {
		page.Reset = &page.Credits.Period.End // of the licence, which has a month of its own
	}
	page.Days = v.spending()
	for _, d := range page.Days {
		page.Most = max(page.Most, d.Spent)
		page.Spent += d.Spent
	}
	return v.render(http.StatusOK, "home", "Home", page)
}

// spending adds up the charges of the last days; nothing where that takes too long.
func (v *visit) spending() []day {
	ctx, cancel := context.WithTimeout(v.r.Context(), spendingWithin)
	defer cancel()
	zone, err := v.Org.Location()
	if err != nil {
		zone = time.UTC
	}
	now := v.Org.Time(clock()).In(zone)
	bounds := make([]time.Time, spendingDays+1)
	for i := range bounds {
		bounds[i] = time.Date(now.Year(), now.Month(), now.Day()-spendingDays+1+i, 0, 0, 0, 0, zone)
	}
	used, err := v.Ledger.UsageWithin(ctx, v.Org.ID, bounds)
	if err != nil {
		v.Log.InfoContext(v.r.Context(), "The spending of days was not added up.", "error", err)
		return nil
	}
	days := make([]day, spendingDays)
	for i := range days {
		days[i].Start = bounds[i]
		for _, u := range used[i] {
			if only := v.ID.Only(); only == "" || only == u.Member {
				days[i].Spent += u.Captured - u.Reversed
			}
		}
		days[i].Spent = max(0, days[i].Spent)
	}
	return days
}

// balances is the sidebar's part that is refreshed while a page is open.
func (v *visit) balances() error {
	credits, err := v.credits()
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return pages["home"].ExecuteTemplate(v.w, "balances", view{visit: v, Credits: balances(credits)})
}
