package plan

import (
	"cmp"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"holdfast/internal/errcode"
)

//go:embed presets/*.yaml
var presets embed.FS

// Presets returns the plans that come with the product, by id.
func Presets() ([]*Plan, error) {
	files, err := presets.ReadDir("presets")
	if err != nil {
		return nil, fmt.Errorf("the built-in plans cannot be read: %w", err)
	}
	plans := make([]*Plan, 0, len(files))
	for _, f := range files {
		name := path.Join("presets", f.Name())
		data, err := presets.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("the built-in plan %s cannot be read: %w", name, err)
		}
		p, err := Parse(name, data)
		if err != nil {
			return nil, err
		}
		plans = append(plans, p)
	}
	slices.SortFunc(plans, func(a, b *Plan) int { return cmp.Compare(a.ID, b.ID) })
	return plans, nil
}

// FieldError is one thing wrong with a plan.
type FieldError struct {
	File    string
	Line    int    // 1 is the first; where a field is missing, the line of what should hold it
	Field   string // such as actions.lead_list.charges[0].amount; "" = the file as a whole
	Message string // one sentence: what is wrong and what to do
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message)
	}
	return fmt.Sprintf("%s:%d: %s: %s", e.File, e.Line, e.Field, e.Message)
}

// ErrorInfo says of which field the plan is not valid.
func (e *FieldError) ErrorInfo() errcode.Info {
	return errcode.Info{Kind: errcode.Invalid, InBody: true, Field: e.Field, Text: e.Message}
}

// Document is the shape of a plan in YAML and JSON; durations are written 5m,
// 12h, 30d.
type Document struct {
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Description  string            `json:"description,omitempty"`
	Notes        []string          `json:"notes,omitempty"`
	Version      int               `json:"version,omitempty"`
	Period       Cycle             `json:"period"`
	Credits      map[string]Credit `json:"credits"`
	Actions      map[string]Action `json:"actions"`
	Refund       Refund            `json:"refund"`
	BounceWindow string            `json:"bounce_window,omitempty"`
	Bounces      *BounceRules      `json:"bounces,omitempty"`
	PlanChange   ChangeMode        `json:"plan_change"`
}

// Refund is what a plan says about credits that an order did not use.
type Refund struct {
	Delay        string      `json:"delay"`
	LateRelease  LateRelease `json:"late_release"`
	ReinstateFor string      `json:"reinstate_for"`
}

const maxSize = 256 << 10 // bytes of a plan's file

// Parse reads a plan from YAML (or JSON, which is YAML too), fills in the
// defaults and checks it. The error is one *FieldError per problem, joined;
// file is the name that they give.
func Parse(file string, data []byte) (p *Plan, err error) {
	if len(data) > maxSize {
		return nil, &FieldError{file, 1, "", fmt.Sprintf("The file has %d bytes; a plan fits into %d.", len(data), maxSize)}
	}
	defer func() {
		if r := recover(); r != nil { // the YAML reader gives up on some broken input this way
			p, err = nil, &FieldError{file, 1, "", fmt.Sprintf("The YAML is broken: %v.", r)}
		}
	}()
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, readError(file, nil, err)
	}
	if len(tree.Docs) == 0 || tree.Docs[0].Body == nil {
		return nil, &FieldError{file, 1, "", "The file is empty; put a plan into it."}
	}
	if len(tree.Docs) > 1 {
		return nil, &FieldError{file, 1, "", fmt.Sprintf("The file holds %d plans; put each into a file of its own.", len(tree.Docs))}
	}
	lines := map[string]int{}
	if e := index(lines, "", tree.Docs[0].Body); e != nil {
		e.File = file
		return nil, e
	}
	var doc Document
	if err := yaml.NodeToValue(tree.Docs[0].Body, &doc, yaml.Strict()); err != nil {
		return nil, readError(file, lines, err)
	}
	c := checker{file: file, lines: lines}
	p = c.plan(&doc)
	if len(c.problems) > 0 {
		slices.SortStableFunc(c.problems, func(a, b *FieldError) int { return cmp.Compare(a.Line, b.Line) })
		errs := make([]error, len(c.problems))
		for i, e := range c.problems {
			errs[i] = e
		}
		return nil, errors.Join(errs...)
	}
	return p, nil
}

