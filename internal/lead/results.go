package lead

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// ResultOptions steer what WriteResults writes.
type ResultOptions struct {
	All bool // of leads: every item that has a verdict, not the delivered ones alone; of what was not delivered, the lead is masked
}

// Row is a row of results that are leads. Its JSON names are the CSV's columns.
type Row struct {
	ID          string  `json:"id"`
	Email       string  `json:"email"`
	FirstName   string  `json:"first_name"`
	LastName    string  `json:"last_name"`
	Title       string  `json:"title"`
	Seniority   string  `json:"seniority"`
	Department  string  `json:"department"`
	Company     string  `json:"company"`
	Domain      string  `json:"domain"`
	Industry    string  `json:"industry"`
	Headcount   *int64  `json:"headcount"`
	Country     string  `json:"country"`
	Region      string  `json:"region"`
	City        string  `json:"city"`
	Phone       *string `json:"phone,omitempty"` // this and the next two are in exports only
	DirectEmail *string `json:"direct_email,omitempty"`
	Profile     *string `json:"profile,omitempty"`
	Verdict     string  `json:"verdict"`
	Reason      string  `json:"reason"`
	Evidence
	Owned *bool `json:"owned,omitempty"` // in lists of leads that have what was owned before
	Given bool  `json:"-"`               // delivered; else the row is masked

	Extras
}

// WriteResults streams what an order has delivered so far to w, in the order
// of its items, while the order runs as well as afterwards. It keeps a few
// rows in memory, however many there are.
//
// CSV follows RFC 4180: UTF-8, a header, CRLF, the columns in a fixed order
// (those of the catalogue, then verdict, reason and evidence). Cells are safe
// to open in a spreadsheet (see Guard), and Import reads the file back.
//
// The results of an order over a list are the rows of that list, in its order:
// with all of its columns and the verdicts where it was verified or enriched;
// with the lead and the fields asked for where the list names leads.
func (c *Catalogue) WriteResults(ctx context.Context, w io.Writer, orderID, format string, opts ResultOptions) error {
	if format != CSV && format != NDJSON {
		return fmt.Errorf("there is no result format %q; use csv or ndjson", format)
	}
	of, err := c.selectionOf(ctx, orderID)
	if err != nil {
		return fmt.Errorf("reading what order %s selected: %w", orderID, err)
	}
	switch {
	case of.Kind.Spec().PerField():
		err = c.writeFields(ctx, w, of, format)
	case !of.Kind.Spec().Exports && of.List != "":
		err = c.writeListResults(ctx, w, of, format)
	default:
		err = c.writeLeads(ctx, w, of, format, opts)
	}
	if err != nil {
		return fmt.Errorf("writing the results of order %s: %w", orderID, err)
	}
	return nil
}

// selectionOf is what an order was about.
type selectionOf struct {
	OrderID string
	Kind    order.Kind // empty where nothing was entered in the book
	List    string     // "" when its items are not a list's
	Columns []string   // of the list; nil where it was deleted
	Fields  []order.Field
	Owned   bool // it was to have what is owned, too
}

func (c *Catalogue) selectionOf(ctx context.Context, orderID string) (selectionOf, error) {
	rows, _ := c.pool.Query(ctx, `
		SELECT s.order_id, coalesce(o.kind, ''), coalesce(s.list_id, ''), l.columns, coalesce(s.fields, '{}'),
			coalesce((o.request ->> 'include_owned')::boolean, false)
		FROM order_selection s LEFT JOIN orders o ON o.id = s.order_id LEFT JOIN list l ON l.id = s.list_id WHERE s.order_id = $1 AND s.round = 1`, orderID)
	of, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[selectionOf])
	if errors.Is(err, pgx.ErrNoRows) {
		return selectionOf{OrderID: orderID}, nil
	}
	return of, err
}

