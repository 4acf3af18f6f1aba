package api_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"holdfast/internal/api"
	"holdfast/internal/errcode"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/outbox"
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
	const ofHTTP = 7 // kinds of errors that only HTTP has
	for at, want := range map[string]int{
		"Order.status": 7, "Order.kind": len(order.Kinds()), "OrderReason.verdict": 6, "OrderFailure.code": 2, "Problem.code": ofHTTP + len(errcode.Kinds()), "WebhookDelivery.event": len(outbox.Topics),
		"LeadRow.verdict": 6, "BillingEntry.kind": 8, "BillingEntry.source": 6, "OrderProgress.stage": 6,
		"PlanCredit.owner": 2, "PlanCharge.per": 3, "Plan.plan_change": 2,
	} {
		name, property, _ := strings.Cut(at, ".")
		require.Contains(t, schemas, name)
		require.Len(t, schemas[name].Properties[property].Enum, want, at)
	}
	require.Len(t, schemas["Reason"].Enum, len(order.Reasons))
	require.Equal(t, "#/components/schemas/Reason", schemas["OrderReason"].Properties["reason"].Ref)
	for name, op := range operations(f.api) {
		for status, r := range op.Responses {
			for mediaType, content := range r.Content {
				require.NotNil(t, content.Schema, "%s %s %s", name, status, mediaType)
				mayGrow(t, schemas, content.Schema, map[string]bool{})
			}
		}
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

// mayGrow fails where a schema that an answer is made of is closed, or says nothing.
func mayGrow(t *testing.T, schemas map[string]*huma.Schema, s *huma.Schema, seen map[string]bool) {
	t.Helper()
	if of, ok := s.Extensions["contentSchema"].(*huma.Schema); ok {
		s = of
	}
	if name := strings.TrimPrefix(s.Ref, "#/components/schemas/"); s.Ref != "" {
		if seen[name] {
			return
		}
		seen[name] = true
		require.Contains(t, schemas, name)
		s = schemas[name]
		require.NotEqual(t, false, s.AdditionalProperties, "%s is closed", name)
	}
	require.False(t, s.Type == "" && len(s.AnyOf)+len(s.OneOf) == 0, "%+v", s)
	for _, list := range [][]*huma.Schema{s.AnyOf, s.OneOf, slices.Collect(maps.Values(s.Properties))} {
		for _, of := range list {
			mayGrow(t, schemas, of, seen)
		}
	}
	if s.Items != nil {
		mayGrow(t, schemas, s.Items, seen)
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
	mu       sync.Mutex
	lies     map[string]bool // what the description does not say
	answered map[string]bool // routes with a status that they gave
	declared map[string]bool // and with those that the description says of them alone
}

var seen = witness{lies: map[string]bool{}, answered: map[string]bool{}, declared: map[string]bool{}}

// everyRoutes are the statuses that the description says of every route: they
// come before a handler, or of the body.
var everyRoutes = []string{"400", "401", "403", "404", "408", "413", "415", "422", "429", "500"}

// missed are the statuses that the description says of single routes and that no
// test has seen.
func (w *witness) missed() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for declared := range w.declared {
		if !w.answered[declared] {
			list = append(list, declared)
		}
	}
	slices.Sort(list)
	return list
}

// watching is a server that the witness watches.
func (w *witness) watching(a *api.API) http.Handler {
	routes := http.NewServeMux()
	described := operations(a)
	w.mu.Lock()
	defer w.mu.Unlock()
	for pattern, op := range described {
		routes.Handle(pattern, http.NotFoundHandler())
		for status := range op.Responses {
			if !slices.Contains(everyRoutes, status) {
				w.declared[pattern+" "+status] = true
			}
		}
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, pattern := routes.Handler(r)
		op := described[pattern]
		if op == nil {
			a.ServeHTTP(rw, r)
			return
		}
		recorded := &recorded{ResponseWriter: rw, status: http.StatusOK}
		a.ServeHTTP(recorded, r)
		if r.Context().Err() != nil {
			return // its client has gone
		}
		w.compare(a, pattern, op, recorded)
	})
}

