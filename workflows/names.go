package workflows

import "go.temporal.io/sdk/temporal"

// Names that people and scripts use to find things in Temporal.
const (
	TaskQueue       = "holdfast"        // workflows and the activities that touch only the database
	VerifyTaskQueue = "holdfast-verify" // activities that talk to other people's mail servers

	QueryProgress = "progress" // answers order.Progress
	UpdateReserve = "reserve"  // answers order.Reservation
)

// Search attributes by which orders are found in the Temporal UI, for example
// with Organization = "acme" and OrderStatus = "verifying".
var (
	AttrOrganization = temporal.NewSearchAttributeKeyKeyword("Organization")
	AttrOrderKind    = temporal.NewSearchAttributeKeyKeyword("OrderKind")
	AttrOrderStatus  = temporal.NewSearchAttributeKeyKeyword("OrderStatus")
)
