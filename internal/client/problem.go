package client

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is what the API refused, as it was answered (RFC 9457).
type Problem struct { //nolint:errname // RFC 9457 calls it a problem
	Status    int            `json:"status,omitempty"`
	Code      string         `json:"code"`
	Detail    string         `json:"detail"`
	Errors    []FieldProblem `json:"errors,omitempty"`
	Missing   []Amount       `json:"missing,omitempty"`
	Over      []Amount       `json:"over_budget,omitempty"`
	OrderID   string         `json:"order_id,omitempty"`
	RequestID string         `json:"request_id,omitempty"`
}

// FieldProblem is one thing that is wrong with a request.
type FieldProblem struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Amount is a number of credits of one type.
type Amount struct {
	Type   string `json:"type"`
	Amount int64  `json:"amount"`
}

// Error is the sentence of the API. Where it could not say what is wrong, support
// needs the request's id.
func (p *Problem) Error() string {
	if p.Status >= http.StatusInternalServerError && p.RequestID != "" {
		return fmt.Sprintf("%s (request %s)", strings.TrimSuffix(p.Detail, "."), p.RequestID)
	}
	return p.Detail
}

// Refused reports whether the request itself is wrong: repeated, it is refused
// again in any state of the server.
func (p *Problem) Refused() bool { return p.Code == "invalid_request" || p.Code == "malformed_request" }

const (
	attempts    = 4                // of one request
	longestWait = 30 * time.Second // that a server may ask for; what takes longer is for the caller to decide
	maxProblem  = 64 << 10
)

// problemOf reads a problem and closes the response.
func problemOf(response *http.Response) error {
	defer func() { _ = response.Body.Close() }()
	p := &Problem{}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxProblem))
	if err != nil || json.Unmarshal(text, p) != nil || p.Detail == "" { // a proxy, or no Holdfast
		p = &Problem{
			Code: "unknown", RequestID: response.Header.Get("X-Request-Id"),
			Detail: fmt.Sprintf("%s answered with status %d and no problem of Holdfast; check the address.", response.Request.URL.Host, response.StatusCode),
		}
	}
	p.Status = response.StatusCode
	return p
}

// waitFor says how long to wait before a request is repeated, or -1 where it is
// not. Every request may be repeated: a POST has its idempotency key.
func waitFor(pause time.Duration, attempt int, response *http.Response, err error) time.Duration {
	if attempt >= attempts {
		return -1
	}
	pause <<= attempt - 1
	if err != nil {
		return pause
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return -1
	}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds >= 0 {
		pause = time.Duration(seconds) * time.Second
	}
	if pause > longestWait {
		return -1
	}
	return pause
}
