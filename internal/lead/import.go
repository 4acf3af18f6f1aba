package lead

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Formats of files with leads.
const (
	CSV    = "csv"    // RFC 4180 with a header row, columns in any order
	NDJSON = "ndjson" // one JSON object a line
)

// ErrImportRunning says that another import holds the catalogue.
var ErrImportRunning = errors.New("another import is running; wait until it is done and start this one again")

const (
	importBatch = 20_000 // rows a transaction
	maxField    = 500    // bytes a value may have
	maxEmail    = 320    // bytes: 64 for the local part, 255 for the domain, @
	importLock  = 0x1ead // advisory lock that admits one import at a time
)

// ImportOptions steer an import.
type ImportOptions struct {
	Progress    func(rows int64) // called now and then with the rows read so far; may be nil
	MaxProblems int              // most problems kept in the report; 0 means 1000
}

// ImportReport says what an import did. Every row is counted once:
// Rows = Imported + Updated + Unchanged + Rejected.
type ImportReport struct {
	Rows           int64     `json:"rows"`                      // data rows read
	Imported       int64     `json:"imported"`                  // leads that are new
	Updated        int64     `json:"updated"`                   // leads that were there and have changed
	Unchanged      int64     `json:"unchanged"`                 // leads that were there exactly so
	Rejected       int64     `json:"rejected"`                  // rows left out
	Problems       []Problem `json:"problems,omitempty"`        // why rows were left out, the first MaxProblems of them
	IgnoredColumns []string  `json:"ignored_columns,omitempty"` // columns of the file that the catalogue does not know
}

// Problem is a row that was left out.
type Problem struct {
	Line   int64  `json:"line"` // 1-based line of the file on which the row begins
	Reason string `json:"reason"`
}

// Import reads leads from a file into the catalogue: a CSV file with a header,
// or NDJSON. It is idempotent by id: a lead that is there is updated. Bad rows
// are left out and reported; of rows with the same id the last one counts. It
// works in batches of bounded size, each in one transaction, and may be run
// again after a failure. When it returns, what it brought can be selected.
//
// The error is ErrImportRunning when another import is at work; otherwise it
// says what is wrong with the file or the database.
func (c *Catalogue) Import(ctx context.Context, r io.Reader, format string, opts ImportOptions) (ImportReport, error) {
	imp := &importer{
		progress:    opts.Progress,
		maxProblems: opts.MaxProblems,
		seen:        roaring.New(),
		rows:        make(map[string]importRow, importBatch),
	}
	if imp.maxProblems <= 0 {
		imp.maxProblems = 1000
	}
	if imp.progress == nil {
		imp.progress = func(int64) {}
	}
	var rows recordReader
	switch format {
	case CSV:
		reader, ignored, err := newCSVReader(r)
		if err != nil {
			return ImportReport{}, err
		}
		rows, imp.report.IgnoredColumns = reader, ignored
	case NDJSON:
		rows = newNDJSONReader(r)
	default:
		return ImportReport{}, fmt.Errorf("there is no file format %q; use csv or ndjson", format)
	}

	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return ImportReport{}, fmt.Errorf("the import cannot reach the database: %w", err)
	}
	defer conn.Release()
	var free bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, importLock).Scan(&free); err != nil {
		return ImportReport{}, fmt.Errorf("locking the catalogue for an import: %w", err)
	}
	if !free {
		return ImportReport{}, ErrImportRunning
	}
	defer unlockImport(ctx, conn)

	if err := imp.run(ctx, conn, rows); err != nil {
		return imp.report, err
	}
	if err := c.Reindex(ctx); err != nil {
		return imp.report, err
	}
	return imp.report, nil
}

// unlockImport gives the advisory lock back; where that fails, the connection
// is closed, which frees the lock as well.
func unlockImport(ctx context.Context, conn *pgxpool.Conn) {
	ctx = context.WithoutCancel(ctx)
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, importLock); err != nil {
		_ = conn.Conn().Close(ctx) // the pool drops closed connections
	}
}

// importer is one run of Import.
type importer struct {
	report      ImportReport
	progress    func(int64)
	maxProblems int
	seen        *roaring.Bitmap      // numbers of the leads this file has brought so far
	rows        map[string]importRow // the batch, by id
	copied      bytes.Buffer
}

type importRow struct {
	line int64
	rec  record
}

