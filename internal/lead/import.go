package lead

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/errcode"
	"holdfast/internal/value"
	"holdfast/internal/verify"
)

// Formats of files with leads.
const (
	CSV    = "csv"    // RFC 4180 with a header row, columns in any order
	NDJSON = "ndjson" // one JSON object a line
)

// ErrImportRunning says that another import holds the catalogue.
var ErrImportRunning = errcode.New(errcode.Conflict, "another import is running; wait until it is done and start this one again")

const (
	importBatch = 20_000 // rows a transaction
	maxField    = 500    // bytes a value may have
	maxProfile  = 10_000 // bytes a profile may have
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
	Cleaned        int64     `json:"cleaned"`                   // rows whose addresses were freed of a name, quotes and the like; they are counted above too
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
	var rows recordReader
	var ignored []string
	var err error
	switch format {
	case CSV:
		if rows, ignored, err = newCSVReader(r); err != nil {
			return ImportReport{}, err
		}
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

	imp := newImporter(opts)
	imp.report.IgnoredColumns = ignored
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
	seen        *roaring.Bitmap // numbers of the leads this file has brought so far
	copied      bytes.Buffer
}

func newImporter(opts ImportOptions) *importer {
	imp := &importer{progress: opts.Progress, maxProblems: opts.MaxProblems, seen: roaring.New()}
	if imp.maxProblems <= 0 {
		imp.maxProblems = 1000
	}
	if imp.progress == nil {
		imp.progress = func(int64) {}
	}
	return imp
}

// batch is some rows of the file.
type batch struct {
	rows     []importRow    // clean, no two with the same id
	at       map[string]int // where an id is in rows, while they are read
	read     int64          // rows read for it, bad ones included
	cleaned  int64          // rows whose addresses were freed of something
	problems []Problem      // bad rows
}

type importRow struct {
	line int64
	rec  record
	keys value.Lead
}

func newBatch() *batch {
	return &batch{rows: make([]importRow, 0, importBatch), at: make(map[string]int, importBatch)}
}

func (b *batch) add(line int64, rec *record) {
	keys := value.OfLead(rec[colEmail], rec[colPhone], rec[colDirect], rec[colProfile], rec[colCountry])
	rec[colPhone] = keys.Phone
	if i, twice := b.at[rec[colID]]; twice {
		b.reject(b.rows[i].line, fmt.Sprintf("the id %q occurs again on line %d, which counts", rec[colID], line))
		b.rows[i] = importRow{line, *rec, keys}
		return
	}
	b.at[rec[colID]] = len(b.rows)
	b.rows = append(b.rows, importRow{line, *rec, keys})
}

func (b *batch) reject(line int64, reason string) {
	b.problems = append(b.problems, Problem{line, reason})
}

// run reads the next batches while the database works on the last one. All
// batches before an error in the file are kept.
func (imp *importer) run(ctx context.Context, conn *pgxpool.Conn, rows recordReader) error {
	reading, stop := context.WithCancel(ctx)
	batches := make(chan *batch, 1)
	read := make(chan error, 1)
	go func() {
		defer close(batches)
		read <- readBatches(reading, rows, batches)
	}()
	defer func() { // the file is the caller's again
		stop()
		for range batches { // until the reader has closed it
		}
	}()
	for b := range batches {
		if err := imp.store(ctx, conn, b); err != nil {
			return err
		}
	}
	return <-read
}

// readBatches reads the file to its end. What was read before an error is
// handed on.
func readBatches(ctx context.Context, rows recordReader, batches chan<- *batch) error {
	b := newBatch()
	send := func() error {
		// Colleagues come one after the other: their index entries and, later,
		// their pages are neighbours.
		slices.SortStableFunc(b.rows, func(x, y importRow) int { return cmp.Compare(x.rec[colDomain], y.rec[colDomain]) })
		select {
		case batches <- b:
			b = newBatch()
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var rec record
	for {
		line, err := rows.read(&rec)
		if errors.Is(err, io.EOF) {
			return send()
		}
		var bad *rowError
		if err != nil && !errors.As(err, &bad) {
			return fmt.Errorf("the file cannot be read after line %d: %w", line, err)
		}
		if bad == nil {
			bad = clean(&rec)
		}
		cleaned := false
		if bad == nil {
			cleaned, bad = cleanAddresses(&rec)
		}
		b.read++
		if bad != nil {
			b.reject(line, bad.reason)
		} else {
			b.add(line, &rec)
		}
		if cleaned {
			b.cleaned++
		}
		if len(b.rows) == importBatch || len(b.problems) == importBatch {
			if err := send(); err != nil {
				return err
			}
		}
	}
}

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

// lineEnds makes line ends inside a value the same whichever system wrote them.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// cleanAddresses takes the addresses of a row out of what people put around
// them. It says whether that changed anything, or why one cannot be an address.
func cleanAddresses(rec *record) (cleaned bool, bad *rowError) {
	for _, i := range []int{colEmail, colDirect} {
		if rec[i] == "" {
			continue
		}
		address, freed, err := verify.ReadAddress(rec[i])
		if err != nil {
			return false, &rowError{fmt.Sprintf("%s is %v", columns[i], err)}
		}
		if freed {
			rec[i], cleaned = address.String(), true
		}
	}
	return cleaned, nil
}

// countryCode is the code of a country as the catalogue keeps it: of what names
// one, its ISO code; of any other two letters, these. It is empty for the rest.
func countryCode(text string) string {
	code := strings.ToUpper(text)
	if iso := verify.Country(text); iso != "" {
		return iso
	}
	if len(code) != 2 || code[0] < 'A' || code[0] > 'Z' || code[1] < 'A' || code[1] > 'Z' {
		return ""
	}
	return code
}

// clean brings a row into the catalogue's form, or says why it has none.
func clean(rec *record) *rowError {
	for i := range rec {
		value := strings.TrimSpace(unguard(rec[i]))
		if strings.IndexByte(value, '\r') >= 0 {
			value = lineEnds.Replace(value)
		}
		if !utf8.ValidString(value) {
			return &rowError{fmt.Sprintf("%s is not valid UTF-8", columns[i])}
		}
		if strings.IndexByte(value, 0) >= 0 {
			return &rowError{fmt.Sprintf("%s contains a zero byte", columns[i])}
		}
		most := maxField
		if i == colProfile {
			most = maxProfile
		}
		if len(value) > most {
			return &rowError{fmt.Sprintf("%s is %d bytes long; at most %d fit", columns[i], len(value), most)}
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
	if country := rec[colCountry]; country != "" {
		if rec[colCountry] = countryCode(country); rec[colCountry] == "" {
			return &rowError{fmt.Sprintf("country %q is not a country; write its code such as US, or its English name", country)}
		}
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
