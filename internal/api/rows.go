package api

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/plan"
	"holdfast/internal/verify"
)

// content is what a streamed answer is made of: rows of a file or events.
type content struct {
	mediaType string
	schema    string // of one of them, among the components
}

// describeStreams adds the schemas of what streams are made of. JSON Schema calls
// what is in a text its contentSchema: that of each row of a CSV by the names of
// its columns, of each line of NDJSON, of each event.
func describeStreams(doc *huma.OpenAPI) {
	registry := doc.Components.Schemas
	schemas := registry.Map()
	leadRow := registry.Schema(reflect.TypeFor[lead.Row](), true, "Row")
	schemas["VerifyRow"] = verifyRow(registry)
	schemas["RevealRow"] = revealRow(registry)
	schemas["EnrichRow"] = enrichRow(registry)
	schemas["ResultRow"] = &huma.Schema{
		Description: "A row of an order's results, by the order's kind: " + rowsOfKinds() + ".",
		AnyOf:       []*huma.Schema{leadRow, refTo("VerifyRow"), refTo("RevealRow"), refTo("EnrichRow")},
	}
	schemas["RevenueRow"] = reportRow("A month of an organization in a currency.", []string{"month", "org", "currency"},
		[]string{"deferred_opening", "sales", "revenue_used", "revenue_breakage", "taken_back", "deferred_closing", "subscription_revenue", "paid_back"})
	schemas["JournalRow"] = reportRow("One side of a double entry.", []string{"month", "org", "currency", "what", "account"}, []string{"debit", "credit"})
	event := func(name, about string, data *huma.Schema) *huma.Schema {
		return &huma.Schema{
			Type: huma.TypeObject, Description: about, Required: []string{"event", "id", "data"},
			Properties: map[string]*huma.Schema{
				"event": {Type: huma.TypeString, Enum: []any{name}, Description: "What kind of event it is.", Examples: []any{name}},
				"id":    {Type: huma.TypeString, Description: "For Last-Event-ID.", Examples: []any{"2-1000"}},
				"data":  data,
			},
		}
	}
	schemas["StatusEvent"] = event("status", "The order, whenever its status has changed.", registry.Schema(reflect.TypeFor[order.Order](), true, "Order"))
	schemas["ProgressEvent"] = event("progress", "How far the order is, while it runs.", registry.Schema(reflect.TypeFor[order.Progress](), true, "Progress"))
	schemas["OrderEvent"] = &huma.Schema{
		Description: "A server-sent event about an order; its data are JSON.",
		OneOf:       []*huma.Schema{refTo("StatusEvent"), refTo("ProgressEvent")},
	}
	schemas["VerifiedResult"].Properties["verdict"] = verdictOrNone("The verdict; empty for what is no address.")
	schemas["VerifiedResult"].Properties["reason"] = reasonOfRow()
	for _, s := range schemas {
		for name, p := range s.Properties {
			if strings.HasSuffix(name, "score_parts") {
				parts := registry.Schema(reflect.TypeFor[verify.ScoreParts](), false, "ScoreParts")
				parts.Nullable, parts.AdditionalProperties, parts.Description = true, nil, p.Description
				s.Properties[name] = parts
			}
		}
	}
	delete(schemas, "VerifyScoreParts") // it stands in each place
}

func refTo(name string) *huma.Schema { return &huma.Schema{Ref: "#/components/schemas/" + name} }

// contentOf describes a streamed text.
func contentOf(c content) *huma.MediaType {
	mediaType, _, _ := strings.Cut(c.mediaType, ";")
	return &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Extensions: map[string]any{
		"contentMediaType": mediaType, "contentSchema": refTo(c.schema),
	}}}
}

// evidenceAnd are the columns of a verdict on an address: the verdict, its
// evidence, and what else is known of the address.
func evidenceAnd(r huma.Registry) map[string]*huma.Schema {
	row := r.SchemaFromRef(r.Schema(reflect.TypeFor[lead.Row](), true, "Row").Ref)
	known := map[string]*huma.Schema{}
	for _, of := range []reflect.Type{reflect.TypeFor[lead.Evidence](), reflect.TypeFor[lead.Extras]()} {
		for _, f := range reflect.VisibleFields(of) {
			name := f.Tag.Get("json")
			known[name] = row.Properties[name]
		}
	}
	return known
}

// rowsOfKinds says of which schema the rows of each kind of order are.
func rowsOfKinds() string {
	var all []string
	for _, kind := range order.Kinds() {
		row := "LeadRow"
		switch spec := kind.Spec(); {
		case spec.Matches:
			row = "EnrichRow"
		case spec.PerField():
			row = "RevealRow"
		case spec.Source == order.FromAddresses:
			row = "VerifyRow"
		}
		all = append(all, fmt.Sprintf("%s of a %s", row, kind))
	}
	return strings.Join(all, ", ")
}

