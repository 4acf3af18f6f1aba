package lead

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// verdictColumns are what the results of a list have besides its own columns.
var verdictColumns = []string{"verdict", "reason", "mx_host", "smtp_code", "smtp_enhanced", "checked_at"}

// listOf returns the list whose addresses an order verifies, "" when its items
// are the catalogue's.
func (c *Catalogue) listOf(ctx context.Context, orderID string) (string, error) {
	var list *string
	err := c.pool.QueryRow(ctx, `SELECT list_id FROM order_selection WHERE order_id = $1 AND round = 1`, orderID).Scan(&list)
	if errors.Is(err, pgx.ErrNoRows) || (err == nil && list == nil) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading what order %s selected: %w", orderID, err)
	}
	return *list, nil
}

// writeListResults streams the rows of a list in the order of its file, with
// every cell of theirs and what verification said. A row whose address has no
// delivered verdict yet is left out; a malformed one comes with the reason
// malformed and what is wrong with it in place of a verdict.
func (c *Catalogue) writeListResults(ctx context.Context, w io.Writer, orderID, listID, format string) error {
	var columns []string
	if err := c.pool.QueryRow(ctx, `SELECT columns FROM list WHERE id = $1`, listID).Scan(&columns); err != nil {
		return err
	}
	rows, err := c.pool.Query(ctx, `
		SELECT r.cells, coalesce(i.verdict, ''), coalesce(i.reason, 'malformed: ' || r.problem), coalesce(i.mx_host, ''),
			i.smtp_code::bigint, coalesce(i.smtp_enhanced, ''), i.checked_at
		FROM list_row r LEFT JOIN order_item i ON i.order_id = $1 AND i.n = r.item
		WHERE r.list_id = $2 AND (i.delivered_at IS NOT NULL OR r.item IS NULL)
		ORDER BY r.n`, orderID, listID)
	if err != nil {
		return err
	}
	defer rows.Close()
	out := bufio.NewWriterSize(w, 64<<10)
	write := writeListNDJSON(out, columns)
	if format == CSV {
		if write, err = writeListCSV(out, columns); err != nil {
			return err
		}
	}
	var cells []string
	var verdict, reason, host, enhanced string
	var code *int64
	var checkedAt *time.Time
	if _, err := pgx.ForEachRow(rows, []any{&cells, &verdict, &reason, &host, &code, &enhanced, &checkedAt}, func() error {
		checked := ""
		if checkedAt != nil {
			checked = checkedAt.UTC().Format(time.RFC3339)
		}
		for len(cells) < len(columns) {
			cells = append(cells, "")
		}
		return write(cells, []string{verdict, reason, host, number(code), enhanced, checked})
	}); err != nil {
		return err
	}
	return out.Flush()
}

// namesBeside are the names of our columns beside those of a list: one that the
// list uses itself gets "verified_" in front.
func namesBeside(columns []string) []string {
	names := slices.Clone(verdictColumns)
	for i := range names {
		for slices.Contains(columns, names[i]) {
			names[i] = "verified_" + names[i]
		}
	}
	return names
}

func writeListCSV(w io.Writer, columns []string) (func(cells, verdict []string) error, error) {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	line := make([]string, 0, len(columns)+len(verdictColumns))
	put := func(cells, verdict []string) error {
		line = append(line[:0], cells...)
		line = append(line, verdict...)
		for i := range line {
			line[i] = guard(line[i])
		}
		if err := out.Write(line); err != nil {
			return err
		}
		out.Flush()
		return out.Error()
	}
	return put, put(columns, namesBeside(columns))
}

// writeListNDJSON writes an object a row; a cell beyond the header, and one
// under a name that an earlier column has, is named by its position.
func writeListNDJSON(w io.Writer, columns []string) func(cells, verdict []string) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	beside := namesBeside(columns)
	return func(cells, verdict []string) error {
		row := make(map[string]any, len(cells)+len(verdict))
		for i, cell := range cells {
			name := "column_" + strconv.Itoa(i+1)
			if i < len(columns) && columns[i] != "" {
				if _, taken := row[columns[i]]; !taken {
					name = columns[i]
				}
			}
			row[name] = cell
		}
		for i, value := range verdict {
			row[beside[i]] = value
		}
		if code, err := strconv.ParseInt(verdict[3], 10, 64); err == nil {
			row[beside[3]] = code
		} else {
			row[beside[3]] = nil
		}
		return enc.Encode(row)
	}
}
