package dashboard

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"holdfast/internal/account"
	"holdfast/internal/api"
)

// visit is one request of a session.
type visit struct {
	*Dashboard
	w      http.ResponseWriter
	r      *http.Request
	secret string // of the session

	ID  api.Identity
	Org account.Org // which the page is about; empty on pages about none

	again  *kept    // an upload that was not carried out
	silent []string // cells that do not answer
}

// SessionCookie has the secret of a session.
const SessionCookie = "holdfast_session"

// enter finds the session of a request; account.ErrNotFound where there is none.
func (d *Dashboard) enter(w http.ResponseWriter, r *http.Request) (*visit, error) {
	v := &visit{Dashboard: d, w: w, r: r}
	cookie, err := r.Cookie(SessionCookie)
	if err != nil {
		return v, account.ErrNotFound
	}
	session, err := d.Accounts.Session(r.Context(), cookie.Value, d.proofs())
	if errors.Is(err, account.ErrNotFound) && d.operators() != d.Accounts {
		if session, err = d.operators().Session(r.Context(), cookie.Value, d.proofs()); err == nil && !session.Operator {
			err = account.ErrNotFound // a member of another cell
		}
	}
	if err != nil {
		return v, err
	}
	v.secret = cookie.Value
	v.ID, err = d.API.Identify(r.Context(), session)
	return v, err
}

// Token goes into every form: it shows that the form is a page of this session.
func (v *visit) Token() string {
	sum := sha256.Sum256([]byte("form\x00" + v.secret))
	return hex.EncodeToString(sum[:])
}

func (v *visit) goodToken(token string) bool { return hmac.Equal([]byte(token), []byte(v.Token())) }

// Path is the address of a page of the organization.
func (v *visit) Path(page string) string {
	return strings.TrimSuffix(Prefix+"/o/"+pathEscape(v.Org.ID)+"/"+page, "/")
}

// nextPage is the address of the next page of a list, with the filters of this one.
func (v *visit) nextPage(cursor string) string {
	asked := v.r.URL.Query()
	asked.Set("cursor", cursor)
	return v.r.URL.EscapedPath() + "?" + asked.Encode()
}

func pathEscape(part string) string { return url.PathEscape(part) }

// recorder keeps an answer of the API.
type recorder struct {
	header http.Header
	status int
	bytes.Buffer
}

// Header is that of the answer.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader notes the first status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.Buffer.Write(b)
}

// request is a request of the API about the organization of the page.
func (v *visit) request(method, path string, body io.Reader) (*http.Request, error) {
	if v.Org.ID != "" && !strings.HasPrefix(path, "/orgs/") && !strings.HasPrefix(path, "/plans") {
		joint := "?"
		if strings.Contains(path, "?") {
			joint = "&"
		}
		path += joint + "org=" + url.QueryEscape(v.Org.ID)
	}
	r, err := http.NewRequestWithContext(v.r.Context(), method, "/api/v1"+path, body)
	if err != nil {
		return nil, fmt.Errorf("asking the API: %w", err)
	}
	r.RemoteAddr = v.r.RemoteAddr
	return r, nil
}

// call asks the API in this process as the caller and reads its answer into
// out. What the API refuses comes back as its *api.Problem.
func (v *visit) call(method, path string, in, out any, headers ...string) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("asking the API: %w", err)
		}
		body = bytes.NewReader(text)
	}
	r, err := v.request(method, path, body)
	if err != nil {
		return err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	return v.ask(r, out, headers...)
}

func (v *visit) ask(r *http.Request, out any, headers ...string) error {
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	answer := &recorder{header: http.Header{}}
	v.API.ServeAs(answer, r, v.ID)
	if answer.status >= http.StatusBadRequest {
		var problem api.Problem
		if err := json.Unmarshal(answer.Bytes(), &problem); err != nil {
			return fmt.Errorf("the API answered %d: %w", answer.status, err)
		}
		return &problem
	}
	if out == nil || answer.Len() == 0 {
		return nil
	}
	if err := json.Unmarshal(answer.Bytes(), out); err != nil {
		return fmt.Errorf("the API's answer cannot be read: %w", err)
	}
	return nil
}

