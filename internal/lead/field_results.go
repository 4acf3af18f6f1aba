package lead

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// revealColumns say who a lead is; the fields that were revealed follow.
var revealColumns = []string{"id", "first_name", "last_name", "title", "company", "domain", "country"}

// fieldRow is a row of a list with what an order found for it.
type fieldRow struct {
	n         int64
	cells     []string
	problem   string // why the row stands for no lead
	lead      []string
	checkedAt *time.Time // the last time that something of it was checked
	given     bool       // something of the lead was delivered; else it is masked
	decided   bool       // something of it can be shown
	found     []found    // one for each field; none where there is a problem
}

// found is what an order found for a field: its value where it was delivered, and
// nothing where nothing is decided yet.
type found struct {
	value, verdict, reason string
	Evidence
	Extras
}

// columnsOf are what results say of a field's value besides its verdict. Of what
// is no address that is when it was looked at.
func columnsOf(f order.Field) []string {
	if f == order.EmailField || f == order.DirectEmailField {
		return slices.Concat(evidenceColumns, extraColumns)
	}
	return []string{"checked_at"}
}

// of are the values of columnsOf.
func (k *found) of(f order.Field) []any {
	if f == order.EmailField || f == order.DirectEmailField {
		return slices.Concat(k.Evidence.values(), k.Extras.values())
	}
	return []any{utc(k.CheckedAt)}
}

// fieldWriter writes what an order that reveals or enriches has found.
type fieldWriter struct {
	of      selectionOf
	enrich  bool     // the rows' own cells come first, else who the lead is
	id      int      // of the list's columns, the one with ids of leads; -1 without
	columns []string // of the list, where they are written
	ours    []string // the columns that we add
	values  []any    // of ours, of the row that is written
}

func newFieldWriter(of selectionOf) *fieldWriter {
	f := &fieldWriter{of: of, enrich: of.Kind.Spec().Matches, id: findMatchColumns(of.Columns).id}
	if f.enrich {
		f.columns, f.ours = of.Columns, []string{"lead_id"}
	} else {
		f.ours = slices.Clone(revealColumns)
	}
	for _, field := range of.Fields {
		name := f.name(field)
		f.ours = append(f.ours, name, name+"_verdict", name+"_reason")
	}
	f.ours = append(f.ours, "checked_at")
	for _, field := range of.Fields {
		for _, column := range columnsOf(field) {
			f.ours = append(f.ours, f.name(field)+"_"+column)
		}
	}
	return f
}

// name is the column of a field's value.
func (f *fieldWriter) name(field order.Field) string {
	if f.enrich {
		return "found_" + string(field)
	}
	return string(field)
}

// writeFields streams what an order that reveals or enriches has found, a row for
// each row of its list in the list's order: the lead or, enriched, the row's own
// cells, then for each field its value where that was delivered, the verdict and
// the reason. A row with nothing decided yet is left out.
func (c *Catalogue) writeFields(ctx context.Context, w io.Writer, of selectionOf, format string) error {
	f := newFieldWriter(of)
	write, flush, err := writeBeside(w, format, f.columns, namesBeside(f.columns, "found_", f.ours))
	if err != nil {
		return err
	}
	rows, err := c.pool.Query(ctx, fieldRows, of.OrderID, of.List, int64(len(of.Fields)))
	if err != nil {
		return err
	}
	err = eachFieldRow(rows, func(r *fieldRow) error {
		cells, values := f.row(r)
		return write(cells, values)
	})
	if err != nil {
		return err
	}
	return flush()
}

// eachFieldRow puts the rows of fieldRows together, and calls do with those of which
// something can be shown.
func eachFieldRow(rows pgx.Rows, do func(*fieldRow) error) error {
	var row fieldRow
	show := func() error {
		if row.problem == "" && !row.decided {
			return nil
		}
		return do(&row)
	}
	var next fieldRow
	var item found
	targets := append([]any{
		&next.n, &next.problem, &next.cells, &next.lead, &next.decided, &next.given, &next.checkedAt, &item.value, &item.verdict, &item.reason,
		&item.MXHost, &item.SMTPCode, &item.SMTPEnhanced, &item.CheckedAt,
	}, item.targets()...)
	_, err := pgx.ForEachRow(rows, targets, func() error {
		if next.n != row.n {
			if err := show(); err != nil {
				return err
			}
			next.found = row.found[:0]
			row = next
		}
		row.decided, row.given = row.decided || next.decided, row.given || next.given
		if next.checkedAt != nil && (row.checkedAt == nil || next.checkedAt.After(*row.checkedAt)) {
			row.checkedAt = next.checkedAt
		}
		if !next.decided {
			item = found{}
		}
		row.found = append(row.found, item)
		next, item = fieldRow{}, found{} // the row has them now
		return nil
	})
	if err != nil {
		return err
	}
	return show()
}

