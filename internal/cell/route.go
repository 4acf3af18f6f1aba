package cell

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"holdfast/internal/api"
	"holdfast/internal/dashboard"
)

// Whose a secret is, by its hash.
const (
	keyOwner     = `SELECT org FROM api_key WHERE hash = $1`
	linkOwner    = `SELECT org FROM login_link WHERE hash = $1`
	sessionOwner = `SELECT coalesce(org, '') FROM session WHERE hash = $1`
)

// choose finds the cell of a request. A nil cell without an error means that the
// request was answered here.
func (rt *Router) choose(w http.ResponseWriter, r *http.Request) (*Cell, error) {
	path := r.URL.Path
	switch {
	case path == prefix+"/integrations/stripe/webhook":
		return rt.chooseForStripe(r)
	case strings.HasPrefix(path, prefix+"/"):
		return rt.chooseForAPI(w, r, strings.TrimPrefix(path, prefix))
	case strings.HasPrefix(path, dashboard.Prefix+"/"):
		return rt.chooseForPage(r, strings.TrimPrefix(path, dashboard.Prefix))
	}
	return rt.home(), nil
}

func (rt *Router) chooseForAPI(w http.ResponseWriter, r *http.Request, path string) (*Cell, error) {
	secret, ok := api.Bearer(r.Header.Get("Authorization"))
	if !ok {
		return rt.home(), nil
	}
	if rt.isOperator(secret) {
		return rt.chooseForOperator(w, r, path)
	}
	return rt.cellOfSecret(r.Context(), secret, keyOwner)
}

// cellOfSecret is the cell of a secret's owner; the first one, which refuses
// it, where it is unknown.
func (rt *Router) cellOfSecret(ctx context.Context, secret, query string) (*Cell, error) {
	found, ok, err := rt.ownerOf(ctx, secret, query)
	if err != nil || !ok || found.operator {
		return rt.home(), err
	}
	return rt.cellOf(ctx, found.org)
}

// chooseForOperator finds the cell of a request with the operator key: that of the
// organization or order it names, or the one that the caller names.
func (rt *Router) chooseForOperator(w http.ResponseWriter, r *http.Request, path string) (*Cell, error) {
	ctx, wanted := r.Context(), r.Header.Get(Header)
	part := strings.Split(strings.TrimPrefix(path, "/"), "/")
	org := r.URL.Query().Get("org")
	if part[0] == "orgs" && len(part) > 1 {
		org = part[1]
	}
	if r.Method == http.MethodPut && strings.HasPrefix(path, "/integrations/stripe/customers/") || r.Method == http.MethodPost && path == "/test-clocks" {
		org = bodyField(r, "org")
	}
	switch {
	case org != "":
		return rt.cellOf(ctx, org)
	case r.Method == http.MethodPost && path == "/orgs":
		if id := bodyField(r, "id"); id != "" {
			return rt.place(ctx, id, wanted)
		}
	case wanted != "":
		return rt.named(wanted)
	case part[0] == "orders" && len(part) > 1:
		there, err := rt.ask(ctx, `SELECT 1 FROM orders WHERE id = $1`, part[1])
		if err != nil || there != nil {
			return there, err
		}
	case ofEveryCell(r.Method, path):
		rt.everywhere(w, r)
		return nil, nil
	case r.Method == http.MethodGet && listOfAll(path):
		return nil, rt.inTurn(w, r)
	case !sameEverywhere(path):
		return nil, errNoCell
	}
	return rt.home(), nil
}

// sameEverywhere says whether all cells give the same answer: who the operator is,
// and plans and prices, which are written to all cells.
func sameEverywhere(path string) bool {
	return path == "/me" || path == "/plans" || strings.HasPrefix(path, "/plans/") || path == "/integrations/stripe/prices"
}

// ofEveryCell says whether a request of the operator is about what all cells have
// to have alike.
func ofEveryCell(method, path string) bool {
	switch method {
	case http.MethodPut:
		return strings.HasPrefix(path, "/plans/") || strings.HasPrefix(path, "/integrations/stripe/prices/")
	case http.MethodPost:
		return path == "/erasures" || path == "/suppressions" || path == "/suppressions/remove"
	}
	return false
}