func (imp *importer) run(ctx context.Context, conn *pgxpool.Conn, rows recordReader) error {
	if _, err := conn.Exec(ctx, `
		CREATE TEMPORARY TABLE IF NOT EXISTS lead_import (
			line bigint, id text, fingerprint uuid, email text, email_domain text,
			first_name text, last_name text, title text, seniority text, department text,
			company text, domain text, industry text, headcount integer, country text,
			region text, city text, phone text, direct_email text
		) ON COMMIT DELETE ROWS`); err != nil {
		return fmt.Errorf("preparing the import: %w", err)
	}
	var rec record
	for {
		line, err := rows.read(&rec)
		if errors.Is(err, io.EOF) {
			break
		}
		var bad *rowError
		if err != nil && !errors.As(err, &bad) {
			return fmt.Errorf("the file cannot be read after line %d: %w", line, err)
		}
		imp.report.Rows++
		if bad == nil {
			bad = clean(&rec)
		}
		if bad != nil {
			imp.reject(line, bad.reason)
			continue
		}
		if earlier, twice := imp.rows[rec[colID]]; twice {
			imp.reject(earlier.line, fmt.Sprintf("the id %q occurs again on line %d, which counts", rec[colID], line))
		}
		imp.rows[rec[colID]] = importRow{line, rec}
		if len(imp.rows) >= importBatch {
			if err := imp.flush(ctx, conn); err != nil {
				return err
			}
		}
	}
	return imp.flush(ctx, conn)
}

func (imp *importer) reject(line int64, reason string) {
	imp.report.Rejected++
	if len(imp.report.Problems) < imp.maxProblems {
		imp.report.Problems = append(imp.report.Problems, Problem{line, reason})
	}
}

// flush brings the batch into the catalogue in one transaction.
func (imp *importer) flush(ctx context.Context, conn *pgxpool.Conn) error {
	if len(imp.rows) > 0 {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return imp.upsert(ctx, tx) })
		if err != nil {
			return fmt.Errorf("importing up to row %d (all before it is in the catalogue): %w", imp.report.Rows, err)
		}
		clear(imp.rows)
	}
	imp.progress(imp.report.Rows)
	return nil
}

func (imp *importer) upsert(ctx context.Context, tx pgx.Tx) error {
	imp.copied.Reset()
	for _, row := range imp.rows {
		writeCopy(&imp.copied, row)
	}
	if _, err := tx.Conn().PgConn().CopyFrom(ctx, &imp.copied, `COPY lead_import FROM STDIN`); err != nil {
		return err
	}

	// Which leads are there already, and which of these came earlier in this
	// very file: then both rows are reported as one.
	known := int64(0)
	rows, err := tx.Query(ctx, `SELECT l.no, i.line, i.id FROM lead_import i JOIN lead l ON l.id = i.id ORDER BY i.line`)
	if err != nil {
		return err
	}
	repeated := map[int64]bool{} // counted when they came first
	var no, line int64
	var id string
	if _, err = pgx.ForEachRow(rows, []any{&no, &line, &id}, func() error {
		known++
		if !imp.seen.CheckedAdd(uint32(no)) {
			repeated[no] = true
			imp.reject(line, fmt.Sprintf("the id %q occurs on an earlier line too; this line counts", id))
		}
		return nil
	}); err != nil {
		return err
	}

	touched := map[int64]bool{} // chunks
	updated := int64(0)
	if known > 0 {
		rows, err := tx.Query(ctx, `
			UPDATE lead l SET
				email = i.email, email_domain = i.email_domain, first_name = i.first_name,
				last_name = i.last_name, title = i.title, seniority = i.seniority,
				department = i.department, company = i.company, domain = i.domain,
				industry = i.industry, headcount = i.headcount, country = i.country,
				region = i.region, city = i.city, phone = i.phone,
				direct_email = i.direct_email, imported_at = now()
			FROM lead_import i
			WHERE l.id = i.id AND
				(l.email, l.first_name, l.last_name, l.title, l.seniority, l.department, l.company,
				 l.domain, l.industry, l.headcount, l.country, l.region, l.city, l.phone, l.direct_email)
				IS DISTINCT FROM
				(i.email, i.first_name, i.last_name, i.title, i.seniority, i.department, i.company,
				 i.domain, i.industry, i.headcount, i.country, i.region, i.city, i.phone, i.direct_email)
			RETURNING l.no`)
		if err != nil {
			return err
		}
		if _, err = pgx.ForEachRow(rows, []any{&no}, func() error {
			touched[no/chunkSize] = true
			if !repeated[no] {
				updated++
			}
			return nil
		}); err != nil {
			return err
		}
	}

	imported := int64(0)
	if known < int64(len(imp.rows)) {
		rows, err := tx.Query(ctx, `
			INSERT INTO lead (id, fingerprint, email, email_domain, first_name, last_name, title,
				seniority, department, company, domain, industry, headcount, country, region, city,
				phone, direct_email)
			SELECT id, fingerprint, email, email_domain, first_name, last_name, title,
				seniority, department, company, domain, industry, headcount, country, region, city,
				phone, direct_email
			FROM lead_import i
			WHERE NOT EXISTS (SELECT FROM lead l WHERE l.id = i.id)
			ORDER BY line
			RETURNING no`)
		if err != nil {
			return err
		}
		if _, err = pgx.ForEachRow(rows, []any{&no}, func() error {
			touched[no/chunkSize] = true
			imp.seen.Add(uint32(no))
			imported++
			return nil
		}); err != nil {
			return err
		}
	}
	imp.report.Imported += imported
	imp.report.Updated += updated
	imp.report.Unchanged += known - int64(len(repeated)) - updated
	return markStale(ctx, tx, touched)
}

