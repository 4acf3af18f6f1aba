package dashboard

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/billing"
	"holdfast/internal/plan"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/o/{org}/plan", handle: (*visit).plan},
		route{method: http.MethodPost, path: "/o/{org}/plan", needs: operator, handle: (*visit).changePlan},
		route{method: http.MethodGet, path: "/o/{org}/manage", needs: operator, handle: (*visit).manage},
		route{method: http.MethodPost, path: "/o/{org}/manage/{step}", needs: operator, handle: (*visit).manageStep},
		route{method: http.MethodGet, path: "/operator/plans/{id}", needs: operator, handle: (*visit).editPlan},
		route{method: http.MethodPost, path: "/operator/plans/{id}", needs: operator, handle: (*visit).previewPlan},
		route{method: http.MethodPost, path: "/operator/plans/{id}/save", needs: operator, handle: (*visit).savePlan},
	)
}

type planPage struct {
	Plan    *plan.Plan
	Actions []pricedAction
	Credits []typedCredit
	Plans   []*plan.Plan // that it can change to
	To      *plan.Plan   // of the preview
	Change  billing.Change
	TopUps  []account.TopUp
	Effects []effect
	Done    bool
}

type typedCredit struct {
	Type string
	plan.Credit
}

// effect is one thing that is different under the other plan.
type effect struct{ What, Before, After string }

// plan shows what each action costs and, with ?to, what a change of plan would
// bring.
func (v *visit) plan() error {
	terms, err := v.Accounts.Plan(v.r.Context(), v.Org.Plan, v.Org.PlanVersion)
	if err != nil {
		return err
	}
	page := planPage{Plan: terms, Done: v.r.URL.Query().Get("done") != ""}
	for name, a := range terms.Actions {
		page.Actions = append(page.Actions, pricedAction{name, a})
	}
	slices.SortFunc(page.Actions, func(a, b pricedAction) int { return cmp.Compare(a.Name, b.Name) })
	for _, t := range terms.CreditTypes() {
		page.Credits = append(page.Credits, typedCredit{t, terms.Credits[t]})
	}
	if page.Plans, err = v.Accounts.Plans(v.r.Context()); err != nil {
		return err
	}
	to := v.r.URL.Query().Get("to")
	if to != "" && v.ID.IsAdmin() {
		path := "/orgs/" + pathEscape(v.Org.ID) + "/plan-preview?plan=" + url.QueryEscape(to)
		if err := v.call(http.MethodGet, path, nil, &page.Change); err != nil {
			return err
		}
		if page.To, err = v.Accounts.Plan(v.r.Context(), page.Change.PlanID, page.Change.PlanVersion); err != nil {
			return err
		}
		page.Effects, page.TopUps = effects(terms, page.To), page.Change.TopUps
	}
	return v.render(http.StatusOK, "plan", "Plan", page)
}

