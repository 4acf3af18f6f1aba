package dashboard

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/billing"
	"holdfast/internal/plan"
	"holdfast/internal/webhook"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/o/{org}/team", needs: admin, handle: (*visit).team},
		route{method: http.MethodPost, path: "/o/{org}/team", needs: admin, handle: (*visit).addMember},
		route{method: http.MethodPost, path: "/o/{org}/team/{member}/budget", needs: admin, handle: (*visit).setBudget},
		route{method: http.MethodPost, path: "/o/{org}/team/{member}/email", needs: admin, handle: (*visit).setEmail},
		route{method: http.MethodPost, path: "/o/{org}/team/{member}/link", needs: admin, handle: (*visit).loginLink},
		route{method: http.MethodPost, path: "/o/{org}/team/{member}", needs: admin, handle: (*visit).changeMember},
		route{method: http.MethodPost, path: "/o/{org}/team/{member}/remove", needs: admin, handle: (*visit).removeMember},
		route{method: http.MethodGet, path: "/o/{org}/settings", handle: (*visit).settings},
		route{method: http.MethodPost, path: "/o/{org}/settings", needs: admin, handle: (*visit).changeSettings},
	)
}

type memberUse struct {
	account.Member
	Period *billing.Period `json:"period"`
	Usage  []struct {
		Type string `json:"type"`
		Pool string `json:"pool"`
		Used int64  `json:"used"`
	} `json:"usage"`
	Budgets []plan.Amount `json:"budgets"`

	Own []billing.Credit `json:"-"` // the credits of the licence
}

type teamPage struct {
	Members []memberUse
	Types   []string
	SignOn  bool   // single sign-on is offered
	Link    string // a login link that was just made
	For     string
}

func (v *visit) team() error { return v.showTeam("", "") }

func (v *visit) showTeam(link, member string) error {
	list := struct {
		Members []memberUse `json:"members"`
	}{}
	if err := v.call(http.MethodGet, "/orgs/"+pathEscape(v.Org.ID)+"/members", nil, &list); err != nil {
		return err
	}
	var all billing.Credits
	if err := v.call(http.MethodGet, "/credits", nil, &all); err != nil {
		return err
	}
	page := teamPage{Members: list.Members, SignOn: v.OIDC.Issuer != "", Link: link, For: member}
	for _, c := range all.Credits {
		if !slices.Contains(page.Types, c.Type) {
			page.Types = append(page.Types, c.Type)
		}
		for i := range page.Members {
			if c.Member == page.Members[i].ID {
				page.Members[i].Own = append(page.Members[i].Own, c)
			}
		}
	}
	return v.render(http.StatusOK, "team", "Team", page)
}

func (v *visit) addMember() error {
	form := v.r.PostForm
	if err := v.call(http.MethodPost, "/orgs/"+pathEscape(v.Org.ID)+"/members", map[string]string{
		"id": strings.TrimSpace(form.Get("id")), "name": strings.TrimSpace(form.Get("name")), "role": form.Get("role"), "email": strings.TrimSpace(form.Get("email")),
	}, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("team"))
}

func (v *visit) setBudget() error {
	var amount *int64
	if value := strings.ReplaceAll(strings.TrimSpace(v.r.PostForm.Get("amount")), ",", ""); value != "" {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return &api.Problem{Status: http.StatusUnprocessableEntity, Title: "The budget is not valid", Detail: "A budget is a whole number of credits, or empty for no limit."}
		}
		amount = &n
	}
	if err := v.call(http.MethodPut, v.memberPath()+"/budget", map[string]any{"type": v.r.PostForm.Get("type"), "amount": amount}, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("team"))
}

// setEmail changes by which address single sign-on knows a member.
func (v *visit) setEmail() error {
	if err := v.call(http.MethodPatch, v.memberPath(), map[string]string{"email": strings.TrimSpace(v.r.PostForm.Get("email"))}, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("team"))
}

// memberPath is a member's in the API.
func (v *visit) memberPath() string {
	return "/orgs/" + pathEscape(v.Org.ID) + "/members/" + pathEscape(v.r.PathValue("member"))
}

func (v *visit) changeMember() error {
	form := v.r.PostForm
	body := map[string]string{"name": strings.TrimSpace(form.Get("name")), "role": form.Get("role")}
	if err := v.call(http.MethodPatch, v.memberPath(), body, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("team"))
}

// removeMember asks for the id, so that no one is removed by mistake.
func (v *visit) removeMember() error {
	if id := v.r.PathValue("member"); strings.TrimSpace(v.r.PostForm.Get("confirm")) != id {
		return &api.Problem{Status: http.StatusUnprocessableEntity, Title: "No member was removed", Detail: "Write the id " + id + " to confirm that this member is removed."}
	}
	if err := v.call(http.MethodDelete, v.memberPath(), nil, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("team"))
}

func (v *visit) changeSettings() error {
	form := v.r.PostForm
	body := map[string]string{"name": strings.TrimSpace(form.Get("name")), "time_zone": strings.TrimSpace(form.Get("time_zone"))}
	if err := v.call(http.MethodPatch, "/orgs/"+pathEscape(v.Org.ID), body, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("settings") + "?done=1")
}

// loginLink shows an admin a link that logs a member in, once.
func (v *visit) loginLink() error {
	m, secret, err := v.Accounts.CreateLoginLink(v.r.Context(), v.Org.ID, v.r.PathValue("member"), 0)
	if err != nil {
		return errNoPage
	}
	return v.showTeam(LoginLink(origin(v.r), secret), m.Name)
}

// LoginLink is the address of a login link on a server.
func LoginLink(server, secret string) string {
	return server + Prefix + "/login/link?token=" + url.QueryEscape(secret)
}

type settingsPage struct {
	Plan     *plan.Plan
	Actions  []pricedAction
	Webhooks []webhook.Endpoint
	Secret   string // of a webhook that was just made
	Done     bool
}

type pricedAction struct {
	Name string
	plan.Action
}

func (v *visit) settings() error { return v.showSettings("") }

func (v *visit) showSettings(secret string) error {
	terms, err := v.Accounts.Plan(v.r.Context(), v.Org.Plan, v.Org.PlanVersion)
	if err != nil {
		return err
	}
	page := settingsPage{Plan: terms, Secret: secret, Done: v.r.URL.Query().Get("done") != ""}
	for name, a := range terms.Actions {
		page.Actions = append(page.Actions, pricedAction{name, a})
	}
	slices.SortFunc(page.Actions, func(a, b pricedAction) int { return cmp.Compare(a.Name, b.Name) })
	if v.ID.IsAdmin() {
		list := struct {
			Webhooks []webhook.Endpoint `json:"webhooks"`
		}{}
		if err := v.call(http.MethodGet, "/webhooks", nil, &list); err != nil {
			return err
		}
		page.Webhooks = list.Webhooks
	}
	return v.render(http.StatusOK, "settings", "Settings", page)
}
