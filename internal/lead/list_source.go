package lead

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
)

// listSource hands the rows of a list to a COPY.
type listSource struct {
	columns []string
	at      int // the column that has the addresses; -1 = none has
	people  matchColumns
	ids     bool // rows name leads by id
	next    func() (line int64, cells []string, err error)
	most    int64 // rows; 0 = MaxListRows
	n       int64
	row     []any
	ahead   [][]any // rows that were read and come again
	err     error
}

// Next reads a row; a bad one is a row too.
func (s *listSource) Next() bool {
	if len(s.ahead) > 0 {
		s.row, s.ahead = s.ahead[0], s.ahead[1:]
		return true
	}
	line, cells, err := s.next()
	problem := ""
	var bad *rowError
	switch {
	case errors.Is(err, io.EOF):
		return false
	case errors.As(err, &bad):
		problem = bad.reason
	case err != nil:
		s.err = err
		return false
	}
	if most := cmp.Or(s.most, MaxListRows); s.n >= most {
		s.err = &ListError{fmt.Sprintf("The list has more than %d rows; split it.", most)}
		return false
	}
	s.n++
	kept := make([]string, len(cells))
	for i, cell := range cells {
		kept[i] = readable(cell)
	}
	email, cleaned, matchable := "", false, false
	switch {
	case problem != "":
	case s.at < 0:
		problem = noAddress
	case s.at >= len(cells):
		problem = fmt.Sprintf("the row has %d columns and none for the address", len(cells))
	default:
		email, cleaned, problem = addressOf(cells[s.at])
	}
	if bad == nil {
		matchable = problem != "" && (s.ids || s.people.describe(kept).enough())
	}
	var reported any
	if problem != "" {
		reported = problem
	}
	if line == 0 {
		line = s.n
	}
	s.row = []any{s.n, line, email, cleaned, kept, reported, matchable}
	return true
}

// readable makes a text one that the database takes.
func readable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
}

// Values is the row that Next read.
func (s *listSource) Values() ([]any, error) { return s.row, nil }

// Err is what ended the reading early.
func (s *listSource) Err() error { return s.err }

// names of columns that hold addresses, as people write them.
var emailColumns = []string{"email", "e-mail", "email address", "email_address", "emailaddress", "e-mail address", "mail", "work email", "work_email"}

// readList finds out how a list is written: by its first line, and where that
// does not tell which column has the addresses, by the first rows.
func readList(r io.Reader, column string) (*listSource, error) {
	c := &csvReader{r: bufio.NewReaderSize(r, maxRecord), ends: ",\n"}
	start, err := c.r.Peek(4096)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("the list cannot be read: %w", err)
	}
	if bytes.HasPrefix(start, []byte("\xef\xbb\xbf")) {
		_, _ = c.r.Discard(3) // buffered by the Peek
		start = start[3:]
	}
	first, _, _ := bytes.Cut(start, []byte{'\n'})
	for _, comma := range []byte{';', '\t'} {
		if bytes.Count(first, []byte{comma}) > bytes.Count(first, []byte{c.ends[0]}) {
			c.ends = string([]byte{comma, '\n'})
		}
	}
	_, cells, err := c.next()
	var bad *rowError
	switch {
	case errors.Is(err, io.EOF):
		return nil, &ListError{"The list is empty; it needs at least one row with an address."}
	case errors.As(err, &bad):
		return nil, &ListError{"The first line of the list cannot be read: " + bad.reason + "."}
	case err != nil:
		return nil, fmt.Errorf("the list cannot be read: %w", err)
	}
	s := &listSource{columns: append([]string{}, cells...), at: -1}
	s.next = func() (int64, []string, error) {
		line, cells, err := c.next()
		if errors.As(err, &bad) {
			return line, []string{c.raw}, err
		}
		return line, cells, err
	}
	for i, name := range s.columns {
		s.columns[i] = strings.ToValidUTF8(strings.TrimSpace(name), "\uFFFD")
	}
	if err := s.findColumn(column); err != nil {
		return nil, err
	}
	s.people = findMatchColumns(s.columns)
	return s, nil
}

// findColumn decides whether the first row is a header and which column has the
// addresses.
func (s *listSource) findColumn(column string) error {
	for i, name := range s.columns {
		if column != "" && strings.EqualFold(name, column) {
			s.at = i
			return nil
		}
	}
	if column != "" {
		return &ListError{fmt.Sprintf("The list has no column %q; it has %s.", column, strings.Join(s.columns, ", "))}
	}
	for _, name := range emailColumns {
		for i, have := range s.columns {
			if strings.EqualFold(have, name) {
				s.at = i
				return nil
			}
		}
	}
	for i, cell := range s.columns {
		if strings.Contains(cell, "@") { // no header: the first row is a row
			s.at = i
			s.pushBack(append([]string{}, s.columns...))
			for j := range s.columns {
				s.columns[j] = fmt.Sprintf("column_%d", j+1)
			}
			s.columns[i] = "email"
			return nil
		}
	}
	people := findMatchColumns(s.columns)
	if len(s.columns) == 1 && people.domain < 0 { // plain text that begins with a bad line
		s.at = 0
		s.pushBack([]string{s.columns[0]})
		s.columns[0] = "email"
		return nil
	}
	return s.findByContent(people)
}

// pushBack makes rows come again, from line 1 on, before the rest.
func (s *listSource) pushBack(rows ...[]string) {
	rest, line := s.next, int64(0)
	s.next = func() (int64, []string, error) {
		if len(rows) == 0 {
			return rest()
		}
		line++
		row := rows[0]
		rows = rows[1:]
		return line, row, nil
	}
}

// findByContent takes the column that has an address in the first row with any.
// None need have one where rows can be matched to leads otherwise.
func (s *listSource) findByContent(people matchColumns) error {
	const look = 50
	type read struct {
		line  int64
		cells []string
		err   error
	}
	var ahead []read
	for len(ahead) < look && s.at < 0 {
		line, cells, err := s.next()
		ahead = append(ahead, read{line, append([]string{}, cells...), err})
		if err != nil {
			break
		}
		for i, cell := range cells {
			if strings.Contains(cell, "@") && i < len(s.columns) {
				s.at = i
				break
			}
		}
	}
	if s.at < 0 && !people.canMatch() {
		return &ListError{"No column of the list has addresses; name the column that has, or give columns by which leads can be found: name and company, or domain."}
	}
	rest := s.next
	s.next = func() (int64, []string, error) {
		if len(ahead) == 0 {
			return rest()
		}
		r := ahead[0]
		ahead = ahead[1:]
		return r.line, r.cells, r.err
	}
	return nil
}
