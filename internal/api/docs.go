package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"html"
	"html/template"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"holdfast/internal/errcode"
	"holdfast/internal/outbox"
)

// The page's template, its looks and its few lines of script: for copying, and for
// finding an operation by a word. It can be read without the script.
var (
	//go:embed docs/page.html
	docsPageText string
	//go:embed docs/style.css
	docsStyle string
	//go:embed docs/script.js
	docsScript string
)

// docsPolicy lets the page's own style and script in, and nothing else.
var docsPolicy = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src " + hashOf(docsStyle) + "; script-src " + hashOf(docsScript)

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// docs answers with the API's documentation, made from its description once. It
// needs nothing from elsewhere.
func (a *API) docs(w http.ResponseWriter, r *http.Request) {
	page, err := a.docsPage()
	if err != nil {
		writeProblem(w, r, a.problem(r.Context(), err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", docsPolicy)
	_, _ = w.Write(page) // a client that is gone needs no answer
}

func (a *API) renderDocs() ([]byte, error) {
	events, err := docsEvents()
	if err != nil {
		return nil, err
	}
	var page bytes.Buffer
	doc := a.OpenAPI()
	err = docsTemplate.Execute(&page, docsPage{
		Info: doc.Info, Groups: a.docsGroups(), Events: events, Problems: kinds,
		Style: template.CSS(docsStyle), Script: template.JS(docsScript), //nolint:gosec // both are ours
	})
	return page.Bytes(), err
}

type docsPage struct {
	Info     *huma.Info
	Groups   []docsGroup
	Events   []docsEvent
	Problems []*errcode.Kind
	Style    template.CSS
	Script   template.JS
}

type docsGroup struct {
	*huma.Tag
	Operations []docsOperation
}

// ID is the group's place on the page.
func (g docsGroup) ID() string {
	return "group-" + strings.ReplaceAll(strings.ToLower(g.Name), " ", "-")
}

type docsOperation struct {
	*huma.Operation
	Role       string
	Curl       string
	Parameters []docsField
	Bodies     []docsBody
	Examples   []docsExample // of the body, where there are several
	Answers    []docsAnswer
}

// docsBody are the fields of a body; of a union, of one of its kinds.
type docsBody struct {
	Name   string
	Fields []docsField
}

type docsExample struct{ Name, Text string }

type docsAnswer struct {
	Status, About string
	Type          string // of what is answered
	Fields        []docsField
	Example       string
	Problems      []*errcode.Kind
}

type docsEvent struct{ Name, Says, Example string }

// docsField is a parameter or a field of a body, those of nested objects with a
// dot.
type docsField struct {
	Name, In, Type, About, Example string
	Values                         []string
	Required                       bool
}

func docsEvents() (events []docsEvent, err error) {
	for _, t := range outbox.Topics {
		example, err := outbox.Example(t.Name)
		if err != nil {
			return nil, err
		}
		events = append(events, docsEvent{t.Name, t.Says, indented(example)})
	}
	return events, nil
}

func (a *API) docsGroups() []docsGroup {
	groups := make([]docsGroup, len(tags))
	for i, tag := range tags {
		groups[i].Tag = tag
	}
	everyOperation(a.OpenAPI(), func(op *huma.Operation) {
		i := slices.IndexFunc(tags, func(t *huma.Tag) bool { return t.Name == op.Tags[0] })
		groups[i].Operations = append(groups[i].Operations, a.docsOperation(op))
	})
	for _, g := range groups {
		slices.SortFunc(g.Operations, func(a, b docsOperation) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
		})
	}
	return slices.DeleteFunc(groups, func(g docsGroup) bool { return len(g.Operations) == 0 })
}

func (a *API) docsOperation(op *huma.Operation) docsOperation {
	r, _ := op.Metadata["route"].(route)
	o := docsOperation{Operation: op, Role: map[role]string{member: "any key", admin: "an admin's key or the operator key", operator: "the operator key"}[r.needs]}
	if op.Metadata["route"] == nil {
		o.Role = "none: the request is signed"
	}
	for _, p := range op.Parameters {
		f := a.docsField(p.Name, p.Schema, p.Required)
		f.In, f.About = p.In, cmp.Or(p.Description, f.About)
		o.Parameters = append(o.Parameters, f)
	}
	mediaType, body := "", ""
	if op.RequestBody != nil {
		for _, name := range sortedKeys(op.RequestBody.Content) {
			content := op.RequestBody.Content[name]
			mediaType = name
			if name != "application/json" {
				continue
			}
			o.Bodies = a.docsBodies(content.Schema)
			for _, example := range sortedKeys(content.Examples) {
				o.Examples = append(o.Examples, docsExample{content.Examples[example].Summary, indented(content.Examples[example].Value)})
			}
			body = indented(a.example(content.Schema, 0))
			if len(o.Examples) > 0 {
				body = o.Examples[0].Text
			}
			break
		}
	}
	o.Curl = curl(o, mediaType, body)
	for _, status := range sortedKeys(op.Responses) {
		o.Answers = append(o.Answers, a.docsAnswer(status, op.Responses[status]))
	}
	return o
}

// curl is a request as one types it.
func curl(o docsOperation, mediaType, body string) string {
	var path, query strings.Builder
	path.WriteString(o.Path)
	for _, p := range o.Parameters {
		switch {
		case p.In == "path":
			at := strings.Replace(path.String(), "{"+p.Name+"}", cmp.Or(p.Example, p.Name), 1)
			path.Reset()
			path.WriteString(at)
		case p.In == "query" && p.Required:
			query.WriteString(map[bool]string{true: "?", false: "&"}[query.Len() == 0] + p.Name + "=" + p.Example)
		}
	}
	text := `curl "$HOLDFAST_URL` + path.String() + query.String() + `"`
	if o.Method != http.MethodGet && (o.Method != http.MethodPost || body == "") {
		text = "curl -X " + o.Method + strings.TrimPrefix(text, "curl")
	}
	text += ` \` + "\n" + `  -H "Authorization: Bearer $HOLDFAST_API_KEY"`
	if slices.ContainsFunc(o.Parameters, func(p docsField) bool { return p.Name == "Idempotency-Key" }) {
		text += ` \` + "\n" + `  -H "Idempotency-Key: purchase-4711"`
	}
	switch {
	case body != "":
		text += ` \` + "\n" + `  -H "Content-Type: application/json" \` + "\n" + `  -d '` + strings.ReplaceAll(body, "'", `'\''`) + `'`
	case mediaType != "":
		text += ` \` + "\n" + `  -H "Content-Type: ` + mediaType + `" --data-binary @file`
	}
	return text
}

func (a *API) docsAnswer(status string, r *huma.Response) docsAnswer {
	answer := docsAnswer{Status: status, About: r.Description}
	for _, mediaType := range sortedKeys(r.Content) {
		answer.Type = mediaType
		schema := r.Content[mediaType].Schema
		switch mediaType {
		case "application/problem+json":
			answer.Problems = slices.DeleteFunc(slices.Clone(kinds), func(k *errcode.Kind) bool { return status != strconv.Itoa(k.Status) })
		case "application/json":
			answer.Fields = a.fields("", schema, 0)
			answer.Example = indented(a.example(schema, 0))
		default:
			if of, ok := schema.Extensions["contentSchema"].(*huma.Schema); ok {
				answer.Fields = a.fields("", of, 0)
			}
		}
	}
	return answer
}

// docsBodies are the fields of a body, by kind where it is a union.
func (a *API) docsBodies(s *huma.Schema) (bodies []docsBody) {
	s = a.resolve(s)
	for _, of := range s.OneOf {
		name := ""
		if kind := a.resolve(of).Properties["kind"]; kind != nil && len(kind.Enum) == 1 {
			name, _ = kind.Enum[0].(string)
		}
		bodies = append(bodies, docsBody{name, a.fields("", of, 0)})
	}
	if len(bodies) == 0 {
		if fields := a.fields("", s, 0); len(fields) > 0 {
			bodies = []docsBody{{"", fields}}
		}
	}
	return bodies
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
	for _, of := range slices.Concat(s.OneOf, s.AnyOf) {
		list = append(list, a.fields(before, of, depth)...)
	}
	for _, name := range sortedKeys(s.Properties) {
		property, array := s.Properties[name], ""
		if a.resolve(property).Type == huma.TypeArray {
			array = "[]"
		}
		list = append(list, a.docsField(before+name, property, slices.Contains(s.Required, name)))
		list = append(list, a.fields(before+name+array+".", property, depth+1)...)
	}
	return slices.CompactFunc(list, func(a, b docsField) bool { return a.Name == b.Name && a.Type == b.Type })
}

// docsField says what may stand in a field.
func (a *API) docsField(name string, s *huma.Schema, required bool) docsField {
	target := a.resolve(s)
	f := docsField{Name: name, Required: required, About: cmp.Or(s.Description, target.Description), Type: cmp.Or(target.Type, "any")}
	limits := []string{}
	limit := func(low, high *float64) {
		switch {
		case low != nil && high != nil:
			limits = append(limits, number(*low)+" to "+number(*high))
		case low != nil:
			limits = append(limits, "from "+number(*low))
		case high != nil:
			limits = append(limits, "to "+number(*high))
		}
	}
	if target.Format != "" && target.Type == huma.TypeString {
		limits = append(limits, target.Format)
	}
	limit(target.Minimum, target.Maximum)
	if target.MaxLength != nil {
		limits = append(limits, "to "+number(float64(*target.MaxLength))+" characters")
	}
	if target.MaxItems != nil {
		limits = append(limits, "to "+number(float64(*target.MaxItems))+" entries")
	}
	if target.Type == huma.TypeArray {
		items := a.resolve(target.Items)
		f.Type, f.Values = "list of "+cmp.Or(items.Type, "any"), words(items.Enum)
	}
	if len(limits) > 0 {
		f.Type += ", " + strings.Join(limits, ", ")
	}
	if len(target.Enum) > 0 {
		f.Values = words(target.Enum)
	}
	if target.Default != nil {
		f.Type += ", " + text(target.Default) + " when left out"
	}
	if len(target.Examples) > 0 {
		f.Example = text(target.Examples[0])
	}
	return f
}

// example is a value that a schema allows, of the examples of its fields.
func (a *API) example(s *huma.Schema, depth int) any {
	s = a.resolve(s)
	switch {
	case s == nil || depth > 6:
		return nil
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.Enum) > 0:
		return s.Enum[0]
	case len(s.OneOf) > 0:
		return a.example(s.OneOf[0], depth)
	case len(s.AnyOf) > 0:
		return a.example(s.AnyOf[0], depth)
	case s.Type == huma.TypeArray:
		if of := a.example(s.Items, depth+1); of != nil {
			return []any{of}
		}
		return []any{}
	case s.Type == huma.TypeObject:
		object := map[string]any{}
		for name, property := range s.Properties {
			if value := a.example(property, depth+1); value != nil {
				object[name] = value
			}
		}
		return object
	case s.Type == huma.TypeString && s.Format == "date-time":
		return "2026-03-01T12:00:00Z"
	case s.Type == huma.TypeInteger || s.Type == huma.TypeNumber:
		return 1
	case s.Type == huma.TypeBoolean:
		return true
	}
	return nil
}

func (a *API) resolve(s *huma.Schema) *huma.Schema {
	if s != nil && s.Ref != "" {
		return a.OpenAPI().Components.Schemas.SchemaFromRef(s.Ref)
	}
	return s
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func number(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }

// text is a value as one writes it: a string bare, anything else as JSON.
func text(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	written, _ := json.Marshal(value) //nolint:errchkjson // an example of ours
	return string(written)
}

func words(values []any) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = text(v)
	}
	return list
}

func indented(value any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil || b.String() == "null\n" {
		return ""
	}
	return strings.TrimSpace(b.String())
}

var code = regexp.MustCompile("`([^`]+)`")

var docsTemplate = template.Must(template.New("docs").Funcs(template.FuncMap{
	"prose": func(text string) template.HTML {
		return template.HTML(code.ReplaceAllString(html.EscapeString(text), "<code>$1</code>")) //nolint:gosec // it is escaped
	},
}).Parse(docsPageText))
