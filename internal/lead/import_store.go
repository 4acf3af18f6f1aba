package lead

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/value"
)

// store brings a batch into the catalogue in one transaction.
func (imp *importer) store(ctx context.Context, conn *pgxpool.Conn, b *batch) error {
	var done ImportReport
	if len(b.rows) > 0 {
		if err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) (err error) {
			done, err = imp.upsert(ctx, tx, b)
			return err
		}); err != nil {
			return fmt.Errorf("importing rows %d to %d (those before are in the catalogue): %w",
				imp.report.Rows+1, imp.report.Rows+b.read, err)
		}
	}
	imp.report.Rows += b.read
	imp.report.Imported += done.Imported
	imp.report.Updated += done.Updated
	imp.report.Unchanged += done.Unchanged
	imp.report.Rejected += int64(len(b.problems))
	imp.report.Cleaned += b.cleaned
	slices.SortFunc(b.problems, func(x, y Problem) int { return cmp.Compare(x.Line, y.Line) })
	keep := min(len(b.problems), imp.maxProblems-len(imp.report.Problems))
	imp.report.Problems = append(imp.report.Problems, b.problems[:keep]...)
	imp.progress(imp.report.Rows)
	return nil
}

// upsert brings the rows of a batch into the catalogue and says how many leads
// were new, changed and unchanged.
func (imp *importer) upsert(ctx context.Context, tx pgx.Tx, b *batch) (done ImportReport, err error) {
	if err := lookUp(ctx, tx); err != nil {
		return done, err
	}
	if err := imp.leaveOutErased(ctx, tx, b); err != nil {
		return done, err
	}
	known, err := imp.knownLeads(ctx, tx, b)
	if err != nil {
		return done, err
	}
	touched := map[int64]bool{} // chunks
	if len(known) > 0 {
		repeated := map[int64]bool{} // counted when this file brought them first
		for i, no := range known {
			if imp.seen.Contains(uint32(no)) {
				repeated[no] = true
				b.reject(b.rows[i].line, fmt.Sprintf("the id %q occurs on an earlier line too; this line counts", b.rows[i].rec[colID]))
			}
		}
		changed, err := imp.update(ctx, tx, b, known)
		if err != nil {
			return done, err
		}
		for _, no := range changed {
			touched[no/chunkSize] = true
			if !repeated[no] {
				done.Updated++
			}
		}
		done.Unchanged = int64(len(known)-len(repeated)) - done.Updated
	}
	first, err := imp.insert(ctx, tx, b, known)
	if err != nil {
		return done, err
	}
	done.Imported = int64(len(b.rows) - len(known))
	for no := first; no < first+done.Imported; no += chunkSize {
		touched[no/chunkSize] = true
	}
	if done.Imported > 0 {
		touched[(first+done.Imported-1)/chunkSize] = true
	}
	if err := markStale(ctx, tx, touched); err != nil {
		return done, err
	}
	imp.seen.AddRange(uint64(first), uint64(first+done.Imported))
	for _, no := range known {
		imp.seen.Add(uint32(no))
	}
	return done, nil
}

// knownLeads finds the rows of a batch whose leads are in the catalogue:
// positions in the batch with the leads' numbers.
func (imp *importer) knownLeads(ctx context.Context, tx pgx.Tx, b *batch) (map[int]int64, error) {
	ids := make([]string, len(b.rows))
	for i := range b.rows {
		ids[i] = b.rows[i].rec[colID]
	}
	rows, err := tx.Query(ctx, `
		SELECT (i.at - 1)::int, l.no
		FROM unnest($1::text[]) WITH ORDINALITY AS i (id, at) JOIN lead l ON l.id = i.id`, ids)
	if err != nil {
		return nil, err
	}
	known := map[int]int64{}
	var at int
	var no int64
	_, err = pgx.ForEachRow(rows, []any{&at, &no}, func() error {
		known[at] = no
		return nil
	})
	return known, err
}