// listOfAll says whether a list of the operator's goes through all cells.
func listOfAll(path string) bool {
	switch path {
	case "/orgs", "/orders", "/events", "/integrations/stripe/customers", "/integrations/stripe/events":
		return true
	}
	return false
}

// inTurn answers with a page of a list: those of a cell come after those of the one
// before it. A cursor names the cell, and where its list goes on.
func (rt *Router) inTurn(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	at, within := 0, ""
	if cursor := query.Get("cursor"); cursor != "" {
		var name string
		name, within, _ = strings.Cut(cursor, "/")
		if at = slices.Index(rt.names(), name); at < 0 {
			return errCursor
		}
	}
	query.Del("cursor")
	if within != "" {
		query.Set("cursor", within)
	}
	again := r.Clone(r.Context())
	again.URL.RawQuery = query.Encode()
	page := &answer{header: http.Header{}, status: http.StatusOK}
	rt.cells[at].Handler.ServeHTTP(page, again)
	page.header.Set(Header, rt.cells[at].Name)
	if page.status == http.StatusOK {
		rt.goOn(page, at)
	}
	page.send(w)
	return nil
}

// goOn puts into a page of a cell where the list of all goes on.
func (rt *Router) goOn(page *answer, at int) {
	var fields map[string]json.RawMessage
	var within string
	if json.Unmarshal(page.body.Bytes(), &fields) != nil {
		return
	}
	if next, ok := fields["next_cursor"]; ok {
		if json.Unmarshal(next, &within) != nil {
			return
		}
	} else if at++; at == len(rt.cells) {
		return
	}
	cursor, err := json.Marshal(rt.cells[at].Name + "/" + within)
	if err != nil {
		return
	}
	fields["next_cursor"] = cursor
	if text, err := json.Marshal(fields); err == nil {
		page.body.Reset()
		page.body.Write(text)
		page.header.Del("Content-Length")
	}
}

// everywhere sends a request to every cell and answers with the first one's answer,
// or with that of the cell that refused it: the request may be repeated then.
func (rt *Router) everywhere(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mayRead))
	if err != nil {
		body = append(body, 0) // the cell says that it is too large or cut off
	}
	answers := make([]*answer, len(rt.cells))
	for i, c := range rt.cells {
		again := r.Clone(r.Context())
		again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		answers[i] = &answer{header: http.Header{}, status: http.StatusOK}
		c.Handler.ServeHTTP(answers[i], again)
		if answers[i].status >= http.StatusBadRequest {
			answers[i].header.Set(Header, c.Name)
			answers[i].send(w)
			return
		}
	}
	if r.URL.Path == prefix+"/erasures" {
		addUp(answers)
	}
	answers[0].send(w)
}

// addUp adds the counts of all answers to the first one.
func addUp(answers []*answer) {
	sum := map[string]int64{}
	for _, a := range answers {
		var counts map[string]int64
		if json.Unmarshal(a.body.Bytes(), &counts) != nil {
			return // no counts
		}
		for name, n := range counts {
			sum[name] += n
		}
	}
	if text, err := json.Marshal(sum); err == nil {
		answers[0].body.Reset()
		answers[0].body.Write(text)
		answers[0].header.Del("Content-Length")
	}
}

// answer is what one cell has answered.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	wrote  bool
}

