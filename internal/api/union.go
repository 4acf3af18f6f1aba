package api

import (
	"maps"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/order"
)

// orderKinds describe the body of an order of each kind. What it takes stands with
// the kind; needs is what it cannot do without, besides kind.
var orderKinds = []struct {
	kind   order.Kind
	schema string
	about  string
	needs  []string
}{
	{order.LeadList, "LeadListOrder", "Delivers leads that match criteria.", []string{"count"}},
	{order.Verify, "VerifyOrder", "Delivers verdicts on addresses: emails, or those of a list.", nil},
	{order.Reveal, "RevealOrder", "Delivers fields of leads by their ids.", []string{"fields"}},
	{order.Enrich, "EnrichOrder", "Delivers what is new about the rows of a list.", []string{"list_id", "fields"}},
	{order.Export, "ExportOrder", "Delivers leads as a file or to a webhook: lead_ids, those of a list, or those of an order.", nil},
}

// describeOrders makes the body of an order a union by its kind in the
// description, so that a generated client cannot mix the fields of two kinds.
// What is checked stays the one schema: its messages say what to do instead.
func describeOrders(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas.Map()
	all := schemas["OrderBody"]
	union := &huma.Schema{
		Description:   "An order, by its kind.",
		Discriminator: &huma.Discriminator{PropertyName: "kind", Mapping: map[string]string{}},
	}
	for _, k := range orderKinds {
		s := &huma.Schema{Type: huma.TypeObject, Description: k.about, Properties: map[string]*huma.Schema{}, AdditionalProperties: false}
		for _, name := range append([]string{"member", "metadata"}, k.kind.Spec().Takes...) {
			s.Properties[name] = all.Properties[name]
		}
		s.Properties["kind"] = &huma.Schema{Type: huma.TypeString, Enum: []any{string(k.kind)}, Description: "The kind of the order.", Examples: []any{string(k.kind)}}
		s.Required = append([]string{"kind"}, k.needs...)
		schemas[k.schema] = s
		ref := "#/components/schemas/" + k.schema
		union.OneOf = append(union.OneOf, &huma.Schema{Ref: ref})
		union.Discriminator.Mapping[string(k.kind)] = ref
	}
	schemas["NewOrder"] = union
	for _, path := range []string{"/orders", "/quotes"} {
		content := doc.Paths[prefix+path].Post.RequestBody.Content["application/json"]
		*content.Schema = *all // what is checked needs no name
		content.Schema = refTo("NewOrder")
	}
	delete(schemas, "OrderBody")
}

// describeHeaders declares the headers of all answers.
func describeHeaders(doc *huma.OpenAPI) {
	text := func(about, example string) *huma.Param {
		return &huma.Param{Description: about, Schema: &huma.Schema{Type: huma.TypeString, Examples: []any{example}}}
	}
	always := map[string]*huma.Param{
		"X-Request-Id":     text("The id of the request, which the log has; the request's own where it sends a good one.", "req_4k2n6v"),
		"RateLimit":        text("What is left of the key's quota, and in how many seconds it is full again. Absent where there is no quota.", `"key";r=99;t=1`),
		"RateLimit-Policy": text("Requests that the key may send in a number of seconds. Absent where there is no quota.", `"key";q=600;w=60`),
	}
	everyOperation(doc, func(op *huma.Operation) {
		repeats := slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == "Idempotency-Key" })
		for status, response := range op.Responses {
			if response.Headers == nil {
				response.Headers = map[string]*huma.Param{}
			}
			maps.Copy(response.Headers, always)
			if status == "429" {
				response.Headers["Retry-After"] = text("Seconds to wait.", "3")
			}
			if repeats && status[0] == '2' {
				response.Headers[replayedHeader] = text("true where the answer is that of an earlier request with the same key.", "true")
			}
		}
	})
}
