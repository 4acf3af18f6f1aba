package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"holdfast/internal/api"
	"holdfast/internal/ledger"
	"holdfast/internal/plan"
	"holdfast/internal/suppression"
)

// A generated client knows what there is, and goes on working when answers grow:
// lists are never null, sets that are closed are named, answers are open,
// requests are not.
func TestTheDescriptionTypesWhatItDescribes(t *testing.T) {
	f := setup(t)
	schemas := f.api.OpenAPI().Components.Schemas.Map()
	for name, s := range schemas {
		for property, p := range s.Properties {
			require.False(t, p.Type == huma.TypeArray && p.Nullable, "%s.%s may be null", name, property)
		}
	}
	for at, want := range map[string]int{
		"Order.status": 7, "Order.kind": 5, "OrderReason.verdict": 6, "OrderFailure.code": 2, "Problem.code": 21, "WebhookDelivery.event": 19,
	} {
		name, property, _ := strings.Cut(at, ".")
		require.Contains(t, schemas, name)
		require.Len(t, schemas[name].Properties[property].Enum, want, at)
	}
	require.Nil(t, schemas["Order"].AdditionalProperties, "an answer may grow")
	for name, op := range operations(f.api) {
		require.Regexp(t, `^[a-z]+([A-Z][a-z]*)*$`, op.OperationID)
		if op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil {
			continue
		}
		body := op.RequestBody.Content["application/json"].Schema
		if body.Ref != "" {
			body = f.api.OpenAPI().Components.Schemas.SchemaFromRef(body.Ref)
		}
		if len(body.Properties) > 0 { // else it is a plan, which its parser checks
			require.Equal(t, false, body.AdditionalProperties, "%s refuses fields that it does not know", name)
		}
	}
}

// Reasons and amounts have one limit each in every request.
func TestReasonsAndAmountsHaveOneLimit(t *testing.T) {
	f := setup(t)
	found := map[string]int{}
	var walk func(at string, s *huma.Schema)
	walk = func(at string, s *huma.Schema) {
		if s.Ref != "" {
			s = f.api.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
		}
		if s.Items != nil {
			walk(at+"[]", s.Items)
		}
		for name, p := range s.Properties {
			switch name {
			case "reason":
				require.NotNil(t, p.MaxLength, "%s.%s", at, name)
				require.Equal(t, ledger.MaxReason, *p.MaxLength, "%s.%s", at, name)
			case "amount":
				require.NotNil(t, p.Maximum, "%s.%s", at, name)
				require.Equal(t, ledger.MaxAmount, int64(*p.Maximum), "%s.%s", at, name)
			}
			found[name]++
			walk(at+"."+name, p)
		}
	}
	for name, op := range operations(f.api) {
		if op.RequestBody != nil && op.RequestBody.Content["application/json"] != nil {
			walk(name, op.RequestBody.Content["application/json"].Schema)
		}
	}
	require.GreaterOrEqual(t, found["reason"], 5)
	require.GreaterOrEqual(t, found["amount"], 4)
	require.Equal(t, ledger.MaxReason, suppression.MaxReason)
	require.Equal(t, ledger.MaxAmount, plan.MaxAmount)
}

// witness compares every answer of every test with the description: the status
// must be declared for the route, and a JSON body must have the shape declared
// for it.
type witness struct {
	mu   sync.Mutex
	lies map[string]bool // what the description does not say
}

var seen = witness{lies: map[string]bool{}}

// watching is a server that the witness watches.
func (w *witness) watching(a *api.API) http.Handler {
	routes := http.NewServeMux()
	described := operations(a)
	for pattern := range described {
		routes.Handle(pattern, http.NotFoundHandler())
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, pattern := routes.Handler(r)
		op := described[pattern]
		if op == nil || op.Responses["200"] != nil && op.Responses["200"].Content["text/event-stream"] != nil {
			a.ServeHTTP(rw, r)
			return
		}
		recorded := &recorded{ResponseWriter: rw, status: http.StatusOK}
		a.ServeHTTP(recorded, r)
		w.compare(a, pattern, op, recorded)
	})
}

func (w *witness) compare(a *api.API, pattern string, op *huma.Operation, got *recorded) {
	w.mu.Lock()
	defer w.mu.Unlock()
	response := op.Responses[strconv.Itoa(got.status)]
	if response == nil {
		w.lies[fmt.Sprintf("%s answers %d", pattern, got.status)] = true
		return
	}
	contentType, _, _ := strings.Cut(got.Header().Get("Content-Type"), ";")
	if got.body.Len() == 0 || contentType != "application/json" && contentType != "application/problem+json" || got.large {
		return
	}
	content := response.Content[contentType]
	if content == nil {
		w.lies[fmt.Sprintf("%s %d is of type %s", pattern, got.status, contentType)] = true
		return
	}
	var body any
	if err := json.Unmarshal(got.body.Bytes(), &body); err != nil {
		return // cut off by a test
	}
	result := &huma.ValidateResult{}
	huma.Validate(a.OpenAPI().Components.Schemas, content.Schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, body, result)
	for _, err := range result.Errors {
		w.lies[fmt.Sprintf("%s %d: %v", pattern, got.status, err)] = true
	}
}

// found are the differences, in order.
func (w *witness) found() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Sorted(maps.Keys(w.lies))
}

// recorded passes an answer on and keeps it, as long as it is not large.
type recorded struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
	large  bool
}

func (r *recorded) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorded) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorded) Write(b []byte) (int, error) {
	if r.body.Len()+len(b) < 1<<20 {
		r.body.Write(b)
	} else {
		r.large = true
	}
	return r.ResponseWriter.Write(b)
}
