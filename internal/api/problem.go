package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/idempotency"
	"holdfast/internal/intake"
	"holdfast/internal/lead"
	"holdfast/internal/ledger"
	"holdfast/internal/metadata"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/payment"
	"holdfast/internal/plan"
	"holdfast/internal/verify"
	"holdfast/internal/webhook"
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
	Missing   []order.Amount `json:"missing,omitempty" doc:"With insufficient_credits: what lacks."`
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

// kind is one type of problem.
type kind struct { // exported fields: the documentation shows them
	Code   string
	Status int
	Title  string
	About  string // for the documentation
}

// kinds are all types of problems. Codes are never changed.
var kinds = []kind{
	{"malformed_request", 400, "The request cannot be read", "The body is not JSON, not UTF-8, or was cut off."},
	{"unauthenticated", 401, "A valid API key is needed", "The key is missing, unknown or revoked."},
	{"insufficient_credits", 402, "There are not enough credits", "Nothing was held; missing lists what lacks. A new attempt needs a new idempotency key."},
	{"forbidden", 403, "The key does not allow this", "The key's role is too low for the call."},
	{"suspended", 403, "The organization is suspended or closed", "It starts no orders. Those that run are finished; what it has can be read."},
	{"not_found", 404, "There is no such thing", "It does not exist, or it belongs to somebody else: the two cannot be told apart."},
	{"method_not_allowed", 405, "The method is not offered here", "The Allow header lists those that are."},
	{"not_acceptable", 406, "The answer cannot be given in that form", "Ask for application/json."},
	{"timeout", 408, "The request took too long to arrive", "The body did not arrive in time; send it again."},
	{"conflict", 409, "It does not go together with what is there", "Something with that id exists, or the order has moved on."},
	{"too_large", 413, "The request is too large", "The body is larger than the call takes."},
	{"unsupported_media_type", 415, "The body has the wrong content type", "Send application/json."},
	{"invalid_request", 422, "The request is not valid", "errors lists the offending fields."},
	{"idempotency_key_reused", 422, "The idempotency key was used for something else", "The same key always means the same request; use a new key for a new one."},
	{"rate_limited", 429, "Too many requests", "Retry-After says how many seconds to wait."},
	{"internal", 500, "Something went wrong on our side", "Nothing about it is your fault; say the request_id when you ask us. The same request with the same idempotency key may be sent again."},
	{"credits_damaged", 500, "The credits of the organization are damaged", "Nothing was charged. Support can repair them; other organizations are not concerned."},
	{"not_configured", 501, "This is not set up here", "The operator has not set up the service that the call needs."},
	{"no_upstream", 502, "Another service did not answer", "Repeat the request with the same idempotency key."},
	{"unavailable", 503, "The order is kept but could not be answered yet", "Repeat the request with the same idempotency key."},
}

func kindOf(code string) kind {
	for _, k := range kinds {
		if k.Code == code {
			return k
		}
	}
	return kind{"internal", http.StatusInternalServerError, "Something went wrong on our side", ""}
}

func kindOfStatus(status int) kind {
	for _, k := range kinds {
		if k.Status == status {
			return k
		}
	}
	if status >= 400 && status < 500 {
		k := kindOf("invalid_request")
		k.Status = status
		return k
	}
	return kindOf("internal")
}

func problemOf(k kind, detail string) *Problem {
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
			}
			p.Errors = append(p.Errors, field)
		}
		if len(p.Errors) > 0 {
			p.Detail = fmt.Sprintf("%s: %s.", strings.TrimSuffix(p.Errors[0].Field, "."), p.Errors[0].Message)
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

const internal = "The request could not be carried out; try again, and tell us the request id if it stays so."

// roomErrors maps the errors of the rooms to problems. Their texts are sentences for
// the caller.
var roomErrors = []struct {
	err  error
	code string
}{
	{account.ErrNotFound, "not_found"},
	{account.ErrExists, "conflict"},
	{account.ErrInvalid, "invalid_request"},
	{account.ErrSuspended, "suspended"},
	{orderbook.ErrNotFound, "not_found"},
	{idempotency.ErrReused, "idempotency_key_reused"},
	{orderbook.ErrRequestDiffers, "idempotency_key_reused"},
	{orderbook.ErrInvalid, "invalid_request"},
	{intake.ErrKeyReused, "idempotency_key_reused"},
	{intake.ErrNoKey, "invalid_request"},
	{intake.ErrNoAnswer, "unavailable"},
	{intake.ErrOver, "conflict"},
	{intake.ErrDelivered, "conflict"},
	{ledger.ErrKeyReused, "idempotency_key_reused"},
	{ledger.ErrInvalid, "invalid_request"},
	{ledger.ErrNoEntry, "not_found"},
	{ledger.ErrUnknownGrant, "not_found"},
	{ledger.ErrUnknownHold, "conflict"},
	{ledger.ErrHoldExhausted, "conflict"},
	{billing.ErrRunning, "conflict"},
	{billing.ErrOpenOrders, "conflict"},
	{billing.ErrNoReason, "invalid_request"},
	{billing.ErrPart, "invalid_request"},
	{lead.ErrNoList, "not_found"},
	{payment.ErrNotConfigured, "not_configured"},
	{payment.ErrNotFound, "not_found"},
	{payment.ErrInvalid, "invalid_request"},
	{payment.ErrSignature, "malformed_request"},
	{payment.ErrKeyReused, "idempotency_key_reused"},
	{payment.ErrService, "no_upstream"},
	{webhook.ErrNotFound, "not_found"},
	{webhook.ErrInvalid, "invalid_request"},
}

// problem is the one place where an error becomes an answer. What is not known
// here is ours: it is logged, and the caller learns the request id alone.
func (a *API) problem(ctx context.Context, err error) *Problem {
	var p *Problem
	var bad *order.InvalidError
	var field *plan.FieldError
	var list *lead.ListError
	var labels *metadata.InvalidError
	var stored interface{ SQLState() string }
	switch {
	case errors.As(err, &p):
		p = new(*p)
	case errors.As(err, &bad):
		p = invalid(join("body", bad.Field), bad.Message)
	case errors.As(err, &list):
		p = invalid("body", sentence(list.Message))
	case errors.As(err, &labels):
		p = invalid("body.metadata", labels.Message)
	case errors.As(err, &field):
		p = invalid(join("body", field.Field), field.Message)
	case errors.Is(err, ledger.ErrDamaged), errors.Is(err, intake.ErrDamaged):
		a.Log.ErrorContext(ctx, "A request met damaged credits.", "request_id", requestID(ctx), "error", verify.WithoutAddresses(err.Error()))
		p = problemOf(kindOf("credits_damaged"), damaged)
	case errors.As(err, &stored) && strings.HasPrefix(stored.SQLState(), "22"):
		// Data exceptions of SQL: a number, time or text that cannot be stored.
		a.Log.InfoContext(ctx, "The database refused a value.", "request_id", requestID(ctx), "sqlstate", stored.SQLState())
		p = invalid("", "A value of the request is out of range or holds characters that cannot be stored.")
	default:
		for _, known := range roomErrors {
			if errors.Is(err, known.err) {
				p = problemOf(kindOf(known.code), sentence(err.Error()))
				break
			}
		}
	}
	if p == nil {
		if !errors.Is(err, context.Canceled) { // the client went away
			a.Log.ErrorContext(ctx, "A request failed.", "request_id", requestID(ctx), "error", verify.WithoutAddresses(err.Error()))
		}
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