// Header is that of the answer.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader keeps the first status.
func (a *answer) WriteHeader(status int) {
	if !a.wrote {
		a.status, a.wrote = status, true
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.wrote = true
	return a.body.Write(b)
}

func (a *answer) send(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.WriteHeader(a.status)
	_, _ = a.body.WriteTo(w) // a client that is gone needs no answer
}

// chooseForPage finds the cell of a page of the dashboard: that of the session's
// organization, or for the operator of the organization that it is about. The first
// cell, which has the operator's sessions, shows the pages that go over all cells.
func (rt *Router) chooseForPage(r *http.Request, path string) (*Cell, error) {
	ctx := r.Context()
	switch {
	case strings.HasPrefix(path, "/static/"):
		return rt.home(), nil
	case path == "/login" && r.Method == http.MethodPost:
		if secret := strings.TrimSpace(formField(r, "key")); !rt.isOperator(secret) {
			return rt.cellOfSecret(ctx, secret, keyOwner)
		}
		return rt.home(), nil
	case path == "/login/link" && r.Method == http.MethodPost:
		return rt.cellOfSecret(ctx, formField(r, "token"), linkOwner)
	case strings.HasPrefix(path, "/login"):
		return rt.home(), nil
	}
	cookie, err := r.Cookie(dashboard.SessionCookie)
	if err != nil {
		return rt.home(), nil //nolint:nilerr // there is no session
	}
	found, ok, err := rt.ownerOf(ctx, cookie.Value, sessionOwner)
	switch {
	case err != nil || !ok:
		return rt.home(), err
	case !found.operator:
		return rt.cellOf(ctx, found.org)
	}
	if part := strings.Split(path, "/"); len(part) > 2 && part[1] == "o" {
		return rt.cellOf(ctx, part[2])
	}
	return rt.home(), nil
}

// chooseForStripe finds the cell of an event of the payment service: that of its
// customer, of the organization that our own checkout wrote into it, or of the
// purchase it is about. What belongs to none waits in the first cell, where an
// operator sees it. The cell checks the signature.
func (rt *Router) chooseForStripe(r *http.Request) (*Cell, error) {
	var event struct {
		Data struct {
			Object struct {
				Customer  reference         `json:"customer"`
				Payment   reference         `json:"payment_intent"`
				Reference string            `json:"client_reference_id"`
				Metadata  map[string]string `json:"metadata"`
			} `json:"object"`
		} `json:"data"`
	}
	_ = json.Unmarshal(peek(r), &event) // what cannot be read belongs to no organization
	ctx, about := r.Context(), event.Data.Object
	for _, q := range []struct{ query, value string }{
		{`SELECT 1 FROM payment_customer WHERE customer = $1`, string(about.Customer)},
		{`SELECT 1 FROM purchase WHERE payment = $1 LIMIT 1`, string(about.Payment)},
	} {
		if q.value == "" {
			continue
		}
		if there, err := rt.ask(ctx, q.query, q.value); err != nil || there != nil {
			return there, err
		}
	}
	for _, org := range []string{about.Metadata["holdfast_org"], about.Reference} {
		if org != "" {
			return rt.cellOf(ctx, org)
		}
	}
	return rt.home(), nil
}

// reference is an object of the payment service that is named by its id, or stands
// there whole.
type reference string

// UnmarshalJSON keeps the id.
func (f *reference) UnmarshalJSON(text []byte) error {
	var whole struct {
		ID string `json:"id"`
	}
	var id string
	if json.Unmarshal(text, &id) != nil && json.Unmarshal(text, &whole) == nil {
		id = whole.ID
	}
	*f = reference(id)
	return nil
}

// peek reads a body and puts it back.
func peek(r *http.Request) []byte {
	if r.Body == nil {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, mayRead))
	rest := io.MultiReader(bytes.NewReader(text), r.Body)
	if err != nil {
		rest = io.MultiReader(bytes.NewReader(text), failing{err})
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{rest, r.Body}
	return text
}

// failing is the rest of a body that could not be read.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// bodyField is a text in a JSON body; empty where there is none.
func bodyField(r *http.Request, name string) string {
	var fields map[string]json.RawMessage
	var value string
	if json.Unmarshal(peek(r), &fields) != nil || json.Unmarshal(fields[name], &value) != nil {
		return ""
	}
	return value
}

// formField is a field of a posted form; empty where there is none.
func formField(r *http.Request, name string) string {
	fields, err := url.ParseQuery(string(peek(r)))
	if err != nil {
		return ""
	}
	return fields.Get(name)
}
