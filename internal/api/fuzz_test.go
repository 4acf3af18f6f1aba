package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"
)

// odd are values that have broken servers before.
var odd = []any{
	nil, true, "", " ", "null", "\u202e\u200b\ufeff", "💥𝒳\U0010ffff", "a\x00b", "'; DROP TABLE orders; --", "../../etc/passwd", "%s%n", "{{.}}",
	strings.Repeat("ä", 5000), -1, 0, 1, 1.5, 1e308, json.Number("9223372036854775808"), json.Number("-9223372036854775809"), json.Number("1e400"),
	[]any{},
	[]any{nil},
	map[string]any{},
	map[string]any{"$ref": "#"},
	"9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z", "2026-02-30T00:00:00Z",
	"+292277026596-12-04T15:30:08Z", "Local", "UTC", "acme", "lead_list", "email", "https://example.com/",
}

type generator struct {
	*rand.Rand
	schemas huma.Registry
}

func pick[T any](g generator, list []T) T { return list[g.IntN(len(list))] }

// value makes a value for a schema: mostly one that fits, now and then an odd one.
func (g generator) value(s *huma.Schema, depth int) any {
	if s.Ref != "" {
		s = g.schemas.SchemaFromRef(s.Ref)
	}
	if g.IntN(8) == 0 || depth > 4 {
		return pick(g, odd)
	}
	if len(s.Enum) > 0 {
		return pick(g, s.Enum)
	}
	switch s.Type {
	case huma.TypeObject:
		object := map[string]any{}
		for name, property := range s.Properties {
			if slices.Contains(s.Required, name) && g.IntN(12) > 0 || g.IntN(3) == 0 {
				object[name] = g.value(property, depth+1)
			}
		}
		if g.IntN(15) == 0 {
			object["surprise"] = pick(g, odd)
		}
		return object
	case huma.TypeArray:
		list := []any{}
		for range g.IntN(4) {
			list = append(list, g.value(s.Items, depth+1))
		}
		return list
	case huma.TypeInteger, huma.TypeNumber:
		return pick(g, []any{1, 2, 7, 1000, 1_000_000, int64(1) << 40, int64(1<<63 - 1)})
	case huma.TypeBoolean:
		return g.IntN(2) == 0
	case huma.TypeString:
		if s.Format == "date-time" {
			return pick(g, []any{"2026-11-22T06:00:00Z", "2031-01-31T00:00:00+02:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"})
		}
		return pick(g, []any{"email", "acme", "jane", "quick", "US", "ord_x", "wh_x", "someone@example.test", "😀"})
	}
	return pick(g, odd)
}

// text is a body for the wire: JSON, sometimes cut off or mangled.
func (g generator) text(s *huma.Schema) string {
	body, err := json.Marshal(g.value(s, 0))
	if err != nil { // a number that JSON cannot hold
		return `{"count":1e999}`
	}
	switch g.IntN(12) {
	case 0:
		return string(body[:g.IntN(len(body)+1)])
	case 1:
		return string(body) + "}"
	case 2:
		return strings.Repeat("[", 20_000)
	case 3:
		return strings.ReplaceAll(string(body), "e", "\xff")
	}
	return string(body)
}

func (g generator) query(p *huma.Param) string {
	v := g.value(p.Schema, 1)
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	return fmt.Sprint(v)
}

// Random requests, made from the description of every route, never meet a fault
// of ours, and where they are refused the ledger is as it was.
func TestA15_NoRequestBreaksTheServer(t *testing.T) {
	f := setup(t)
	f.fund(1_000_000)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0)), f.api.OpenAPI().Components.Schemas}
	described := operations(f.api)
	names := slices.Sorted(maps.Keys(described))
	entries := func() (n int64) {
		require.NoError(t, rooms.Pool.QueryRow(t.Context(), `SELECT seq FROM credit_owner WHERE owner = $1`, f.org).Scan(&n))
		return n
	}
	answers := map[int]int{}
	for range 40 {
		for _, name := range names {
			op := described[name]
			if name == "POST /api/v1/orders" || name == "POST /api/v1/orgs" || strings.HasPrefix(name, "POST /api/v1/verify") {
				continue // what they rightly start goes on by itself; below
			}
			path, query := op.Path, url.Values{}
			headers := []string{}
			for _, p := range op.Parameters {
				switch p.In {
				case "path":
					v := g.query(p)
					if p.Name == "org" && g.IntN(4) > 0 {
						v = f.org
					}
					if v = url.PathEscape(v); v == "" || v == "." || v == ".." {
						v = "x"
					}
					path = strings.ReplaceAll(path, "{"+p.Name+"}", v)
				case "query":
					if p.Name == "org" {
						query.Set("org", f.org)
					} else if g.IntN(3) == 0 {
						query.Set(p.Name, g.query(p))
					}
				case "header":
					if p.Name == "Idempotency-Key" {
						headers = append(headers, p.Name, fmt.Sprint("fuzz-", g.IntN(1000)))
					}
				}
			}
			var body any
			if op.RequestBody != nil {
				media := op.RequestBody.Content["application/json"]
				if media == nil {
					media = op.RequestBody.Content["text/csv"]
				}
				body = g.text(media.Schema)
			}
			before := entries()
			r := f.call(op.Method, path+"?"+query.Encode(), pick(g, []string{operatorKey, f.admin, f.jane}), body, headers...)
			answers[r.status]++
			require.Less(t, r.status, 500, "%s %s?%s %v: %s", op.Method, path, query.Encode(), body, r.body)
			if r.status >= 400 {
				require.Equal(t, "application/problem+json", r.header.Get("Content-Type"), "%s %s: %s", op.Method, path, r.body)
				require.Equal(t, before, entries(), "%s %s was refused and changed the ledger", op.Method, path)
			}
		}
	}
	t.Log("answers by status:", answers)
	require.Positive(t, answers[http.StatusOK], "some of the requests are good")
	require.Positive(t, answers[http.StatusUnprocessableEntity])

	// Orders: what is refused leaves none behind, and so holds nothing.
	placed := func() (n int64) {
		require.NoError(t, rooms.Pool.QueryRow(t.Context(), `SELECT count(*) FROM orders WHERE org = $1`, f.org).Scan(&n))
		return n
	}
	schema := described["POST /api/v1/orders"].RequestBody.Content["application/json"].Schema
	for i := range 60 {
		before := placed()
		r := f.call("POST", "/orders", f.jane, g.text(schema), "Idempotency-Key", fmt.Sprint("order-", i))
		require.Less(t, r.status, 500, string(r.body))
		if r.status >= 400 && r.status != http.StatusPaymentRequired {
			require.Equal(t, before, placed(), string(r.body))
		}
	}
	audited(t)
}