// readLeads starts reading results that are leads. An export ($2) has contact
// data besides the address where the organization owns it: of what it owned when
// the order selected the lead, the values that the lead still has. With a batch
// ($3) these are the rows of items that are about to be delivered. With $4 it is
// said of each whether it was owned before.
func (c *Catalogue) readLeads(ctx context.Context, orderID string, export, batch, owned bool, condition string, args ...any) (pgx.Rows, error) {
	return c.pool.Query(ctx, `
		SELECT l.id, CASE WHEN NOT given THEN ''
				WHEN i.field = 'email' THEN CASE WHEN $2 AND i.verdict <> 'valid' AND NOT (i.already_owned AND i.verdict = 'unknown') THEN '' ELSE i.value END
				WHEN l.email_key = ANY (i.carried) THEN l.email ELSE '' END,
			l.first_name, l.last_name, l.title, l.seniority, l.department, l.company, l.domain, l.industry, l.headcount::bigint,
			l.country, l.region, l.city,
			CASE WHEN $2 THEN CASE WHEN NOT given OR NOT l.phone_keys && i.carried OR i.carried IS NULL THEN '' WHEN l.phone_keys <@ i.carried THEN l.phone
				ELSE (SELECT string_agg(p.number, ';' ORDER BY p.at) FROM unnest(string_to_array(l.phone, ';'), l.phone_keys)
					WITH ORDINALITY AS p (number, key, at) WHERE p.key = ANY (i.carried)) END END,
			CASE WHEN $2 THEN CASE WHEN given AND l.direct_key = ANY (i.carried) THEN l.direct_email ELSE '' END END,
			CASE WHEN $2 THEN CASE WHEN given AND l.profile_key = ANY (i.carried) THEN l.profile ELSE '' END END,
			i.verdict, i.reason, `+evidenceOf+`,
			CASE WHEN $4 THEN i.already_owned END, given, `+extrasOf("given")+`
		FROM order_item i JOIN lead l ON l.no = i.lead_no AND l.fingerprint = i.fingerprint
		CROSS JOIN LATERAL (SELECT $3 OR i.delivered_at IS NOT NULL AS given) g
		WHERE i.order_id = $1 AND `+condition+`
		ORDER BY i.n`, append([]any{orderID, export, batch, owned}, args...)...)
}

func (c *Catalogue) writeLeads(ctx context.Context, w io.Writer, of selectionOf, format string, opts ResultOptions) error {
	export := of.Kind.Spec().Exports
	owned := of.Owned && of.Kind.Spec().Source == order.FromCriteria
	rows, err := c.readLeads(ctx, of.OrderID, export, false, owned, `(i.delivered_at IS NOT NULL OR ($5 AND i.verdict IS NOT NULL))`, opts.All)
	if err != nil {
		return err
	}
	defer rows.Close()
	out := bufio.NewWriterSize(w, 64<<10)
	write := writeNDJSON(out)
	if format == CSV {
		if write, err = writeCSV(out, export, owned); err != nil {
			return err
		}
	}
	for rows.Next() {
		r, err := pgx.RowToStructByPos[Row](rows)
		if err != nil {
			return err
		}
		if !r.Given {
			r.mask()
		}
		r.CheckedAt = utc(r.CheckedAt)
		r.complete(r.Email, r.MXHost)
		if err := write(r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return out.Flush()
}

// ExportBatch returns the rows of an export's items from..to that are valid and
// not delivered yet, by number, as its NDJSON results will have them: what is
// sent to the destination before it is charged.
func (c *Catalogue) ExportBatch(ctx context.Context, orderID string, from, to int64) ([]json.RawMessage, error) {
	rows, err := c.readLeads(ctx, orderID, true, true, false,
		`i.n BETWEEN $5 AND $6 AND (i.verdict = 'valid' OR (i.verdict IS NOT NULL AND i.reason <> 'suppressed'
			AND (i.carries IS NOT NULL OR (i.verdict = 'unknown' AND i.already_owned AND i.same_as IS NULL)))) AND i.retry_at IS NULL AND i.delivered_at IS NULL`, from, to)
	if err != nil {
		return nil, fmt.Errorf("reading items %d to %d of export %s: %w", from, to, orderID, err)
	}
	results, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Row])
	if err != nil {
		return nil, fmt.Errorf("reading items %d to %d of export %s: %w", from, to, orderID, err)
	}
	batch := make([]json.RawMessage, len(results))
	for i, r := range results {
		r.CheckedAt = utc(r.CheckedAt)
		r.complete(r.Email, r.MXHost)
		var row bytes.Buffer
		if err := writeNDJSON(&row)(r); err != nil {
			return nil, fmt.Errorf("writing item %d of export %s: %w", from+int64(i), orderID, err)
		}
		batch[i] = bytes.TrimSpace(row.Bytes())
	}
	return batch, nil
}