// index notes the line of every field below a node. It refuses fractions, which
// the YAML reader would cut off without a word, and tags.
func index(lines map[string]int, at string, node ast.Node) *FieldError {
	switch n := node.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			if e := index(lines, at, v); e != nil {
				return e
			}
		}
	case *ast.MappingValueNode:
		name := n.Key.GetToken().Value
		if at != "" {
			name = at + "." + name
		}
		lines[name] = n.Key.GetToken().Position.Line
		return index(lines, name, n.Value)
	case *ast.SequenceNode:
		for i, v := range n.Values {
			name := at + "[" + strconv.Itoa(i) + "]"
			lines[name] = v.GetToken().Position.Line
			if e := index(lines, name, v); e != nil {
				return e
			}
		}
	case *ast.AnchorNode:
		return index(lines, at, n.Value)
	case *ast.FloatNode:
		tok := n.GetToken()
		return &FieldError{Line: tok.Position.Line, Field: at, Message: tok.Value + " is not a whole number; credits are never split."}
	case *ast.TagNode:
		tok := n.GetToken()
		return &FieldError{Line: tok.Position.Line, Field: at, Message: fmt.Sprintf("The YAML tag %q has no meaning in a plan; remove it.", tok.Value)}
	}
	return nil
}

// readError turns an error of the YAML reader into ours.
func readError(file string, lines map[string]int, err error) error {
	var syntax yaml.Error
	if !errors.As(err, &syntax) || syntax.GetToken() == nil {
		return &FieldError{file, 1, "", fmt.Sprintf("The plan cannot be read: %v.", err)}
	}
	tok := syntax.GetToken()
	e := &FieldError{File: file, Line: tok.Position.Line, Message: "The YAML is broken here: " + syntax.GetMessage() + "."}
	for name, line := range lines { // the most precise name that this line has
		if line == e.Line && (len(name) > len(e.Field) || len(name) == len(e.Field) && name > e.Field) {
			e.Field = name
		}
	}
	var unknown *yaml.UnknownFieldError
	var kind *yaml.TypeError
	var large *yaml.OverflowError
	var shape *yaml.UnexpectedNodeTypeError
	switch {
	case errors.As(err, &unknown):
		e.Message = fmt.Sprintf("There is no field %q here; check the spelling.", tok.Value)
	case errors.As(err, &kind):
		e.Message = fmt.Sprintf("The value does not fit here; give %s.", inWords(kind.DstType.Kind()))
	case errors.As(err, &large):
		e.Message = fmt.Sprintf("%s is too large; give at most %d.", tok.Value, MaxAmount)
	case errors.As(err, &shape):
		e.Message = "The value does not have the shape expected here; look the field up in the description of plans."
	}
	return e
}

func inWords(kind reflect.Kind) string {
	switch kind { // a plan has fields of these kinds only
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.String:
		return "a text, in quotes where it contains a colon"
	case reflect.Slice:
		return "a list"
	default:
		return "fields with values"
	}
}

// MarshalJSON writes the plan in the shape that Parse reads, plus its version.
func (p Plan) MarshalJSON() ([]byte, error) {
	d := Document{
		ID: p.ID, Name: p.Name, Description: p.Description, Notes: p.Notes, Version: p.Version,
		Period: p.Period, Credits: p.Credits, Actions: p.Actions,
		Refund: Refund{
			Delay: formatDuration(p.RefundDelay), LateRelease: p.LateRelease,
			ReinstateFor: formatDuration(p.ReinstateFor),
		},
		PlanChange: p.PlanChange,
	}
	if p.BounceWindow > 0 {
		d.BounceWindow = formatDuration(p.BounceWindow)
	}
	if p.Bounces != (BounceRules{}) {
		d.Bounces = &p.Bounces
	}
	return json.Marshal(d)
}

// UnmarshalJSON reads and checks what MarshalJSON wrote.
func (p *Plan) UnmarshalJSON(data []byte) error {
	read, err := Parse("plan", data)
	if err != nil {
		return err
	}
	*p = *read
	return nil
}

const day = 24 * time.Hour

// formatDuration writes a duration as a plan does: 30d, 1h30m, 90s as 1m30s.
func formatDuration(d time.Duration) string {
	if d > 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if d%time.Minute == 0 && d != 0 {
		s = strings.TrimSuffix(s, "0s")
	}
	if d%time.Hour == 0 && d != 0 {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// parseDuration reads what time.ParseDuration reads, and whole days such as 30d.
func parseDuration(s string) (time.Duration, bool) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.ParseInt(n, 10, 32)
		return time.Duration(days) * day, err == nil && days >= 0 && days <= 36500
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}
