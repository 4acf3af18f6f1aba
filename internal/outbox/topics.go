package outbox

import "time"

// The topics: what an event is about. Webhooks subscribe to them by name.
const (
	OrderReserved   = "order.reserved"
	OrderStarted    = "order.started"
	OrderPaused     = "order.paused"
	OrderOutage     = "order.outage"
	OrderResumed    = "order.resumed"
	OrderCompleted  = "order.completed"
	OrderSettled    = "order.settled"
	OrderRejected   = "order.rejected"
	OrderCancelled  = "order.cancelled"
	OrderFailed     = "order.failed"
	CreditsLow      = "credits.low"
	CreditsReset    = "credits.reset"
	CreditsGranted  = "credits.granted"
	CreditsExpired  = "credits.expired"
	CreditsVoided   = "credits.voided"
	CreditsReversed = "credits.reversed"
	ListReady       = "list.ready"
	MemberCreated   = "member.created"
	MemberRemoved   = "member.removed"
	PlanChanged     = "plan.changed"
	OrgSuspended    = "org.suspended"
	OrgResumed      = "org.resumed"
	OrgClosed       = "org.closed"
	WebhookDisabled = "webhook.disabled"
	TopUpFailed     = "top_up.failed"
)

// Topic describes the events of one topic.
type Topic struct {
	Name string
	Says string // one sentence for those who subscribe
	Data any    // an example of the data, of the type that the data of all its events have
}

// Topics is the catalogue of events: what can be subscribed to, and the shape of
// what then arrives. A new event is a line here, and Write where it happens.
var Topics = []Topic{
	{OrderReserved, "The credits of an order are held; its work begins.", exampleOrder(OrderReserved)},
	{OrderStarted, "The items of an order are chosen; their verification begins.", exampleOrder(OrderStarted)},
	{OrderPaused, "An order was paused; batches under way are finished and charged, no new ones begin.", exampleOrder(OrderPaused)},
	{OrderOutage, "Nothing can be verified just now; the order waits and tries again by itself.", exampleOrder(OrderOutage)},
	{OrderResumed, "A paused order continues, or one that waited for an outage to end.", exampleOrder(OrderResumed)},
	{OrderCompleted, "All that an order delivers is delivered and charged; what it did not use comes back after the refund delay.", exampleOrder(OrderCompleted)},
	{OrderSettled, "An order is over: what it did not use has been released.", exampleOrder(OrderSettled)},
	{OrderRejected, "The credits do not cover an order; nothing is held.", exampleOrder(OrderRejected)},
	{OrderCancelled, "An order was cancelled; what was delivered stays charged, the rest has been released.", exampleOrder(OrderCancelled)},
	{OrderFailed, "An order cannot be finished; what was delivered stays charged, the rest has been released.", exampleOrder(OrderFailed)},
	{CreditsLow, "The available credits of a pool fell to one of the plan's thresholds, once until they have recovered.", CreditsAreLow{Org: "acme", Type: "email", Available: 95, Threshold: 100, At: exampleTime}},
	{CreditsReset, "A credit period ended and the next began.", exampleReset},
	{CreditsGranted, "A grant's credits can be spent.", CreditsGrantedTo{CreditsVoidedOf: exampleVoided, Source: "pack", ExpiresAt: &exampleEnd}},
	{CreditsExpired, "Credits expired before they were spent.", exampleMoved},
	{CreditsVoided, "Granted credits were taken back.", exampleVoided},
	{CreditsReversed, "Charged credits were credited back.", exampleMoved},
	{ListReady, "An uploaded list is stored; orders can verify or enrich it.", exampleList},
	{MemberCreated, "A member was added to the organization.", NewMember{Org: exampleOrg, Member: "jane", Role: "member"}},
	{MemberRemoved, "A member was removed; the licence has ended.", FormerMember{Org: exampleOrg, Member: "jane"}},
	{PlanChanged, "The organization changes to a plan, now or with its next period.", NewPlan{Org: exampleOrg, Plan: "rollover-power", Version: 1, Since: exampleEnd, AtPeriodEnd: true}},
	{OrgSuspended, "The organization starts no new orders.", exampleOrg},
	{OrgResumed, "The organization may order again.", exampleOrg},
	{OrgClosed, "The organization was closed for good.", exampleOrg},
	{WebhookDisabled, "An endpoint is not tried any more; the organization's other endpoints get this event.", DisabledWebhook{Org: "acme", ID: "wh_7f3a2c", URL: "https://example.com/holdfast", Reason: "The endpoint answered 410 Gone."}},
	{TopUpFailed, "Credits that a rule was to buy automatically were not bought.", FailedTopUp{Org: "acme", ID: 12, Type: "email", Status: "failed", Reason: "Your card was declined.", Stopped: true, At: exampleTime}},
}

// CreditsAreLow are the data of credits.low.
type CreditsAreLow struct {
	Org       string    `json:"org" doc:"The organization."`
	Pool      string    `json:"pool" doc:"The member that has the pool; empty: the shared pool."`
	Type      string    `json:"type" doc:"Credit type."`
	Available int64     `json:"available" doc:"Credits that can be spent now."`
	Threshold int64     `json:"threshold" doc:"The threshold that they fell to or below."`
	At        time.Time `json:"at" doc:"When."`
}