// effects compares two plans in the words of the page.
func effects(from, to *plan.Plan) (list []effect) {
	add := func(what, before, after string) {
		if before != after {
			list = append(list, effect{what, before, after})
		}
	}
	types := map[string]bool{}
	for _, p := range []*plan.Plan{from, to} {
		for t := range p.Credits {
			types[t] = true
		}
	}
	for _, t := range slices.Sorted(maps.Keys(types)) {
		add(label(t)+" credits per period", allotmentText(from, t), allotmentText(to, t))
	}
	names := map[string]bool{}
	for _, p := range []*plan.Plan{from, to} {
		for name := range p.Actions {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		add(label(name), priceText(from, name), priceText(to, name))
	}
	add("Unused credits of an order come back", delayText(from.RefundDelay), delayText(to.RefundDelay))
	add("A bounce is credited back", windowText(from.BounceWindow), windowText(to.BounceWindow))
	return list
}

func delayText(d time.Duration) string {
	if d == 0 {
		return "at once"
	}
	return "after " + durationText(d)
}

func windowText(d time.Duration) string {
	if d == 0 {
		return "never"
	}
	return "within " + durationText(d)
}

// durationText is a duration in whole days where it is some, else as Go writes it,
// without parts that are zero.
func durationText(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "1 day"
	case d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	case d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return d.String()
}

func allotmentText(p *plan.Plan, t string) string {
	c, ok := p.Credits[t]
	switch {
	case !ok:
		return "none"
	case p.Period != plan.Month || c.Allotment == 0:
		return "only what is bought"
	}
	what := map[plan.Owner]string{plan.Member: " for each member", plan.Organization: " shared"}[c.Owner]
	return number(c.Allotment) + what + ", unused ones " + map[plan.PeriodEnd]string{plan.Expire: "expire", plan.RollOver: "roll over", plan.NeverExpires: "stay"}[c.AtPeriodEnd]
}

func priceText(p *plan.Plan, name string) string {
	a, ok := p.Actions[name]
	if !ok {
		return "not sold"
	}
	var parts []string
	for _, c := range a.Charges {
		parts = append(parts, fmt.Sprintf("%s %s per %s", number(c.Amount), label(c.Type), c.Per))
	}
	return cmp.Or(strings.Join(parts, ", "), "free")
}

func (v *visit) changePlan() error {
	path := "/orgs/" + pathEscape(v.Org.ID) + "/plan"
	if err := v.call(http.MethodPut, path, map[string]string{"plan": v.r.PostForm.Get("plan")}, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("plan") + "?done=1")
}

type managePage struct {
	Problem string // why the last step was refused
	Done    string
}

func (v *visit) manage() error {
	return v.render(http.StatusOK, "manage", "Manage", managePage{Done: v.r.URL.Query().Get("done")})
}

// manageStep suspends, resumes or closes the organization. Closing asks for its
// id, so that no other is closed by mistake.
func (v *visit) manageStep() error {
	form, step := v.r.PostForm, v.r.PathValue("step")
	path := "/orgs/" + pathEscape(v.Org.ID) + "/" + pathEscape(step)
	var err error
	switch step {
	case "suspend", "resume":
		err = v.call(http.MethodPost, path, nil, nil)
	case "close":
		if strings.TrimSpace(form.Get("confirm")) != v.Org.ID {
			return v.render(http.StatusUnprocessableEntity, "manage", "Manage", managePage{Problem: "Write the id of the organization to close it."})
		}
		err = v.call(http.MethodPost, path, map[string]any{"reason": form.Get("reason"), "erase": form.Get("erase") != ""}, nil)
	default:
		return errNoPage
	}
	var problem *api.Problem
	if errors.As(err, &problem) && (problem.Status == http.StatusConflict || problem.Status == http.StatusUnprocessableEntity) {
		return v.render(problem.Status, "manage", "Manage", managePage{Problem: problem.Detail})
	}
	if err != nil {
		return err
	}
	return v.redirect(v.Path("manage") + "?done=" + step)
}

type planEditPage struct {
	ID      string
	Version int
	Text    string
	Problem string
	Changes []effect
	Preview bool
	Users   int // organizations on the newest version; they keep it
}

func (v *visit) newestPlan() (*plan.Plan, string, error) {
	var text json.RawMessage
	if err := v.call(http.MethodGet, "/plans/"+pathEscape(v.r.PathValue("id")), nil, &text); err != nil {
		return nil, "", err
	}
	p, err := plan.Parse("plan", text)
	return p, pretty(withoutVersion(text)), err
}

// withoutVersion leaves out what the store gives.
func withoutVersion(text json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if json.Unmarshal(text, &fields) != nil {
		return text
	}
	delete(fields, "version")
	shorter, err := json.Marshal(fields)
	if err != nil {
		return text
	}
	return shorter
}

func (v *visit) editPlan() error {
	p, text, err := v.newestPlan()
	if err != nil {
		return err
	}
	return v.render(http.StatusOK, "planedit", "Edit a plan", planEditPage{ID: p.ID, Version: p.Version, Text: text})
}

// previewPlan shows what an edited plan would change, or why it is no plan.
func (v *visit) previewPlan() error {
	now, before, err := v.newestPlan()
	if err != nil {
		return err
	}
	page := planEditPage{ID: now.ID, Version: now.Version, Text: v.r.PostForm.Get("plan")}
	next, err := plan.Parse("plan", []byte(page.Text))
	switch {
	case err != nil:
		page.Problem = err.Error()
	case next.ID != now.ID:
		page.Problem = "The plan's id is " + next.ID + "; it must stay " + now.ID + "."
	}
	if page.Problem != "" {
		return v.render(http.StatusUnprocessableEntity, "planedit", "Edit a plan", page)
	}
	after, err := next.MarshalJSON()
	if err != nil {
		return err
	}
	page.Preview, page.Changes = true, differences(before, string(withoutVersion(after)))
	orgs, err := v.orgs()
	if err != nil {
		return err
	}
	for _, o := range orgs {
		if o.Plan == now.ID {
			page.Users++
		}
	}
	return v.render(http.StatusOK, "planedit", "Edit a plan", page)
}

func (v *visit) savePlan() error {
	next, err := plan.Parse("plan", []byte(v.r.PostForm.Get("plan")))
	if err != nil {
		return &api.Problem{Status: http.StatusUnprocessableEntity, Title: "The plan is not valid", Detail: "Preview it again."}
	}
	text, err := next.MarshalJSON()
	if err != nil {
		return err
	}
	if err := v.inAll(func(there *visit) error {
		return there.call(http.MethodPut, "/plans/"+pathEscape(v.r.PathValue("id")), withoutVersion(text), nil)
	}); err != nil {
		return err
	}
	return v.redirect(Prefix + "/operator/plans")
}

// differences compares two JSON texts field by field.
func differences(before, after string) (list []effect) {
	old, fresh := map[string]string{}, map[string]string{}
	flatten(before, old)
	flatten(after, fresh)
	names := maps.Clone(old)
	maps.Copy(names, fresh)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if old[name] != fresh[name] {
			list = append(list, effect{name, cmp.Or(old[name], "–"), cmp.Or(fresh[name], "–")})
		}
	}
	return list
}

// flatten writes every value of a JSON text under its path.
func flatten(text string, into map[string]string) {
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch value := value.(type) {
		case map[string]any:
			for name, inner := range value {
				walk(strings.TrimPrefix(path+"."+name, "."), inner)
			}
		case []any:
			for i, inner := range value {
				walk(fmt.Sprintf("%s[%d]", path, i), inner)
			}
		default:
			shown, _ := json.Marshal(value) //nolint:errchkjson // it came as JSON
			into[path] = string(shown)
		}
	}
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) == nil {
		walk("", value)
	}
}
