package api

import (
	"cmp"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/errcode"
)

// docs answers with the API's documentation, made from its description. It
// needs no script and nothing from elsewhere.
func (a *API) docs(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	page := docsPage{Info: a.OpenAPI().Info, Groups: a.docsGroups(), Problems: kinds}
	if err := docsTemplate.Execute(w, page); err != nil {
		a.Log.Warn("The documentation was not written.", "error", err)
	}
}

type docsPage struct {
	Info     *huma.Info
	Groups   []docsGroup
	Problems []*errcode.Kind
}

type docsGroup struct {
	Name       string
	Operations []docsOperation
}

type docsOperation struct {
	*huma.Operation
	Role   string
	Fields []docsField // of the body
	Result []docsField
}

// docsField is a field of a body, those of nested objects with a dot.
type docsField struct {
	Name, Type, About string
	Required          bool
}

func (a *API) docsGroups() []docsGroup {
	var groups []docsGroup
	doc := a.OpenAPI()
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete} {
			if op == nil || op.Hidden {
				continue
			}
			r, _ := op.Metadata["route"].(route)
			o := docsOperation{Operation: op, Role: map[role]string{member: "any key", admin: "admin or operator", operator: "operator"}[r.needs]}
			if op.RequestBody != nil && op.RequestBody.Content["application/json"] != nil {
				o.Fields = a.fields("", op.RequestBody.Content["application/json"].Schema, 0)
			}
			for status, response := range op.Responses {
				if media := response.Content["application/json"]; media != nil && strings.HasPrefix(status, "2") {
					o.Result = a.fields("", media.Schema, 0)
				}
			}
			i := slices.IndexFunc(groups, func(g docsGroup) bool { return g.Name == op.Tags[0] })
			if i < 0 {
				i, groups = len(groups), append(groups, docsGroup{Name: op.Tags[0]})
			}
			groups[i].Operations = append(groups[i].Operations, o)
		}
	}
	for _, g := range groups {
		slices.SortFunc(g.Operations, func(a, b docsOperation) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
		})
	}
	slices.SortFunc(groups, func(a, b docsGroup) int { return cmp.Compare(a.Name, b.Name) })
	return groups
}

// fields lists what an object holds, as deep as a reader follows.
func (a *API) fields(before string, s *huma.Schema, depth int) []docsField {
	s = a.resolve(s)
	if s == nil || depth > 3 {
		return nil
	}
	if s.Type == huma.TypeArray {
		return a.fields(before, s.Items, depth)
	}
	var list []docsField
	for name, property := range s.Properties {
		target, array := a.resolve(property), ""
		if target.Type == huma.TypeArray {
			target, array = a.resolve(target.Items), "[]"
		}
		list = append(list, docsField{before + name + array, cmp.Or(target.Type, "any"), cmp.Or(property.Description, target.Description), slices.Contains(s.Required, name)})
		list = append(list, a.fields(before+name+array+".", property, depth+1)...)
	}
	slices.SortStableFunc(list, func(a, b docsField) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

func (a *API) resolve(s *huma.Schema) *huma.Schema {
	if s != nil && s.Ref != "" {
		return a.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

var docsTemplate = template.Must(template.New("docs").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Info.Title}} API</title>
<style>
  :root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 15%, transparent) }
  body { font: 16px/1.6 system-ui, sans-serif; max-width: 56rem; margin: 4rem auto; padding: 0 1.5rem }
  h1, h2 { letter-spacing: -.02em } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line) }
  nav { columns: 2; font-size: .9rem } nav a { display: block }
  code, summary b { font: .88em ui-monospace, monospace } summary { cursor: pointer; padding: .5rem 0 } summary b { margin-right: .6rem }
  details { border-bottom: 1px solid var(--line) } .soft { opacity: .65 }
  table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: .5rem 0 1.2rem } td, th { text-align: left; vertical-align: top; padding: .25rem .8rem .25rem 0; border-top: 1px solid var(--line) }
  pre { padding: 1rem; border: 1px solid var(--line); border-radius: .4rem; overflow: auto }
</style>
<h1>{{.Info.Title}} API</h1>
<p>{{.Info.Description}} The machine-readable description is at <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>
<pre>curl https://HOST/api/v1/orders \
  -H "Authorization: Bearer $KEY" -H "Idempotency-Key: $(uuidgen)" -H "Content-Type: application/json" \
  -d '{"kind":"lead_list","count":100,"criteria":{"country":["US"]}}'</pre>
<p>Every answer has an <code>X-Request-Id</code>. <code>RateLimit</code> tells what is left of a key's quota; beyond it the answer is 429 with <code>Retry-After</code>.
Lists come in pages: send <code>next_cursor</code> back as <code>cursor</code>.</p>
{{range .Groups}}<h2>{{.Name}}</h2>
{{range .Operations}}<details id="{{.OperationID}}"><summary><b>{{.Method}} {{.Path}}</b> {{.Summary}}</summary>
<p>{{.Description}} <span class="soft">Key: {{.Role}}.</span></p>
{{if .Parameters}}<table><tr><th>parameter<th>in<th>{{range .Parameters}}<tr><td><code>{{.Name}}</code>{{if .Required}} <span class="soft">required</span>{{end}}<td>{{.In}}<td>{{.Description}}{{end}}</table>{{end}}
{{if .Fields}}<table><tr><th>body<th>type<th>{{range .Fields}}<tr><td><code>{{.Name}}</code>{{if .Required}} <span class="soft">required</span>{{end}}<td>{{.Type}}<td>{{.About}}{{end}}</table>{{end}}
{{if .Result}}<table><tr><th>answer<th>type<th>{{range .Result}}<tr><td><code>{{.Name}}</code><td>{{.Type}}<td>{{.About}}{{end}}</table>{{end}}
</details>
{{end}}{{end}}
<h2 id="problems">Problems</h2>
<p>An error is <code>application/problem+json</code> with <code>type</code>, <code>title</code>, <code>status</code>, <code>detail</code>, <code>code</code>, <code>request_id</code> and, where they help, <code>errors</code>, <code>missing</code> and <code>order_id</code>.</p>
<table><tr><th>type<th>status<th>what it means{{range .Problems}}<tr id="{{.Code}}"><td><code>urn:holdfast:problem:{{.Code}}</code><td>{{.Status}}<td>{{.Title}}. {{.About}}{{end}}</table>
</html>
`))
