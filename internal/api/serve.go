package api

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// entry is what the log says about a request. It holds no key, no query and no
// body: those may be secrets or a person's address.
type entry struct {
	id     string
	key    string
	org    string
	member string
	status int
	bytes  int64
}

func (e *entry) caller(c caller) { e.key, e.org, e.member = c.keyID, c.org.ID, c.member }

type entryKey struct{}

// logged returns the request's log entry.
func logged(ctx context.Context) *entry {
	if e, ok := ctx.Value(entryKey{}).(*entry); ok {
		return e
	}
	return &entry{}
}

func requestID(ctx context.Context) string { return logged(ctx).id }

var goodRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// observe gives every request an id, which is the caller's own where it is a
// good one, and writes one log line and one sample about it.
func (a *API) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		e := &entry{id: r.Header.Get("X-Request-Id")}
		if !goodRequestID.MatchString(e.id) {
			e.id = "req_" + strings.ToLower(rand.Text())
		}
		w.Header().Set("X-Request-Id", e.id)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		r = r.WithContext(context.WithValue(r.Context(), entryKey{}, e))
		seen := &watched{ResponseWriter: w, entry: e}
		done := a.metrics.begin()
		defer func() {
			if fault := recover(); fault != nil {
				a.Log.Error("A request met a fault of this program.", "request_id", e.id, "fault", fault, "stack", string(debug.Stack()))
				if e.status == 0 {
					writeProblem(seen, r, newProblem(http.StatusInternalServerError, internal))
				} else {
					a.patient(w).breakOff()
				}
			}
			if e.status == 0 {
				e.status = http.StatusOK
			}
			if span := trace.SpanFromContext(r.Context()); r.Pattern != "" {
				span.SetName(r.Pattern)
				span.SetAttributes(attribute.String("http.route", r.Pattern), attribute.String("holdfast.request_id", e.id))
			}
			took := time.Since(began)
			done(r.Method, r.Pattern, e.status, took)
			level := slog.LevelInfo
			if e.status >= http.StatusInternalServerError {
				level = slog.LevelWarn
			}
			a.Log.Log(r.Context(), level, "request", "request_id", e.id, "method", r.Method, "route", r.Pattern,
				"status", e.status, "bytes", e.bytes, "took", took, "org", e.org, "member", e.member, "key", e.key, "order", orderOf(r, w))
		}()
		next.ServeHTTP(seen, r)
	})
}

// orderOf is the order that a request was about, or has made; empty where it was
// about none.
func orderOf(r *http.Request, w http.ResponseWriter) string {
	if strings.Contains(r.Pattern, " "+prefix+"/orders/{id}") {
		return r.PathValue("id")
	}
	id, made := strings.CutPrefix(w.Header().Get("Location"), prefix+"/orders/")
	if !made {
		return ""
	}
	return id
}

// watched notes what is answered.
type watched struct {
	http.ResponseWriter
	entry *entry
}

// WriteHeader notes the status.
func (w *watched) WriteHeader(status int) {
	if w.entry.status == 0 {
		w.entry.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write notes how much is answered.
func (w *watched) Write(b []byte) (int, error) {
	if w.entry.status == 0 {
		w.entry.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.entry.bytes += int64(n)
	return n, err
}

// Unwrap gives http.ResponseController the connection below.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// nothing answers what no route takes: the address leads nowhere, or only with
// another method.
func nothing(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
			asked := r.Clone(r.Context())
			asked.Method = method
			if _, pattern := mux.Handler(asked); pattern != "/" {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			writeProblem(w, r, newProblem(http.StatusNotFound, "There is nothing at this address; see /docs for what there is."))
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		writeProblem(w, r, newProblem(http.StatusMethodNotAllowed, "This address does not take "+r.Method+"; use "+strings.Join(allowed, " or ")+"."))
	})
}
