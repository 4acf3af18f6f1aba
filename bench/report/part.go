package report

import (
	"fmt"
	"os"
	"strings"
)

// ReplacePart puts text in place of what stands between two marks of a file.
func ReplacePart(file, mark, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := "<!-- "+mark+" begins -->\n", "<!-- "+mark+" ends -->\n"
	before, rest, found := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s has no part %q; write the lines %q and %q where it belongs", file, mark, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(file, []byte(before+begin+text+end+after), 0o644) //nolint:gosec // a page of the documentation
}
