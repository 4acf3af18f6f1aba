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
	Cells     []string
	Problem   string // why the row stands for no lead
	Lead      []string
	Values    []string // one for each field, as are the next two
	Verdicts  []string
	Reasons   []string
	CheckedAt *time.Time
	Given     bool     // something of the lead was delivered; else it is masked
	Found     []*found // one for each field, nil where nothing is decided
}

// found is what is known of the value of a field besides its verdict.
type found struct {
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
	defer rows.Close()
	for rows.Next() {
		r, err := pgx.RowToStructByPos[fieldRow](rows)
		if err != nil {
			return err
		}
		cells, values := f.row(&r)
		if err := write(cells, values); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return flush()
}

// row is a row as it is written: the list's cells, and our values, which are good
// until the next row.
func (f *fieldWriter) row(r *fieldRow) (cells []string, values []any) {
	f.values = f.values[:0]
	for _, value := range f.lead(r) {
		f.values = append(f.values, value)
	}
	for i := range f.of.Fields {
		if r.Problem != "" {
			f.values = append(f.values, "", "", r.Problem)
		} else {
			f.values = append(f.values, r.Values[i], r.Verdicts[i], r.Reasons[i])
		}
	}
	f.values = append(f.values, utc(r.CheckedAt))
	for i, field := range f.of.Fields {
		known := &found{}
		if r.Problem == "" && r.Found[i] != nil {
			known = r.Found[i]
			known.complete(r.Values[i], known.MXHost)
		}
		f.values = append(f.values, known.of(field)...)
	}
	if !f.enrich {
		return nil, f.values
	}
	return r.Cells, f.values
}

// lead says who a row's lead is: its id alone beside the row's own cells, and
// masked where nothing of it was delivered.
func (f *fieldWriter) lead(r *fieldRow) []string {
	if r.Lead == nil {
		r.Lead = make([]string, len(revealColumns))
		if !f.enrich && f.id >= 0 && f.id < len(r.Cells) { // an id that no lead has
			r.Lead[0] = r.Cells[f.id]
		}
	}
	if f.enrich {
		return r.Lead[:1]
	}
	if !r.Given {
		maskColumns(r.Lead)
	}
	return r.Lead
}

// fieldRows reads the fieldRows of an order ($1) over a list ($2) that asks for so
// many fields ($3).
var fieldRows = `
		SELECT coalesce(r.cells, '{}'), coalesce(o.problem, ''),
			CASE WHEN l.no IS NOT NULL THEN ARRAY[l.id, l.first_name, l.last_name, l.title, l.company, l.domain, l.country] END,
			i.found, i.verdicts, i.reasons, i.checked_at, coalesce(i.given, false), i.known
		FROM order_row o
		LEFT JOIN LATERAL (SELECT cells FROM list_row WHERE list_id = $2 AND n = o.n OFFSET 0) r ON true
		CROSS JOIN LATERAL (
			SELECT max(lead_no) AS lead_no, count(*) FILTER (WHERE decided) AS decided, bool_or(delivered_at IS NOT NULL) AS given, max(checked_at) FILTER (WHERE decided) AS checked_at,
				array_agg(CASE WHEN delivered_at IS NOT NULL THEN value ELSE '' END ORDER BY n) AS found,
				array_agg(CASE WHEN decided THEN verdict ELSE '' END ORDER BY n) AS verdicts,
				array_agg(CASE WHEN decided THEN reason ELSE '' END ORDER BY n) AS reasons,
				array_agg(CASE WHEN decided THEN (SELECT to_jsonb(x) FROM (SELECT ` + evidenceOf + `, ` + extrasOf("i.delivered_at IS NOT NULL") + `) x
					(mx_host, smtp_code, smtp_enhanced, checked_at, role, free, disposable, alias, cleaned, doubtful, did_you_mean, provider, score, score_parts)) END
					ORDER BY n) AS known
			FROM (SELECT q.n, q.lead_no, v.value, v.verdict, v.reason, v.checked_at, v.retry_at, v.delivered_at,
					v.mx_host, v.smtp_code, v.smtp_enhanced, v.flags, v.provider, v.meant_domain, v.score, v.score_parts
				FROM order_item q CROSS JOIN LATERAL ( -- a value that stands under several leads is one item's
					SELECT * FROM order_item WHERE order_id = q.order_id AND n = coalesce(q.same_as, q.n) OFFSET 0) v
				WHERE q.order_id = o.order_id AND q.n >= o.item AND q.n < o.item + $3) i
			CROSS JOIN LATERAL (SELECT delivered_at IS NOT NULL OR coalesce(retry_at IS NULL AND verdict <> 'valid', false) AS decided) d) i
		LEFT JOIN lead l ON l.no = i.lead_no
		WHERE o.order_id = $1 AND (o.problem IS NOT NULL OR i.decided > 0)
		ORDER BY o.n`
