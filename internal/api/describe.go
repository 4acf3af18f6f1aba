package api

import (
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/outbox"
	"holdfast/internal/plan"
)

// A list is empty, never null: who reads an answer need not ask.
func init() { huma.DefaultArrayNullable = false }

// closedTypes are the types of other packages that have a closed set of values.
var closedTypes = map[reflect.Type][]any{
	reflect.TypeFor[order.Kind]():        values(order.Kinds()...),
	reflect.TypeFor[order.Status]():      values(order.Reserved, order.Verifying, order.Completed, order.Settled, order.Rejected, order.Cancelled, order.Failed),
	reflect.TypeFor[order.Field]():       values(order.EmailField, order.PhoneField, order.DirectEmailField, order.ProfileField),
	reflect.TypeFor[order.Destination](): values(order.ToFile, order.ToWebhook),
	reflect.TypeFor[account.Role]():      values(account.RoleAdmin, account.RoleMember),
	reflect.TypeFor[account.Status]():    values(account.StatusActive, account.StatusSuspended, account.StatusClosed),
	reflect.TypeFor[ledger.Source]():     values(sources...),
	reflect.TypeFor[order.Stage]():       values(order.StageReserving, order.StageSelecting, order.StageVerifying, order.StageDelivering, order.StageRefunding, order.StageOver),
	reflect.TypeFor[plan.LateRelease]():  values(plan.Reinstate, plan.ExpireOnLate),
	reflect.TypeFor[plan.ChangeMode]():   values(plan.Prorated, plan.AtPeriodEnd),
	reflect.TypeFor[plan.Measure]():      values(plan.PerContact, plan.PerVerification, plan.PerLead),
	reflect.TypeFor[plan.Scope]():        values(plan.OncePerOrganization, plan.OncePerMember, plan.EveryTime),
	reflect.TypeFor[plan.Cycle]():        values(plan.Month, plan.NoPeriod),
	reflect.TypeFor[plan.PeriodEnd]():    values(plan.Expire, plan.RollOver, plan.NeverExpires),
	reflect.TypeFor[plan.Owner]():        values(plan.Organization, plan.Member),
}

var sources = []ledger.Source{
	ledger.SourceAllotment, ledger.SourcePack, ledger.SourcePromotion, ledger.SourceAdjustment, ledger.SourceRollover, ledger.SourceReinstated,
}

func values[T ~string](list ...T) []any {
	words := make([]any, len(list))
	for i, v := range list {
		words[i] = string(v)
	}
	return words
}

// closedProperties are fields of type string that have a closed set of values, by
// schema and field.
func closedProperties() map[string][]any {
	var codes []string
	for _, k := range kinds {
		codes = append(codes, k.Code)
	}
	return map[string][]any{
		"Problem.code":          values(codes...),
		"OrderFailure.code":     {order.CodeInsufficientCredits, order.CodeInternal},
		"OrderReason.verdict":   values(plan.Verdicts...),
		"LeadRow.verdict":       values(plan.Verdicts...),
		"WebhookEvent.type":     values(outbox.Names()...),
		"WebhookDelivery.event": values(outbox.Names()...),
		"BillingEntry.kind":     values(ledger.HistoryKinds()...),
		"BillingEntry.source":   values(sources...),
	}
}

// nameClosedSets lists the values of fields that have a closed type.
func nameClosedSets(r huma.Registry) {
	for name, s := range r.Map() {
		t := r.TypeFromRef("#/components/schemas/" + name)
		if t == nil || t.Kind() != reflect.Struct {
			continue
		}
		for _, f := range reflect.VisibleFields(t) {
			property := s.Properties[strings.Split(f.Tag.Get("json"), ",")[0]]
			of := f.Type
			for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
				of = of.Elem()
			}
			if property != nil && property.Items != nil {
				property = property.Items
			}
			if words := closedTypes[of]; words != nil && property != nil && len(property.Enum) == 0 {
				property.Enum = words
				property.PrecomputeMessages()
			}
		}
	}
}

// finish completes the description when all routes are there: closed sets, and
// answers that may grow. A client that is generated from it today goes on
// working when a field is added.
func (a *API) finish() {
	doc := a.OpenAPI()
	describeStreams(doc)
	typeEvents(doc)
	nameClosedSets(doc.Components.Schemas)
	schemas := doc.Components.Schemas.Map()
	for at, words := range closedProperties() {
		name, property, _ := strings.Cut(at, ".")
		schemas[name].Properties[property].Enum = words
	}
	asked := map[string]bool{}
	everyOperation(doc, func(op *huma.Operation) {
		if op.Description == "" {
			op.Description = op.Summary + "."
		}
		if op.RequestBody == nil {
			return
		}
		for _, content := range op.RequestBody.Content {
			reach(schemas, content.Schema, asked)
		}
	})
	describeFields(doc)
	for name, s := range schemas {
		if !asked[name] && s.AdditionalProperties == false {
			s.AdditionalProperties = nil
		}
	}
	describeReasons(schemas)
	describeOrders(doc)
	describePlans(doc)
	describeHeaders(doc)
	for _, s := range schemas {
		s.PrecomputeMessages() // of what was added above
		for _, p := range s.Properties {
			p.PatternDescription = "" // it is in the messages, and no word of JSON Schema
		}
	}
	everyOperation(doc, func(op *huma.Operation) {
		for _, p := range op.Parameters {
			p.Schema.PatternDescription = ""
		}
	})
}

// everyOperation calls what describes an operation for each one of the API.
func everyOperation(doc *huma.OpenAPI, do func(*huma.Operation)) {
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op != nil {
				do(op)
			}
		}
	}
}

// reach notes the names of all schemas that one is made of.
func reach(schemas map[string]*huma.Schema, s *huma.Schema, seen map[string]bool) {
	if s == nil {
		return
	}
	if name := strings.TrimPrefix(s.Ref, "#/components/schemas/"); s.Ref != "" {
		if !seen[name] {
			seen[name] = true
			reach(schemas, schemas[name], seen)
		}
		return
	}
	reach(schemas, s.Items, seen)
	for _, p := range s.Properties {
		reach(schemas, p, seen)
	}
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		reach(schemas, more, seen)
	}
	for _, list := range [][]*huma.Schema{s.OneOf, s.AnyOf, s.AllOf} {
		for _, p := range list {
			reach(schemas, p, seen)
		}
	}
}

// errorsOf are the statuses besides that of success that a route can answer
// with: what comes before every handler, what its body can get wrong, and its
// own.
func errorsOf(r route) []int {
	list := []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusUnprocessableEntity,
		http.StatusTooManyRequests, http.StatusInternalServerError,
	}
	if r.method == http.MethodPost || r.method == http.MethodPut || r.method == http.MethodPatch {
		list = append(list, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	list = append(list, r.errors...)
	slices.Sort(list)
	return list
}
