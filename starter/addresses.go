package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// emailColumns are the names of a column with addresses, letter case aside.
var emailColumns = []string{"email", "e-mail", "email address", "email_address", "emailaddress", "e-mail address", "mail", "work email", "work_email"}

// readAddresses reads addresses, one a line or from a column of a CSV file, and
// hands them on in chunks. UTF-16 is read where a byte order mark says so, and
// what is not UTF-8 as Windows-1252, which spreadsheets write.
func readAddresses(in io.Reader, each func(emails []string) error) error {
	next := addressSource(bufio.NewReaderSize(inUTF8(in), maxLine))
	for {
		emails := make([]string, 0, chunkSize)
		for len(emails) < chunkSize {
			email, err := next()
			if errors.Is(err, io.EOF) {
				if len(emails) == 0 {
					return nil
				}
				return each(emails)
			}
			if err != nil {
				return err
			}
			if email = readable(strings.TrimSpace(email)); email != "" {
				emails = append(emails, email)
			}
		}
		if err := each(emails); err != nil {
			return err
		}
	}
}

// inUTF8 turns UTF-16 with a byte order mark into UTF-8, and takes the mark of
// UTF-8 off.
func inUTF8(in io.Reader) io.Reader {
	return transform.NewReader(in, unicode.BOMOverride(transform.Nop))
}

// readable is a text whose octets are not UTF-8 read as Windows-1252.
func readable(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	decoded, err := charmap.Windows1252.NewDecoder().String(text)
	if err != nil {
		return text
	}
	return decoded
}

// addressSource finds out by the first line how the input is written, and returns what
// reads its addresses.
func addressSource(r *bufio.Reader) func() (string, error) {
	first := firstLine(r)
	comma := ','
	if mark, ok := strings.CutPrefix(strings.ToLower(first), "sep="); ok && len(mark) == 1 { // for Excel
		comma = rune(mark[0])
		_, _ = r.ReadString('\n') // peeked
		first = firstLine(r)
	} else {
		for _, other := range ";\t" {
			if strings.Count(first, string(other)) > strings.Count(first, string(comma)) {
				comma = other
			}
		}
	}
	cells := csvReader(strings.NewReader(first), comma)
	names, _ := cells.Read()
	for i, name := range names {
		if slices.Contains(emailColumns, strings.ToLower(strings.TrimSpace(name))) {
			rows := csvReader(r, comma)
			_, err := rows.Read() // the header
			return func() (string, error) {
				if err != nil {
					return "", err
				}
				row, err := nextRow(rows)
				if err != nil || i >= len(row) {
					return "", err
				}
				return row[i], nil
			}
		}
	}
	if len(names) > 1 && slices.ContainsFunc(names, isWholeAddress) {
		rows := csvReader(r, comma)
		return func() (string, error) {
			row, err := nextRow(rows)
			if err != nil {
				return "", err
			}
			if i := slices.IndexFunc(row, isWholeAddress); i >= 0 {
				return row[i], nil
			}
			return strings.Join(row, string(comma)), nil
		}
	}
	return lineReader(r)
}

// firstLine returns the first line that is not empty, without taking it.
func firstLine(r *bufio.Reader) string {
	start, _ := r.Peek(maxLine) // an error shows when it is read
	line, _, _ := bytes.Cut(bytes.TrimLeft(start, "\r\n"), []byte{'\n'})
	return strings.TrimRight(string(line), "\r")
}

// isWholeAddress reports whether a cell is an address and nothing else.
func isWholeAddress(cell string) bool {
	cell = strings.TrimSpace(cell)
	return strings.Count(cell, "@") == 1 && !strings.ContainsAny(cell, " <>\"")
}

func csvReader(r io.Reader, comma rune) *csv.Reader {
	rows := csv.NewReader(r)
	rows.Comma = comma
	rows.FieldsPerRecord = -1
	rows.LazyQuotes = true // Ada "the first" Lind
	rows.ReuseRecord = true
	return rows
}

// mostBreaks is how many line breaks a cell may have: with more of them, a quote
// was not closed, and the rest of the list is no cell.
const mostBreaks = 100

func nextRow(rows *csv.Reader) ([]string, error) {
	row, err := rows.Read()
	if err != nil {
		return nil, err
	}
	for i, cell := range row {
		if strings.Count(cell, "\n") > mostBreaks {
			line, _ := rows.FieldPos(i)
			return nil, fmt.Errorf("line %d has a quote (\") that is not closed; close it, or leave it out", line)
		}
	}
	return row, nil
}

func lineReader(r *bufio.Reader) func() (string, error) {
	n := 0
	return func() (string, error) {
		n++
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return "", fmt.Errorf("line %d is longer than %d characters; give one address a line", n, maxLine)
		}
		if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
			return "", err
		}
		return string(line), nil
	}
}