func (w *witness) compare(a *api.API, pattern string, op *huma.Operation, got *recorded) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered[fmt.Sprintf("%s %d", pattern, got.status)] = true
	response := op.Responses[strconv.Itoa(got.status)]
	if response == nil {
		w.lies[fmt.Sprintf("%s answers %d", pattern, got.status)] = true
		return
	}
	contentType, _, _ := strings.Cut(got.Header().Get("Content-Type"), ";")
	if got.body.Len() == 0 {
		return
	}
	content := response.Content[contentType]
	if content == nil {
		w.lies[fmt.Sprintf("%s %d is of type %s", pattern, got.status, contentType)] = true
		return
	}
	schema, parts := content.Schema, [][]byte{got.body.Bytes()}
	if of, ok := schema.Extensions["contentSchema"].(*huma.Schema); ok {
		schema, parts = of, partsOf(contentType, got.body.Bytes())
	} else if got.large {
		return
	}
	for _, part := range parts {
		var body any
		if err := json.Unmarshal(part, &body); err != nil {
			continue // cut off by a test
		}
		result := &huma.ValidateResult{}
		huma.Validate(a.OpenAPI().Components.Schemas, schema, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, body, result)
		for _, err := range result.Errors {
			w.lies[fmt.Sprintf("%s %d: %v", pattern, got.status, err)] = true
		}
	}
}

// partsOf are the parts of a streamed answer as JSON: the lines of NDJSON, the
// events of a stream. Those of a CSV are not compared.
func partsOf(contentType string, body []byte) (parts [][]byte) {
	switch contentType {
	case "application/x-ndjson":
		return bytes.Split(body, []byte("\n"))
	case "text/event-stream":
		for frame := range bytes.SplitSeq(body, []byte("\n\n")) {
			event := map[string]any{}
			for line := range bytes.SplitSeq(frame, []byte("\n")) {
				name, value, _ := strings.Cut(string(line), ": ")
				event[name] = value
				if name == "data" {
					event[name] = json.RawMessage(value)
				}
			}
			if text, err := json.Marshal(event); err == nil && event["event"] != nil {
				parts = append(parts, text)
			}
		}
	}
	return parts
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

// The one table of reasons has every reason that is given anywhere, and the page
// about verdicts is written from it.
func TestEveryReasonIsExplained(t *testing.T) {
	listed := map[string]bool{}
	for _, r := range order.Reasons {
		require.False(t, listed[r.Reason], r.Reason)
		require.NotEmpty(t, r.Says, r.Reason)
		if r.Verdict != "" {
			require.Contains(t, plan.Verdicts, r.Verdict, r.Reason)
		}
		listed[r.Reason] = true
	}
	constants := 0
	for _, dir := range []string{"../verify", "../order"} {
		files, err := filepath.Glob(dir + "/*.go")
		require.NoError(t, err)
		for _, file := range files {
			source, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, found := range regexp.MustCompile(`(?m)^\t(?:\w+ +Reason|Reason\w+) += +"([a-z0-9_]+)"`).FindAllSubmatch(source, -1) {
				constants++
				require.True(t, listed[string(found[1])], "%s has the reason %s, order.Reasons does not", file, found[1])
			}
		}
	}
	require.Equal(t, len(listed), constants, "all of them were found")

	var page strings.Builder
	page.WriteString("# Verdicts and their reasons\n\nWhat the results of orders and `POST /api/v1/verify` say. Written from `internal/order/reasons.go` by `go test ./internal/api -run Reason -write`.\n\n" +
		"A definite verdict, `valid` or `invalid`, is given only where the mail host, the domain's name servers or the address itself say so. What concerns us (our network address, our sender, a time limit) is `unknown`. " +
		"A reason of a row that is no address begins with `malformed: `; what is wrong with it follows.\n\n| verdict | reason | what it means |\n|---|---|---|\n")
	for _, r := range order.Reasons {
		fmt.Fprintf(&page, "| %s | `%s` | %s |\n", cmp.Or(r.Verdict, "several, or none"), r.Reason, r.Says)
	}
	const path = "../../docs/verdicts.md"
	if *write {
		require.NoError(t, os.WriteFile(path, []byte(page.String()), 0o644))
	}
	stored, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, page.String(), string(stored), "go test ./internal/api -run Reason -write")
}

var write = flag.Bool("write", false, "write docs/verdicts.md instead of comparing it")
