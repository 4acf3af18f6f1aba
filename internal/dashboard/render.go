package dashboard

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"html/template"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/lead"
	"holdfast/internal/order"
)

//go:embed templates
var files embed.FS

// pages are the templates, each with the layout.
var pages = parse()

var functions = template.FuncMap{
	"n": number, "rate": rate, "label": label, "cap": func(v any) string {
		text := label(v)
		return strings.ToUpper(text[:min(1, len(text))]) + text[min(1, len(text)):]
	}, "first": cmp.Or[string], "join": strings.Join,
	"pair":  func(v view, orders []order.Order) []any { return []any{v, orders} },
	"list":  func(items ...string) []string { return items },
	"kinds": order.KindNames,
	"items": func(items ...any) []any { return items },
	"add":   func(a, b int64) int64 { return a + b }, "sub": func(a, b int64) int64 { return a - b },
	"money": money, "amount": func(n int64) string { return strings.Fields(money(n, "x"))[0] }, "pretty": pretty,
	"column": column, "len64": func(rows []lead.BadRow) int64 { return int64(len(rows)) }, "percent": percent, "share": portion, "deref": func(t *time.Time) time.Time { return cmp.Or(t, &time.Time{}).UTC() },
}

func parse() map[string]*template.Template {
	base := template.Must(template.New("").Funcs(functions).ParseFS(files, "templates/layout.html", "templates/parts.html"))
	entries, err := files.ReadDir("templates")
	template.Must(base, err)
	all := map[string]*template.Template{}
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".html")
		if name != "layout" && name != "parts" {
			all[name] = template.Must(template.Must(base.Clone()).ParseFS(files, "templates/"+e.Name()))
		}
	}
	return all
}

// number writes a number with separators.
func number(n int64) string {
	text := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, text = "−", text[1:]
	}
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return sign + text
}

// rate writes how many a second, with a digit behind the point where there are few.
func rate(n float64) string {
	if n < 10 {
		return strconv.FormatFloat(n, 'f', -1, 64)
	}
	return number(int64(math.Round(n)))
}

// label makes a name of the API readable: direct_email → direct email.
func label(v any) string {
	var text string
	switch name := v.(type) {
	case string:
		text = name
	case order.Kind:
		text = string(name)
	case order.Status:
		text = string(name)
	case order.Field:
		text = string(name)
	case account.Role:
		text = string(name)
	}
	return strings.ReplaceAll(text, "_", " ")
}

// percent is a whole number from 0 to 100.
func percent(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return min(100, max(0, part*100/whole))
}

// columns that are not written as their names are.
var columnNames = map[string]string{"mx_host": "Mail host", "smtp_code": "SMTP reply", "smtp_enhanced": "Enhanced code", "checked_at": "Checked"}

// column is the heading of a column of results.
func column(name string) string {
	if heading := columnNames[name]; heading != "" {
		return heading
	}
	return strings.ToUpper(name[:1]) + label(name[1:])
}

// portion is a percentage for reading: what there is, is more than nothing.
func portion(part, whole int64) string {
	if p := percent(part, whole); p > 0 || part <= 0 {
		return strconv.FormatInt(p, 10)
	}
	return "< 1"
}

// view is what a template gets.
type view struct {
	*visit
	Title   string
	Section string // of the navigation
	Body    any
	Notices []notice
	Credits []balance // of the sidebar
	Orgs    []account.Org
	AtOrg   bool // the page is about an organization

	LoggedIn bool
}

// notice is a sentence at the top of a page.
type notice struct {
	Level string // info or warn
	Text  string
	Link  string
}

// balance is the sum of what may be spent of a type.
type balance struct {
	Type      string
	Available int64
	Held      int64
}

// When is a time in the zone of the organization.
func (v view) When(t any) string { return v.format(t, "2 Jan 2006, 15:04 MST") }

// Stamp is a time of a results file in the zone of the organization.
func (v view) Stamp(text string) string {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return text
	}
	return v.When(at)
}

// Minute is a time of this or the next year in the zone of the organization.
func (v view) Minute(t time.Time) string { return v.format(t, "2 Jan, 15:04 MST") }

// Day is a day in the zone of the organization.
func (v view) Day(t any) string { return v.format(t, "2 Jan 2006") }

// LastDay is the last day before an end.
func (v view) LastDay(t any) string {
	end := at(t)
	if end.IsZero() {
		return "–"
	}
	return v.format(end.Add(-time.Second), "2 Jan 2006")
}

// at is a time that may be missing.
func at(t any) time.Time {
	switch t := t.(type) {
	case time.Time:
		return t
	case *time.Time:
		if t != nil {
			return *t
		}
	}
	return time.Time{}
}

