package dashboard

import (
	"net/http"
	"net/url"
	"slices"
	"time"

	"holdfast/internal/billing"
	"holdfast/internal/lead"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/o/{org}/credits", handle: (*visit).history},
		route{method: http.MethodGet, path: "/o/{org}/credits/history.csv", streams: true, handle: (*visit).historyFile},
		route{method: http.MethodGet, path: "/o/{org}/leads", handle: (*visit).owned},
	)
}

type historyPage struct {
	History billing.History
	Credits billing.Credits
	Asked   url.Values
	Next    string
	File    string
	Types   []string

	Filtered bool
}

// historyQuery is the filter of a history page as the API takes it.
func (v *visit) historyQuery() url.Values {
	asked, query := v.r.URL.Query(), url.Values{}
	for _, name := range []string{"type", "kind", "member", "order", "sort"} {
		if value := asked.Get(name); value != "" {
			query.Set(name, value)
		}
	}
	v.setDays(query)
	return query
}

// setDays puts the days of a filter into a query of the API. They are days of the
// organization; the last one counts.
func (v *visit) setDays(query url.Values) {
	zone, err := v.Org.Location()
	if err != nil {
		zone = time.UTC
	}
	for name, days := range map[string]int{"from": 0, "to": 1} {
		text := v.r.URL.Query().Get(name)
		if day, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
			text = day.AddDate(0, 0, days).Format(time.RFC3339)
		}
		if text != "" {
			query.Set(name, text) // what is no day the API refuses
		}
	}
}

// filtered says whether a filter of the page is set.
func filtered(asked url.Values, names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return asked.Get(name) != "" })
}

func (v *visit) history() error {
	asked, query := v.r.URL.Query(), v.historyQuery()
	page := historyPage{Asked: asked, Filtered: filtered(asked, "from", "to", "type", "kind", "member", "order")}
	var err error
	if page.Credits, err = v.credits(); err != nil {
		return err
	}
	for _, b := range balances(page.Credits) {
		page.Types = append(page.Types, b.Type)
	}
	asked.Del("cursor")
	page.File = v.Path("credits/history.csv") + "?" + asked.Encode()
	query.Set("limit", "50")
	if cursor := v.r.URL.Query().Get("cursor"); cursor != "" {
		query.Set("cursor", cursor)
	}
	if err := v.call(http.MethodGet, "/credits/history?"+query.Encode(), nil, &page.History); err != nil {
		return err
	}
	if page.History.NextCursor != "" {
		page.Next = v.nextPage(page.History.NextCursor)
	}
	return v.render(http.StatusOK, "credits", "Credits", page)
}

func (v *visit) historyFile() error {
	return v.passOn("/credits/history.csv?" + v.historyQuery().Encode())
}

type ownedPage struct {
	Leads []lead.Paid `json:"leads"`
	Next  string      `json:"next_cursor"`
	Find  string      `json:"-"`
}

func (v *visit) owned() error {
	asked, query := v.r.URL.Query(), url.Values{"limit": {"50"}}
	for _, name := range []string{"find", "cursor"} {
		if value := asked.Get(name); value != "" {
			query.Set(name, value)
		}
	}
	page := ownedPage{Find: asked.Get("find")}
	if err := v.call(http.MethodGet, "/leads/owned?"+query.Encode(), nil, &page); err != nil {
		return err
	}
	if page.Next != "" {
		page.Next = v.nextPage(page.Next)
	}
	return v.render(http.StatusOK, "owned", "Leads", page)
}