// writeCopy writes a row in PostgreSQL's text format of COPY.
func writeCopy(w *bytes.Buffer, row importRow) {
	rec := &row.rec
	w.WriteString(strconv.FormatInt(row.line, 10))
	for i, value := range rec {
		w.WriteByte('\t')
		switch {
		case i == colHeadcount && value == "":
			w.WriteString(`\N`)
		default:
			escapeCopy(w, value)
		}
		switch i {
		case colID:
			w.WriteByte('\t')
			w.WriteString(Fingerprint(value).String())
		case colEmail:
			w.WriteByte('\t')
			escapeCopy(w, emailDomain(value))
		}
	}
	w.WriteByte('\n')
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

// emailDomain is what follows the last @, in lower case; empty where there is
// none. Whether the address is one at all is for verification to say.
func emailDomain(email string) string {
	at := strings.LastIndexByte(email, '@')
	if at < 0 {
		return ""
	}
	return strings.ToLower(email[at+1:])
}

// lineEnds makes line ends inside a value the same whichever system wrote them.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// clean brings a row into the catalogue's form, or says why it has none.
func clean(rec *record) *rowError {
	for i := range rec {
		value := lineEnds.Replace(strings.TrimSpace(unguard(rec[i])))
		if !utf8.ValidString(value) {
			return &rowError{fmt.Sprintf("%s is not valid UTF-8", columns[i])}
		}
		if strings.IndexByte(value, 0) >= 0 {
			return &rowError{fmt.Sprintf("%s contains a zero byte", columns[i])}
		}
		if len(value) > maxField {
			return &rowError{fmt.Sprintf("%s is %d bytes long; at most %d fit", columns[i], len(value), maxField)}
		}
		rec[i] = value
	}
	if rec[colID] == "" {
		return &rowError{"the id is missing"}
	}
	if rec[colEmail] == "" {
		return &rowError{"the email is missing"}
	}
	if n := len(rec[colEmail]); n > maxEmail {
		return &rowError{fmt.Sprintf("email is %d bytes long; at most %d fit", n, maxEmail)}
	}
	rec[colDomain] = strings.ToLower(rec[colDomain])
	rec[colCountry] = strings.ToUpper(rec[colCountry])
	if cc := rec[colCountry]; cc != "" && (len(cc) != 2 || cc[0] < 'A' || cc[0] > 'Z' || cc[1] < 'A' || cc[1] > 'Z') {
		return &rowError{fmt.Sprintf("country %q is not a code of two letters such as US", cc)}
	}
	if headcount := rec[colHeadcount]; headcount != "" {
		n, err := strconv.ParseInt(headcount, 10, 32)
		if err != nil || n < 0 {
			return &rowError{fmt.Sprintf("headcount %q is not a whole number from 0 to 2147483647", headcount)}
		}
		rec[colHeadcount] = strconv.FormatInt(n, 10)
	}
	return nil
}
