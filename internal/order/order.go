// Package order is the vocabulary of an order: what a customer asks for, where
// the order stands, what came of it. It is pure: standard library only, no I/O,
// so that workflows, activities, the API and the command line share one set of
// words.
package order

import "time"

// Status is where an order stands.
//
//	reserved → verifying → completed → settled
//
// A rejected, cancelled or failed order is over as well: the credits it still
// held have been released.
type Status string

// The statuses of an order.
const (
	Reserved  Status = "reserved"  // credits are held, nothing has run yet
	Verifying Status = "verifying" // candidates are frozen, batches are being verified and charged
	Completed Status = "completed" // delivered; the rest of the hold waits for its refund
	Settled   Status = "settled"   // the rest of the hold has been released; the order is over
	Rejected  Status = "rejected"  // the credits did not cover it; nothing was held
	Cancelled Status = "cancelled" // stopped on request; what was delivered stays
	Failed    Status = "failed"    // stopped by an error; what was delivered stays
)

// Over reports whether nothing will happen to the order any more.
func (s Status) Over() bool {
	switch s {
	case Settled, Rejected, Cancelled, Failed:
		return true
	case Reserved, Verifying, Completed:
		return false
	}
	return false
}

// Delivered reports whether the customer has the final list.
func (s Status) Delivered() bool { return s == Completed || s == Settled }

// Amount is a number of credits of one type.
type Amount struct {
	Type   string `json:"type"`
	Amount int64  `json:"amount"`
}

// Credit is what became of the credits of one type that an order held.
// Held is the amount of the hold at reservation; Captured has been charged,
// Released given back; Held − Captured − Released is still reserved. Reversed is
// what has been credited back of Captured since, after a bounce or a mistake.
type Credit struct {
	Type     string `json:"type"`
	Held     int64  `json:"held"`
	Captured int64  `json:"captured"`
	Released int64  `json:"released"`
	Reversed int64  `json:"reversed,omitempty"`
}

// Failure codes.
const (
	CodeInsufficientCredits = "insufficient_credits"
	CodeInternal            = "internal"
)

// Failure says in one sentence why an order was rejected or failed.
type Failure struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Missing []Amount `json:"missing,omitempty"`
	// OverBudget is how many of the missing credits are there, but withheld by the
	// member's budget.
	OverBudget []Amount `json:"over_budget,omitempty"`
}

// Order is an order as its customer sees it.
type Order struct {
	ID          string     `json:"id"`
	Kind        Kind       `json:"kind"`
	Org         string     `json:"org"`
	Member      string     `json:"member,omitempty"`
	Status      Status     `json:"status"`
	Requested   int64      `json:"requested"`
	Selected    int64      `json:"selected"`
	Tally       Tally      `json:"tally"`
	Reasons     []Reason   `json:"reasons,omitempty"`
	Credits     []Credit   `json:"credits"`
	RefundAt    *time.Time `json:"refund_at,omitempty"`
	CreatedAt   time.Time  `json:"created_at"`
	CompletedAt *time.Time `json:"completed_at,omitempty"`
	SettledAt   *time.Time `json:"settled_at,omitempty"`
	Failure     *Failure   `json:"failure,omitempty"`

	ResultsRemovedAt *time.Time `json:"results_removed_at,omitempty"`

	TestClock bool `json:"test_clock,omitempty" doc:"Its times are those of the organization's test clock."`

	Metadata map[string]string `json:"metadata,omitempty" doc:"Texts of your own, by name, as the order came with them."`

	// CancelRequestedAt is when its customer first asked to cancel it.
	CancelRequestedAt *time.Time `json:"cancel_requested_at,omitempty"`

	// While it runs: whether it is paused, what it waits for, how far it is.
	Paused   bool  `json:"paused" doc:"It verifies nothing until it is resumed."`
	Waiting  *Wait `json:"waiting,omitempty" doc:"What a running order waits for; absent while it works and when it is over."`
	Progress *Pace `json:"progress,omitempty" doc:"How far a running order is; absent when it is over."`
}

// ResultsGone reports whether nothing of its results is left to be downloaded.
// The leads that an order has delivered stay.
func (o Order) ResultsGone() bool {
	return o.ResultsRemovedAt != nil && o.Kind.Spec().Source == FromAddresses
}
