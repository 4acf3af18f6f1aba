package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/errcode"
	"holdfast/internal/intake"
	"holdfast/internal/order"
	"holdfast/internal/postgres"
	"holdfast/internal/verify"
)

// problemType begins every type of problem; the rest is its code.
const problemType = "urn:holdfast:problem:"

// Problem is an error as it is answered: problem details of RFC 9457 with the
// extensions code, errors, missing, order_id and request_id.
type Problem struct { //nolint:errname // RFC 9457 calls it a problem
	Type      string         `json:"type" doc:"Stable; urn:holdfast:problem: and the code."`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail" doc:"One sentence: what is wrong and what to do."`
	Code      string         `json:"code"`
	Errors    []FieldProblem `json:"errors,omitempty" doc:"The offending fields."`
	Missing   []order.Amount `json:"missing,omitempty" doc:"With insufficient_credits: the missing credits."`
	Over      []order.Amount `json:"over_budget,omitempty" doc:"With insufficient_credits: how many of the missing credits are there, but withheld by the member's budget."`
	OrderID   string         `json:"order_id,omitempty" doc:"The order that was rejected."`
	RequestID string         `json:"request_id,omitempty"`
}

// FieldProblem is one thing wrong with a request.
type FieldProblem struct {
	Field   string `json:"field" doc:"Such as body.count, query.limit or header.Idempotency-Key."`
	Message string `json:"message"`
}

// Error is the sentence for the caller.
func (p *Problem) Error() string { return p.Detail }

// GetStatus is the HTTP status of the answer.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is that of problem details, RFC 9457 section 3.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// Kinds of errors that only HTTP has. Codes are never changed.
var (
	unauthenticated  = &errcode.Kind{Code: "unauthenticated", Status: 401, Title: "A valid API key is needed", About: "The key is missing, unknown or revoked."}
	methodNotAllowed = &errcode.Kind{Code: "method_not_allowed", Status: 405, Title: "The method is not offered here", About: "The Allow header lists those that are."}
	notAcceptable    = &errcode.Kind{Code: "not_acceptable", Status: 406, Title: "The answer cannot be given in that form", About: "Ask for application/json."}
	timeout          = &errcode.Kind{Code: "timeout", Status: 408, Title: "The request took too long to arrive", About: "The body did not arrive in time; send it again."}
	tooLarge         = &errcode.Kind{Code: "too_large", Status: 413, Title: "The request is too large", About: "The body is larger than the call takes."}
	unsupportedMedia = &errcode.Kind{Code: "unsupported_media_type", Status: 415, Title: "The body has the wrong content type", About: "Send application/json."}
	rateLimited      = &errcode.Kind{Code: "rate_limited", Status: 429, Title: "Too many requests", About: "Retry-After says how many seconds to wait."}
)

// kinds are all kinds of problems, by status. Where several share a status, the
// first one stands for it.
var kinds = func() []*errcode.Kind {
	all := append([]*errcode.Kind{
		unauthenticated, methodNotAllowed, notAcceptable, timeout, tooLarge, unsupportedMedia, rateLimited,
	}, errcode.Kinds()...)
	slices.SortStableFunc(all, func(a, b *errcode.Kind) int { return a.Status - b.Status })
	return all
}()

func kindOfStatus(status int) errcode.Kind {
	for _, k := range kinds {
		if k.Status == status {
			return *k
		}
	}
	if status >= 400 && status < 500 {
		k := *errcode.Invalid
		k.Status = status
		return k
	}
	return *errcode.Internal
}

func problemOf(k errcode.Kind, detail string) *Problem {
	return &Problem{Type: problemType + k.Code, Title: k.Title, Status: k.Status, Detail: detail, Code: k.Code}
}

func newProblem(status int, detail string) *Problem { return problemOf(kindOfStatus(status), detail) }

// invalid is a request with one bad field.
func invalid(field, detail string) *Problem {
	p := newProblem(http.StatusUnprocessableEntity, detail)
	if field != "" {
		p.Errors = []FieldProblem{{field, detail}}
	}
	return p
}

// Errors that know no more than what they are.
var (
	errUnknownKey     = newProblem(http.StatusUnauthorized, "The API key is not known or has been revoked; create a new one.")
	errNoKey          = newProblem(http.StatusUnauthorized, "An API key is needed; send it as Authorization: Bearer KEY.")
	errTooManyGuesses = newProblem(http.StatusTooManyRequests, "Too many unknown keys came from this address; wait a minute.")
	errNoOrg          = newProblem(http.StatusNotFound, "There is no such organization.")
)

// missingProperty is the library's sentence about a field that must be there.
var missingProperty = regexp.MustCompile(`^expected required property (\S+) to be present$`)

