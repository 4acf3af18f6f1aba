package api

import (
	"encoding/json"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/order"
)

// showExamples puts bodies of orders of each kind into the description of the routes that take orders.
func (a *API) showExamples() {
	examples := map[string]*huma.Example{}
	for _, kind := range order.Kinds() {
		for _, e := range kind.Spec().Examples {
			examples[e.Name] = &huma.Example{Summary: e.Summary, Value: json.RawMessage(e.Body)}
		}
	}
	for _, path := range []string{"/orders", "/quotes"} {
		a.OpenAPI().Paths[prefix+path].Post.RequestBody.Content["application/json"].Examples = examples
	}
}
