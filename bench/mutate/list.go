package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mutant is a mistake that a programmer could make: one place of one file that says
// something else, and the tests that should notice.
type mutant struct {
	name    string
	file    string // from the root of the repository
	pkg     string // whose tests should notice
	run     string // which of them; empty: all
	why     string // what the fault would mean
	same    string // why no test can notice, where that is so: the mutant is equivalent
	old     string // stands once in the file
	new     string
	listing string // where it is listed
}

// readMutants reads the lists of a directory. See README.md for their format.
func readMutants(dir string) ([]mutant, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("there are no lists of mutants in %s: %w", dir, err)
	}
	var list []mutant
	for _, file := range files {
		found, err := readList(file)
		if err != nil {
			return nil, err
		}
		list = append(list, found...)
	}
	return list, nil
}

func readList(file string) ([]mutant, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var list []mutant
	var defaults, m mutant
	var part *string // of the patch that is being read
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case line == "====" && part == &m.old:
			part = &m.new
		case line == ">>>>" && part == &m.new:
			m.old, m.new = strings.TrimSuffix(m.old, "\n"), strings.TrimSuffix(m.new, "\n")
			m.listing = fmt.Sprintf("%s:%d", filepath.Base(file), n)
			list = append(list, m)
			part = nil
		case part != nil:
			*part += line + "\n"
		case line == "" || word == "#":
		case line == "<<<<":
			m.old, m.new = "", ""
			part = &m.old
		case word == "default":
			word, rest, _ = strings.Cut(rest, " ")
			if !defaults.set(word, rest) {
				return nil, fmt.Errorf("%s:%d: there is no field %q", file, n, word)
			}
		case word == "mutant":
			m = defaults
			m.name = rest
		case !m.set(word, rest):
			return nil, fmt.Errorf("%s:%d: there is no field %q", file, n, word)
		}
	}
	if part != nil {
		return nil, fmt.Errorf("%s ends within the mutant %q", file, m.name)
	}
	return list, lines.Err()
}

func (m *mutant) set(field, value string) bool {
	switch field {
	case "file":
		m.file = value
	case "test":
		m.pkg, m.run, _ = strings.Cut(value, " ")
	case "why":
		m.why = value
	case "same":
		m.same = value
	default:
		return false
	}
	return true
}

// apply returns the file's text with the fault in it.
func (m mutant) apply(root string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, m.file))
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", m.listing, m.name, err)
	}
	switch n := strings.Count(string(text), m.old); {
	case m.old == m.new || m.old == "":
		return "", fmt.Errorf("%s: %s changes nothing", m.listing, m.name)
	case n != 1:
		return "", fmt.Errorf("%s: %s: its text stands %d times in %s; it must stand once", m.listing, m.name, n, m.file)
	}
	return strings.Replace(string(text), m.old, m.new, 1), nil
}
