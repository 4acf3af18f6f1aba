package dashboard

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"holdfast/internal/outbox"
	"holdfast/internal/webhook"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodPost, path: "/o/{org}/settings/webhooks", needs: admin, handle: (*visit).addWebhook},
		route{method: http.MethodGet, path: "/o/{org}/settings/webhooks/{id}", needs: admin, handle: (*visit).webhook},
		route{method: http.MethodPost, path: "/o/{org}/settings/webhooks/{id}", needs: admin, handle: (*visit).changeWebhook},
		route{method: http.MethodPost, path: "/o/{org}/settings/webhooks/{id}/delete", needs: admin, handle: (*visit).deleteWebhook},
		route{method: http.MethodPost, path: "/o/{org}/settings/webhooks/{id}/enable", needs: admin, handle: (*visit).enableWebhook},
		route{method: http.MethodPost, path: "/o/{org}/settings/webhooks/{id}/test", needs: admin, handle: (*visit).testWebhook},
		route{method: http.MethodPost, path: "/o/{org}/settings/webhooks/{id}/rotate", needs: admin, handle: (*visit).rotateWebhook},
		route{method: http.MethodPost, path: "/o/{org}/settings/webhooks/{id}/replay", needs: admin, handle: (*visit).replayWebhook},
		route{method: http.MethodPost, path: "/o/{org}/settings/webhooks/{id}/{delivery}/resend", needs: admin, handle: (*visit).resend},
	)
}

// addWebhook makes an endpoint; its secret is shown this once.
func (v *visit) addWebhook() error {
	var made struct {
		Secret string `json:"secret"`
	}
	body := map[string]any{"url": strings.TrimSpace(v.r.PostForm.Get("url"))}
	if events := split(v.r.PostForm.Get("events")); len(events) > 0 {
		body["events"] = events
	}
	if err := v.call(http.MethodPost, "/webhooks", body, &made); err != nil {
		return err
	}
	return v.showSettings(made.Secret)
}

func (v *visit) deleteWebhook() error {
	if err := v.call(http.MethodDelete, "/webhooks/"+pathEscape(v.r.PathValue("id")), nil, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("settings"))
}

func (v *visit) enableWebhook() error {
	if err := v.call(http.MethodPost, "/webhooks/"+pathEscape(v.r.PathValue("id"))+"/enable", nil, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("settings"))
}

// webhookPath is a webhook's in the API.
func (v *visit) webhookPath(more string) string {
	return "/webhooks/" + pathEscape(v.r.PathValue("id")) + more
}

type webhookPage struct {
	Webhook    webhook.Endpoint   `json:"-"`
	Topics     []string           `json:"-"`
	Deliveries []webhook.Delivery `json:"deliveries"`
	Next       string             `json:"next_cursor"`
	Note       string             `json:"-"`
	Tested     *webhook.Tested    `json:"-"`
	Secret     string             `json:"-"` // that was just made
}

func (v *visit) webhook() error {
	var page webhookPage
	asked := v.r.URL.Query()
	switch n := asked.Get("sent"); {
	case asked.Get("done") != "":
		page.Note = "Saved."
	case n == "0":
		page.Note = "There is nothing to send again."
	case n != "":
		page.Note = "Events that are sent again: " + n + "."
	}
	return v.showWebhook(page)
}

func (v *visit) showWebhook(page webhookPage) error {
	page.Topics = outbox.Names()
	if err := v.call(http.MethodGet, v.webhookPath(""), nil, &page.Webhook); err != nil {
		return err
	}
	cursor := v.r.URL.Query().Get("cursor")
	if err := v.call(http.MethodGet, v.webhookPath("/deliveries?cursor="+url.QueryEscape(cursor)), nil, &page); err != nil {
		return err
	}
	if page.Next != "" {
		page.Next = v.Path("settings/webhooks/"+page.Webhook.ID) + "?cursor=" + url.QueryEscape(page.Next)
	}
	return v.render(http.StatusOK, "webhook", "Webhook", page)
}

func (v *visit) toWebhook(query string) error {
	return v.redirect(v.Path("settings/webhooks/"+pathEscape(v.r.PathValue("id"))) + "?" + query)
}

// changeWebhook changes the address and the events, or pauses and resumes.
func (v *visit) changeWebhook() error {
	form := v.r.PostForm
	body := map[string]any{}
	if paused := form.Get("paused"); paused != "" {
		body["paused"] = paused == "true"
	} else {
		body["url"], body["events"] = strings.TrimSpace(form.Get("url")), append([]string{}, split(form.Get("events"))...)
	}
	if err := v.call(http.MethodPatch, v.webhookPath(""), body, nil); err != nil {
		return err
	}
	return v.toWebhook("done=1")
}

// testWebhook shows what the endpoint answers to an example.
func (v *visit) testWebhook() error {
	page := webhookPage{Tested: &webhook.Tested{}}
	if err := v.call(http.MethodPost, v.webhookPath("/test"), map[string]string{"event": v.r.PostForm.Get("event")}, page.Tested); err != nil {
		return err
	}
	return v.showWebhook(page)
}

func (v *visit) rotateWebhook() error {
	var made struct {
		Secret string `json:"secret"`
	}
	if err := v.call(http.MethodPost, v.webhookPath("/rotate"), map[string]any{}, &made); err != nil {
		return err
	}
	return v.showWebhook(webhookPage{Secret: made.Secret})
}

// replayWebhook sends again what the endpoint has not taken.
func (v *visit) replayWebhook() error {
	var done struct {
		Deliveries int64 `json:"deliveries"`
	}
	if err := v.call(http.MethodPost, v.webhookPath("/replay"), map[string]any{"failed": true}, &done); err != nil {
		return err
	}
	return v.toWebhook("sent=" + strconv.FormatInt(done.Deliveries, 10))
}

func (v *visit) resend() error {
	if err := v.call(http.MethodPost, v.webhookPath("/deliveries/"+pathEscape(v.r.PathValue("delivery"))+"/resend"), nil, nil); err != nil {
		return err
	}
	return v.toWebhook("sent=1")
}
