package dashboard

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/billing"
	"holdfast/internal/order"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/o/{org}/orders", handle: (*visit).orders},
		route{method: http.MethodGet, path: "/o/{org}/orders/{id}", handle: (*visit).order},
		route{method: http.MethodGet, path: "/o/{org}/orders/{id}/contacts", handle: (*visit).contacts},
		route{method: http.MethodGet, path: "/o/{org}/orders/{id}/events", streams: true, handle: (*visit).events},
		route{method: http.MethodGet, path: "/o/{org}/orders/{id}/results.csv", streams: true, handle: (*visit).results},
		route{method: http.MethodGet, path: "/o/{org}/orders/{id}/results.ndjson", streams: true, handle: (*visit).results},
		route{method: http.MethodPost, path: "/o/{org}/orders/{id}/cancel", handle: (*visit).move},
		route{method: http.MethodPost, path: "/o/{org}/orders/{id}/pause", handle: (*visit).move},
		route{method: http.MethodPost, path: "/o/{org}/orders/{id}/resume", handle: (*visit).move},
		route{method: http.MethodPost, path: "/o/{org}/orders/{id}/reverse", needs: operator, handle: (*visit).reverse},
	)
}

type ordersPage struct {
	Orders  []order.Order
	Asked   url.Values
	Next    string // address of the next page
	Running bool   // some order on the page is not over
	All     bool   // of all organizations

	Filtered bool
}

// pageSize is how many entries a list shows.
const pageSize = 50

func (v *visit) orders() error {
	asked := v.r.URL.Query()
	page := ordersPage{Asked: asked, All: v.Org.ID == "", Filtered: filtered(asked, "status", "kind", "member", "from", "to", "org")}
	query := url.Values{"limit": {strconv.Itoa(pageSize)}}
	v.setDays(query)
	names := []string{"status", "kind", "member", "cursor"}
	if page.All {
		names = append(names, "org")
	}
	for _, name := range names {
		if value := asked.Get(name); value != "" {
			query.Set(name, value)
		}
	}
	var list orderPage
	var err error
	if page.All {
		query.Del("cursor")
		list.Orders, list.NextCursor, err = v.allOrders(query, asked.Get("cursor"), pageSize)
	} else {
		err = v.call(http.MethodGet, "/orders?"+query.Encode(), nil, &list)
	}
	if err != nil {
		return err
	}
	page.Orders = list.Orders
	for _, o := range list.Orders {
		page.Running = page.Running || !o.Status.Over()
	}
	if list.NextCursor != "" {
		page.Next = v.nextPage(list.NextCursor)
	}
	title := "Orders"
	if page.All {
		title = "All orders"
	}
	return v.render(http.StatusOK, "orders", title, page)
}

type singlePage struct {
	Order    order.Order
	Asked    order.Request
	Criteria [][2]string
	Steps    []step
	Shares   []share
	History  []billing.Entry
	Workflow string
	Views    []View
	Note     string
	Key      string // makes a double click one reversal
	contactTable
}

// share is a verdict's part of the chart, which is 1,000 wide.
type share struct {
	Verdict  string
	Count    int64
	X, Width int64
}

func shares(t order.Tally) []share {
	var list []share
	var before int64
	all := t.Verified()
	for _, s := range []share{
		{Verdict: "valid", Count: t.Valid},
		{Verdict: "invalid", Count: t.Invalid},
		{Verdict: "catch_all", Count: t.CatchAll},
		{Verdict: "risky", Count: t.Risky},
		{Verdict: "disposable", Count: t.Disposable},
		{Verdict: "unknown", Count: t.Unknown},
	} {
		if s.Count == 0 {
			continue
		}
		s.X = before * 1000 / all
		before += s.Count
		s.Width = before*1000/all - s.X
		list = append(list, s)
	}
	return list
}

// criteriaOf lists the criteria that an order has, each with its values.
func criteriaOf(c order.Criteria) [][2]string {
	var list [][2]string
	add := func(name string, values ...string) {
		if text := strings.Join(values, ", "); text != "" {
			list = append(list, [2]string{name, text})
		}
	}
	add("country", c.Country...)
	add("region", c.Region...)
	add("city", c.City...)
	add("industry", c.Industry...)
	add("title", c.Title)
	add("seniority", c.Seniority...)
	add("department", c.Department...)
	add("company", c.Company...)
	add("domain", c.Domain...)
	if c.HeadcountMin > 0 {
		add("headcount from", number(c.HeadcountMin))
	}
	if c.HeadcountMax > 0 {
		add("headcount to", number(c.HeadcountMax))
	}
	if c.HasPhone {
		add("has a phone number", "yes")
	}
	if c.HasDirectEmail {
		add("has a direct email", "yes")
	}
	return list
}

// step is a point of an order's timeline.
type step struct {
	Name string
	At   *time.Time
	Done bool
	Now  bool
	Bad  bool
	Text string
}

