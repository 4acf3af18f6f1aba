package api_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"
)

var (
	fuzzSeed   = flag.Uint64("seed", 0, "seed of the random requests, to repeat a run that failed; 0 = a new one")
	fuzzRounds = flag.Int("rounds", 12, "how often every route is asked at random")
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
	if len(s.OneOf) > 0 {
		return g.value(pick(g, s.OneOf), depth)
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
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) { // the same order for the same seed
			property := s.Properties[name]
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
		if s.Format == "date-time" || strings.HasPrefix(s.Pattern, "^[0-9]{4}-") {
			return pick(g, []any{"2026-11-22T06:00:00Z", "2031-01-31T00:00:00+02:00", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-02-28", "2026-02-30"})
		}
		return pick(g, []any{"email", "acme", "jane", "fuzzed", "US", "ord_x", "wh_x", "someone@example.test", "😀"})
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

// request is a call made up from the description of a route.
type request struct {
	method, path, key string
	body              string // without one where the route takes none
	headers           []string
}

// request makes one up. known are ids of things that there are, by the tag of
// the routes about them.
func (g generator) request(op *huma.Operation, org string, keys []string, known map[string]string) request {
	r := request{method: op.Method, path: op.Path, key: pick(g, keys)}
	query := url.Values{}
	for _, p := range op.Parameters {
		switch p.In {
		case "path":
			v := g.query(p)
			if p.Name == "org" && g.IntN(4) > 0 {
				v = org
			}
			if id := known[op.Tags[0]]; p.Name == "id" && id != "" && g.IntN(2) == 0 {
				v = id
			}
			if v = url.PathEscape(v); v == "" || v == "." || v == ".." {
				v = "x"
			}
			r.path = strings.ReplaceAll(r.path, "{"+p.Name+"}", v)
		case "query":
			if p.Name == "org" {
				query.Set("org", org)
			} else if g.IntN(3) == 0 {
				query.Set(p.Name, g.query(p))
			}
		case "header":
			if p.Name == "Idempotency-Key" && g.IntN(20) > 0 {
				r.headers = append(r.headers, p.Name, fmt.Sprint("fuzz-", g.IntN(1000)))
			}
		}
	}
	r.path += "?" + query.Encode()
	if op.RequestBody != nil {
		media := op.RequestBody.Content["application/json"]
		if media == nil {
			media = op.RequestBody.Content["text/csv"]
		}
		r.body = g.text(media.Schema)
		if (strings.HasSuffix(op.Path, "/orders") || strings.HasSuffix(op.Path, "/quotes")) && g.IntN(2) == 0 { // one that makes sense: chance rarely finds it
			r.body = pick(g, []string{
				fmt.Sprintf(`{"kind":"lead_list","count":%d}`, pick(g, []int64{1, 3, 1 << 40})),
				`{"kind":"lead_list","count":1000}`,
				fmt.Sprintf(`{"kind":"reveal","lead_ids":["%s","x"],"fields":["email"]}`, known["Leads"]),
				fmt.Sprintf(`{"kind":"enrich","list_id":"%s","fields":["email"]}`, known["Lists"]),
				fmt.Sprintf(`{"kind":"export","order_id":"%s"}`, known["Orders"]),
			})
		}
		if g.IntN(30) == 0 {
			r.headers = append(r.headers, "Content-Type", pick(g, []string{"text/html", "application/x-www-form-urlencoded", "", "/"}))
		}
	}
	return r
}

// books are everything that a refused request must leave as it was.
type books struct {
	Moved    string // every journal entry that moves credits, of all organizations
	Entries  int64
	Heads    string // of all chains
	Accounts string
	Facts    int64
	Orgs     int64
	Orders   int64
}

func readBooks(t *testing.T) (b books) {
	t.Helper()
	require.NoError(t, app.Pool.QueryRow(t.Context(), `SELECT
		(SELECT coalesce(md5(string_agg(encode(hash, 'hex'), '' ORDER BY owner, seq)), '') FROM credit_entry WHERE postings::text <> '[]'),
		(SELECT count(*) FROM credit_entry),
		(SELECT coalesce(md5(string_agg(owner || seq || encode(head, 'hex'), ' ' ORDER BY owner)), '') FROM credit_owner),
		(SELECT coalesce(md5(string_agg(concat_ws(' ', owner, pool, type, available, held), ',' ORDER BY owner, pool, type)), '') FROM credit_account),
		(SELECT count(*) FROM credit_fact WHERE NOT reversed),
		(SELECT count(*) FROM organization),
		(SELECT count(*) FROM orders)`).Scan(&b.Moved, &b.Entries, &b.Heads, &b.Accounts, &b.Facts, &b.Orgs, &b.Orders))
	return b
}

// quiet waits until every order that was accepted is over: what they rightly
// start goes on by itself, and is no effect of the next request.
func quiet(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		var running int64
		require.NoError(t, app.Pool.QueryRow(t.Context(), `
			SELECT count(*) FROM orders WHERE status IN ('reserved', 'verifying') OR status = 'completed' AND refund_at < now() + interval '1 minute'`).Scan(&running))
		return running == 0
	}, 30*time.Second, 10*time.Millisecond)
}

// Random requests, made from the description of every route, never meet a fault
// of ours, and where they are refused the ledger is as it was.
func TestA15_NoRequestBreaksTheServer(t *testing.T) {
	seed := *fuzzSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("repeat with: go test ./internal/api -run %s -seed %d", t.Name(), seed)
	f := setupWith(t, "fuzzed", 0)
	f.fund(60)
	f.settled(f.place("known", 2, "20s").ID)
	known := map[string]string{
		"Orders":   f.settled(f.place("known", 2, "20s").ID).ID,
		"Webhooks": f.call("POST", "/webhooks", f.admin, `{"url":"https://example.com/"}`).is(201).text("id"),
		"Leads":    f.preview("")[0],
		"Lists":    f.call("POST", "/lists", f.jane, "name,company\nAnn Smith,Nowhere Ltd\n", "Content-Type", "text/csv").is(201).text("id"),
	}
	keys := []string{operatorKey, f.admin, f.jane}
	g := generator{rand.New(rand.NewPCG(seed, 0)), f.api.OpenAPI().Components.Schemas}
	described := operations(f.api)
	names := slices.Sorted(maps.Keys(described))
	names = slices.DeleteFunc(names, func(name string) bool { // what would end the test's own keys
		return strings.HasSuffix(name, "/close") || strings.HasPrefix(name, "DELETE /api/v1/orgs/{org}/members")
	})
	for range 5 { // what spends credits is asked most
		names = append(names, "POST /api/v1/orders", "POST /api/v1/verify", "POST /api/v1/verify/batch")
	}
	answers := map[int]int{}
	quiet(t)
	before := readBooks(t)
	for range *fuzzRounds {
		for _, name := range names {
			r := g.request(described[name], f.org, keys, known)
			answer := f.send(r, g.IntN(20) == 0)
			answers[answer.status]++
			call := fmt.Sprintf("seed %d: %s %s %q %s: %d %s", seed, r.method, r.path, r.headers, r.body, answer.status, answer.body)
			require.Less(t, answer.status, 500, call)
			if answer.status < 400 {
				quiet(t)
				before = readBooks(t)
				continue
			}
			require.Equal(t, "application/problem+json", answer.header.Get("Content-Type"), call)
			after := readBooks(t)
			if answer.status == http.StatusPaymentRequired { // the order and its key are kept, so that it is answered the same again
				before.Entries, before.Heads, before.Orders = after.Entries, after.Heads, after.Orders
			}
			require.Equal(t, before, after, call)
		}
	}
	t.Log("answers by status:", answers)
	for _, status := range []int{200, 201, 400, 403, 404, 422} {
		require.Positive(t, answers[status], "of %d requests none was answered %d", *fuzzRounds*len(names), status)
	}
	audited(t)
}

// send sends a made-up request; with cut its connection ends before its body.
func (f *fixture) send(r request, cut bool) *reply {
	f.t.Helper()
	if r.body == "" || !cut {
		var body any
		if r.body != "" {
			body = r.body
		}
		return f.call(r.method, r.path, r.key, body, r.headers...)
	}
	conn := f.dial()
	head := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n", r.method, r.path, r.key, len(r.body)+10)
	for i := 0; i < len(r.headers); i += 2 {
		if r.headers[i] != "Content-Type" {
			head += r.headers[i] + ": " + r.headers[i+1] + "\r\n"
		}
	}
	_, err := io.WriteString(conn, head+"\r\n"+r.body)
	require.NoError(f.t, err)
	require.NoError(f.t, conn.CloseWrite())
	answer := f.read(conn)
	require.GreaterOrEqual(f.t, answer.status, 400, "%s %s was cut off and accepted: %s", r.method, r.path, answer.body)
	return answer
}
