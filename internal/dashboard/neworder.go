package dashboard

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"holdfast/internal/api"
	"holdfast/internal/lead"
	"holdfast/internal/order"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/o/{org}/new", handle: (*visit).newOrder},
		route{method: http.MethodGet, path: "/o/{org}/new/leads", handle: (*visit).leadForm},
		route{method: http.MethodGet, path: "/o/{org}/new/list", handle: (*visit).listForm},
		route{method: http.MethodPost, path: "/o/{org}/new/list", streams: true, upload: true, handle: (*visit).upload},
		route{method: http.MethodGet, path: "/o/{org}/new/reveal", handle: (*visit).revealForm},
		route{method: http.MethodGet, path: "/o/{org}/new/export", handle: (*visit).exportForm},
		route{method: http.MethodPost, path: "/o/{org}/new/quote", handle: (*visit).quote},
		route{method: http.MethodPost, path: "/o/{org}/new/place", handle: (*visit).place},
	)
}

// sells is what the plan of the organization sells.
type sells struct {
	LeadList, Verify, Export bool
	Reveal, Enrich           []string // fields
}

func (v *visit) sells() (s sells, err error) {
	terms, err := v.Accounts.Plan(v.r.Context(), v.Org.Plan, v.Org.PlanVersion)
	if err != nil {
		return s, err
	}
	has := func(action string) bool { _, ok := terms.Action(action); return ok }
	s.LeadList, s.Verify, s.Export = has(order.LeadList.Action("")), has(order.Verify.Action("")), has(order.Export.Action(""))
	for _, f := range order.Fields {
		if has(order.Reveal.Action(f)) {
			s.Reveal = append(s.Reveal, string(f))
		}
		if has(order.Enrich.Action(f)) {
			s.Enrich = append(s.Enrich, string(f))
		}
	}
	return s, nil
}

func (v *visit) newOrder() error {
	s, err := v.sells()
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "new", "New order", s)
}

// leadsPage is the form of a lead list with what its criteria find.
type leadsPage struct {
	Asked   url.Values
	Found   bool
	Count   int64
	Owned   int64
	Preview []lead.PreviewLead
	Problem string // why nothing was counted
}

// criteriaFields are the criteria that take several values, with commas between.
var criteriaFields = []string{"country", "region", "city", "industry", "seniority", "department", "company", "domain"}

func (v *visit) leadForm() error {
	page := leadsPage{Asked: v.r.URL.Query()}
	query := url.Values{"preview": {"8"}}
	for _, f := range criteriaFields {
		for _, value := range split(page.Asked.Get(f)) {
			query.Add(f, value)
		}
	}
	for _, f := range []string{"title", "headcount_min", "headcount_max", "has_phone", "has_direct_email"} {
		if value := page.Asked.Get(f); value != "" {
			query.Set(f, value)
		}
	}
	var found struct {
		Leads        int64              `json:"leads"`
		AlreadyOwned int64              `json:"already_owned"`
		Preview      []lead.PreviewLead `json:"preview"`
	}
	var problem *api.Problem
	err := v.call(http.MethodGet, "/leads?"+query.Encode(), nil, &found)
	if errors.As(err, &problem) && problem.Status == http.StatusUnprocessableEntity {
		page.Problem = strings.Join(pageError{Problem: problem}.Says(), " ")
		return v.render(problem.Status, "leads", "New lead list", page)
	}
	if err != nil {
		return err
	}
	page.Count, page.Owned, page.Preview = found.Leads, found.AlreadyOwned, found.Preview
	return v.render(http.StatusOK, "leads", "New lead list", page)
}

func split(values string) []string {
	var list []string
	for value := range strings.SplitSeq(values, ",") {
		if value = strings.TrimSpace(value); value != "" {
			list = append(list, value)
		}
	}
	return list
}

// listPage is a list that was uploaded, or the form to upload one.
type listPage struct {
	sells
	List    *lead.List
	Bad     []lead.BadRow // the first rows that cannot be used
	Problem string
	Text    string // the form as it was sent
	Column  string
}

// listForm asks for a list, and shows what was read of one with ?list.
func (v *visit) listForm() error {
	return v.showList(http.StatusOK, listPage{})
}

// badRows are how many rows that cannot be used the page shows; the others stand
// in the result.
const badRows = 20

