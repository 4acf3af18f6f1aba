package api

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

// said describes a field: what it is and an example of it.
type said struct {
	about   string
	example any // nil where the field is a list or an object, or has a closed set of values
}

const exampleMoment = "2026-03-01T12:00:00Z"

// fieldsByName describe fields that mean the same in every place. A
// description that stands with the field itself goes before it.
var fieldsByName = map[string]said{
	"action":              {"The action that it belongs to, such as reveal_email.", "lead_list"},
	"address":             {"The address as it was taken out of the text that was sent.", "ann@example.com"},
	"allotment":           {"", 12000},
	"already_owned":       {"Leads that the organization has paid for before; they are free.", 80},
	"amount":              {"Credits.", 500},
	"anchor":              {"Its credit periods are counted from here.", exampleMoment},
	"at":                  {"When.", exampleMoment},
	"attempted_at":        {"When it was last tried.", exampleMoment},
	"attempts":            {"How often it was tried.", 1},
	"at_period_end":       {"It begins with the next period.", true},
	"available":           {"Credits that can be spent now.", 1500},
	"balance":             {"", 1500},
	"cancel_requested_at": {"When it was first asked to cancel it.", exampleMoment},
	"candidates":          {"Leads that the order would select.", 10000},
	"captured":            {"Credits charged.", 5000},
	"catch_all":           {"Contacts at a domain that accepts every address.", 200},
	"change":              {"", -500},
	"checked_at":          {"When the mail host was asked.", exampleMoment},
	"city":                {"Cities.", "Berlin"},
	"code":                {"HTTP status of the last attempt; absent where there was no answer.", 200},
	"columns":             {"The columns of the file.", nil},
	"company":             {"The company.", "Example Ltd"},
	"completed_at":        {"When it was delivered.", exampleMoment},
	"count":               {"How many.", 10000},
	"country":             {"ISO 3166 alpha-2.", "US"},
	"covered":             {"The credits suffice.", true},
	"created_at":          {"When it was made.", exampleMoment},
	"credits":             {"By credit type.", nil},
	"cursor":              {"", "b1"},
	"delivered_at":        {"When it was delivered.", exampleMoment},
	"delivery":            {"The delivery.", 42},
	"department":          {"Departments.", "engineering"},
	"destination":         {"Where an export goes; a file when left out.", nil},
	"disabled_at":         {"Since when it is not tried any more; absent while it is.", exampleMoment},
	"disabled_reason":     {"Why it is not tried any more.", "The endpoint answered 410 Gone."},
	"disposable":          {"Contacts with a throwaway address.", 3},
	"domain":              {"Mail domains.", "example.com"},
	"duplicate":           {"Contacts that another item of the order stands for.", 2},
	"email":               {"The address.", "ann@example.com"},
	"emails":              {"The addresses.", nil},
	"end":                 {"When it ends.", "2026-04-01T12:00:00Z"},
	"entry":               {"", 42},
	"error":               {"Why the last attempt failed.", "The endpoint refused the connection."},
	"events":              {"The events that it gets; an empty list means all.", nil},
	"event":               {"The event.", "order.settled"},
	"event_id":            {"The webhook-id header; the same when it is sent again.", "evt_5n2m6yf4w3vqk7ea"},
	"expected_charge":     {"What it would probably be charged, by credit type.", nil},
	"expired":             {"Credits that expired.", 0},
	"expires_at":          {"When they expire; absent where they never do.", "2027-03-01T12:00:00Z"},
	"facts":               {"Charges that were credited back.", 3},
	"failing_since":       {"The first failure since the last success.", exampleMoment},
	"field":               {"The piece of information.", "email"},
	"fields":              {"What is revealed or looked for.", nil},
	"fill":                {"Continue until count valid leads are delivered, within the held credits.", false},
	"first_name":          {"First name.", "Ann"},
	"found":               {"Addresses that were delivered within the bounce window.", 3},
	"from":                {"", exampleMoment},
	"generation":          {"Which change of plan this is, counted from 0.", 1},
	"grant_id":            {"The grant.", 42},
	"granted_at":          {"When it was given.", exampleMoment},
	"has_direct_email":    {"Only leads with a personal address.", true},
	"has_phone":           {"Only leads with a telephone number.", true},
	"headcount":           {"People at the company; null where it is not known.", 120},
	"headcount_max":       {"At most so many people at the company; 0 means no limit.", 1000},
	"headcount_min":       {"At least so many people at the company.", 50},
	"held":                {"Credits reserved by orders that are not settled.", 500},
	"high":                {"At most, probably.", 5400},
	"hold":                {"What the order would reserve.", nil},
	"id":                  {"Its id.", "acme"},
	"industry":            {"Industries.", "software"},
	"invalid":             {"Contacts that do not exist.", 4000},
	"items":               {"Items of orders that were emptied.", 2},
	"key_id":              {"", "key_7f3a2c"},
	"kind":                {"What is ordered.", "lead_list"},
	"known":               {"How many earlier contacts the range is based on.", 12000},
	"last_name":           {"Last name.", "Smith"},
	"last_used_at":        {"When it was last used, exact to a minute; absent where it never was.", exampleMoment},
	"lead_id":             {"The lead.", "L00000042"},
	"lead_ids":            {"Ids of leads to reveal or export.", nil},
	"leads":               {"Leads.", nil},
	"limit":               {"Entries a page.", 100},
	"line":                {"", 1},
	"list_id":             {"The uploaded list that is verified, enriched, revealed or exported.", "lst_7d2k4m"},
	"list_rows":           {"Rows of uploaded lists that were emptied.", 1},
	"low":                 {"At least, probably.", 4600},
	"malformed":           {"Rows that can be neither verified nor matched.", 2},
	"matchable":           {"Rows without an address that can be matched with a lead otherwise.", 10},
	"member":              {"The member.", "jane"},
	"message":             {"One sentence: what is wrong and what to do.", "The count is 0; ask for at least 1 lead."},
	"metadata":            {"Texts of your own, by name.", nil},
	"missing":             {"Credits that are missing.", nil},
	"n":                   {"The number of the period, from 0.", 3},
	"name":                {"Name for people.", "Acme Inc."},
	"next_at":             {"When it is tried next.", exampleMoment},
	"next_cursor":         {"For the next page; absent on the last one.", "b1"},
	"next_plan":           {"", "rollover-power"},
	"next_plan_at":        {"When the next plan begins.", "2026-04-01T12:00:00Z"},
	"next_plan_version":   {"The version of the next plan.", 1},
	"next_reset":          {"", "2026-04-01T12:00:00Z"},
	"order_id":            {"The order.", "ord_4k2n6v"},
	"org":                 {"The organization.", "acme"},
	"over_budget":         {"Of the missing credits, those that are there but withheld by the member's budget.", nil},
	"phone":               {"", "+14155550123"},
	"plan":                {"The plan.", "verified-leads"},
	"plan_version":        {"The version of the plan.", 1},
	"pool":                {"Who has the credits: the member or the organization.", "organization"},
	"prefix":              {"How the key begins.", "hf_3k5m7p2q"},
	"priority":            {"", 0},
	"profile":             {"", "Prefers short messages."},
	"reason":              {"Why.", "asked to"},
	"reasons":             {"How many contacts got which verdict for which reason.", nil},
	"refund_at":           {"When what was not used is released.", exampleMoment},
	"region":              {"Regions or states.", "California"},
	"released":            {"Credits given back.", 5000},
	"removed_at":          {"When the member was removed; absent while the licence is in force.", exampleMoment},
	"reported":            {"Addresses that were reported.", 4},
	"request_id":          {"Quote it when you contact support.", "req_4k2n6v"},
	"requested":           {"How many contacts were ordered.", 10000},
	"reversed":            {"Credits that were credited back.", 0},
	"revoked_at":          {"When it was revoked; absent while it works.", exampleMoment},
	"risky":               {"Contacts that may not be delivered to.", 5},
	"role":                {"What the member or the key may do.", nil},
	"rows":                {"Rows of the file.", 500},
	"score":               {"", 90},
	"selected":            {"How many leads were selected.", 10000},
	"seniority":           {"Seniorities.", "director"},
	"results_removed_at":  {"Since when its results are not kept any more.", exampleMoment},
	"settled_at":          {"When it was over.", exampleMoment},
	"since":               {"When it is in force.", exampleMoment},
	"source":              {"Where the credits come from.", "pack"},
	"spent":               {"Credits spent.", 300},
	"start":               {"When it begins.", exampleMoment},
	"starts_at":           {"When the credits can be spent.", exampleMoment},
	"status":              {"Where it stands.", nil},
	"subject":             {"The order that it is about.", "ord_4k2n6v"},
	"suppressed":          {"New entries on the suppression list.", 1},
	"tally":               {"How many contacts got which verdict.", nil},
	"timestamp":           {"", exampleMoment},
	"time_zone":           {"IANA time zone of its credit periods.", "Europe/Berlin"},
	"title":               {"Job title; as a filter, all words must occur.", "engineer"},
	"to":                  {"", exampleMoment},
	"type":                {"Credit type.", "email"},
	"unique":              {"Addresses, letter case aside.", 480},
	"unknown":             {"Contacts without a definite verdict.", 100},
	"until":               {"", exampleMoment},
	"updated_at":          {"When it last changed.", exampleMoment},
	"url":                 {"Where events are sent to.", "https://example.com/holdfast"},
	"usage":               {"Credits charged in the period, by type and pool.", nil},
	"used":                {"", 300},
	"used_total":          {"", 5300},
	"valid":               {"Contacts that were verified.", 5000},
	"verdict":             {"The verdict.", "valid"},
	"verdicts":            {"Verdicts that were forgotten.", 1},
	"version":             {"The version.", 1},
	"voided":              {"", 500},
	"waiting":             {"", 0},
	"period":              {"month, or none where nothing is allotted and nothing resets.", "month"},
	"description":         {"What it is, for customers.", "Pay for delivered, verified leads."},
	"notes":               {"Sentences for the customer.", nil},
	"actions":             {"What the plan sells and what each action costs, by action.", nil},
	"refund":              {"What becomes of credits that an order did not use.", nil},
	"delay":               {"From the completion of an order to its refund.", "5m"},
	"late_release":        {"What becomes of credits that are released after the grant they came from has expired: granted again, or gone.", "reinstate"},
	"reinstate_for":       {"How long credits granted again can be spent, where the plan has no period.", "7d"},
	"bounce_window":       {"How long after delivery a bounce is credited back; never when left out.", "30d"},
	"bounces":             {"Who may report bounces, and how many.", nil},
	"members":             {"Members' keys may, too; only admins' when false.", false},
	"most":                {"Addresses that an organization may report within a bounce window.", 10000},
	"plan_change":         {"How the plan is left for another: at once, the rest of the period counted by time, or with the next period.", "prorated"},
	"roll_over_cap":       {"At most so many credits roll over; no limit when left out.", 500},
	"burn":                {"The pools in the order in which they are spent.", nil},
	"low_balance":         {"Thresholds of the event credits.low, the highest first.", nil},
	"member_budget":       {"What a member may spend of the shared pool in a period; no limit when left out.", 500},
	"charges":             {"What it costs.", nil},
	"billable":            {"The verdicts that are charged.", nil},
	"done":                {"Contacts with a final verdict.", 4000},
	"total":               {"Contacts that were selected.", 10000},
	"more":                {"Further leads may be selected.", false},
	"greylisted":          {"Contacts at a greylisting mail host: they are asked again later.", 12},
	"again":               {"When these hosts may be asked again.", exampleMoment},
	"charged":             {"Credits charged so far.", nil},
	"rate":                {"Contacts a second while it verifies.", nil},
	"eta":                 {"When everything is probably verified, then when the refund comes; not always known.", exampleMoment},
	"stage":               {"What the order was doing.", "verifying"},
	"stages":              {"How long each stage took.", nil},
	"webhook_id":          {"The webhook that an export goes to.", "wh_7f3a2c"},
	"budgets":             {"What the member may spend of the shared pool in a period, by credit type.", nil},
	"deliveries":          {"The deliveries.", nil},
	"direct_email":        {"", "ann@home.example"},
	"ended_plan":          {"", "rollover-boost"},
	"entries":             {"The entries.", nil},
	"grants":              {"The grants.", nil},
	"note":                {"", "The order was paused before; nothing was changed."},
	"orders":              {"The orders.", nil},
	"pool_member":         {"", "jane"},
	"preview":             {"A few of the leads, masked.", nil},
	"secret":              {"", "whsec_K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9"},
	"top_ups":             {"Credits that the change brings at once.", nil},
	"value":               {"", "ann@example.com"},
}

