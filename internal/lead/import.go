package lead

import (
	"context"
	"errors"
	"io"
)

// Formats of files with leads.
const (
	CSV    = "csv"    // RFC 4180 with a header row, columns in any order
	NDJSON = "ndjson" // one JSON object a line
)

// ImportOptions steer an import.
type ImportOptions struct {
	Progress    func(rows int64) // called now and then with the rows read so far; may be nil
	MaxProblems int              // most problems kept in the report; 0 means 1000
}

// ImportReport says what an import did.
type ImportReport struct {
	Rows     int64     `json:"rows"`     // data rows read
	Imported int64     `json:"imported"` // leads that are new
	Updated  int64     `json:"updated"`  // leads that were there before
	Rejected int64     `json:"rejected"` // rows left out
	Problems []Problem `json:"problems"` // why rows were left out, the first MaxProblems of them
}

// Problem is a row that was left out.
type Problem struct {
	Line   int64  `json:"line"` // 1-based line in the file
	Reason string `json:"reason"`
}

// Import reads leads from a file into the catalogue.
func (c *Catalogue) Import(ctx context.Context, r io.Reader, format string, opts ImportOptions) (ImportReport, error) {
	return ImportReport{}, errors.New("import is being built")
}