func writeNDJSON(w io.Writer) func(Row) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(r Row) error { return enc.Encode(r) }
}

func writeCSV(w io.Writer, export, owned bool) (func(Row) error, error) {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	header := slices.Clone(columns)
	if !export {
		header = slices.Clone(columns[:colPhone])
	}
	header = append(append(header, verdictColumns...), extraColumns...)
	if owned {
		header = append(header, "owned")
	}
	if err := out.Write(header); err != nil {
		return nil, err
	}
	out.Flush() // an order without results is a file with a header
	cells := make([]string, 0, len(header))
	return func(r Row) error {
		cells = append(cells[:0], r.ID, r.Email, r.FirstName, r.LastName, r.Title, r.Seniority, r.Department,
			r.Company, r.Domain, r.Industry, number(r.Headcount), r.Country, r.Region, r.City)
		for _, contact := range []*string{r.Phone, r.DirectEmail, r.Profile} {
			if contact != nil {
				cells = append(cells, *contact)
			}
		}
		cells = append(cells, r.Verdict, r.Reason, r.MXHost, number(r.SMTPCode), r.SMTPEnhanced, moment(r.CheckedAt))
		for _, value := range r.Extras.values() {
			cells = append(cells, cell(value))
		}
		if r.Owned != nil {
			cells = append(cells, strconv.FormatBool(*r.Owned))
		}
		for i := range cells {
			cells[i] = Guard(cells[i])
		}
		if err := out.Write(cells); err != nil {
			return err
		}
		out.Flush()
		return out.Error()
	}, nil
}

func number(n *int64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatInt(*n, 10)
}

// Guard makes a cell safe to open in a spreadsheet, which would take a text
// that begins with = + - @, a tab or the end of a line for a formula: such a
// cell gets an apostrophe in front, as does one that begins with an apostrophe
// and one of these, so that unguard knows which is ours. A telephone number, a
// plus with nothing but digits and spaces after it, can do nothing and stays
// as it is: programs that read the file want it unchanged.
func Guard(cell string) string {
	if needsGuard(strings.TrimLeft(cell, "'")) && !isPhoneNumber(cell) {
		return "'" + cell
	}
	return cell
}

// unguard takes the apostrophe off that Guard put in front.
func unguard(cell string) string {
	if rest, found := strings.CutPrefix(cell, "'"); found && needsGuard(strings.TrimLeft(rest, "'")) {
		return rest
	}
	return cell
}

// needsGuard also says so of a line feed and of the full-width signs, which
// spreadsheets of East Asian languages read like the others.
func needsGuard(cell string) bool {
	first, _ := utf8.DecodeRuneInString(cell)
	return cell != "" && strings.ContainsRune("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20", first)
}

// isPhoneNumber reports whether a cell is a telephone number, or several with a
// semicolon between them.
func isPhoneNumber(cell string) bool {
	for number := range strings.SplitSeq(cell, ";") {
		digits := 0
		for i := range len(number) {
			switch c := number[i]; {
			case i == 0 && c == '+':
			case c >= '0' && c <= '9' && i > 0:
				digits++
			case c == ' ' && i > 1:
			default:
				return false
			}
		}
		if digits < 5 {
			return false
		}
	}
	return true
}