func (v *visit) showList(status int, page listPage) (err error) {
	if page.sells, err = v.sells(); err != nil {
		return err
	}
	if id := v.r.URL.Query().Get("list"); id != "" {
		page.List = &lead.List{}
		if err := v.call(http.MethodGet, "/lists/"+pathEscape(id), nil, page.List); err != nil {
			return err
		}
		if page.Bad, err = v.Catalogue.BadRows(v.r.Context(), v.Org.ID, page.List.ID, badRows); err != nil {
			return err
		}
	}
	return v.render(status, "list", "Verify or enrich a list", page)
}

// upload takes a list from a form: the token, the column, then pasted text or a
// file, which is passed on while it arrives.
func (v *visit) upload() error {
	parts, err := v.r.MultipartReader()
	if err != nil {
		return &api.Problem{Status: http.StatusBadRequest, Title: "The form cannot be read", Detail: "Send the form again."}
	}
	fields := map[string]string{}
	for {
		part, err := parts.NextPart()
		if err != nil {
			break // the end, or a form that was cut off: the check below says so
		}
		if part.FormName() == "file" && part.FileName() != "" {
			return v.keepList(fields, part)
		}
		text, err := io.ReadAll(io.LimitReader(part, maxForm+1))
		if err != nil {
			break
		}
		if len(text) > maxForm { // a part of a list would be another list
			return errTooLarge
		}
		fields[part.FormName()] = string(text)
	}
	return v.keepList(fields, strings.NewReader(fields["text"]))
}

func (v *visit) keepList(fields map[string]string, source io.Reader) error {
	if !v.goodToken(fields["csrf"]) {
		v.again = keep(v.r, url.Values{"column": {fields["column"]}, "text": {fields["text"]}})
		v.again.Upload = true
		return errToken
	}
	path := "/lists"
	if column := strings.TrimSpace(fields["column"]); column != "" {
		path += "?column=" + url.QueryEscape(column)
	}
	r, err := v.request(http.MethodPost, path, source)
	if err != nil {
		return err
	}
	r.ContentLength = -1
	r.Header.Set("Content-Type", "text/csv")
	var list lead.List
	var problem *api.Problem
	if err := v.ask(r, &list); errors.As(err, &problem) {
		return v.showList(problem.Status, listPage{Problem: problem.Detail, Text: fields["text"], Column: fields["column"]})
	} else if err != nil {
		return err
	}
	return v.redirect(v.Path("new/list") + "?list=" + url.QueryEscape(list.ID))
}

func (v *visit) revealForm() error {
	s, err := v.sells()
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "reveal", "Reveal leads", struct {
		sells
		IDs string
	}{s, v.r.URL.Query().Get("ids")})
}

func (v *visit) exportForm() error {
	var list orderPage
	if err := v.call(http.MethodGet, "/orders?limit=50", nil, &list); err != nil {
		return err
	}
	var done []order.Order
	for _, o := range list.Orders {
		if o.Status.Over() && o.Tally.Valid > 0 && o.Kind.Spec().Source != order.FromAddresses && !o.Kind.Spec().Exports {
			done = append(done, o)
		}
	}
	return v.render(http.StatusOK, "export", "Export leads", done)
}

// bodyOf reads an order from a form.
func bodyOf(form url.Values) (order.Body, error) {
	var b order.Body
	b.Kind = order.Kind(form.Get("kind"))
	b.Fill, b.IncludeOwned = form.Get("fill") != "", form.Get("include_owned") != ""
	b.ListID, b.OrderID = form.Get("list_id"), form.Get("order_id")
	for _, f := range form["fields"] {
		b.Fields = append(b.Fields, order.Field(f))
	}
	b.LeadIDs = strings.Fields(strings.ReplaceAll(form.Get("lead_ids"), ",", " "))
	b.Criteria = order.Criteria{
		Country: split(form.Get("country")), Region: split(form.Get("region")), City: split(form.Get("city")),
		Industry: split(form.Get("industry")), Title: strings.TrimSpace(form.Get("title")), Seniority: split(form.Get("seniority")),
		Department: split(form.Get("department")), Company: split(form.Get("company")), Domain: split(form.Get("domain")),
		HasPhone: form.Get("has_phone") != "", HasDirectEmail: form.Get("has_direct_email") != "",
	}
	for name, into := range map[string]*int64{"count": &b.Count, "headcount_min": &b.Criteria.HeadcountMin, "headcount_max": &b.Criteria.HeadcountMax} {
		value := strings.ReplaceAll(strings.TrimSpace(form.Get(name)), ",", "")
		if value == "" {
			continue
		}
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return b, &api.Problem{Status: http.StatusUnprocessableEntity, Title: "The order is not valid", Detail: "The " + label(name) + " is not a whole number."}
		}
		*into = n
	}
	return b, nil
}

