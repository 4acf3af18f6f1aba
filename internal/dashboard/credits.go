package dashboard

import (
	"net/http"
	"net/url"
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
}

// historyQuery is the filter of a history page as the API takes it. Days are
// days of the organization; the last one counts.
func (v *visit) historyQuery() url.Values {
	asked, query := v.r.URL.Query(), url.Values{}
	for _, name := range []string{"type", "kind", "member", "order"} {
		if value := asked.Get(name); value != "" {
			query.Set(name, value)
		}
	}
	zone, err := v.Org.Location()
	if err != nil {
		zone = time.UTC
	}
	for name, days := range map[string]int{"from": 0, "to": 1} {
		if day, err := time.ParseInLocation(time.DateOnly, asked.Get(name), zone); err == nil {
			query.Set(name, day.AddDate(0, 0, days).Format(time.RFC3339))
		}
	}
	return query
}

func (v *visit) history() error {
	asked, query := v.r.URL.Query(), v.historyQuery()
	page := historyPage{Asked: asked}
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
		asked.Set("cursor", page.History.NextCursor)
		page.Next = v.Path("credits") + "?" + asked.Encode()
	}
	return v.render(http.StatusOK, "credits", "Credits", page)
}

func (v *visit) historyFile() error {
	return v.passOn("/credits/history.csv?" + v.historyQuery().Encode())
}

type ownedPage struct {
	Leads []lead.Paid `json:"leads"`
	Next  string      `json:"next_cursor"`
}

func (v *visit) owned() error {
	query := url.Values{"limit": {"50"}}
	if cursor := v.r.URL.Query().Get("cursor"); cursor != "" {
		query.Set("cursor", cursor)
	}
	var page ownedPage
	if err := v.call(http.MethodGet, "/leads/owned?"+query.Encode(), nil, &page); err != nil {
		return err
	}
	if page.Next != "" {
		page.Next = v.Path("leads") + "?cursor=" + url.QueryEscape(page.Next)
	}
	return v.render(http.StatusOK, "owned", "Leads", page)
}
