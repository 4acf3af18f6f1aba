package dashboard

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"path"
	"strings"

	"holdfast/internal/account"
)

func init() { //nolint:gochecknoinits // each file registers its own routes
	register(
		route{method: http.MethodGet, path: "/{$}", handle: (*visit).start},
		route{method: http.MethodPost, path: "/logout", handle: (*visit).logout},
	)
}

// start leads to the first page of the person who is logged in.
func (v *visit) start() error {
	if v.ID.IsOperator() {
		return v.redirect(Prefix + "/operator")
	}
	return v.redirect(Prefix + "/o/" + pathEscape(v.ID.Org()))
}

// loginPage is what the login form shows.
type loginPage struct {
	Problem string
	Ended   bool             // a session was there and is over
	Next    string           // where to go afterwards
	Link    string           // the secret of a login link that waits to be used
	SignOn  bool             // single sign-on is offered
	Members []account.Member // among which a person who signed on chooses
}

func (d *Dashboard) showLogin(w http.ResponseWriter, r *http.Request) {
	d.renderLogin(w, http.StatusOK, loginPage{Next: localPage(r.URL.Query().Get("next")), Ended: r.URL.Query().Get("ended") != ""})
}

// toLogin asks for a login and remembers the page. A form that comes without a
// session is kept, to be sent again.
func (d *Dashboard) toLogin(v *visit, r *http.Request) {
	if r.Method == http.MethodPost {
		v.secret = ""
		query := url.Values{}
		if from, err := url.Parse(r.Referer()); err == nil && from.Host == r.Host && localPage(from.RequestURI()) != "" {
			query.Set("next", from.RequestURI())
		}
		page := endedPage{Login: Prefix + "/login?" + query.Encode(), Again: sent(v.w, r)}
		if err := v.render(http.StatusUnauthorized, "ended", "Your session has ended", page); err != nil {
			d.Log.WarnContext(r.Context(), "The page that asks for a login was not written.", "error", err)
		}
		return
	}
	to := Prefix + "/login"
	query := url.Values{}
	if r.URL.Path != Prefix+"/" {
		query.Set("next", r.URL.RequestURI())
	}
	if _, err := r.Cookie(SessionCookie); err == nil {
		query.Set("ended", "1")
	}
	if len(query) > 0 {
		to += "?" + query.Encode()
	}
	http.Redirect(v.w, r, to, http.StatusSeeOther)
}

// endedPage is what a form gets that comes after its session has ended.
type endedPage struct {
	Login string
	Again *kept
}

// localPage returns a page of the dashboard, or nothing: a login leads nowhere else.
func localPage(next string) string {
	at, err := url.Parse(next)
	if err != nil || !strings.HasPrefix(next, Prefix) || strings.ContainsAny(next, "\\\r\n") || !strings.HasPrefix(path.Clean(at.Path)+"/", Prefix+"/") {
		return ""
	}
	return next
}

func (d *Dashboard) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	page := loginPage{Next: localPage(r.PostFormValue("next"))}
	secret := strings.TrimSpace(r.PostFormValue("key"))
	session, err := d.open(r, secret)
	switch {
	case errors.Is(err, account.ErrNotFound):
		status := http.StatusUnauthorized
		page.Problem = "This key is not known or has been revoked."
		if !d.API.MayGuess(r.RemoteAddr) {
			status, page.Problem = http.StatusTooManyRequests, "Too many unknown keys came from your address; wait a minute."
		}
		d.renderLogin(w, status, page)
	case err != nil:
		d.failLogin(w, r, err)
	default:
		setCookie(w, r, session)
		http.Redirect(w, r, cmp.Or(page.Next, Prefix+"/"), http.StatusSeeOther)
	}
}

// open begins a session with a key.
func (d *Dashboard) open(r *http.Request, secret string) (string, error) {
	if d.API.IsOperatorKey(secret) {
		return d.operators().OpenOperatorSession(r.Context(), secret)
	}
	key, err := d.Accounts.Authenticate(r.Context(), secret)
	if err != nil {
		return "", err
	}
	return d.Accounts.OpenSession(r.Context(), key)
}

// showLink asks for a click: mail scanners and chats open links by themselves,
// and this one can be used once.
func (d *Dashboard) showLink(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Referrer-Policy", "no-referrer")
	d.renderLogin(w, http.StatusOK, loginPage{Link: r.URL.Query().Get("token")})
}

func (d *Dashboard) useLink(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
	session, err := d.Accounts.UseLoginLink(r.Context(), r.PostFormValue("token"))
	switch {
	case errors.Is(err, account.ErrNotFound):
		status := http.StatusUnauthorized
		if !d.API.MayGuess(r.RemoteAddr) {
			status = http.StatusTooManyRequests
		}
		d.renderLogin(w, status, loginPage{Problem: err.Error()})
	case err != nil:
		d.failLogin(w, r, err)
	default:
		setCookie(w, r, session)
		http.Redirect(w, r, Prefix+"/", http.StatusSeeOther)
	}
}

func (d *Dashboard) failLogin(w http.ResponseWriter, r *http.Request, err error) {
	d.Log.ErrorContext(r.Context(), "A login failed.", "error", err)
	d.renderLogin(w, http.StatusInternalServerError, loginPage{Problem: "The login failed on our side; try again in a moment."})
}

func (d *Dashboard) renderLogin(w http.ResponseWriter, status int, page loginPage) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	page.SignOn = d.OIDC.Issuer != ""
	if err := pages["login"].ExecuteTemplate(w, "login", page); err != nil {
		d.Log.Warn("The login page was not written.", "error", err)
	}
}

func (v *visit) logout() error {
	in := v.Accounts
	if v.ID.IsOperator() {
		in = v.operators()
	}
	if err := in.CloseSession(v.r.Context(), v.secret); err != nil {
		return err
	}
	http.SetCookie(v.w, &http.Cookie{Name: SessionCookie, Path: Prefix + "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: OverTLS(v.r)}) //nolint:gosec // Secure where the browser came over TLS
	return v.redirect(Prefix + "/login")
}

func setCookie(w http.ResponseWriter, r *http.Request, secret string) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure where the browser came over TLS
		Name: SessionCookie, Value: secret, Path: Prefix + "/", MaxAge: int(account.SessionLife.Seconds()),
		HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: OverTLS(r),
	})
}

// OverTLS says whether the browser came over TLS, to here or to a proxy before.
// A client that lies about it makes its own cookie stricter, nothing else.
func OverTLS(r *http.Request) bool {
	return r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}
