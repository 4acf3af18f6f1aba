package dashboard

import (
	"cmp"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/api"
	"holdfast/internal/billing"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/o/{org}/grants", needs: admin, handle: (*visit).grants},
		route{method: http.MethodPost, path: "/o/{org}/grants", needs: operator, handle: (*visit).grant},
		route{method: http.MethodPost, path: "/o/{org}/grants/{id}/void", needs: operator, handle: (*visit).void},
	)
}

type grantsPage struct {
	Grants []billing.Grant `json:"grants"`
	Next   string          `json:"next_cursor"`
	Types  []string        `json:"-"`
	Key    string          `json:"-"` // makes a double click one grant
	Note   string          `json:"-"`
}

func (v *visit) grants() error {
	var page grantsPage
	query := url.Values{"limit": {"50"}, "cursor": {v.r.URL.Query().Get("cursor")}}
	if err := v.call(http.MethodGet, "/orgs/"+pathEscape(v.Org.ID)+"/grants?"+query.Encode(), nil, &page); err != nil {
		return err
	}
	terms, err := v.Accounts.Plan(v.r.Context(), v.Org.Plan, v.Org.PlanVersion)
	if err != nil {
		return err
	}
	page.Types, page.Key = terms.CreditTypes(), newKey()
	if page.Next != "" {
		page.Next = v.Path("grants") + "?cursor=" + url.QueryEscape(page.Next)
	}
	asked := v.r.URL.Query()
	switch asked.Get("done") {
	case "grant":
		page.Note = "The credits are granted."
	case "void":
		taken, err := strconv.ParseInt(asked.Get("taken"), 10, 64)
		if err != nil {
			return errNoPage
		}
		page.Note = number(taken) + " credits were taken back. What is spent or held stays."
	}
	return v.render(http.StatusOK, "grants", "Purchases and grants", page)
}

// wholeNumber reads a number of credits from a form.
func wholeNumber(text string) (int64, error) {
	n, err := strconv.ParseInt(strings.ReplaceAll(strings.TrimSpace(text), ",", ""), 10, 64)
	if err != nil || n < 1 {
		return 0, &api.Problem{Status: http.StatusUnprocessableEntity, Title: "The amount is not valid", Detail: "An amount is a whole number of credits, 1 or more."}
	}
	return n, nil
}

func (v *visit) grant() error {
	form := v.r.PostForm
	amount, err := wholeNumber(form.Get("amount"))
	if err != nil {
		return err
	}
	body := map[string]any{"type": form.Get("type"), "amount": amount, "source": form.Get("source"), "reason": form.Get("reason")}
	if day := form.Get("expires"); day != "" {
		zone, err := v.Org.Location()
		if err != nil {
			return err
		}
		last, err := time.ParseInLocation(time.DateOnly, day, zone)
		if err != nil {
			return &api.Problem{Status: http.StatusUnprocessableEntity, Title: "The day is not valid", Detail: "Write the last day as YYYY-MM-DD."}
		}
		body["expires_at"] = last.AddDate(0, 0, 1)
	}
	if m := form.Get("member"); m != "" {
		body["member"] = m
	}
	if err := v.call(http.MethodPost, "/orgs/"+pathEscape(v.Org.ID)+"/grants", body, nil, "Idempotency-Key", form.Get("key")); err != nil {
		return err
	}
	return v.redirect(v.Path("grants") + "?done=grant")
}

// void takes back what is available of a grant, or a part of it.
func (v *visit) void() error {
	form := v.r.PostForm
	body := map[string]any{"reason": cmp.Or(strings.TrimSpace(form.Get("reason")), "taken back by the operator")}
	if text := form.Get("amount"); strings.TrimSpace(text) != "" {
		amount, err := wholeNumber(text)
		if err != nil {
			return err
		}
		body["amount"] = amount
	}
	var done billing.Voided
	path := "/orgs/" + pathEscape(v.Org.ID) + "/grants/" + pathEscape(v.r.PathValue("id")) + "/void"
	if err := v.call(http.MethodPost, path, body, &done, "Idempotency-Key", form.Get("key")); err != nil {
		return err
	}
	return v.redirect(v.Path("grants") + "?done=void&taken=" + strconv.FormatInt(done.Voided, 10))
}