// fieldsInPlace describe fields whose meaning is another in one schema.
var fieldsInPlace = map[string]said{
	"WebhookDelivery.status":   {"pending until it was taken or has failed.", "delivered"},
	"Problem.status":           {"HTTP status.", 422},
	"Problem.title":            {"What kind of problem it is.", "The request is not valid"},
	"Problem.code":             {"What kind of problem it is, for programs. Never changed.", "invalid_request"},
	"Problem.type":             {"", problemType + "invalid_request"},
	"Problem.detail":           {"", "The count is 0; ask for at least 1 lead."},
	"FieldProblem.field":       {"", "body.count"},
	"OrderFailure.code":        {"Why, for programs.", "insufficient_credits"},
	"OrderBody.count":          {"How many leads a lead_list selects or, with fill, delivers.", 10000},
	"OrderBody.order_id":       {"The order to export the leads of.", "ord_4k2n6v"},
	"Order.id":                 {"The order.", "ord_4k2n6v"},
	"MovedOrder.id":            {"The order.", "ord_4k2n6v"},
	"AccountKey.id":            {"The key's id.", "key_7f3a2c"},
	"WebhookDelivery.id":       {"The delivery.", 42},
	"WebhookEndpoint.id":       {"The webhook.", "wh_7f3a2c"},
	"NewWebhook.id":            {"The webhook.", "wh_7f3a2c"},
	"LeadList.id":              {"The list.", "lst_7d2k4m"},
	"LeadPreviewLead.id":       {"The lead, as a reveal or an export takes it.", "L00000042"},
	"BillingEntry.kind":        {"What happened to the credits.", "capture"},
	"BillingHistory.id":        {"", "42"},
	"OrderAmount.amount":       {"Credits.", 1000},
	"LeadPaid.field":           {"The piece of information that was paid for.", "email"},
	"VerifiedResult.line":      {"The line of the order that it is.", 1},
	"VerifiedResult.order_id":  {"The order that is behind it.", "ord_4k2n6v"},
	"VerifiedResult.address":   {"The address that was verified, as it was taken out of email.", "ann@example.com"},
	"LeadRow.id":               {"The lead.", "L00000042"},
	"LeadRow.email":            {"The address, where it was delivered.", "ann@example.com"},
	"LeadRow.phone":            {"In exports: the numbers that the organization owns, with semicolons between them.", "+14155550123"},
	"LeadRow.direct_email":     {"In exports: the personal address, where the organization owns it.", "ann@home.example"},
	"LeadRow.profile":          {"In exports: the profile, where the organization owns it.", "Prefers short messages."},
	"LeadRow.owned":            {"Whether the organization had paid for it before; only where the order includes what it owns.", false},
	"LeadRow.department":       {"Department.", "engineering"},
	"LeadRow.seniority":        {"Seniority.", "director"},
	"LeadRow.industry":         {"Industry of the company.", "software"},
	"LeadRow.domain":           {"Mail domain of the company.", "example.com"},
	"LeadRow.region":           {"Region or state.", "California"},
	"LeadRow.city":             {"City.", "Berlin"},
	"LeadRow.title":            {"Job title.", "Software Engineer"},
	"VerifiedResult.reason":    {"Why; see the schema Reason. Of what is no address: malformed, and what is wrong with it.", "accepted"},
	"OrderProgress.stage":      {"What the order is doing.", "verifying"},
	"OrderProgress.waiting":    {"What the order waits for, in one sentence.", "Two mail hosts ask to come back later."},
	"OrderProgress.until":      {"When the wait ends.", exampleMoment},
	"OrderProgress.since":      {"Where the rate counts from.", exampleMoment},
	"Plan.id":                  {"The plan.", "verified-leads"},
	"Plan.name":                {"Name for customers.", "Verified leads"},
	"Plan.credits":             {"What the plan says about each credit type.", nil},
	"PlanCredit.at_period_end": {"What happens to what is left of the allotment.", "expire"},
	"PlanCredit.owner":         {"Who gets the allotment: the shared pool or each member's own.", "organization"},
	"PlanCredit.allotment":     {"Credits granted in each period; none when left out.", 1000},
	"PlanAction.charges":       {"What it costs.", nil},
	"PlanCharge.amount":        {"Credits a unit.", 1},
	"PlanCharge.type":          {"Credit type.", "email"},
	"PlanCharge.scope":         {"How often the same thing is charged.", "once_per_organization"},
	"PlanCharge.per":           {"The unit that is counted: a contact that was delivered, a verification that was carried out, or a lead.", "contact"},
	"Found.leads":              {"", 4200},
	"ErasureReport.leads":      {"Leads deleted from the catalogue.", 1},
	"BillingEntry.leads":       {"", 100},
	"AccountMember.id":         {"The member.", "jane"},
	"MemberUse.id":             {"The member.", "jane"},
	"BillingRemoved.id":        {"The member.", "jane"},
	"CreateMemberRequest.id":   {"Up to 63 lower-case letters, digits, - and _.", "jane"},
}