// update writes the known rows of a batch and returns the numbers of the leads
// that changed by it.
func (imp *importer) update(ctx context.Context, tx pgx.Tx, b *batch, known map[int]int64) ([]int64, error) {
	imp.copied.Reset()
	for i := range b.rows {
		if no, found := known[i]; found {
			writeCopy(&imp.copied, no, &b.rows[i].rec, b.rows[i].keys)
		}
	}
	if _, err := tx.Exec(ctx, `
		CREATE TEMPORARY TABLE IF NOT EXISTS lead_import (
			no bigint, id text, fingerprint uuid, email text, email_domain text,
			first_name text, last_name text, title text, seniority text, department text,
			company text, domain text, industry text, headcount integer, country text,
			region text, city text, phone text, direct_email text, profile text,
			email_key uuid, phone_keys uuid[], direct_key uuid, profile_key uuid
		) ON COMMIT DELETE ROWS`); err != nil {
		return nil, err
	}
	if _, err := tx.Conn().PgConn().CopyFrom(ctx, &imp.copied, `COPY lead_import FROM STDIN`); err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `
		UPDATE lead l SET
			email = i.email, email_domain = i.email_domain, first_name = i.first_name,
			last_name = i.last_name, title = i.title, seniority = i.seniority,
			department = i.department, company = i.company, domain = i.domain,
			industry = i.industry, headcount = i.headcount, country = i.country,
			region = i.region, city = i.city, phone = i.phone,
			direct_email = i.direct_email, profile = i.profile, imported_at = now(),
			email_key = i.email_key, phone_keys = i.phone_keys, direct_key = i.direct_key, profile_key = i.profile_key
		FROM lead_import i
		WHERE l.no = i.no AND
			(l.email, l.first_name, l.last_name, l.title, l.seniority, l.department, l.company,
			 l.domain, l.industry, l.headcount, l.country, l.region, l.city, l.phone, l.direct_email, l.profile)
			IS DISTINCT FROM
			(i.email, i.first_name, i.last_name, i.title, i.seniority, i.department, i.company,
			 i.domain, i.industry, i.headcount, i.country, i.region, i.city, i.phone, i.direct_email, i.profile)
		RETURNING l.no`)
	if err != nil {
		return nil, err
	}
	changed, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err == nil && len(changed) > 0 {
		_, err = tx.Exec(ctx, `UPDATE lead_changes SET count = count + 1`)
	}
	return changed, err
}

// insert writes the rows of a batch that are not known, numbered from first.
func (imp *importer) insert(ctx context.Context, tx pgx.Tx, b *batch, known map[int]int64) (first int64, err error) {
	count := int64(len(b.rows) - len(known))
	if count == 0 {
		return 0, nil
	}
	// The import's lock keeps the block of numbers ours.
	if err := tx.QueryRow(ctx, `
		SELECT setval(pg_get_serial_sequence('lead', 'no'), next.no + $1 - 1) - $1 + 1
		FROM nextval(pg_get_serial_sequence('lead', 'no')) AS next (no)`, count).Scan(&first); err != nil {
		return 0, err
	}
	imp.copied.Reset()
	no := first
	for i := range b.rows {
		if _, found := known[i]; !found {
			writeCopy(&imp.copied, no, &b.rows[i].rec, b.rows[i].keys)
			no++
		}
	}
	_, err = tx.Conn().PgConn().CopyFrom(ctx, &imp.copied, `
		COPY lead (no, id, fingerprint, email, email_domain, first_name, last_name, title, seniority,
			department, company, domain, industry, headcount, country, region, city, phone, direct_email, profile,
			email_key, phone_keys, direct_key, profile_key)
		FROM STDIN`)
	return first, err
}

// writeCopy writes a lead in PostgreSQL's text format of COPY.
func writeCopy(w *bytes.Buffer, no int64, rec *record, keys value.Lead) {
	w.WriteString(strconv.FormatInt(no, 10))
	for i, cell := range rec {
		w.WriteByte('\t')
		switch {
		case i == colHeadcount && cell == "":
			w.WriteString(`\N`)
		default:
			escapeCopy(w, cell)
		}
		switch i {
		case colID:
			w.WriteByte('\t')
			w.WriteString(Fingerprint(cell).String())
		case colEmail:
			w.WriteByte('\t')
			escapeCopy(w, emailDomain(cell))
		}
	}
	w.WriteByte('\t')
	writeKey(w, keys.Email)
	w.WriteString("\t{")
	for i, key := range keys.Numbers {
		if i > 0 {
			w.WriteByte(',')
		}
		w.WriteString(key.String())
	}
	w.WriteString("}\t")
	writeKey(w, keys.Direct)
	w.WriteByte('\t')
	writeKey(w, keys.Profile)
	w.WriteByte('\n')
}

func writeKey(w *bytes.Buffer, key uuid.UUID) {
	if key == uuid.Nil {
		w.WriteString(`\N`)
		return
	}
	w.WriteString(key.String())
}

func escapeCopy(w *bytes.Buffer, value string) {
	for {
		i := strings.IndexAny(value, "\\\t\n\r")
		if i < 0 {
			w.WriteString(value)
			return
		}
		w.WriteString(value[:i])
		w.WriteByte('\\')
		switch value[i] {
		case '\t':
			w.WriteByte('t')
		case '\n':
			w.WriteByte('n')
		case '\r':
			w.WriteByte('r')
		default:
			w.WriteByte('\\')
		}
		value = value[i+1:]
	}
}

// emailDomain is what follows the last @, in lower case.
func emailDomain(email string) string {
	at := strings.LastIndexByte(email, '@')
	if at < 0 {
		return ""
	}
	return strings.ToLower(email[at+1:])
}
