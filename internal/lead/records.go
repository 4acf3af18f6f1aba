package lead

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// maxRecord is the longest row of a file, in bytes. It bounds the memory an
// import needs, and what a quote that is never closed can swallow.
const maxRecord = 256 << 10

// columns of a catalogue file, in the order in which exports write them.
var columns = []string{
	"id", "email", "first_name", "last_name", "title", "seniority", "department", "company",
	"domain", "industry", "headcount", "country", "region", "city", "phone", "direct_email", "profile",
}

// Positions in columns of the values that are more than text.
const (
	colID        = 0
	colEmail     = 1
	colDomain    = 8
	colHeadcount = 10
	colCountry   = 11
	colPhone     = 14
	colDirect    = 15
	colProfile   = 16
	numColumns   = 17
)

// record is one row of a file: a value for each of columns, empty where the
// file has none.
type record [numColumns]string

// rowError is a row that cannot be read; reading goes on after it.
type rowError struct{ reason string }

func (e *rowError) Error() string { return e.reason }

// recordReader reads the rows of a file one after the other. line is the
// 1-based line on which the row begins. The error is io.EOF at the end, a
// *rowError where only this row is bad.
type recordReader interface {
	read(rec *record) (line int64, err error)
}

// csvReader reads RFC 4180. Unlike encoding/csv it survives a quote that is
// never closed: the row is reported and reading goes on with the next line.
type csvReader struct {
	r      *bufio.Reader
	line   int64 // lines consumed so far
	fields int   // fields of the header
	dest   []int // for each field of a row its position in columns, or -1
	buf    []string
	ends   string // what ends a field: the separator, mostly a comma, or a line feed
	raw    string // the text of the bad row that next returned last
}

// newCSVReader reads the header. It returns the columns it does not know and
// therefore leaves out.
func newCSVReader(r io.Reader) (reader *csvReader, ignored []string, err error) {
	c := &csvReader{r: bufio.NewReaderSize(r, maxRecord), ends: ",\n"}
	if bom, _ := c.r.Peek(3); bytes.Equal(bom, []byte("\xef\xbb\xbf")) {
		_, _ = c.r.Discard(3) // buffered by the Peek
	}
	_, header, err := c.next()
	var bad *rowError
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil, errors.New("the file is empty; its first line must name the columns, at least id and email")
	case errors.As(err, &bad):
		return nil, nil, fmt.Errorf("the header cannot be read: %s", bad.reason)
	case err != nil:
		return nil, nil, err
	}
	seen := map[string]bool{}
	for _, field := range header {
		name := strings.ToLower(strings.TrimSpace(field))
		if seen[name] && name != "" {
			return nil, nil, fmt.Errorf("the header names the column %q twice; rename or remove one of them", name)
		}
		seen[name] = true
		at := -1
		for i, column := range columns {
			if name == column {
				at = i
			}
		}
		if at < 0 {
			ignored = append(ignored, name)
		}
		c.dest = append(c.dest, at)
	}
	for _, required := range []string{"id", "email"} {
		if !seen[required] {
			return nil, nil, fmt.Errorf("the header has no column %q; the first line of the file must name the columns, at least id and email", required)
		}
	}
	c.fields = len(header)
	return c, ignored, nil
}

func (c *csvReader) read(rec *record) (int64, error) {
	line, fields, err := c.next()
	if err != nil {
		return line, err
	}
	if len(fields) != c.fields {
		return line, &rowError{fmt.Sprintf("the row has %d columns, the header has %d", len(fields), c.fields)}
	}
	*rec = record{}
	for i, field := range fields {
		if at := c.dest[i]; at >= 0 {
			rec[at] = field
		}
	}
	return line, nil
}

// next consumes one row; empty lines are passed over. The fields are valid
// until the next call.
func (c *csvReader) next() (line int64, fields []string, err error) {
	for {
		data, _ := c.r.Peek(c.r.Buffered())
		size, ok, bad := c.parse(data, false)
		for !ok && bad == nil { // the row goes on beyond what is buffered
			if data, err = c.r.Peek(len(data) + 1); err != nil {
				break
			}
			data, _ = c.r.Peek(c.r.Buffered())
			size, ok, bad = c.parse(data, false)
		}
		line = c.line + 1
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			bad = &rowError{fmt.Sprintf("the row does not end within %d kB; is a quote never closed?", maxRecord>>10)}
		case errors.Is(err, io.EOF):
			if len(data) == 0 {
				return line, nil, io.EOF
			}
			size, _, bad = c.parse(data, true)
		case err != nil:
			return line, nil, err
		}
		err = nil
		if bad != nil { // leave out this line alone: the next may be a row again
			if size = bytes.IndexByte(data, '\n') + 1; size == 0 {
				size = len(data)
			}
		}
		c.line += int64(bytes.Count(data[:size], []byte{'\n'}))
		blank := bad == nil && len(c.buf) == 1 && c.buf[0] == ""
		if bad != nil {
			c.raw = string(bytes.TrimRight(data[:size], "\r\n"))
		}
		_, _ = c.r.Discard(size) // within what is buffered
		switch {
		case bad != nil:
			return line, nil, bad
		case !blank:
			return line, c.buf, nil
		}
	}
}