// The library asks this function for every error of its own: requests that do
// not match their description.
func init() {
	huma.NewError = func(status int, detail string, errs ...error) huma.StatusError {
		p := newProblem(status, detail)
		if status >= http.StatusInternalServerError {
			p.Detail = internal
		}
		for _, err := range errs {
			field := FieldProblem{Message: "It is not valid."}
			var d huma.ErrorDetailer
			if errors.As(err, &d) { // its value is left out: it is the caller's data
				field = FieldProblem{d.ErrorDetail().Location, d.ErrorDetail().Message}
				if missing := missingProperty.FindStringSubmatch(field.Message); missing != nil {
					field = FieldProblem{join(field.Field, missing[1]), "It is required and missing."}
				}
				field.Message = strings.TrimPrefix(field.Message, "invalid value: ")
			}
			p.Errors = append(p.Errors, field)
		}
		if len(p.Errors) > 0 {
			p.Detail = fmt.Sprintf("%s: %s.", strings.TrimSuffix(p.Errors[0].Field, "."), strings.TrimSuffix(p.Errors[0].Message, "."))
		}
		return p
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, detail string, errs ...error) huma.StatusError {
		err := huma.NewError(status, detail, errs...)
		var p *Problem
		if errors.As(err, &p) {
			p.RequestID = requestID(ctx.Context())
		}
		return err
	}
}

const damaged = "The credits of this organization cannot be used until support has repaired them; quote the request_id when you contact support."

// clientGone is what the log and the metrics say of a request that its client gave
// up before it was answered, as nginx does: no fault of ours, and not read by anyone.
var clientGone = errcode.Kind{Code: "client_gone", Status: 499, Title: "The client closed the connection"}

const internal = "The request could not be carried out; try again, and tell us the request id if it stays so."

const databaseAway = "The database does not answer at the moment; repeat the request in a minute, with the same idempotency key."

// problem is the one place where an error becomes an answer. What is not known
// here is ours: it is logged, and the caller learns the request id alone.
func (a *API) problem(ctx context.Context, err error) *Problem {
	var p *Problem
	var stored interface{ SQLState() string }
	info := errcode.Of(err)
	gone := errors.Is(ctx.Err(), context.Canceled)
	switch {
	case errors.As(err, &p):
		p = new(*p)
	case info.Kind == errcode.Damaged:
		a.Log.ErrorContext(ctx, "A request met damaged credits.", "request_id", requestID(ctx), "error", verify.WithoutAddresses(err.Error()))
		p = problemOf(*info.Kind, damaged)
	case info.InBody:
		p = invalid(join("body", info.Field), sentence(info.Text))
	case info.Kind != errcode.Internal:
		p = problemOf(*info.Kind, sentence(info.Text))
	case gone: // what was cut off says nothing about a server
	case intake.Away(err):
		a.Log.WarnContext(ctx, "Temporal does not answer.", "request_id", requestID(ctx), "error", err)
		p = problemOf(*errcode.Unavailable, sentence(errcode.Of(intake.ErrAway).Text))
	case postgres.Away(err):
		a.Log.WarnContext(ctx, "PostgreSQL does not answer.", "request_id", requestID(ctx), "error", verify.WithoutAddresses(err.Error()))
		p = problemOf(*errcode.Unavailable, databaseAway)
	case errors.As(err, &stored) && strings.HasPrefix(stored.SQLState(), "22"):
		// Data exceptions of SQL: a number, time or text that cannot be stored.
		a.Log.InfoContext(ctx, "The database refused a value.", "request_id", requestID(ctx), "sqlstate", stored.SQLState())
		p = invalid("", "A value of the request is out of range or holds characters that cannot be stored.")
	}
	switch {
	case gone && (p == nil || p.Status >= http.StatusInternalServerError):
		p = problemOf(clientGone, clientGone.Title+".")
	case p == nil:
		a.Log.ErrorContext(ctx, "A request failed.", "request_id", requestID(ctx), "error", verify.WithoutAddresses(err.Error()))
		p = newProblem(http.StatusInternalServerError, internal)
	}
	p.RequestID = requestID(ctx)
	return p
}

func join(where, field string) string {
	if field == "" {
		return where
	}
	return where + "." + field
}

// sentence begins with a capital letter and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return text
	}
	if first := text[0]; 'a' <= first && first <= 'z' {
		text = string(first-'a'+'A') + text[1:]
	}
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

// refuse answers with a problem from within the middleware.
func (a *API) refuse(ctx huma.Context, p *Problem) {
	if p.Status == http.StatusUnauthorized {
		ctx.SetHeader("WWW-Authenticate", `Bearer realm="holdfast"`)
	}
	ctx.SetHeader("Content-Type", p.ContentType(""))
	ctx.SetStatus(p.Status)
	_ = json.NewEncoder(ctx.BodyWriter()).Encode(p) // a client that is gone needs no answer
}

// writeProblem answers with a problem outside of the described routes.
func writeProblem(w http.ResponseWriter, r *http.Request, p *Problem) {
	p.RequestID = requestID(r.Context())
	w.Header().Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // a client that is gone needs no answer
}

// Refuse answers a request that comes to no API, in the API's manner.
func Refuse(w http.ResponseWriter, r *http.Request, kind *errcode.Kind, detail string) {
	if id := r.Header.Get("X-Request-Id"); goodRequestID.MatchString(id) {
		w.Header().Set("X-Request-Id", id)
	}
	w.Header().Set("Cache-Control", "no-store")
	writeProblem(w, r, problemOf(*kind, detail))
}
