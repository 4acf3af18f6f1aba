// Package dashboard is what customers and support see in a browser. Pages are
// rendered here; what they show and do goes through the API's own handler, so
// that there is one set of access rules. See README.md.
package dashboard

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/orderbook"
	"holdfast/internal/reconcile"
	"holdfast/internal/verdicts"
)

// Prefix is where the dashboard begins; the cookie goes nowhere else.
const Prefix = "/app"

const maxForm = 1 << 20 // bytes of a form without a file

// pageWithin is how long a page may take; tests shorten it.
var pageWithin = 20 * time.Second

// Config is what the dashboard works with.
type Config struct {
	API       *api.API
	Accounts  *account.Accounts
	Ledger    *ledger.Ledger
	Book      *orderbook.Book
	Catalogue *lead.Catalogue
	Reconcile *reconcile.Reconciler
	Outage    func(context.Context) (message string, err error)           // an outage of verification, in a sentence; empty where there is none
	Ready     func(context.Context) (parts map[string]string, ready bool) // what /readyz says; nil where it is not known
	Heads     func(context.Context) ([]ledger.Head, error)                // where the journals stand
	Audit     func(context.Context) (ledger.Report, error)                // proves the books
	Workers   func(context.Context) ([]verdicts.WorkerState, error)       // how verification is in each worker; nil where it is not known
	Workflow  func(orderID string) string                                 // where Temporal's UI shows an order; empty where it is not known
	Views     func(org string) []View                                     // queries of Temporal's UI, for one organization or all; nil where its address is not known
	OIDC      OIDC                                                        // where people log in besides with keys and links
	Cell      string                                                      // the name of this one, where there are several
	Cells     *Cells                                                      // all of them; nil where there is one
	Log       *slog.Logger
}

// View is a link to a list of workflows in Temporal's UI.
type View struct{ Name, URL string }

// Dashboard is an http.Handler for all below Prefix, safe for concurrent use.
type Dashboard struct {
	Config
	signOn  *signOn
	handler http.Handler
}

//go:embed static
var static embed.FS

// New returns the dashboard.
func New(c Config) *Dashboard {
	d := &Dashboard{Config: c, signOn: newSignOn(c.OIDC)}
	mux := http.NewServeMux()
	files, err := fs.Sub(static, "static")
	if err != nil {
		c.Log.Error("The dashboard has no static files.", "error", err)
	}
	mux.Handle("GET "+Prefix+"/static/", http.StripPrefix(Prefix+"/static/", cached(http.FileServerFS(files))))
	mux.HandleFunc("GET "+Prefix+"/login", d.showLogin)
	mux.HandleFunc("POST "+Prefix+"/login", within(d.login))
	mux.HandleFunc("GET "+Prefix+"/login/link", d.showLink)
	mux.HandleFunc("POST "+Prefix+"/login/link", within(d.useLink))
	d.signOnRoutes(mux)
	for _, r := range routes {
		mux.HandleFunc(r.method+" "+Prefix+r.path, d.page(r))
	}
	mux.HandleFunc(Prefix+"/", d.page(route{handle: func(*visit) error { return errNoPage }}))
	d.handler = secured(http.NewCrossOriginProtection().Handler(mux))
	if c.Cells != nil {
		c.Cells.join(d)
	}
	return d
}

// ServeHTTP answers one request.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

// secured sets what every answer carries. No script or style stands in a page,
// and nothing comes from elsewhere.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func cached(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=300")
		next.ServeHTTP(w, r)
	})
}

// route is a page or a form's target, and who may use it. Below /o/{org} the
// organization is checked before it is handled.
type route struct {
	method, path string
	needs        need
	streams      bool // takes as long as it takes
	upload       bool // its body is read while it arrives
	handle       func(*visit) error
}

type need int

const (
	anyone need = iota // who is logged in
	admin
	operator
)

func (n need) met(id api.Identity) bool {
	return n == anyone || n == admin && id.IsAdmin() || n == operator && id.IsOperator()
}

// routes are all that needs a session; tests walk over them.
var routes []route

// Route is a route that needs a session, as tests walk over them.
type Route struct {
	Method, Path string // below Prefix
	Upload       bool
	Needs        string // admin or operator; empty where a session is enough
}

// Routes are all routes that need a session.
func Routes() []Route {
	list := make([]Route, len(routes))
	for i, r := range routes {
		list[i] = Route{r.method, r.path, r.upload, map[need]string{admin: "admin", operator: "operator"}[r.needs]}
	}
	return list
}

func register(list ...route) { routes = append(routes, list...) }

var (
	errNoPage    = &api.Problem{Status: http.StatusNotFound, Title: "Not found", Detail: "There is no such page, or it belongs to another organization."}
	errForbidden = &api.Problem{Status: http.StatusForbidden, Title: "Not allowed", Detail: "Your role does not allow this; ask an admin of your organization."}
	errTooLarge  = &api.Problem{Status: http.StatusRequestEntityTooLarge, Title: "The form is too large", Detail: "Upload a file instead of pasting more than 1 MB."}
	errToken     = &api.Problem{Status: http.StatusForbidden, Title: "The form is too old", Detail: "The page with the form is from before you last logged in. Nothing was done; check the form and send it again."}
)

// page wraps a handler: it finds the session, checks the form's token, who may
// use the route and the organization, and shows errors.
func (d *Dashboard) page(r route) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		ctx, cancel := context.WithTimeout(req.Context(), pageWithin)
		defer cancel()
		v, err := d.enter(w, req.WithContext(ctx))
		if errors.Is(err, account.ErrNotFound) {
			d.toLogin(v, req)
			return
		}
		if err != nil && req.Method == http.MethodPost {
			v.again = sent(w, req)
		}
		if err == nil {
			err = v.admit(r)
		}
		if r.streams {
			v.r = v.r.WithContext(req.Context())
		}
		if err == nil {
			err = r.handle(v)
		}
		if err != nil {
			v.showError(err)
		}
	}
}

// within ends what a handler waits for.
func within(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), pageWithin)
		defer cancel()
		handle(w, r.WithContext(ctx))
	}
}

// admit checks what every handler relies on.
func (v *visit) admit(r route) error {
	if v.r.Method == http.MethodPost && !r.upload {
		v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxForm)
		if err := v.r.ParseForm(); err != nil {
			return errTooLarge
		}
		if !v.goodToken(v.r.PostFormValue("csrf")) {
			return errToken
		}
	}
	if org := v.r.PathValue("org"); org != "" {
		if err := v.call(http.MethodGet, "/orgs/"+pathEscape(org), nil, &v.Org); err != nil {
			return errNoPage
		}
	}
	if !r.needs.met(v.ID) {
		return errForbidden
	}
	return nil
}
