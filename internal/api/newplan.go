package api

import (
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// newPlanNeeds is what a plan that is stored cannot do without, by schema; all
// else has a default.
var newPlanNeeds = map[string][]string{
	"NewPlan":       {"id", "name", "period", "credits", "actions"},
	"NewPlanAction": {"charges"},
	"NewPlanCharge": {"type", "amount", "per", "scope"},
}

// describePlans describes the body of a plan that is stored: that of one that is
// shown, without what has a default and without unknown fields. The plan's
// parser checks it: its messages say what to do instead.
func describePlans(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas.Map()
	copyForRequests(schemas, "Plan")
	body := doc.Paths[prefix+"/plans/{id}"].Put.RequestBody.Content["application/json"]
	body.Schema = refTo("NewPlan")
	body.Example = map[string]any{
		"id": "starter", "name": "Starter", "period": "month",
		"credits": map[string]any{"email": map[string]any{"allotment": 1000, "at_period_end": "expire", "low_balance": []int{100}}},
		"actions": map[string]any{"lead_list": map[string]any{
			"charges":  []any{map[string]any{"type": "email", "amount": 1, "per": "contact", "scope": "once_per_organization"}},
			"billable": []string{"valid"},
		}},
		"refund": map[string]any{"delay": "5m"},
	}
}

// copyForRequests copies a schema and all that it is made of under names that
// begin with New, closed.
func copyForRequests(schemas map[string]*huma.Schema, name string) *huma.Schema {
	if schemas["New"+name] == nil {
		made := *schemas[name]
		schemas["New"+name] = &made
		made.Properties = map[string]*huma.Schema{}
		for property, s := range schemas[name].Properties {
			made.Properties[property] = copyOf(schemas, s)
		}
		made.Required, made.AdditionalProperties = newPlanNeeds["New"+name], false
	}
	return refTo("New" + name)
}

func copyOf(schemas map[string]*huma.Schema, s *huma.Schema) *huma.Schema {
	if s.Ref != "" {
		return copyForRequests(schemas, strings.TrimPrefix(s.Ref, "#/components/schemas/"))
	}
	made := *s
	if s.Items != nil {
		made.Items = copyOf(schemas, s.Items)
	}
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		made.AdditionalProperties = copyOf(schemas, more)
	}
	return &made
}
