package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// screen is where a command speaks. Results go to out; progress and other
// notes for a person go to err. With json set, out carries
// machine-readable results alone.
type screen struct {
	out, err io.Writer
	json     bool
	lively   bool // err is a terminal: bars that redraw themselves
	colored  bool // out is a terminal and NO_COLOR is not set
}

func newScreen(out, errOut io.Writer) *screen {
	return &screen{
		out:     out,
		err:     errOut,
		lively:  isTerminal(errOut) && os.Getenv("TERM") != "dumb",
		colored: isTerminal(out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// report is where prose meant for a person goes: the standard output, unless
// that is kept for JSON.
func (s *screen) report() io.Writer {
	if s.json {
		return s.err
	}
	return s.out
}

// say prints a line of the report. A reader who has gone stops nothing.
func (s *screen) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.report(), format+"\n", args...)
}

// note prints a line that is not part of the result.
func (s *screen) note(format string, args ...any) {
	_, _ = fmt.Fprintf(s.err, format+"\n", args...)
}

// tick reports a step that is done, and how long it took.
func (s *screen) tick(name, what string, elapsed time.Duration) {
	gap := strings.Repeat(" ", max(1, 52-utf8.RuneCountInString(what)))
	s.say("  %s %-12s %s%s%s", s.paint(green, "✓"), name, what, gap, s.paint(dim, fmt.Sprintf("%8s", took(elapsed))))
}

// status draws a line that the next one replaces; only a terminal shows it.
func (s *screen) status(format string, args ...any) {
	if s.lively {
		_, _ = fmt.Fprintf(s.err, "\r\x1b[K"+format, args...)
	}
}

// printJSON prints v as the command's machine-readable result.
func (s *screen) printJSON(v any) error {
	enc := json.NewEncoder(s.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("the result could not be written: %w", err)
	}
	return nil
}

// Colours of the terminal, chosen to be readable on light and dark ground.
const (
	plain = ""
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	cyan  = "\x1b[36m"
)

func (s *screen) paint(color, text string) string {
	if color == plain || text == "" || !s.colored || s.json {
		return text
	}
	return color + text + "\x1b[0m"
}

// heading prints a section's title after an empty line.
func (s *screen) heading(format string, args ...any) {
	s.say("\n%s", s.paint(bold, fmt.Sprintf(format, args...)))
}

// table is a list of rows under a header. A column whose header starts with
// ">" is aligned to the right, as numbers are.
type table struct {
	header []string
	rows   [][]string
	indent int
	color  func(row, column int) string // optional
}

func newTable(header ...string) *table { return &table{header: header} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// print prints the table to the report.
func (s *screen) print(t *table) {
	width := make([]int, len(t.header))
	right := make([]bool, len(t.header))
	header := make([]string, len(t.header))
	for i, h := range t.header {
		header[i], right[i] = strings.CutPrefix(h, ">")
		width[i] = utf8.RuneCountInString(header[i])
	}
	for _, row := range t.rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(cells []string, color func(column int) string) {
		var b strings.Builder
		b.WriteString(strings.Repeat(" ", t.indent))
		for i, cell := range cells {
			gap := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			switch painted := s.paint(color(i), cell); {
			case right[i]:
				b.WriteString(gap + painted)
			case i == len(cells)-1:
				b.WriteString(painted)
			default:
				b.WriteString(painted + gap)
			}
			if i < len(cells)-1 {
				b.WriteString("  ")
			}
		}
		s.say("%s", strings.TrimRight(b.String(), " "))
	}
	line(header, func(int) string { return dim })
	for r, row := range t.rows {
		line(row, func(c int) string {
			if t.color == nil {
				return plain
			}
			return t.color(r, c)
		})
	}
}

// number writes 12345 as 12,345.
func number(n int64) string {
	digits := strconv.FormatInt(n, 10)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// count writes a number with its noun: "1 lead", "2,000 leads".
func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + plural(noun)
}

func plural(noun string) string {
	if stem, ok := strings.CutSuffix(noun, "y"); ok {
		return stem + "ies"
	}
	if strings.HasSuffix(noun, "s") {
		return noun + "es"
	}
	return noun + "s"
}

// share writes part of a whole as a percentage with one decimal.
func share(part, whole int64) string {
	if whole == 0 {
		return "–"
	}
	tenths := (part*1000 + whole/2) / whole
	return fmt.Sprintf("%d.%d%%", tenths/10, tenths%10)
}

// took writes a duration as precisely as a person cares to read it.
func took(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	if d < time.Minute {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	seconds := int64(d.Round(time.Second) / time.Second)
	parts := []string{}
	for _, unit := range []struct {
		seconds int64
		name    string
	}{{3600, "h"}, {60, "min"}, {1, "s"}} {
		if n := seconds / unit.seconds; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, unit.name))
		}
		seconds %= unit.seconds
	}
	return strings.Join(parts, " ")
}

// clip shortens a text to n characters.
func clip(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:n-1]) + "…"
}

// when writes a moment for a table in the machine's time zone.
func when(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
