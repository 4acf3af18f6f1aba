package order

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
)

// MaxCount is the largest number of leads one order may ask for where the
// configuration says nothing else.
const MaxCount = 1_000_000

// MaxLookups is the largest number of leads that one order may name, or of rows
// that it may enrich: they are looked up before it is accepted.
const MaxLookups = 100_000

// MaxCriteria is how large criteria may be as JSON, in bytes. They are part of a
// workflow's input and of its activities' inputs: 1 MB of them made a history of
// several MB.
const MaxCriteria = 128 << 10

// SmallCount is how many items a small order has at most.
const SmallCount = 100

// Request is what a customer asks for. It holds criteria and counts, never
// contact data: it travels through Temporal.
type Request struct {
	Kind     Kind     `json:"kind"`
	Count    int64    `json:"count,omitempty"`   // candidates (or, with Fill, valid leads) wanted
	Fill     bool     `json:"fill,omitempty"`    // go on until Count valid leads are delivered
	Criteria Criteria `json:"criteria,omitzero"` // which leads

	// IncludeOwned delivers leads that the organization owns already too, free,
	// instead of leaving them out.
	IncludeOwned bool `json:"include_owned,omitempty" doc:"Of a lead_list: deliver leads that the organization owns already, too, free. The results have a column owned then. Without it they are left out."`

	// IncludeKnownBad selects leads too whose address is known to be bad from a
	// verification that is still relied on, instead of leaving them out.
	IncludeKnownBad bool `json:"include_known_bad,omitempty" doc:"Of a lead_list: also select leads with an address that an earlier verification found to be bad. Without it they are left out."`

	// ListID is the list whose addresses are verified, whose rows are enriched,
	// or whose leads are revealed or exported; Count is their number.
	ListID string `json:"list_id,omitempty"`

	Fields      []Field     `json:"fields,omitempty"`      // what is revealed or looked for
	OrderID     string      `json:"order_id,omitempty"`    // the order whose delivered leads are exported
	Destination Destination `json:"destination,omitempty"` // of an export; a file when empty
	WebhookID   string      `json:"webhook_id,omitempty"`  // where a webhook export goes
}

// Small reports whether the order cannot have more than a few items, and selects
// them once.
func (r Request) Small() bool {
	return !r.Fill && r.Count*max(1, int64(len(r.Fields))) <= SmallCount
}

// Field is a piece of information about a lead.
type Field string

// The fields of a lead. LeadField is not one that is sold: it stands for the
// lead as a whole where an export is charged by the lead.
const (
	EmailField       Field = "email"
	PhoneField       Field = "phone"
	DirectEmailField Field = "direct_email"
	ProfileField     Field = "profile"
	LeadField        Field = "lead"
)

// Fields are those that are sold.
var Fields = []Field{EmailField, PhoneField, DirectEmailField, ProfileField}

// Reasons of verdicts that no verification gave: how an item stood when it was
// chosen.
const (
	ReasonOwned      = "owned"      // valid: the organization paid for it before
	ReasonOnFile     = "on_file"    // valid: there is nothing to verify about it
	ReasonNotFound   = "not_found"  // unknown: the catalogue does not have it
	ReasonDuplicate  = "duplicate"  // unknown: another item of the order has the same value, which stands for it
	ReasonNotNew     = "not_new"    // unknown: the row that is enriched says it already
	ReasonNotOwned   = "not_owned"  // unknown: nothing of the lead has been paid for that could be exported
	ReasonSuppressed = "suppressed" // unknown: the person must not be given to any organization, or not to this one
)

// Destination says where an export goes.
type Destination string

// The destinations of an export.
const (
	ToFile    Destination = "csv"     // results that can be downloaded
	ToWebhook Destination = "webhook" // signed batches to one of the organization's endpoints
)

// Body is a request as its customer sends it, with addresses in it. Intake
// stores these as a list before anything else knows the order: a Body never
// travels through Temporal.
type Body struct {
	Request
	Emails  []string `json:"emails,omitempty"`
	LeadIDs []string `json:"lead_ids,omitempty"` // leads to reveal or export

	Member   string            `json:"member,omitempty" doc:"The member that orders, with an admin's or the operator's key; the key's own member when left out." example:"jane"`
	Metadata map[string]string `json:"metadata,omitempty" doc:"Up to 20 texts of your own, by name; no contact data. Lists of orders can be filtered by them."`
}

// Criteria choose leads from the catalogue. Fields are combined with AND, the
// values of one field with OR. Values are compared without regard to case;
// Title matches as free text.
type Criteria struct {
	Country        []string `json:"country,omitempty"` // ISO 3166 alpha-2
	Region         []string `json:"region,omitempty"`
	City           []string `json:"city,omitempty"`
	Industry       []string `json:"industry,omitempty"`
	Title          string   `json:"title,omitempty"` // all words must occur
	Seniority      []string `json:"seniority,omitempty"`
	Department     []string `json:"department,omitempty"`
	Company        []string `json:"company,omitempty"`
	Domain         []string `json:"domain,omitempty"`
	HeadcountMin   int64    `json:"headcount_min,omitempty"`
	HeadcountMax   int64    `json:"headcount_max,omitempty"` // 0 = no upper limit
	HasPhone       bool     `json:"has_phone,omitempty"`
	HasDirectEmail bool     `json:"has_direct_email,omitempty"`
}

// ParseRequest reads a request from JSON and says which field it does not
// know, so that a misspelt criterion never silently selects all leads.
func ParseRequest(data []byte) (Body, error) {
	var r Body
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			field = strings.Trim(field, `"`)
			return Body{}, &InvalidError{field, fmt.Sprintf("There is no field %q in an order; see the list of criteria in the documentation.", field)}
		}
		return Body{}, &InvalidError{"", fmt.Sprintf("The order is not valid JSON of the expected shape: %v.", err)}
	}
	return r, nil
}

// Hash identifies the content of a request: equal requests have equal hashes.
func (r Request) Hash() string {
	data, err := json.Marshal(r)
	if err != nil { // strings, numbers and booleans always marshal
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// ID makes the order ID, which is also the workflow ID, from the organization
// and its idempotency key: the same key always means the same order.
func ID(org, idempotencyKey string) string {
	sum := sha256.Sum256([]byte(org + "\x00" + idempotencyKey))
	return "ord_" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]))
}
