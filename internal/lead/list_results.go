package lead

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// verdictColumns are what the results of a list have besides its own columns.
var verdictColumns = append([]string{"verdict", "reason"}, evidenceColumns...)

// writeListResults streams the rows of a list in the order of its file, with
// every cell of theirs and what verification said. A row whose address has no
// delivered verdict yet is left out; a malformed one comes with the reason
// malformed and what is wrong with it in place of a verdict. Of a list that was
// deleted the addresses are left.
func (c *Catalogue) writeListResults(ctx context.Context, w io.Writer, of selectionOf, format string) error {
	columns := of.Columns
	from := `SELECT cells, item, n, problem, cleaned FROM list_row WHERE list_id = $2`
	if columns == nil { // deleted: the addresses are the order's, too
		columns = []string{"email"}
		from = `SELECT ARRAY[value] AS cells, n AS item, n, NULL AS problem, false AS cleaned FROM order_item WHERE order_id = $1 AND $2 <> ''`
	}
	rows, err := c.pool.Query(ctx, `
		SELECT r.cells, `+verifiedOf+`
		FROM (`+from+`) r LEFT JOIN LATERAL (SELECT * FROM order_item WHERE order_id = $1 AND n = r.item OFFSET 0) i ON true
		WHERE i.delivered_at IS NOT NULL OR r.item IS NULL
		ORDER BY r.n`, of.OrderID, of.List)
	if err != nil {
		return err
	}
	defer rows.Close()
	write, flush, err := writeBeside(w, format, columns, namesBeside(columns, "verified_", slices.Concat(verdictColumns, []string{"address"}, extraColumns)))
	if err != nil {
		return err
	}
	var cells []string
	var cleaned bool
	var v Verified
	if _, err := pgx.ForEachRow(rows, append([]any{&cells}, v.columns(&cleaned)...), func() error {
		v.finish(cleaned)
		err := write(cells, slices.Concat([]any{v.Verdict, v.Reason}, v.Evidence.values(), []any{v.Address}, v.Extras.values()))
		v = Verified{}
		return err
	}); err != nil {
		return err
	}
	return flush()
}

// moment is a time as results write it, empty for none.
func moment(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// utc is a time in UTC, as JSON writes it, or none.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

// namesBeside are the names of our columns beside those of a list: one that the
// list uses itself gets the prefix in front.
func namesBeside(columns []string, prefix string, ours []string) []string {
	names := slices.Clone(ours)
	for i := range names {
		for slices.Contains(columns, names[i]) {
			names[i] = prefix + names[i]
		}
	}
	return names
}

// writeBeside returns what writes the rows of a list, each with values of ours
// (text, or what may be missing) behind its cells, and what ends the file.
func writeBeside(w io.Writer, format string, columns, ours []string) (write func(cells []string, values []any) error, flush func() error, err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	put := writeListNDJSON(out, columns, ours)
	if format == CSV {
		put, err = writeListCSV(out, columns, ours)
	}
	return func(cells []string, values []any) error {
		for len(cells) < len(columns) {
			cells = append(cells, "")
		}
		return put(cells, values)
	}, out.Flush, err
}

func writeListCSV(w io.Writer, columns, ours []string) (func(cells []string, values []any) error, error) {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	line := make([]string, 0, len(columns)+len(ours))
	put := func() error {
		for i := range line {
			line[i] = Guard(line[i])
		}
		if err := out.Write(line); err != nil {
			return err
		}
		out.Flush()
		return out.Error()
	}
	line = append(append(line, columns...), ours...)
	return func(cells []string, values []any) error {
		line = append(line[:0], cells...)
		for _, value := range values {
			line = append(line, cell(value))
		}
		return put()
	}, put()
}

// writeListNDJSON writes an object a row; a cell beyond the header, and one
// under a name that an earlier column has, is named by its position.
func writeListNDJSON(w io.Writer, columns, ours []string) func(cells []string, values []any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return func(cells []string, values []any) error {
		row := make(map[string]any, len(cells)+len(values))
		for i, cell := range cells {
			name := "column_" + strconv.Itoa(i+1)
			if i < len(columns) && columns[i] != "" {
				if _, taken := row[columns[i]]; !taken {
					name = columns[i]
				}
			}
			row[name] = cell
		}
		for i, value := range values {
			row[ours[i]] = value
		}
		return enc.Encode(row)
	}
}
