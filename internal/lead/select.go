package lead

import (
	"context"
	"errors"

	"holdfast/internal/order"
)

// Selection says which leads an order wants.
type Selection struct {
	OrderID      string
	Org          string
	Criteria     order.Criteria
	Count        int64  // most leads wanted, at least 1
	FactType     string // credit type whose facts say what the organization owns
	FactScope    string // scope of those facts: "" for once per organization
	IncludeOwned bool   // include owned leads, marked, instead of leaving them out
}

// Selected says what a selection froze into order items.
type Selected struct {
	Items        int64 // items of the order, numbered 1..Items
	AlreadyOwned int64 // of these, the ones the organization owned before
}

// Counted says what a selection would find.
type Counted struct {
	Leads        int64 // leads that match the criteria
	AlreadyOwned int64 // of these, the ones the organization owns
}

// Masked is a lead as it may be shown to somebody who has not paid for it.
type Masked struct {
	ID         string `json:"id"`
	FirstName  string `json:"first_name"`
	LastName   string `json:"last_name"` // initial only
	Email      string `json:"email"`     // domain only
	Title      string `json:"title"`
	Seniority  string `json:"seniority"`
	Department string `json:"department"`
	Company    string `json:"company"`
	Industry   string `json:"industry"`
	Headcount  int64  `json:"headcount"`
	Country    string `json:"country"`
	Region     string `json:"region"`
	City       string `json:"city"`
	HasPhone   bool   `json:"has_phone"`
	HasDirect  bool   `json:"has_direct_email"`
}

// Select freezes the candidates of an order into order_item rows, numbered
// 1..Items by email domain. It is idempotent per order: the second call
// answers what the first one froze.
func (c *Catalogue) Select(ctx context.Context, s Selection) (Selected, error) {
	return Selected{}, errors.New("selection is being built")
}

// Count says how many leads a selection would find and how many of them the
// organization owns; OrderID, Count and IncludeOwned are not looked at.
func (c *Catalogue) Count(ctx context.Context, s Selection) (Counted, error) {
	return Counted{}, errors.New("count is being built")
}

// Preview shows up to n leads that match, with their contact data masked.
func (c *Catalogue) Preview(ctx context.Context, criteria order.Criteria, n int) ([]Masked, error) {
	return nil, errors.New("preview is being built")
}
