package errcode

import "net/http"

// Kind is a kind of error, as its caller needs to know it. Codes are never changed.
type Kind struct { // exported fields: the documentation shows them
	Code   string
	Status int // of HTTP
	Title  string
	About  string // for the documentation

	// Passes: the same call may succeed later, so that it is worth repeating.
	Passes bool
}

// The kinds of errors that the packages of the product return.
var (
	Malformed           = &Kind{"malformed_request", http.StatusBadRequest, "The request cannot be read", "The body is not JSON, not UTF-8, or was cut off.", false}
	InsufficientCredits = &Kind{"insufficient_credits", http.StatusPaymentRequired, "There are not enough credits", "Nothing was held; missing lists the missing credits. A new attempt needs a new idempotency key.", false}
	Forbidden           = &Kind{"forbidden", http.StatusForbidden, "The key does not allow this", "The key's role is too low for the call.", false}
	QuotaExceeded       = &Kind{"quota_exceeded", http.StatusForbidden, "A quota of the organization is used up", "Uploaded lists have a quota of rows and bytes, reported bounces a number of addresses in a bounce window, suppression lists a number of entries.", false}
	Suspended           = &Kind{"suspended", http.StatusForbidden, "The organization is suspended or closed", "It starts no orders. Those that run are finished; what it has can be read.", false}
	NotFound            = &Kind{"not_found", http.StatusNotFound, "Not found", "It does not exist, or it belongs to another organization; the answer is the same for both.", false}
	Conflict            = &Kind{"conflict", http.StatusConflict, "Conflicts with the current state", "Something with that id exists, or the order has moved on.", false}
	Gone                = &Kind{"gone", http.StatusGone, "It is not kept any more", "It was there and was removed after its time.", false}
	Invalid             = &Kind{"invalid_request", http.StatusUnprocessableEntity, "The request is not valid", "errors lists the offending fields.", false}
	KeyReused           = &Kind{"idempotency_key_reused", http.StatusUnprocessableEntity, "The idempotency key was used for something else", "The same key always means the same request; use a new key for a new one.", false}
	Internal            = &Kind{"internal", http.StatusInternalServerError, "Something went wrong on our side", "Nothing about it is your fault; quote the request_id when you contact support. The same request with the same idempotency key may be sent again.", true}
	Damaged             = &Kind{"credits_damaged", http.StatusInternalServerError, "The credits of the organization are damaged", "Nothing was charged. Support can repair them; other organizations are not concerned.", false}
	NotConfigured       = &Kind{"not_configured", http.StatusConflict, "This is not set up here", "The operator has not set up the service that the call needs.", false}
	NoUpstream          = &Kind{"no_upstream", http.StatusBadGateway, "Another service did not answer", "Repeat the request with the same idempotency key.", true}
	Unavailable         = &Kind{"unavailable", http.StatusServiceUnavailable, "The request could not be answered yet", "Repeat the request with the same idempotency key.", true}
)

// Kinds are all of them, by status.
func Kinds() []*Kind {
	return []*Kind{
		Malformed, InsufficientCredits, Forbidden, QuotaExceeded, Suspended, NotFound, Conflict, Gone, Invalid, KeyReused, Internal, Damaged, NotConfigured, NoUpstream, Unavailable,
	}
}

// Codes that say more than their kind, in the failures of orders and of their
// workflows. Over HTTP such an error has the code of its kind.
const (
	HoldClosed      = "hold_closed"
	HoldExhausted   = "hold_exhausted"
	InvalidInLedger = "invalid_ledger_operation"
	OrderOver       = "order_over"
	WebhookDisabled = "webhook_disabled"
	WebhookFailed   = "webhook_failed"
	WebhookNotFound = "webhook_not_found"
)

var narrower = map[string]*Kind{
	HoldClosed:      Conflict,
	HoldExhausted:   Conflict,
	InvalidInLedger: Invalid,
	OrderOver:       Conflict,
	WebhookDisabled: Conflict,
	WebhookFailed:   Conflict,
	WebhookNotFound: NotFound,
}

// KindOf is the kind of a code; Internal where there is no such code.
func KindOf(code string) *Kind {
	for _, k := range Kinds() {
		if k.Code == code {
			return k
		}
	}
	if k := narrower[code]; k != nil {
		return k
	}
	return Internal
}
