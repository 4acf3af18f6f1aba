package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

const (
	contactsAPage  = 50
	contactsWithin = 5 * time.Second // to read so far into an order
)

// contactColumns are what is shown of contacts, in their order.
var contactColumns = []string{"email", "field", "value", "verdict", "reason", "mx_host", "smtp_code", "smtp_enhanced", "checked_at", "first_name", "last_name", "title", "company", "country"}

type contactTable struct {
	Columns []string
	Rows    [][]string
}

type contactsPage struct {
	Order    order.Order
	Find     string
	Verdict  string
	Verdicts []string
	Next     string
	Late     bool // the order is too large to read further
	contactTable
}

// contacts shows the contacts of an order with the evidence for each verdict.
func (v *visit) contacts() error {
	id, asked := v.r.PathValue("id"), v.r.URL.Query()
	page := contactsPage{Find: strings.TrimSpace(asked.Get("find")), Verdict: asked.Get("verdict"), Verdicts: []string{"valid", "invalid", "catch_all", "risky", "disposable", "unknown"}}
	if err := v.call(http.MethodGet, "/orders/"+pathEscape(id), nil, &page.Order); err != nil {
		return err
	}
	skip, _ := strconv.ParseInt(asked.Get("cursor"), 10, 64) // a cursor that is none is the beginning
	rows := contactRows{skip: skip, limit: contactsAPage, find: strings.ToLower(page.Find), verdict: page.Verdict}
	err := v.readContacts(page.Order, &rows)
	if page.Late = errors.Is(err, context.DeadlineExceeded); err != nil && !page.Late {
		return err
	}
	if page.contactTable = rows.table(); rows.more {
		page.Next = v.nextPage(strconv.FormatInt(rows.read, 10))
	}
	return v.render(http.StatusOK, "contacts", "Contacts of an order", page)
}

// readContacts reads the results of an order, under the rule of results files: of
// what was not delivered, no way to reach the person. The order was shown to the
// caller by the API before.
func (v *visit) readContacts(o order.Order, into *contactRows) error {
	ctx, cancel := context.WithTimeout(v.r.Context(), contactsWithin)
	defer cancel()
	err := v.Catalogue.WriteResults(ctx, into, o.ID, lead.NDJSON, lead.ResultOptions{All: o.ResultsRemovedAt == nil})
	if errors.Is(err, errEnough) {
		return nil
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// contactRows takes a page out of results that are written to it.
type contactRows struct {
	skip, limit   int64
	find, verdict string

	read int64 // rows that need not be read again for the next page
	more bool
	rows []map[string]any
	rest []byte // of a row that is not whole yet
}

var errEnough = errors.New("enough rows")

// Write takes results; errEnough ends them when the page is full.
func (c *contactRows) Write(b []byte) (int, error) {
	c.rest = append(c.rest, b...)
	for {
		line, rest, whole := bytes.Cut(c.rest, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		c.rest = rest
		if c.read < c.skip {
			c.read++
			continue
		}
		row := map[string]any{}
		if err := json.Unmarshal(line, &row); err != nil {
			return 0, err
		}
		if c.matches(row) {
			if int64(len(c.rows)) == c.limit {
				c.more = true
				return 0, errEnough
			}
			c.rows = append(c.rows, row)
		}
		c.read++
	}
}

func (c *contactRows) matches(row map[string]any) bool {
	if c.verdict != "" && text(row["verdict"]) != c.verdict {
		return false
	}
	return c.find == "" || slices.ContainsFunc(contactColumns, func(name string) bool {
		return strings.Contains(strings.ToLower(text(row[name])), c.find)
	})
}

// table has the columns in which some row has something.
func (c *contactRows) table() (t contactTable) {
	for _, name := range contactColumns {
		if slices.ContainsFunc(c.rows, func(row map[string]any) bool { return text(row[name]) != "" }) {
			t.Columns = append(t.Columns, name)
		}
	}
	for _, row := range c.rows {
		cells := make([]string, len(t.Columns))
		for i, name := range t.Columns {
			cells[i] = text(row[name])
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}

func text(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case nil:
		return ""
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(encoded)
}
