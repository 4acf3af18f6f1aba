package api

import (
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/order"
)

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
	for _, kind := range order.Kinds() {
		spec := kind.Spec()
		s := &huma.Schema{Type: huma.TypeObject, Description: spec.Delivers, Properties: map[string]*huma.Schema{}, AdditionalProperties: false}
		for _, name := range append([]string{"member", "metadata"}, spec.Takes...) {
			s.Properties[name] = all.Properties[name]
		}
		s.Properties["kind"] = &huma.Schema{Type: huma.TypeString, Enum: []any{string(kind)}, Description: "The kind of the order.", Examples: []any{string(kind)}}
		s.Required = append([]string{"kind"}, spec.Needs...)
		schemas[schemaOf(kind)] = s
		ref := "#/components/schemas/" + schemaOf(kind)
		union.OneOf = append(union.OneOf, &huma.Schema{Ref: ref})
		union.Discriminator.Mapping[string(kind)] = ref
	}
	schemas["NewOrder"] = union
	for _, path := range []string{"/orders", "/quotes"} {
		content := doc.Paths[prefix+path].Post.RequestBody.Content["application/json"]
		*content.Schema = *all // what is checked needs no name
		content.Schema = refTo("NewOrder")
	}
	delete(schemas, "OrderBody")
}

// kindName is the name of a kind of order.
type kindName string

// Schema names all of them.
func (kindName) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Enum: values(order.KindNames()...)}
}

// schemaOf names the schema of a kind's order: lead_list is LeadListOrder.
func schemaOf(kind order.Kind) string {
	var name strings.Builder
	for word := range strings.SplitSeq(string(kind), "_") {
		name.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return name.String() + "Order"
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
