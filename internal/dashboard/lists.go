package dashboard

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/outbox"
	"holdfast/internal/suppression"
	"holdfast/internal/webhook"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/o/{org}/suppressions", needs: admin, handle: (*visit).suppressions},
		route{method: http.MethodPost, path: "/o/{org}/suppressions", needs: admin, handle: (*visit).changeSuppressions},
		route{method: http.MethodPost, path: "/o/{org}/suppressions/upload", needs: admin, streams: true, upload: true, handle: (*visit).uploadSuppressions},
		route{method: http.MethodGet, path: "/o/{org}/events", needs: admin, handle: (*visit).eventList},
		route{method: http.MethodPost, path: "/o/{org}/events/{id}/replay", needs: admin, handle: (*visit).replay},
	)
}

type suppressionsPage struct {
	Entries []suppression.Entry `json:"suppressions"`
	Next    string              `json:"next_cursor"`
	Note    string              // what was just done
	Problem string              // why nothing was
	Text    string              // the form as it was sent
	Checked []checked
}

// checked is whether an entry is on the list.
type checked struct {
	Entry      string `json:"entry"`
	Suppressed bool   `json:"suppressed"`
}

func (v *visit) suppressions() error {
	page := suppressionsPage{}
	if n := v.r.URL.Query().Get("added"); n != "" {
		page.Note = n + " new entries."
	}
	return v.showSuppressions(http.StatusOK, page)
}

func (v *visit) showSuppressions(status int, page suppressionsPage) error {
	query := url.Values{"limit": {"50"}}
	if cursor := v.r.URL.Query().Get("cursor"); cursor != "" {
		query.Set("cursor", cursor)
	}
	if err := v.call(http.MethodGet, "/suppressions?"+query.Encode(), nil, &page); err != nil {
		return err
	}
	if page.Next != "" {
		page.Next = v.Path("suppressions") + "?cursor=" + url.QueryEscape(page.Next)
	}
	return v.render(status, "suppressions", "Suppression list", page)
}

// changeSuppressions adds, removes or checks entries, as the button says.
func (v *visit) changeSuppressions() error {
	form := v.r.PostForm
	entries := strings.FieldsFunc(form.Get("entries"), func(r rune) bool { return strings.ContainsRune(" ,;\r\n\t", r) })
	page := suppressionsPage{Text: form.Get("entries")}
	body := map[string]any{"entries": entries}
	var done struct {
		Added   int64     `json:"added"`
		Removed int64     `json:"removed"`
		Results []checked `json:"results"`
	}
	var err error
	switch form.Get("do") {
	case "remove":
		err = v.call(http.MethodPost, "/suppressions/remove", body, &done)
		page.Note = number(done.Removed) + " entries were taken off the list."
	case "check":
		err = v.call(http.MethodPost, "/suppressions/check", body, &done)
		page.Note, page.Checked = "", done.Results
	default:
		if reason := strings.TrimSpace(form.Get("reason")); reason != "" {
			body["reason"] = reason
		}
		err = v.call(http.MethodPost, "/suppressions", body, &done)
		page.Note = number(done.Added) + " new entries; no order delivers them from now on."
	}
	status := http.StatusOK
	var problem *api.Problem
	switch {
	case errors.As(err, &problem) && problem.Status == http.StatusUnprocessableEntity:
		page.Note, page.Problem, status = "", problem.Detail, problem.Status
	case err != nil:
		return err
	default:
		page.Text = ""
	}
	return v.showSuppressions(status, page)
}

func (v *visit) uploadSuppressions() error {
	parts, err := v.r.MultipartReader()
	if err != nil {
		return &api.Problem{Status: http.StatusBadRequest, Title: "The form cannot be read", Detail: "Send the form again."}
	}
	token := ""
	for {
		part, err := parts.NextPart()
		if err != nil {
			if v.goodToken(token) {
				return v.showSuppressions(http.StatusUnprocessableEntity, suppressionsPage{Problem: "Choose a file."})
			}
			return errToken
		}
		if part.FormName() == "file" {
			if !v.goodToken(token) {
				return errToken
			}
			return v.keepSuppressions(part)
		}
		if text, err := io.ReadAll(io.LimitReader(part, maxForm)); err == nil && part.FormName() == "csrf" {
			token = string(text)
		}
	}
}

func (v *visit) keepSuppressions(file *multipart.Part) error {
	r, err := v.request(http.MethodPost, "/suppressions/upload", file)
	if err != nil {
		return err
	}
	r.ContentLength = -1
	r.Header.Set("Content-Type", "text/csv")
	var done struct {
		Added int64 `json:"added"`
	}
	var problem *api.Problem
	if err := v.ask(r, &done); errors.As(err, &problem) {
		return v.showSuppressions(problem.Status, suppressionsPage{Problem: problem.Detail})
	} else if err != nil {
		return err
	}
	return v.redirect(v.Path("suppressions") + "?added=" + strconv.FormatInt(done.Added, 10))
}

type eventsPage struct {
	Events []webhook.Event `json:"events"`
	Next   string          `json:"next_cursor"`
	Types  []string
	Asked  url.Values
	Done   string
	All    bool // of all organizations

	Filtered bool
}

func (v *visit) eventList() error {
	asked, query := v.r.URL.Query(), url.Values{"limit": {strconv.Itoa(pageSize)}}
	page := eventsPage{Types: outbox.Names(), Asked: asked, Done: asked.Get("done"), All: v.Org.ID == "", Filtered: filtered(asked, "type", "from", "to", "org")}
	names := []string{"type"}
	if page.All {
		names = append(names, "org")
	}
	for _, name := range names {
		if value := asked.Get(name); value != "" {
			query.Set(name, value)
		}
	}
	v.setDays(query)
	read := func(there *visit, cursor string) ([]webhook.Event, string, error) {
		var list eventsPage
		err := there.listOf("/events", query, cursor, &list)
		return list.Events, list.Next, err
	}
	var err error
	if page.All {
		page.Events, page.Next, err = merged(v, asked.Get("cursor"), pageSize, read, func(e webhook.Event) time.Time { return e.Timestamp })
	} else {
		page.Events, page.Next, err = read(v, asked.Get("cursor"))
	}
	if err != nil {
		return err
	}
	if page.Next != "" {
		page.Next = v.nextPage(page.Next)
	}
	title := "Events"
	if page.All {
		title = "All events"
	}
	return v.render(http.StatusOK, "events", title, page)
}

// replay sends an event to the webhooks that subscribe to it once more.
func (v *visit) replay() error {
	var done struct {
		Deliveries int64 `json:"deliveries"`
	}
	if err := v.call(http.MethodPost, "/events/"+pathEscape(v.r.PathValue("id"))+"/replay", map[string]any{}, &done); err != nil {
		return err
	}
	return v.redirect(v.Path("events") + "?done=" + strconv.FormatInt(done.Deliveries, 10))
}
