package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// ReplacePart puts text in place of what stands between two marks of a file. A file
// that is missing is made, with that part alone.
func ReplacePart(file, mark, text string) error {
	before, after, err := around(file, mark)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(before+text+after), 0o644)
}

// CheckPart says whether ReplacePart will find where to write. Programs that run
// for long ask before they begin.
func CheckPart(file, mark string) error {
	_, _, err := around(file, mark)
	return err
}

// around is what stands before and after a part of a file, with its marks.
func around(file, mark string) (before, after string, err error) {
	begin, end := "<!-- "+mark+" begins -->\n", "<!-- "+mark+" ends -->\n"
	old, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return begin, end, nil
	}
	if err != nil {
		return "", "", err
	}
	before, rest, found := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return "", "", fmt.Errorf("%s has no part %q; write the lines %q and %q where it belongs", file, mark, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return before + begin, end + after, nil
}