// CreditsWereReset are the data of credits.reset.
type CreditsWereReset struct {
	Org     string        `json:"org" doc:"The organization."`
	Member  string        `json:"member,omitempty" doc:"The member that has the licence; absent: the organization's period."`
	Plan    string        `json:"plan" doc:"The plan of the new period."`
	Start   time.Time     `json:"period_start" doc:"Beginning of the new period."`
	End     time.Time     `json:"period_end" doc:"End of the new period."`
	Credits []ResetCredit `json:"credits" doc:"By credit type."`
}

// ResetCredit is what a reset did to the credits of one type.
type ResetCredit struct {
	Type       string `json:"type" doc:"Credit type."`
	Granted    int64  `json:"granted" doc:"The new period's allotment."`
	RolledOver int64  `json:"rolled_over" doc:"Credits of the ended period that can still be spent."`
	Expired    int64  `json:"expired" doc:"Credits of the ended period that are gone."`
}

// CreditsMoved are the data of an event about credits of one pool and type.
type CreditsMoved struct {
	Org     string    `json:"org" doc:"The organization."`
	Pool    string    `json:"pool" doc:"The member that has the pool; empty: the shared pool."`
	Type    string    `json:"type" doc:"Credit type."`
	Amount  int64     `json:"amount" doc:"Credits."`
	Balance int64     `json:"balance" doc:"What is available in the pool afterwards."`
	Entry   int64     `json:"entry" doc:"The journal entry that says so."`
	OrderID string    `json:"order_id,omitempty" doc:"The order it belongs to."`
	Member  string    `json:"member,omitempty" doc:"The member who acted."`
	Action  string    `json:"action,omitempty" doc:"The action it belongs to."`
	Reason  string    `json:"reason,omitempty" doc:"The reason that was given with the request."`
	At      time.Time `json:"at" doc:"When."`
}

// CreditsVoidedOf are the data of credits.voided.
type CreditsVoidedOf struct {
	CreditsMoved
	GrantID int64 `json:"grant_id" doc:"The grant."`
}

// CreditsGrantedTo are the data of credits.granted.
type CreditsGrantedTo struct {
	CreditsVoidedOf
	Source    string     `json:"source,omitempty" doc:"Where the credits come from." enum:"allotment,pack,promotion,adjustment,rollover,reinstated"`
	Priority  int64      `json:"priority,omitempty" doc:"Lower ones are spent first."`
	StartsAt  *time.Time `json:"starts_at,omitempty" doc:"When they can be spent; absent: at once."`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When they expire; absent: never."`
}

// ReadyList are the data of list.ready.
type ReadyList struct {
	Org       string    `json:"org" doc:"The organization."`
	Member    string    `json:"member,omitempty" doc:"The member who uploaded it; absent: the organization itself."`
	ID        string    `json:"id" doc:"The list."`
	Columns   []string  `json:"columns" doc:"Names of its columns."`
	Rows      int64     `json:"rows" doc:"Rows without the header."`
	Unique    int64     `json:"unique" doc:"Different addresses."`
	Matchable int64     `json:"matchable" doc:"Rows without an address that can be matched to a lead."`
	Malformed int64     `json:"malformed" doc:"Rows that can be neither verified nor matched."`
	At        time.Time `json:"at" doc:"When."`
}

// Org are the data of an event about an organization.
type Org struct {
	Org string    `json:"org" doc:"The organization."`
	At  time.Time `json:"at" doc:"When."`
}

// NewMember are the data of member.created.
type NewMember struct {
	Org
	Member string `json:"member" doc:"The member."`
	Role   string `json:"role" enum:"admin,member" doc:"What the member may do."`
}

// FormerMember are the data of member.removed.
type FormerMember struct {
	Org
	Member string `json:"member" doc:"The member."`
}

// NewPlan are the data of plan.changed.
type NewPlan struct {
	Org
	Plan        string    `json:"plan" doc:"The plan changed to."`
	Version     int       `json:"plan_version" doc:"Its version."`
	Since       time.Time `json:"since" doc:"When it is in force."`
	AtPeriodEnd bool      `json:"at_period_end" doc:"It begins with the next period."`
}

// DisabledWebhook are the data of webhook.disabled.
type DisabledWebhook struct {
	Org    string `json:"org" doc:"The organization."`
	ID     string `json:"id" doc:"The endpoint."`
	URL    string `json:"url" doc:"Its address."`
	Reason string `json:"reason" doc:"Why it is not tried any more."`
}

// FailedTopUp are the data of top_up.failed.
type FailedTopUp struct {
	Org     string    `json:"org" doc:"The organization."`
	ID      int64     `json:"id" doc:"The automatic purchase, as in GET /top-ups/charges."`
	Type    string    `json:"type" doc:"Credit type."`
	Status  string    `json:"status" doc:"failed: the payment was refused; skipped: a monthly cap is reached; unknown: the payment service did not say what became of it." enum:"failed,skipped,unknown"`
	Reason  string    `json:"reason" doc:"Why, in a sentence."`
	Stopped bool      `json:"stopped" doc:"Whether the rule buys nothing more until it is set again."`
	At      time.Time `json:"at" doc:"When."`
}
