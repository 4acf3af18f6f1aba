package dashboard

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/api"
	"holdfast/internal/billing"
	"holdfast/internal/order"
	"holdfast/internal/payment"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/o/{org}/buy", needs: admin, handle: (*visit).buyForm},
		route{method: http.MethodPost, path: "/o/{org}/buy", needs: admin, handle: (*visit).buy},
		route{method: http.MethodPost, path: "/o/{org}/new/again", handle: (*visit).quoteAgain},
		route{method: http.MethodGet, path: "/o/{org}/alerts", needs: admin, handle: (*visit).alerts},
		route{method: http.MethodPost, path: "/o/{org}/alerts", needs: admin, handle: (*visit).setAlerts},
		route{method: http.MethodPost, path: "/o/{org}/alerts/plan", needs: admin, handle: (*visit).resetAlerts},
		route{method: http.MethodPost, path: "/o/{org}/top-ups/{type}", needs: admin, handle: (*visit).setTopUp},
	)
}

// pack is a price and how many units of it cover the missing credits.
type pack struct {
	payment.Price
	Units int64
}

type buyPage struct {
	Packs    []pack
	Plans    []payment.Price
	Missing  []order.Amount
	Order    string // that waits for the credits, as it was quoted
	Done     bool   // the payment service has sent the buyer back
	Checkout *payment.Checkout
	Key      string
}

// buyForm shows what can be bought. Of an order that the credits do not cover,
// it knows how many units are needed.
func (v *visit) buyForm() error {
	asked := v.r.URL.Query()
	page := buyPage{Order: asked.Get("order"), Done: asked.Get("done") != "", Key: newKey()}
	for _, text := range asked["missing"] {
		kind, amount, _ := strings.Cut(text, ":")
		if n, err := strconv.ParseInt(amount, 10, 64); err == nil && n > 0 {
			page.Missing = append(page.Missing, order.Amount{Type: kind, Amount: n})
		}
	}
	var list struct {
		Prices []payment.Price `json:"prices"`
	}
	if err := v.call(http.MethodGet, "/prices?limit=500", nil, &list); err != nil {
		return err
	}
	for _, p := range list.Prices {
		if p.Plan != "" {
			page.Plans = append(page.Plans, p)
			continue
		}
		units := int64(1)
		for _, m := range page.Missing {
			if m.Type == p.Type {
				units = (m.Amount-1)/p.Credits + 1
			}
		}
		page.Packs = append(page.Packs, pack{p, units})
	}
	return v.render(http.StatusOK, "buy", "Buy credits", page)
}

// maxOrderInAddress is how much of an order the way back from the payment service
// carries.
const maxOrderInAddress = 1200

// buy opens a checkout. The page leads there by a link: a form may not lead to
// another host.
func (v *visit) buy() error {
	form := v.r.PostForm
	quantity, err := wholeNumber(form.Get("quantity"))
	if err != nil {
		return err
	}
	back := v.origin() + v.Path("buy")
	query := url.Values{"done": {"1"}}
	if text := form.Get("order"); text != "" && len(text) < maxOrderInAddress {
		query.Set("order", text)
	}
	body := map[string]any{
		"price": form.Get("price"), "quantity": quantity, "save_card": form.Get("save_card") != "",
		"success_url": back + "?" + query.Encode(), "cancel_url": back,
	}
	page := buyPage{Checkout: &payment.Checkout{}}
	if err := v.call(http.MethodPost, "/checkout", body, page.Checkout, "Idempotency-Key", form.Get("key")); err != nil {
		return err
	}
	return v.render(http.StatusOK, "buy", "Buy credits", page)
}

// origin is where the browser sees this server.
func (v *visit) origin() string {
	if OverTLS(v.r) {
		return "https://" + v.r.Host
	}
	return "http://" + v.r.Host
}

// quoteAgain quotes an order that waited for credits.
func (v *visit) quoteAgain() error {
	body, err := order.ParseRequest([]byte(v.r.PostForm.Get("order")))
	if err != nil {
		return &api.Problem{Status: http.StatusUnprocessableEntity, Title: "The order is not valid", Detail: "Begin again with a new order."}
	}
	return v.showQuote(http.StatusOK, body, quotePage{Key: newKey(), Kind: body.Kind, Count: body.Count})
}

// BuyLink leads from an order that the credits do not cover to what covers it.
func (q quotePage) BuyLink() string {
	query := url.Values{"order": {q.Body}}
	if len(q.Body) >= maxOrderInAddress {
		query.Del("order")
	}
	for _, m := range q.Missing {
		if !slices.ContainsFunc(q.Over, func(o order.Amount) bool { return o.Type == m.Type && o.Amount >= m.Amount }) {
			query.Add("missing", m.Type+":"+strconv.FormatInt(m.Amount, 10))
		}
	}
	return "?" + query.Encode()
}

type alertsPage struct {
	Pools   []billing.Watch
	Rules   []payment.TopUpRule
	Charges []payment.TopUp
	Packs   []payment.Price
	Types   []string // that have packs and no rule yet
	Done    bool
}

// Text are the thresholds as they are written in the form.
func (alertsPage) Text(w billing.Watch) string {
	var words []string
	for _, t := range w.Thresholds {
		if t.Percent != nil {
			words = append(words, strconv.FormatInt(*t.Percent, 10)+"%")
		} else if t.Credits != nil {
			words = append(words, strconv.FormatInt(*t.Credits, 10))
		}
	}
	return strings.Join(words, ", ")
}