// parse reads one row from the front of data into c.buf and says how many
// bytes it took; ok is false when data ends before the row does. At the end of
// the file (last) the row ends where data ends.
func (c *csvReader) parse(data []byte, last bool) (size int, ok bool, bad *rowError) {
	c.buf = c.buf[:0]
	for at := 0; ; {
		if at < len(data) && data[at] == '"' {
			value, next, closed := unquote(data[at+1:])
			if !closed {
				if last {
					return 0, false, &rowError{"a quote is opened and never closed"}
				}
				return 0, false, nil
			}
			c.buf = append(c.buf, value)
			at += 1 + next
		} else {
			end := bytes.IndexAny(data[at:], c.ends)
			if end < 0 {
				if !last {
					return 0, false, nil
				}
				end = len(data) - at
			}
			value := data[at : at+end]
			if at+end == len(data) || data[at+end] == '\n' {
				value = bytes.TrimSuffix(value, []byte{'\r'})
			}
			if bytes.IndexByte(value, '"') >= 0 {
				return 0, false, &rowError{"a quote stands inside a value that is not quoted; quote the whole value and double the quotes in it"}
			}
			c.buf = append(c.buf, string(value))
			at += end
		}
		rest := data[at:]
		switch {
		case len(rest) == 0 && last:
			return at, true, nil
		case len(rest) == 0 || (len(rest) == 1 && rest[0] == '\r' && !last):
			return 0, false, nil
		case rest[0] == c.ends[0]:
			at++
			if at == len(data) && !last {
				return 0, false, nil
			}
		case rest[0] == '\n':
			return at + 1, true, nil
		case rest[0] == '\r' && len(rest) > 1 && rest[1] == '\n':
			return at + 2, true, nil
		case rest[0] == '\r' && len(rest) == 1:
			return at + 1, true, nil
		default:
			return 0, false, &rowError{"something follows the closing quote of a value; double the quotes inside a quoted value"}
		}
	}
}

// unquote reads a quoted value after its opening quote. next is the position
// after its closing quote.
func unquote(data []byte) (value string, next int, closed bool) {
	var unescaped []byte
	start := 0
	for {
		i := bytes.IndexByte(data[start:], '"')
		if i < 0 {
			return "", 0, false
		}
		end := start + i
		if end+1 < len(data) && data[end+1] == '"' {
			unescaped = append(unescaped, data[start:end+1]...)
			start = end + 2
			continue
		}
		return string(append(unescaped, data[start:end]...)), end + 1, true
	}
}

// ndjsonReader reads one JSON object a line.
type ndjsonReader struct {
	r    *bufio.Reader
	line int64
}

func newNDJSONReader(r io.Reader) *ndjsonReader {
	return &ndjsonReader{r: bufio.NewReaderSize(r, maxRecord)}
}

func (j *ndjsonReader) read(rec *record) (int64, error) {
	for {
		data, err := j.r.ReadSlice('\n')
		j.line++
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = j.r.ReadSlice('\n')
			}
			return j.line, &rowError{fmt.Sprintf("the line is longer than %d kB", maxRecord>>10)}
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(data) == 0) {
			return j.line, err
		}
		data = bytes.TrimSpace(data)
		if len(data) == 0 {
			continue
		}
		return j.line, decodeRecord(data, rec)
	}
}

// decodeRecord reads a lead from a JSON object; members it does not know are
// passed over.
func decodeRecord(data []byte, rec *record) error {
	if !utf8.Valid(data) {
		return &rowError{"the line is not valid UTF-8"}
	}
	var object map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&object); err != nil {
		return &rowError{"the line is not a JSON object"}
	}
	if dec.More() {
		return &rowError{"the line has more than one JSON object; put each on its own line"}
	}
	*rec = record{}
	for i, column := range columns {
		switch value := object[column].(type) {
		case nil:
		case string:
			rec[i] = value
		case json.Number:
			rec[i] = value.String()
		default:
			return &rowError{fmt.Sprintf("%s is neither text nor a number", column)}
		}
	}
	return nil
}
