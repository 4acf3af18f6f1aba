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
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/commit"
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
	ctx, cancel := commit.Through(ctx)
	defer cancel()
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

// lineEnds makes line ends inside a value the same for every system that writes them.
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