func (v *visit) alerts() error {
	page := alertsPage{Done: v.r.URL.Query().Get("done") != ""}
	var watched struct {
		Thresholds []billing.Watch `json:"thresholds"`
	}
	path := "/credits/thresholds"
	if m := v.r.URL.Query().Get("member"); m != "" {
		path += "?member=" + url.QueryEscape(m)
	}
	if err := v.call(http.MethodGet, path, nil, &watched); err != nil {
		return err
	}
	page.Pools = watched.Thresholds
	var rules struct {
		Rules []payment.TopUpRule `json:"rules"`
	}
	if err := v.call(http.MethodGet, "/top-ups", nil, &rules); err != nil {
		return err
	}
	page.Rules = rules.Rules
	var charges struct {
		Charges []payment.TopUp `json:"charges"`
	}
	if err := v.call(http.MethodGet, "/top-ups/charges?limit=20", nil, &charges); err != nil {
		return err
	}
	page.Charges = charges.Charges
	var prices struct {
		Prices []payment.Price `json:"prices"`
	}
	if err := v.call(http.MethodGet, "/prices?limit=500", nil, &prices); err != nil {
		return err
	}
	for _, p := range prices.Prices {
		if p.Type == "" {
			continue
		}
		page.Packs = append(page.Packs, p)
		known := slices.ContainsFunc(page.Rules, func(r payment.TopUpRule) bool { return r.Type == p.Type })
		if !known && !slices.Contains(page.Types, p.Type) {
			page.Types = append(page.Types, p.Type)
		}
	}
	return v.render(http.StatusOK, "alerts", "Alerts and automatic purchases", page)
}

// setAlerts reads thresholds: numbers of credits, or percentages.
func (v *visit) setAlerts() error {
	form := v.r.PostForm
	rules := []map[string]int64{}
	for word := range strings.FieldsFuncSeq(form.Get("thresholds"), func(r rune) bool { return r == ',' || r == ' ' || r == ';' }) {
		name, digits := "credits", word
		if rest, ok := strings.CutSuffix(word, "%"); ok {
			name, digits = "percent", rest
		}
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return &api.Problem{Status: http.StatusUnprocessableEntity, Title: "The thresholds are not valid", Detail: "Write numbers of credits without separators, or percentages, with commas between: 1000, 20%."}
		}
		rules = append(rules, map[string]int64{name: n})
	}
	body := map[string]any{"type": form.Get("type"), "thresholds": rules}
	if m := form.Get("member"); m != "" {
		body["member"] = m
	}
	if err := v.call(http.MethodPut, "/credits/thresholds", body, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("alerts") + "?done=1&member=" + url.QueryEscape(form.Get("member")))
}

func (v *visit) resetAlerts() error {
	form := v.r.PostForm
	query := url.Values{"type": {form.Get("type")}}
	if m := form.Get("member"); m != "" {
		query.Set("member", m)
	}
	if err := v.call(http.MethodDelete, "/credits/thresholds?"+query.Encode(), nil, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("alerts") + "?done=1&member=" + url.QueryEscape(form.Get("member")))
}

func (v *visit) setTopUp() error {
	form := v.r.PostForm
	body := map[string]any{"type": v.r.PathValue("type"), "enabled": form.Get("enabled") != "", "price": form.Get("price"), "currency": strings.ToLower(strings.TrimSpace(form.Get("currency")))}
	for _, name := range []string{"below", "quantity", "monthly_credits"} {
		text := form.Get(name)
		if name == "below" && strings.TrimSpace(text) == "0" { // when nothing is left
			body[name] = 0
			continue
		}
		n, err := wholeNumber(text)
		if err != nil {
			return err
		}
		body[name] = n
	}
	cents, err := cents(form.Get("monthly_amount"))
	if err != nil {
		return err
	}
	body["monthly_amount"] = cents
	if err := v.call(http.MethodPut, "/top-ups", body, nil); err != nil {
		return err
	}
	return v.redirect(v.Path("alerts") + "?done=1")
}

// cents reads an amount of money as people write it: 49 or 49.90. Currencies
// without such parts are counted in hundredths, too, and shown so.
func cents(text string) (int64, error) {
	whole, part, pointed := strings.Cut(strings.ReplaceAll(strings.TrimSpace(text), ",", ""), ".")
	if pointed && len(part) != 2 {
		whole = "?"
	}
	n, err := strconv.ParseInt(whole+(part + "00")[:2], 10, 64)
	if err != nil || n < 0 {
		return 0, &api.Problem{Status: http.StatusUnprocessableEntity, Title: "The amount is not valid", Detail: "Write an amount of money like 49 or 49.90."}
	}
	return n, nil
}

// money writes an amount in the smallest unit.
func money(amount int64, currency string) string {
	return number(amount/100) + "." + strconv.FormatInt(100+amount%100, 10)[1:] + " " + strings.ToUpper(currency)
}

// pretty writes JSON for people.
func pretty(text json.RawMessage) string {
	var value any
	if json.Unmarshal(text, &value) != nil {
		return string(text)
	}
	shown, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return string(text)
	}
	return string(shown)
}
