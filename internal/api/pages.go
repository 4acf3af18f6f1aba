package api

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
)

// Page is what every list takes.
type Page struct {
	Cursor string `query:"cursor" maxLength:"1000" doc:"next_cursor of the page before."`
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"100" doc:"Entries a page."`
}

// Span is a range of time that a list is limited to.
type Span struct {
	From Moment `query:"from" doc:"From this time on."`
	To   Moment `query:"to" doc:"Before this time."`
}

var errBadCursor = invalid("query.cursor", "The cursor is not one that a page has given; send next_cursor of the page before.")

// seal makes what a list reads on with, its key, into the cursor that clients see:
// opaque, and of no use for another list. unseal is its reverse.
func seal(list, key string) string {
	if key == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(sumOf(list, key), key...))
}

func unseal(list, cursor string) (key string, err error) {
	text, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(text) <= 4 || !bytes.Equal(text[:4], sumOf(list, string(text[4:]))) {
		return "", errBadCursor
	}
	return string(text[4:]), nil
}

func sumOf(list, key string) []byte {
	return binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(list+" "+key)))
}

// openCursor gives a handler the key in its parameter cursor.
func openCursor(ctx huma.Context, r route) error {
	cursor := ctx.Query("cursor")
	if cursor == "" {
		return nil
	}
	key, err := unseal(r.name, cursor)
	if err != nil {
		return err
	}
	request, _ := humago.Unwrap(ctx)
	query := request.URL.Query()
	query.Set("cursor", key)
	address := *request.URL
	address.RawQuery = query.Encode()
	request.URL = &address
	return nil
}

// sealNext makes the key in next_cursor of an answer into a cursor.
func sealNext(r route, out any) {
	answer := reflect.ValueOf(out)
	if answer.IsNil() {
		return
	}
	body := answer.Elem().FieldByName("Body")
	if body.Kind() != reflect.Struct {
		return
	}
	if next := body.FieldByName("NextCursor"); next.IsValid() {
		next.SetString(seal(r.name, next.String()))
	}
}

// pageOf takes a page out of a whole list that is sorted by key, descending where
// newest is set, and returns the cursor of the next one. What is added or removed
// elsewhere does not shift the pages.
func pageOf[T any](list []T, key func(T) string, newest bool, p Page) ([]T, string) {
	after := p.Cursor
	for len(list) > 0 && after != "" && (!newest && key(list[0]) <= after || newest && key(list[0]) >= after) {
		list = list[1:]
	}
	if len(list) <= p.Limit {
		return append([]T{}, list...), ""
	}
	return list[:p.Limit], key(list[p.Limit-1])
}

// sortable is a time as a key that sorts as the time does.
func sortable(t time.Time, id string) string {
	return t.UTC().Format("2006-01-02T15:04:05.000000Z") + " " + id
}

// unsorted is the time and the id of such a key.
func unsorted(key string) (time.Time, string, error) {
	var at, id string
	if _, err := fmt.Sscanf(key, "%s %s", &at, &id); err != nil {
		return time.Time{}, "", errBadCursor
	}
	t, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return time.Time{}, "", errBadCursor
	}
	return t, id, nil
}

// readPage reads one entry more than a page has of what is sorted by time and id,
// newest first, and returns the cursor of the next page.
func readPage[T any](p Page, read func(before time.Time, id string, limit int) ([]T, error), key func(T) (time.Time, string)) ([]T, string, error) {
	var before time.Time
	var id string
	if p.Cursor != "" {
		var err error
		if before, id, err = unsorted(p.Cursor); err != nil {
			return nil, "", err
		}
	}
	list, err := read(before, id, p.Limit+1)
	if err != nil || len(list) <= p.Limit {
		return append([]T{}, list...), "", err
	}
	return list[:p.Limit], sortable(key(list[p.Limit-1])), nil
}

// Moment is a time in a request: RFC 3339, or a day alone, which begins at
// midnight UTC.
type Moment struct{ time.Time }

const badMoment = "This is no time; write it as 2026-03-01T12:00:00Z, or as 2026-03-01 for the beginning of that day in UTC."

// UnmarshalText reads a time.
func (m *Moment) UnmarshalText(text []byte) error {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, string(text)); err == nil {
			m.Time = t
			return nil
		}
	}
	return newProblem(422, badMoment)
}

// UnmarshalJSON reads a time that stands in a body; null is none.
func (m *Moment) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	if len(text) < 2 || text[0] != '"' {
		return newProblem(422, badMoment)
	}
	return m.UnmarshalText(text[1 : len(text)-1])
}

// Schema describes it.
func (Moment) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Description: "RFC 3339, or a day such as 2026-03-01, which begins at midnight UTC.",
		Pattern: `^[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].*)?$`, PatternDescription: "a time such as 2026-03-01T12:00:00Z or a day such as 2026-03-01", Examples: []any{"2026-03-01T12:00:00Z"},
	}
}

// Labels are metadata of a request.
type Labels map[string]string

// Schema describes them.
func (Labels) Schema(huma.Registry) *huma.Schema {
	most, name := 20, 500
	return &huma.Schema{
		Type: huma.TypeObject, MaxProperties: &most, AdditionalProperties: &huma.Schema{Type: huma.TypeString, MaxLength: &name},
		Examples: []any{map[string]any{"customer": "4711"}},
	}
}

// LabelFilter selects by metadata.
type LabelFilter struct {
	Metadata []string `query:"metadata,explode" maxItems:"20" doc:"name:value; only what has this entry in its metadata. Several must all be there." example:"customer:4711"`
}

func (f LabelFilter) labels() (map[string]string, error) {
	wanted := map[string]string{}
	for _, entry := range f.Metadata {
		name, value, ok := cut(entry)
		if !ok {
			return nil, invalid("query.metadata", "Write an entry as name:value, such as customer:4711.")
		}
		wanted[name] = value
	}
	return wanted, nil
}

func cut(entry string) (name, value string, ok bool) {
	for i, c := range entry {
		if c == ':' {
			return entry[:i], entry[i+1:], i > 0
		}
	}
	return "", "", false
}