// quotePage is what an order would come to, before the button.
type quotePage struct {
	Body    string // the order, as it is placed by the button
	Change  string // the page on which it can be changed
	Key     string // makes a double click one order
	Kind    order.Kind
	Count   int64
	Quote   order.Quote
	Refused string // why the order was rejected
	Missing []order.Amount
	Over    []order.Amount
}

func (v *visit) quote() error {
	body, err := bodyOf(v.r.PostForm)
	if err != nil {
		return err
	}
	page := quotePage{Key: newKey(), Kind: body.Kind, Count: body.Count}
	return v.showQuote(http.StatusOK, body, page)
}

func (v *visit) showQuote(status int, body order.Body, page quotePage) error {
	if err := v.call(http.MethodPost, "/quotes", body, &page.Quote); err != nil {
		return err
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	page.Body, page.Change = string(text), changePage(body)
	if page.Missing == nil {
		page.Missing = page.Quote.Missing
	}
	return v.render(status, "quote", "Quote", page)
}

// maxIDsInAddress is how much of the ids of leads an address carries.
const maxIDsInAddress = 4000

// changePage is the form of an order, filled in as it was asked for.
func changePage(b order.Body) string {
	query := url.Values{}
	add := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	page := "new"
	switch spec := b.Kind.Spec(); {
	case !spec.Exports && len(b.LeadIDs) > 0:
		page = "new/reveal"
		if ids := strings.Join(b.LeadIDs, " "); len(ids) < maxIDsInAddress {
			add("ids", ids)
		}
	case spec.Exports:
		page = "new/export"
	case b.ListID != "":
		page = "new/list"
		add("list", b.ListID)
	case spec.Source == order.FromCriteria:
		page = "new/leads"
		for _, c := range criteriaOf(b.Criteria) {
			if !strings.Contains(c[0], " ") {
				add(c[0], c[1])
			}
		}
		for name, n := range map[string]int64{"count": b.Count, "headcount_min": b.Criteria.HeadcountMin, "headcount_max": b.Criteria.HeadcountMax} {
			if n > 0 {
				add(name, strconv.FormatInt(n, 10))
			}
		}
		for name, on := range map[string]bool{"fill": b.Fill, "has_phone": b.Criteria.HasPhone, "has_direct_email": b.Criteria.HasDirectEmail} {
			if on {
				add(name, "true")
			}
		}
	}
	if len(query) > 0 {
		page += "?" + query.Encode()
	}
	return page
}

// place places the order of a quote. Sent twice it is the same order.
func (v *visit) place() error {
	body, err := order.ParseRequest([]byte(v.r.PostForm.Get("order")))
	if err != nil {
		return &api.Problem{Status: http.StatusUnprocessableEntity, Title: "The order is not valid", Detail: "Begin again with a new order."}
	}
	var placed order.Order
	err = v.call(http.MethodPost, "/orders", body, &placed, "Idempotency-Key", v.r.PostForm.Get("key"))
	var problem *api.Problem
	if errors.As(err, &problem) && problem.Status == http.StatusPaymentRequired {
		page := quotePage{Key: newKey(), Kind: body.Kind, Count: body.Count, Refused: problem.Detail, Missing: problem.Missing, Over: problem.Over}
		return v.showQuote(http.StatusPaymentRequired, body, page)
	}
	if errors.As(err, &problem) && problem.Status == http.StatusServiceUnavailable {
		page := quotePage{Key: v.r.PostForm.Get("key"), Kind: body.Kind, Count: body.Count, Refused: "The order could not be answered yet. It may be kept and run later; press the button again to see it. However often you press, it is one order."}
		return v.showQuote(http.StatusServiceUnavailable, body, page)
	}
	if err != nil {
		return err
	}
	return v.redirect(v.Path("orders/"+placed.ID) + "?done=placed")
}
