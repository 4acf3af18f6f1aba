package api_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"holdfast/internal/api"
	"holdfast/internal/order"
)

// described is an API that is asked for its description alone.
func described() *fixture {
	return &fixture{api: api.New(api.Config{Log: slog.New(slog.DiscardHandler)})}
}

// Every field and parameter has a description, every value an example, and all
// examples are valid.
func TestTheDescriptionDescribesEveryField(t *testing.T) {
	f := described()
	registry := f.api.OpenAPI().Components.Schemas
	valid := func(where string, s *huma.Schema, example any) {
		text, err := json.Marshal(example)
		require.NoError(t, err)
		var value any
		require.NoError(t, json.Unmarshal(text, &value))
		result := &huma.ValidateResult{}
		huma.Validate(registry, s, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, value, result)
		require.Empty(t, result.Errors, "%s: %s", where, text)
	}
	var without []string // a description, or an example
	for name, s := range registry.Map() {
		for property, p := range s.Properties {
			where := name + "." + property
			if p.Ref != "" {
				continue
			}
			plain := p.Type == huma.TypeString || p.Type == huma.TypeInteger || p.Type == huma.TypeBoolean
			if p.Description == "" || plain && len(p.Examples) == 0 {
				without = append(without, where)
			}
			for _, example := range p.Examples {
				valid(where, p, example)
			}
		}
	}
	require.Empty(t, without)
	for name, op := range operations(f.api) {
		require.NotEmpty(t, op.Summary, name)
		for _, p := range op.Parameters {
			require.NotEmpty(t, p.Description, "%s %s", name, p.Name)
		}
		if op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil {
			continue
		}
		for example, e := range op.RequestBody.Content["application/json"].Examples {
			valid(name+" "+example, op.RequestBody.Content["application/json"].Schema, e.Value)
		}
	}
}

// The body of an order is a union by its kind: an order of one kind has no
// fields of another.
func TestTheDescriptionTellsKindsApart(t *testing.T) {
	f := described()
	schemas := f.api.OpenAPI().Components.Schemas.Map()
	for _, path := range []string{"/api/v1/orders", "/api/v1/quotes"} {
		body := f.api.OpenAPI().Paths[path].Post.RequestBody.Content["application/json"].Schema
		require.Equal(t, "#/components/schemas/NewOrder", body.Ref)
	}
	union := schemas["NewOrder"]
	require.Equal(t, "kind", union.Discriminator.PropertyName)
	require.Len(t, union.Discriminator.Mapping, len(order.Kinds()))
	covered := map[string]bool{}
	for kind, ref := range union.Discriminator.Mapping {
		s := schemas[strings.TrimPrefix(ref, "#/components/schemas/")]
		require.Equal(t, []any{kind}, s.Properties["kind"].Enum)
		require.Contains(t, s.Required, "kind")
		require.Equal(t, false, s.AdditionalProperties)
		require.Equal(t, kind == "verify", s.Properties["emails"] != nil, kind)
		for name := range s.Properties {
			covered[name] = true
		}
	}
	body := reflect.TypeFor[order.Body]()
	for _, field := range reflect.VisibleFields(body) {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "" && !field.Anonymous {
			require.True(t, covered[name], "%s belongs to no kind", name)
		}
	}
}

// The headers that answers have are declared.
func TestTheDescriptionDeclaresHeaders(t *testing.T) {
	f := described()
	for name, op := range operations(f.api) {
		for status, r := range op.Responses {
			require.Contains(t, r.Headers, "X-Request-Id", name+" "+status)
			require.Contains(t, r.Headers, "RateLimit", name+" "+status)
		}
		require.Contains(t, op.Responses["429"].Headers, "Retry-After", name)
	}
	require.Contains(t, operations(f.api)["POST /api/v1/orders"].Responses["201"].Headers, "Idempotent-Replayed")
}

// Every numeric bound of the description is where it says: at the bound a value
// is taken, beyond it the answer names the parameter.
func TestA28_BoundsAreWhereTheDescriptionSays(t *testing.T) {
	f := setup(t)
	f.fund(10)
	for name, op := range operations(f.api) {
		if op.Method != http.MethodGet || op.Responses["200"] == nil || op.Responses["200"].Content["text/event-stream"] != nil {
			continue
		}
		path := strings.NewReplacer("{org}", f.org, "{member}", "jane").Replace(op.Path)
		ask := func(p *huma.Param, value int64) *reply {
			joint := "?org=" + f.org + "&"
			if strings.Contains(op.Path, "{org}") || !slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == "org" }) {
				joint = "?"
			}
			return f.call("GET", fmt.Sprintf("%s%s%s=%d", path, joint, p.Name, value), operatorKey, nil)
		}
		for _, p := range op.Parameters {
			if p.In != "query" || p.Schema.Type != huma.TypeInteger {
				continue
			}
			require.NotNil(t, p.Schema.Minimum, "%s %s has no least value", name, p.Name)
			for _, bound := range []*float64{p.Schema.Minimum, p.Schema.Maximum} {
				if bound != nil {
					r := ask(p, int64(*bound))
					require.Contains(t, []int{200, 404}, r.status, "%s %s=%v: %s", name, p.Name, *bound, r.body)
				}
			}
			beyond := []int64{int64(*p.Schema.Minimum) - 1}
			if p.Schema.Maximum != nil {
				beyond = append(beyond, int64(*p.Schema.Maximum)+1)
			}
			for _, value := range beyond {
				problem := ask(p, value).problem(422, "invalid_request")
				require.Equal(t, "query."+p.Name, problem.Errors[0].Field, name)
			}
		}
	}
	f.call("GET", "/leads?preview=0", f.jane, nil).is(200)
}

// What is wrong is reported where it is wrong, in plain words.
func TestA29_ProblemsNameTheRightField(t *testing.T) {
	f := setup(t)
	field := func(r *reply) string {
		p := r.problem(422, "invalid_request")
		require.NotEmpty(t, p.Errors, p.Detail)
		require.NotContains(t, p.Detail, "2006-01-02", "a Go layout")
		return p.Errors[0].Field
	}
	require.Equal(t, "query.country", field(f.call("GET", "/leads?country=US,FR", f.jane, nil)))
	require.Equal(t, "body.kind", field(f.call("POST", "/orders", f.jane, `{"count":1}`, "Idempotency-Key", "a")))
	require.Equal(t, "query.from", field(f.call("GET", "/credits/history?from=yesterday", f.jane, nil)))
	require.Equal(t, "query.to", field(f.call("GET", "/orders?to=2026-02-30", f.jane, nil)))
	f.call("GET", "/credits/history?from=2026-01-31&to=2026-03-01", f.jane, nil).is(200)
	field(f.call("POST", "/orgs/"+f.org+"/grants", operatorKey, `{"type":"email","amount":1,"source":"pack","expires_at":"soon"}`, "Idempotency-Key", "g"))
	f.call("POST", "/orgs/"+f.org+"/grants", operatorKey, `{"type":"email","amount":1,"source":"pack","expires_at":"2099-01-01"}`, "Idempotency-Key", "g").is(201)

	// The plan sells no verifications: refused before a workflow starts.
	f.call("POST", "/orders", f.jane, `{"kind":"verify","emails":["a@b.test"]}`, "Idempotency-Key", "refused").problem(422, "invalid_request")
	_, err := app.Temporal.DescribeWorkflow(t.Context(), order.ID(f.org, "refused"), "")
	var none *serviceerror.NotFound
	require.ErrorAs(t, err, &none)
}