func (v *visit) order() error {
	id := v.r.PathValue("id")
	page := singlePage{Key: newKey(), Note: map[string]string{
		"cancel":  "The order is being cancelled. What was delivered stays; the rest of the hold is given back in a moment.",
		"pause":   "The order is paused. Batches that had begun are finished and charged.",
		"resume":  "The order continues.",
		"placed":  "The order is placed; its credits are held.",
		"reverse": "What the order charged is credited back.",
	}[v.r.URL.Query().Get("done")]}
	if err := v.call(http.MethodGet, "/orders/"+pathEscape(id), nil, &page.Order); err != nil {
		return err
	}
	var err error
	if page.Asked, err = v.Book.Request(v.r.Context(), id); err != nil {
		return err
	}
	var history billing.History
	if err := v.call(http.MethodGet, "/credits/history?limit=20&order="+url.QueryEscape(id), nil, &history); err != nil {
		return err
	}
	page.History = history.Entries
	page.Steps, page.Shares, page.Criteria = timeline(page.Order), shares(page.Order.Tally), criteriaOf(page.Asked.Criteria)
	if page.Order.Tally.Verified() > 0 {
		first := contactRows{limit: 10}
		if err := v.readContacts(page.Order, &first); err != nil {
			return err
		}
		page.contactTable = first.table()
	}
	if v.ID.IsOperator() && v.Workflow != nil {
		page.Workflow = v.Workflow(id)
	}
	if v.ID.IsOperator() && v.Views != nil {
		page.Views = v.Views(v.Org.ID)
	}
	return v.render(http.StatusOK, "order", "Order "+shortID(id), page)
}

// timeline says how far an order is.
func timeline(o order.Order) []step {
	begun := o.Status != order.Reserved && o.Status != order.Rejected
	steps := []step{
		{Name: "Reserved", At: &o.CreatedAt, Done: o.Status != order.Rejected, Text: "credits are held"},
		{Name: "Selected", Done: o.Selected > 0, Text: number(o.Selected) + " contacts"},
		{Name: "Verifying", Done: o.CompletedAt != nil, Now: o.Status == order.Verifying, Text: number(o.Tally.Verified()) + " verified"},
		{Name: "Delivered", At: o.CompletedAt, Done: o.CompletedAt != nil, Text: number(o.Tally.Valid) + " valid"},
	}
	switch o.Status {
	case order.Rejected:
		return []step{{Name: "Rejected", At: o.SettledAt, Done: true, Bad: true, Text: "nothing was held"}}
	case order.Cancelled, order.Failed:
		var reached []step
		for _, s := range steps {
			if s.Done {
				reached = append(reached, s)
			}
		}
		return append(reached, step{Name: strings.ToUpper(string(o.Status[:1])) + string(o.Status[1:]), At: o.SettledAt, Done: true, Bad: true, Text: "the rest of the hold was given back"})
	case order.Reserved, order.Verifying, order.Completed, order.Settled:
	}
	steps[0].Now = !begun
	return append(steps, step{Name: "Settled", At: cmp.Or(o.SettledAt, o.RefundAt), Done: o.Status == order.Settled, Now: o.Status == order.Completed, Text: settleText(o)})
}

func settleText(o order.Order) string {
	if o.Status == order.Completed {
		return "the refund is due"
	}
	return "the rest of the hold is given back"
}

func shortID(id string) string {
	if len(id) > 12 {
		return id[:12] + "…"
	}
	return id
}

func (v *visit) events() error {
	return v.passOn("/orders/" + pathEscape(v.r.PathValue("id")) + "/events")
}

func (v *visit) results() error {
	format := v.r.URL.Path[strings.LastIndex(v.r.URL.Path, ".")+1:]
	return v.passOn("/orders/" + pathEscape(v.r.PathValue("id")) + "/results." + format)
}

// move cancels, pauses or resumes an order.
func (v *visit) move() error {
	word := v.r.URL.Path[strings.LastIndex(v.r.URL.Path, "/")+1:]
	id := v.r.PathValue("id")
	if err := v.call(http.MethodPost, "/orders/"+pathEscape(id)+"/"+word, nil, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("orders/"+id) + "?done=" + word)
}

// reverse credits back what an order charged.
func (v *visit) reverse() error {
	id, form := v.r.PathValue("id"), v.r.PostForm
	body := map[string]string{"reason": strings.TrimSpace(form.Get("reason"))}
	if err := v.call(http.MethodPost, "/orders/"+pathEscape(id)+"/reverse", body, nil, "Idempotency-Key", form.Get("key")); err != nil {
		return err
	}
	return v.redirect(v.Path("orders/"+id) + "?done=reverse")
}

// Charged is what the order has charged and not credited back.
func (p singlePage) Charged() (n int64) {
	for _, c := range p.Order.Credits {
		n += c.Captured - c.Reversed
	}
	return n
}