// row is a row as it is written: the list's cells, and our values, which are good
// until the next row.
func (f *fieldWriter) row(r *fieldRow) (cells []string, values []any) {
	f.values = f.values[:0]
	for _, value := range f.lead(r) {
		f.values = append(f.values, value)
	}
	for i := range f.of.Fields {
		if r.problem != "" {
			f.values = append(f.values, "", "", r.problem)
		} else {
			f.values = append(f.values, r.found[i].value, r.found[i].verdict, r.found[i].reason)
		}
	}
	f.values = append(f.values, utc(r.checkedAt))
	for i, field := range f.of.Fields {
		var known found
		if r.problem == "" {
			known = r.found[i]
			known.complete(known.value, known.MXHost)
		}
		f.values = append(f.values, known.of(field)...)
	}
	if !f.enrich {
		return nil, f.values
	}
	return r.cells, f.values
}

// lead says who a row's lead is: its id alone beside the row's own cells, and
// masked where nothing of it was delivered.
func (f *fieldWriter) lead(r *fieldRow) []string {
	if r.lead == nil {
		r.lead = make([]string, len(revealColumns))
		if !f.enrich && f.id >= 0 && f.id < len(r.cells) { // an id that no lead has
			r.lead[0] = r.cells[f.id]
		}
	}
	if f.enrich {
		return r.lead[:1]
	}
	if !r.given {
		maskColumns(r.lead)
	}
	return r.lead
}

// fieldRows reads the rows of an order ($1) over a list ($2) that asks for so many
// fields ($3), each of them once for each of its fields. The list's cells and the
// lead stand beside the first one.
var fieldRows = `
		SELECT o.n, coalesce(o.problem, ''), CASE WHEN first THEN coalesce(r.cells, '{}') END,
			CASE WHEN first AND l.no IS NOT NULL THEN ARRAY[l.id, l.first_name, l.last_name, l.title, l.company, l.domain, l.country] END,
			coalesce(decided, false), i.delivered_at IS NOT NULL, CASE WHEN decided THEN i.checked_at END,
			CASE WHEN i.delivered_at IS NOT NULL THEN i.value ELSE '' END, coalesce(i.verdict, ''), coalesce(i.reason, ''),
			` + evidenceOf + `, ` + extrasOf("i.delivered_at IS NOT NULL") + `
		FROM order_row o
		LEFT JOIN LATERAL (SELECT q.n, q.lead_no, v.value, v.verdict, v.reason, v.checked_at, v.retry_at, v.delivered_at,
				v.mx_host, v.smtp_code, v.smtp_enhanced, v.flags, v.provider, v.meant_domain, v.score, v.score_parts
			FROM order_item q CROSS JOIN LATERAL ( -- a value that stands under several leads is one item's
				SELECT * FROM order_item WHERE order_id = q.order_id AND n = coalesce(q.same_as, q.n) OFFSET 0) v
			WHERE q.order_id = o.order_id AND q.n >= o.item AND q.n < o.item + $3 OFFSET 0) i ON true
		CROSS JOIN LATERAL (SELECT i.n IS NULL OR i.n = o.item AS first,
			i.delivered_at IS NOT NULL OR (i.retry_at IS NULL AND i.verdict <> 'valid') AS decided) d
		LEFT JOIN LATERAL (SELECT cells FROM list_row WHERE first AND list_id = $2 AND n = o.n OFFSET 0) r ON true
		LEFT JOIN LATERAL (SELECT * FROM lead WHERE first AND no = i.lead_no OFFSET 0) l ON true
		WHERE o.order_id = $1 AND (o.problem IS NOT NULL OR i.n IS NOT NULL)
		ORDER BY o.n, i.n`
