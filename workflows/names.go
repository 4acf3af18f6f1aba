package workflows

import (
	"go.temporal.io/sdk/temporal"

	"holdfast/internal/order"
)

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

// Those of order.Attributes that are also set elsewhere than at the start of an order.
var (
	AttrOrganization = temporal.NewSearchAttributeKeyKeyword(order.OrganizationAttribute)
	AttrOrderStatus  = temporal.NewSearchAttributeKeyKeyword(order.StatusAttribute)
)

// SearchAttributes are all of order.Attributes, to be registered in Temporal.
func SearchAttributes() []temporal.SearchAttributeKey {
	keys := make([]temporal.SearchAttributeKey, len(order.Attributes))
	for i, a := range order.Attributes {
		keys[i] = temporal.NewSearchAttributeKeyKeyword(a.Name)
	}
	return keys
}

// attributesOf are the search attributes with which an order starts.
func attributesOf(in order.Input) temporal.SearchAttributes {
	var values []temporal.SearchAttributeUpdate
	for _, a := range order.Attributes {
		if a.Of != nil {
			values = append(values, temporal.NewSearchAttributeKeyKeyword(a.Name).ValueSet(a.Of(in)))
		}
	}
	return temporal.NewSearchAttributes(values...)
}

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