// verdictOrNone is a verdict, or empty.
func verdictOrNone(about string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: append(values(plan.Verdicts...), ""), Description: about, Examples: []any{"valid"}}
}

// reasonOrNone is a reason, or empty.
func reasonOrNone() *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: append(reasonWords(), ""), Description: "Why; see the schema Reason. Empty where nothing is decided yet.", Examples: []any{"accepted"}}
}

// reasonOfRow is the reason of a row of a list, which may be that it is malformed.
func reasonOfRow() *huma.Schema {
	var words []string
	for _, r := range order.Reasons {
		words = append(words, r.Reason)
	}
	return &huma.Schema{
		Type: huma.TypeString, Pattern: "^(" + strings.Join(words, "|") + ")$|^" + order.ReasonMalformed,
		Description: "Why; see the schema Reason. Of a row that is no address: malformed, and what is wrong with it.", Examples: []any{"accepted"},
	}
}

// ownColumns says that the other columns are those of the uploaded list.
func ownColumns() *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Description: "A column of the uploaded list."}
}

func verifyRow(r huma.Registry) *huma.Schema {
	s := &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: ownColumns(),
		Description: "A row of the list that was verified: its own columns, and these. One that the list itself uses has verified_ before its name.",
		Properties:  evidenceAnd(r),
	}
	s.Properties["verdict"] = verdictOrNone("The verdict; empty where the row is no address.")
	s.Properties["reason"] = reasonOfRow()
	s.Properties["address"] = &huma.Schema{Type: huma.TypeString, Description: "The address as it was taken out of the row and verified.", Examples: []any{"ann@example.com"}}
	return s
}

// fieldColumns are the columns of a field that was revealed or looked for.
func fieldColumns(r huma.Registry, kind order.Kind, prefix string, into map[string]*huma.Schema) {
	for _, f := range kind.Spec().Fields {
		name := prefix + string(f)
		into[name] = &huma.Schema{
			Type: huma.TypeString, Description: "The value, where it was delivered; several telephone numbers have semicolons between them.",
			Examples: []any{map[order.Field]string{order.EmailField: "ann@example.com", order.PhoneField: "+14155550123", order.DirectEmailField: "ann@home.example", order.ProfileField: "Prefers short messages."}[f]},
		}
		into[name+"_verdict"], into[name+"_reason"] = verdictOrNone("The verdict on the value; empty where nothing is decided yet, or where the row stands for no lead."), reasonOrNone()
		for column, s := range evidenceAnd(r) {
			if f == order.EmailField || f == order.DirectEmailField || column == "checked_at" {
				into[name+"_"+column] = s
			}
		}
	}
}

func revealRow(r huma.Registry) *huma.Schema {
	s := &huma.Schema{
		Type: huma.TypeObject, Properties: map[string]*huma.Schema{},
		Description: "A lead of a reveal, with the columns of each field that was asked for.",
	}
	row := r.SchemaFromRef(r.Schema(reflect.TypeFor[lead.Row](), true, "Row").Ref)
	for _, column := range []string{"id", "first_name", "last_name", "title", "company", "domain", "country"} {
		s.Properties[column] = row.Properties[column]
	}
	s.Properties["checked_at"] = row.Properties["checked_at"]
	s.Required = slices.Sorted(maps.Keys(s.Properties))
	fieldColumns(r, order.Reveal, "", s.Properties)
	return s
}

func enrichRow(r huma.Registry) *huma.Schema {
	row := r.SchemaFromRef(r.Schema(reflect.TypeFor[lead.Row](), true, "Row").Ref)
	s := &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: ownColumns(),
		Description: "A row of the list that was enriched: its own columns, and these for each field that was asked for. One that the list itself uses has found_ before its name once more.",
		Properties: map[string]*huma.Schema{
			"lead_id":    {Type: huma.TypeString, Description: "The lead that the row stands for; empty where none fits, or several do.", Examples: []any{"L00000042"}},
			"checked_at": row.Properties["checked_at"],
		},
	}
	fieldColumns(r, order.Enrich, "found_", s.Properties)
	return s
}

// reasonWords are all reasons.
func reasonWords() []any {
	words := make([]any, len(order.Reasons))
	for i, r := range order.Reasons {
		words[i] = r.Reason
	}
	return words
}

// describeReasons makes the schema Reason of the table of reasons.
func describeReasons(schemas map[string]*huma.Schema) {
	for _, name := range []string{"OrderReason", "LeadRow"} {
		schemas[name].Properties["reason"] = refTo("Reason")
	}
	var about strings.Builder
	about.WriteString("Why a verdict is what it is.\n")
	for _, r := range order.Reasons {
		about.WriteString("\n- `" + r.Reason + "`")
		if r.Verdict != "" {
			about.WriteString(" (" + r.Verdict + ")")
		}
		about.WriteString(": " + r.Says)
	}
	schemas["Reason"] = &huma.Schema{Type: huma.TypeString, Enum: reasonWords(), Description: about.String(), Examples: []any{"no_such_user"}}
}
