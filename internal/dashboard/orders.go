package dashboard

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"holdfast/internal/billing"
	"holdfast/internal/lead"
	"holdfast/internal/order"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/o/{org}/orders", handle: (*visit).orders},
		route{method: http.MethodGet, path: "/o/{org}/orders/{id}", handle: (*visit).order},
		route{method: http.MethodGet, path: "/o/{org}/orders/{id}/events", streams: true, handle: (*visit).events},
		route{method: http.MethodGet, path: "/o/{org}/orders/{id}/results.csv", streams: true, handle: (*visit).results},
		route{method: http.MethodGet, path: "/o/{org}/orders/{id}/results.ndjson", streams: true, handle: (*visit).results},
		route{method: http.MethodPost, path: "/o/{org}/orders/{id}/cancel", handle: (*visit).move},
		route{method: http.MethodPost, path: "/o/{org}/orders/{id}/pause", handle: (*visit).move},
		route{method: http.MethodPost, path: "/o/{org}/orders/{id}/resume", handle: (*visit).move},
	)
}

type ordersPage struct {
	Orders  []order.Order
	Status  string
	Kind    string
	Next    string // address of the next page
	Running bool   // some order on the page is not over
}

func (v *visit) orders() error {
	asked := v.r.URL.Query()
	page := ordersPage{Status: asked.Get("status"), Kind: asked.Get("kind")}
	query := url.Values{"limit": {"50"}}
	for _, name := range []string{"status", "kind", "cursor"} {
		if value := asked.Get(name); value != "" {
			query.Set(name, value)
		}
	}
	var list orderPage
	if err := v.call(http.MethodGet, "/orders?"+query.Encode(), nil, &list); err != nil {
		return err
	}
	page.Orders = list.Orders
	for _, o := range list.Orders {
		page.Running = page.Running || !o.Status.Over()
	}
	if list.NextCursor != "" {
		query.Set("cursor", list.NextCursor)
		query.Del("limit")
		page.Next = v.Path("orders") + "?" + query.Encode()
	}
	return v.render(http.StatusOK, "orders", "Orders", page)
}

type singlePage struct {
	Order    order.Order
	Asked    order.Request
	Criteria [][2]string
	Steps    []step
	Shares   []share
	History  []billing.Entry
	Columns  []string
	Rows     [][]string
	Workflow string
	Views    []View
	Note     string
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
	page := singlePage{Note: map[string]string{
		"cancel": "The order is being cancelled. What was delivered stays; the rest of the hold is given back in a moment.",
		"pause":  "The order is paused. Batches that had begun are finished and charged.",
		"resume": "The order continues.",
		"placed": "The order is placed; its credits are held.",
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
		if page.Columns, page.Rows, err = v.firstRows(id); err != nil {
			return err
		}
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

// enough ends the writing of results when the first rows are there.
type enough struct {
	bytes.Buffer
	rows int
}

var errEnough = errors.New("enough rows")

func (e *enough) Write(b []byte) (int, error) {
	_, _ = e.Buffer.Write(b) // never fails
	if bytes.Count(e.Bytes(), []byte("\n")) >= e.rows {
		return len(b), errEnough
	}
	return len(b), nil
}

// shownColumns are those of the first rows, in their order.
var shownColumns = []string{"email", "field", "value", "first_name", "last_name", "title", "company", "country", "verdict", "reason", "mx_host", "smtp_code"}

// firstRows are the first rows of the results, under the rule of results files:
// of what was not delivered, no way to reach the person. The order was shown to
// the caller by the API before.
func (v *visit) firstRows(id string) (columns []string, rows [][]string, err error) {
	out := enough{rows: 10}
	err = v.Catalogue.WriteResults(v.r.Context(), &out, id, lead.NDJSON, lead.ResultOptions{All: true})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, nil, err
	}
	var read []map[string]any
	seen := map[string]bool{}
	for line := range strings.Lines(out.String()) {
		row := map[string]any{}
		if len(read) == out.rows || json.Unmarshal([]byte(line), &row) != nil { // the last line may be cut off
			break
		}
		read = append(read, row)
		for name, value := range row {
			seen[name] = seen[name] || text(value) != ""
		}
	}
	for _, c := range shownColumns {
		if seen[c] {
			columns = append(columns, c)
		}
	}
	for _, row := range read {
		cells := make([]string, len(columns))
		for i, c := range columns {
			cells[i] = text(row[c])
		}
		rows = append(rows, cells)
	}
	return columns, rows, nil
}

func text(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case nil:
		return ""
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(encoded)
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