func (v view) format(t any, layout string) string {
	at := at(t)
	if at.IsZero() {
		return "–"
	}
	zone, err := v.Org.Location()
	if err != nil {
		zone = time.UTC
	}
	return at.In(zone).Format(layout)
}

// render writes a page. It is rendered into memory first: a page that fails
// becomes an error page, never half a page.
func (v *visit) render(status int, page, title string, body any) error {
	p := view{visit: v, Title: title, Section: page, Body: body, AtOrg: v.Org.ID != "", LoggedIn: v.secret != ""}
	if v.secret != "" {
		if err := v.surround(&p); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	if err := pages[page].ExecuteTemplate(&text, "layout", p); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = v.w.Write(withCardTables(text.Bytes())) // a client that is gone needs no page
	return nil
}

// surround fills in what stands on every page.
func (v *visit) surround(p *view) (err error) {
	if v.ID.IsOperator() {
		if p.Orgs, err = v.orgs(); err != nil {
			return err
		}
		for _, name := range v.silent {
			p.Notices = append(p.Notices, notice{"warn", "The cell " + name + " does not answer: what is in it is not shown.", ""})
		}
	}
	if v.Org.ID == "" {
		return nil
	}
	credits, err := v.credits()
	if err != nil {
		return err
	}
	p.Credits = balances(credits)
	return v.notices(p)
}

// credits are the caller's own and the shared ones; for the operator all.
func (v *visit) credits() (c billing.Credits, err error) {
	path := "/credits"
	if m := v.ID.Member(); m != "" {
		path += "?member=" + pathEscape(m)
	}
	return c, v.call(http.MethodGet, path, nil, &c)
}

func balances(credits billing.Credits) []balance {
	var sums []balance
	for _, c := range credits.Credits {
		if len(sums) == 0 || sums[len(sums)-1].Type != c.Type {
			at := -1
			for i := range sums {
				if sums[i].Type == c.Type {
					at = i
				}
			}
			if at >= 0 {
				sums[at].Available += c.Available
				sums[at].Held += c.Held
				continue
			}
			sums = append(sums, balance{Type: c.Type})
		}
		sums[len(sums)-1].Available += c.Available
		sums[len(sums)-1].Held += c.Held
	}
	return sums
}

// notices are what people should know, shown on every page.
func (v *visit) notices(p *view) error {
	if v.Org.Status != account.StatusActive {
		p.Notices = append(p.Notices, notice{"warn", "This organization is " + string(v.Org.Status) + ": it starts no orders.", ""})
	}
	if at := v.Org.TestClock; at != nil {
		p.Notices = append(p.Notices, notice{"info", "Test clock: the time of this organization is " + p.When(*at) + ".", ""})
	}
	if message := v.outage(v.r.Context()); message != "" {
		p.Notices = append(p.Notices, notice{"warn", "Verification is interrupted; running orders continue by themselves afterwards. " + message, ""})
	}
	if err := v.lowBalances(p); err != nil {
		return err
	}
	for _, status := range []order.Status{order.Verifying, order.Reserved} {
		var running orderPage
		if err := v.call(http.MethodGet, "/orders?limit=20&status="+string(status), nil, &running); err != nil {
			return err
		}
		for _, o := range running.Orders {
			if o.Paused {
				p.Notices = append(p.Notices, notice{"info", "An order is paused.", v.Path("orders/" + o.ID)})
				return nil
			}
		}
	}
	return nil
}

// lowBalances notices balances that are low by the thresholds that count: the
// organization's own, or the plan's.
func (v *visit) lowBalances(p *view) error {
	var watched struct {
		Thresholds []billing.Watch `json:"thresholds"`
	}
	path := "/credits/thresholds"
	if m := v.ID.Member(); m != "" {
		path += "?member=" + pathEscape(m)
	}
	if err := v.call(http.MethodGet, path, nil, &watched); err != nil {
		return err
	}
	for _, w := range watched.Thresholds {
		if slices.ContainsFunc(w.Thresholds, func(t billing.WatchThreshold) bool { return t.At != nil && w.Available <= *t.At }) {
			p.Notices = append(p.Notices, notice{"info", "Low balance: " + number(w.Available) + " " + label(w.Type) + " credits are left.", v.Path("credits")})
		}
	}
	return nil
}

func (v *visit) outage(ctx context.Context) string {
	if v.Outage == nil {
		return ""
	}
	message, err := v.Outage(ctx)
	if err != nil {
		v.Log.WarnContext(ctx, "The state of verification is not known.", "error", err)
	}
	return message
}
