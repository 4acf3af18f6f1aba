package dashboard

import (
	"crypto/rand"
	"net/http"

	"holdfast/internal/account"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/o/{org}/keys", needs: admin, handle: (*visit).keys},
		route{method: http.MethodPost, path: "/o/{org}/keys", needs: admin, handle: (*visit).addKey},
		route{method: http.MethodPost, path: "/o/{org}/keys/{id}/revoke", needs: admin, handle: (*visit).revokeKey},
	)
}

// newKey is an idempotency key of a form.
func newKey() string { return "web-" + rand.Text() }

type keysPage struct {
	Keys    []account.Key `json:"keys"`
	Members []memberUse   `json:"-"`
	Secret  string        `json:"-"` // of a key that was just made
}

func (v *visit) keys() error { return v.showKeys("") }

func (v *visit) showKeys(secret string) error {
	page := keysPage{Secret: secret}
	if err := v.call(http.MethodGet, "/orgs/"+pathEscape(v.Org.ID)+"/keys", nil, &page); err != nil {
		return err
	}
	list := struct {
		Members []memberUse `json:"members"`
	}{}
	if err := v.call(http.MethodGet, "/orgs/"+pathEscape(v.Org.ID)+"/members", nil, &list); err != nil {
		return err
	}
	page.Members = list.Members
	return v.render(http.StatusOK, "keys", "API keys", page)
}

func (v *visit) addKey() error {
	var made struct {
		Key string `json:"key"`
	}
	body := map[string]string{"member": v.r.PostForm.Get("member")}
	if err := v.call(http.MethodPost, "/orgs/"+pathEscape(v.Org.ID)+"/keys", body, &made); err != nil {
		return err
	}
	return v.showKeys(made.Key)
}

func (v *visit) revokeKey() error {
	if err := v.call(http.MethodDelete, "/orgs/"+pathEscape(v.Org.ID)+"/keys/"+pathEscape(v.r.PathValue("id")), nil, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("keys"))
}