// passOn lets the API itself answer: files and event streams.
func (v *visit) passOn(path string) error {
	r, err := v.request(http.MethodGet, path, http.NoBody)
	if err != nil {
		return err
	}
	if last := v.r.Header.Get("Last-Event-ID"); last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	v.API.ServeAs(v.w, r, v.ID)
	return nil
}

// redirect leads the browser to a page after a form was handled.
func (v *visit) redirect(to string) error {
	http.Redirect(v.w, v.r, to, http.StatusSeeOther)
	return nil
}

// showError shows what went wrong, in the layout where there is a session.
func (v *visit) showError(err error) {
	if errors.Is(v.r.Context().Err(), context.Canceled) {
		return // the browser went to another page
	}
	var p *api.Problem
	switch {
	case errors.As(err, &p):
	case v.r.Context().Err() != nil:
		v.Log.ErrorContext(v.r.Context(), "A page took too long.", "route", v.r.Pattern, "error", err)
		p = &api.Problem{Status: http.StatusServiceUnavailable, Title: "The page took too long", Detail: "A part of the service does not answer; try again in a moment."}
	default:
		v.Log.ErrorContext(v.r.Context(), "A page failed.", "route", v.r.Pattern, "error", err)
		p = &api.Problem{Status: http.StatusInternalServerError, Title: "Something went wrong on our side", Detail: "The page could not be shown; try again in a moment."}
	}
	page := pageError{Problem: p, Back: v.back(), Again: v.again}
	if v.r.Method == http.MethodPost && v.r.PostForm != nil {
		if v.showAgain(p, page.Says()) {
			return
		}
		if errors.Is(p, errToken) || p.Status >= http.StatusInternalServerError || page.Back == "" {
			page.Again = keep(v.r, v.r.PostForm)
		}
	}
	err = v.render(p.Status, "error", p.Title, page)
	if err != nil { // what surrounds a page fails, too
		bare := &visit{Dashboard: v.Dashboard, w: v.w, r: v.r}
		err = bare.render(p.Status, "error", p.Title, page)
	}
	if err != nil {
		v.Log.ErrorContext(v.r.Context(), "An error page failed.", "route", v.r.Pattern, "error", err)
		http.Error(v.w, p.Detail, p.Status)
	}
}

// pageError is what a page tells of an error: what went wrong, and the page before.
type pageError struct {
	*api.Problem

	Back  string
	Again *kept // the form that was not carried out
}

// Says is what is wrong, each fault in a sentence. The API names a parameter by
// its place in the request; a page names the field.
func (e pageError) Says() []string {
	if len(e.Errors) == 0 {
		return []string{e.Detail}
	}
	var said []string
	for _, f := range e.Errors {
		text := f.Message
		if place := f.Field + ": "; strings.HasPrefix(e.Detail, place) || strings.HasPrefix(f.Field, "query.") {
			text = label(f.Field[strings.LastIndex(f.Field, ".")+1:]) + ": " + text
		}
		text = strings.ToUpper(text[:min(1, len(text))]) + text[min(1, len(text)):]
		if !slices.Contains(said, text) {
			said = append(said, strings.TrimSuffix(text, ".")+".")
		}
	}
	return said
}

// back is the page that the browser comes from, where it is one of ours.
func (v *visit) back() string {
	from, err := url.Parse(v.r.Referer())
	if err != nil || from.Host != v.r.Host || v.secret == "" {
		return ""
	}
	if from.RequestURI() == v.r.URL.RequestURI() && v.r.Method == http.MethodGet {
		return ""
	}
	return localPage(from.RequestURI())
}

// clock is the time that pages count from.
func clock() time.Time { return time.Now() }
