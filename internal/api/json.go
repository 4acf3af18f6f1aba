package api

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/danielgtaylor/huma/v2"
)

// maxDepth is how deep objects and arrays may lie in one another in a body; no
// route needs half of it.
const maxDepth = 32

// A name is spelled as the description says. "Count" beside "count" would be read as
// the same field, and the last one taken.
func init() { huma.ValidateStrictCasing = true }

// ambiguous says why a body of JSON could be read in more than one way, or not within
// reason: "" where it could not. A name that comes twice is taken from its first
// place by some programs and from its last by others, so that what was checked on the
// way here may not be what is done. Text that is not JSON is left to its reader.
func ambiguous(body []byte) string {
	type open struct {
		names map[string]bool // nil: an array
		value bool            // a value comes next, not a name
	}
	var stack []open
	words := json.NewDecoder(bytes.NewReader(body))
	words.UseNumber()
	for {
		word, err := words.Token()
		if err != nil {
			return ""
		}
		if end, ok := word.(json.Delim); ok && (end == '}' || end == ']') {
			stack = stack[:len(stack)-1]
			continue
		}
		if n := len(stack); n > 0 && stack[n-1].names != nil {
			in := &stack[n-1]
			if name, ok := word.(string); ok && !in.value {
				if in.names[name] {
					return fmt.Sprintf("The body has the field %.100q twice in one object; send it once.", name)
				}
				in.names[name], in.value = true, true
				continue
			}
			in.value = false
		}
		begin, ok := word.(json.Delim)
		if !ok {
			continue
		}
		if len(stack) == maxDepth {
			return fmt.Sprintf("The body has objects or arrays in one another more than %d deep; send it flatter.", maxDepth)
		}
		in := open{}
		if begin == '{' {
			in.names = map[string]bool{}
		}
		stack = append(stack, in)
	}
}
