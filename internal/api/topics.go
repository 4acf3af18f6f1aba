package api

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/outbox"
)

// topic is the name of a kind of event.
type topic string

// Schema names all of them.
func (topic) Schema(huma.Registry) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString, Examples: []any{outbox.OrderSettled}}
	for _, name := range outbox.Names() {
		s.Enum = append(s.Enum, name)
	}
	return s
}

func names(topics []topic) []string {
	list := make([]string, len(topics))
	for i, t := range topics {
		list[i] = string(t)
	}
	return list
}

// events describes what is sent to webhooks, from the catalogue.
func (a *API) events() {
	doc := a.OpenAPI()
	doc.Webhooks = map[string]*huma.PathItem{}
	for _, t := range outbox.Topics {
		data := reflect.TypeOf(t.Data)
		doc.Webhooks[t.Name] = &huma.PathItem{Post: &huma.Operation{
			OperationID: "on" + camel(t.Name), Tags: []string{"Webhooks"}, Security: []map[string][]string{{"signature": {}}},
			Summary:     t.Says,
			Description: "Signed by the Standard Webhooks specification: check webhook-signature over webhook-id, webhook-timestamp and the body.",
			Parameters: []*huma.Param{
				header("webhook-id", "The same for every attempt at this event.", "evt_5n2m6yf4w3vqk7ea"),
				header("webhook-timestamp", "Seconds since 1970 at which it was sent.", "1772366400"),
				header("webhook-signature", "v1, and HMAC-SHA256 in base64.", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
			},
			RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{
				Type: huma.TypeObject, Required: []string{"type", "timestamp", "data"},
				Properties: map[string]*huma.Schema{
					"type":      {Type: huma.TypeString, Enum: []any{t.Name}, Description: "The event."},
					"timestamp": {Type: huma.TypeString, Format: "date-time", Description: "When it happened.", Examples: []any{time.Unix(1772366400, 0).UTC().Format(time.RFC3339)}},
					"data":      doc.Components.Schemas.Schema(data, true, data.Name()),
				},
			}}}},
			Responses: map[string]*huma.Response{
				"2XX":     {Description: "The event was taken."},
				"410":     {Description: http.StatusText(http.StatusGone) + ": the endpoint is not tried any more."},
				"default": {Description: "The event is sent again, with growing waits over a day."},
			},
		}}
	}
}

// typeEvents says in the list of events which data they may have.
func typeEvents(doc *huma.OpenAPI) {
	listed := doc.Components.Schemas.Map()["WebhookEvent"]
	data := &huma.Schema{Description: "By the type, as described under webhooks."}
	for _, t := range outbox.Topics {
		of := doc.Components.Schemas.Schema(reflect.TypeOf(t.Data), true, "")
		if !slices.ContainsFunc(data.AnyOf, func(s *huma.Schema) bool { return s.Ref == of.Ref }) {
			data.AnyOf = append(data.AnyOf, of)
		}
	}
	listed.Properties["data"] = data
}

// camel writes order.settled as OrderSettled.
func camel(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, ".") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

func header(name, about, example string) *huma.Param {
	return &huma.Param{Name: name, In: "header", Required: true, Description: about, Schema: &huma.Schema{Type: huma.TypeString, Examples: []any{example}}}
}
