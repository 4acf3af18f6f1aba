package order

import "time"

// Terms are what an order is charged by: the part of the customer's plan that
// concerns it, frozen at reservation, so that a plan changed later never
// changes a running order.
type Terms struct {
	Plan        string        `json:"plan"`
	PlanVersion int           `json:"plan_version"`
	Charges     []Charge      `json:"charges"`
	Billable    []string      `json:"billable"`            // verdicts that are charged
	Delivered   []string      `json:"delivered,omitempty"` // verdicts that the customer gets, charged or free; as billable when empty
	RefundDelay time.Duration `json:"refund_delay"`
	Most        *int64        `json:"most,omitempty"` // of a lead_list, how many new leads the hold covers; nil = as many as were ordered
}

// Charge is what one delivered item costs.
type Charge struct {
	Type     string   `json:"type"`               // credit type
	Amount   int64    `json:"amount"`             // credits per unit
	Per      string   `json:"per,omitempty"`      // the unit: contact, verification or lead; orders from before there were units: lead
	Scope    string   `json:"scope,omitempty"`    // within which an item is charged once: "" the organization, else a member or an order
	Field    Field    `json:"field,omitempty"`    // the items it is for; "" = all
	Billable []string `json:"billable,omitempty"` // verdicts that are charged; the order's when empty
}

// EveryTime reports whether each order pays again, also for what is owned.
func (c Charge) EveryTime(orderID string) bool { return c.Scope == orderID }

// Input starts the Order workflow. It carries no contact data.
type Input struct {
	ID      string  `json:"id"`
	Org     string  `json:"org"`
	Member  string  `json:"member,omitempty"`
	Request Request `json:"request"`
}

// Reservation is the answer to a submitted order: the order as reserved or
// rejected, the terms it runs under and the hash of the request it was made
// with, by which a key that is used again for another request is noticed.
type Reservation struct {
	Order       Order  `json:"order"`
	Terms       Terms  `json:"terms"`
	RequestHash string `json:"request_hash"`

	// Small orders do their bookkeeping within workflow tasks. It is decided with
	// the reservation, so that an order that was reserved before there were small
	// ones goes on as it began.
	Small bool `json:"small,omitempty"`
}

// Refusal is why an order cannot be made, for its submitter.
type Refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Field   string `json:"field,omitempty"` // of the request, that is wrong
}
