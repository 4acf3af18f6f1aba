package workflows

import "go.temporal.io/sdk/temporal"

// Names that people and scripts use to find things in Temporal.
const (
	TaskQueue        = "holdfast"         // workflows and the activities that touch only the database
	VerifyTaskQueue  = "holdfast-verify"  // activities that talk to other people's mail servers; those of one sending address: RetryTaskQueue
	WebhookTaskQueue = "holdfast-webhook" // activities that talk to customers' webhooks

	QueryProgress = "progress" // answers order.Progress
	UpdateReserve = "reserve"  // answers order.Reservation
	UpdatePause   = "pause"
	UpdateResume  = "resume"

	// Types of the errors with which an order refuses an update.
	RefusedNothingToDo = "nothing_to_do" // it is paused already, or not paused
	RefusedDelivered   = "delivered"     // nothing is left to be paused

	ResetSchedule     = "monthly-reset" // starts MonthlyReset, by default every hour
	ReconcileSchedule = "reconcile"     // starts Reconcile, by default every five minutes
)

// RetryTaskQueue is where greylisted addresses are asked for again: it is served
// by the workers that mail hosts see under one and the same name and address.
func RetryTaskQueue(seenAs string) string { return VerifyTaskQueue + ":" + seenAs }

// Search attributes by which orders are found in the Temporal UI, for example
// with Organization = "acme" and OrderStatus = "verifying".
var (
	AttrOrganization = temporal.NewSearchAttributeKeyKeyword("Organization")
	AttrOrderKind    = temporal.NewSearchAttributeKeyKeyword("OrderKind")
	AttrOrderStatus  = temporal.NewSearchAttributeKeyKeyword("OrderStatus")
)

// SearchAttributes are all of them, to be registered in Temporal.
var SearchAttributes = []temporal.SearchAttributeKey{AttrOrganization, AttrOrderKind, AttrOrderStatus}

// View is a query that is worth saving in Temporal's UI.
type View struct{ Name, Query string }

// Views are those that operators' pages lead to; docs/temporal.md lists them, too.
var Views = []View{
	{"open orders", `WorkflowType = "Order" and ExecutionStatus = "Running"`},
	{"orders being verified", `OrderStatus = "verifying" and ExecutionStatus = "Running"`},
	{"delivered, refund pending", `OrderStatus = "completed" and ExecutionStatus = "Running"`},
	{"settled orders", `OrderStatus = "settled"`},
	{"rejected orders", `OrderStatus = "rejected"`},
	{"failed or cancelled orders", `OrderStatus in ("failed", "cancelled")`},
	{"exports", `OrderKind = "export"`},
	{"all orders, without webhooks and resets", `WorkflowType = "Order"`},
	{"resets", `WorkflowType = "MonthlyReset"`},
	{"webhook deliveries", `WorkflowType = "WebhookDelivery" and ExecutionStatus = "Running"`},
}

// ViewOf is the view of one organization's orders.
func ViewOf(org string) View {
	return View{"orders of " + org, `Organization = "` + org + `" and WorkflowType = "Order"`}
}

// AttrScheduledStart is set by Temporal on what a schedule starts: the time the
// start was scheduled for, however late it came.
var AttrScheduledStart = temporal.NewSearchAttributeKeyTime("TemporalScheduledStartTime")

// The shares of the task queue that resets and reconciling get: one customer's.
const (
	resetFairness     = ResetSchedule
	reconcileFairness = ReconcileSchedule
)