// describeFields gives every field and parameter a description and an example.
func describeFields(doc *huma.OpenAPI) {
	for name, s := range doc.Components.Schemas.Map() {
		for property, p := range s.Properties {
			describeField(p, fieldsInPlace[name+"."+property], fieldsByName[property])
		}
	}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			for _, p := range op.Parameters {
				describeParameter(p)
			}
		}
	}
}

func describeParameter(p *huma.Param) {
	if p.Description == "" {
		p.Description = fieldsByName[p.Name].about
	}
	switch p.Name {
	case "If-None-Match":
		p.Description = "The ETag of an earlier answer."
	case "wait":
		p.Schema.Examples = []any{"30s"}
	case "pool", "status":
		p.Description = "Only those with this value."
	}
}

// describeField adds what a field lacks.
func describeField(p *huma.Schema, here, general said) {
	if p.Ref != "" {
		return
	}
	for _, s := range []said{here, general} {
		if p.Description == "" {
			p.Description = s.about
		}
		if len(p.Examples) == 0 && s.example != nil && fits(p, s.example) {
			p.Examples = []any{s.example}
		}
	}
	if len(p.Examples) > 0 {
		return
	}
	switch {
	case len(p.Enum) > 0:
		p.Examples = []any{p.Enum[0]}
	case p.Type == huma.TypeBoolean:
		p.Examples = []any{false}
	case p.Type == huma.TypeInteger:
		p.Examples = []any{max(1, int(least(p)))}
	case p.Type == huma.TypeNumber:
		p.Examples = []any{12.5}
	case p.Type == huma.TypeString && p.Format == "date-time":
		p.Examples = []any{exampleMoment}
	}
}

func least(p *huma.Schema) int64 {
	if p.Minimum != nil {
		return int64(*p.Minimum)
	}
	return 0
}

// fits says whether an example is of the type of a field and among its values.
func fits(p *huma.Schema, example any) bool {
	if len(p.Enum) > 0 {
		return slices.Contains(p.Enum, example)
	}
	switch example.(type) {
	case string:
		return p.Type == huma.TypeString
	case int:
		return p.Type == huma.TypeInteger
	case bool:
		return p.Type == huma.TypeBoolean
	}
	return false
}
