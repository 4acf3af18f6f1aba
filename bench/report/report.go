// Package report is how every benchmark tells its results: a table on stdout
// with the machine it ran on, the same as JSON, and plots as SVG. Files go to
// bench/results.
package report

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// MachineInfo is what figures depend on besides the code.
type MachineInfo struct {
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	MemoryMB   int64  `json:"memory_mb"`
	Go         string `json:"go"`
	Kernel     string `json:"kernel"`
	PostgreSQL string `json:"postgresql,omitempty"`
}

// Machine describes the machine this program runs on. PostgreSQL is the version
// of the programs found on it, which a benchmark may correct.
func Machine() MachineInfo {
	m := MachineInfo{CPU: "unknown CPU", Cores: runtime.NumCPU(), Go: runtime.Version(), Kernel: "unknown kernel"}
	if v := field("/proc/cpuinfo", "model name"); v != "" {
		m.CPU = v
	}
	if v := field("/proc/meminfo", "MemTotal"); v != "" {
		var kb int64
		if _, err := fmt.Sscan(v, &kb); err == nil {
			m.MemoryMB = kb / 1024
		}
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = runtime.GOOS + " " + strings.TrimSpace(string(b))
	}
	m.PostgreSQL = postgresVersion()
	return m
}

// field is the value of the first "name: value" line of a file.
func field(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if k, v, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func postgresVersion() string {
	programs, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if p, lookErr := exec.LookPath("postgres"); lookErr == nil {
		programs = append(programs, p)
	}
	if err != nil || len(programs) == 0 {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, programs[len(programs)-1], "--version").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(strings.TrimPrefix(string(out), "postgres "))
}

// String is the machine in one line.
func (m MachineInfo) String() string {
	s := fmt.Sprintf("%s, %d cores, %d MB, %s, %s", m.CPU, m.Cores, m.MemoryMB, m.Go, m.Kernel)
	if m.PostgreSQL != "" {
		s += ", PostgreSQL " + strings.TrimPrefix(m.PostgreSQL, "(PostgreSQL) ")
	}
	return s
}

// Latencies are durations of single operations.
type Latencies []time.Duration

// Quantile returns the q-quantile (0 ≤ q ≤ 1), 0 without any latencies.
func (l Latencies) Quantile(q float64) time.Duration {
	if len(l) == 0 {
		return 0
	}
	sorted := slices.Clone(l)
	slices.Sort(sorted)
	i := int(q*float64(len(sorted))+0.5) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// Median returns the middle value of xs, the mean of the middle two where their
// number is even, 0 where there are none.
func Median(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	sorted := slices.Clone(xs)
	slices.Sort(sorted)
	mid := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[mid]
	}
	return (sorted[mid-1] + sorted[mid]) / 2
}

// Report is the outcome of one benchmark program.
type Report struct {
	Name    string      `json:"name"` // file name in bench/results
	Title   string      `json:"title"`
	At      time.Time   `json:"at"`
	Machine MachineInfo `json:"machine"`
	Tables  []*Table    `json:"tables"`
	Notes   []string    `json:"notes,omitempty"`
}

// New begins a report.
func New(name, title string) *Report {
	return &Report{Name: name, Title: title, At: time.Now().UTC().Truncate(time.Second), Machine: Machine()}
}

// Table is a table of figures. Cells are written as they are, floats rounded to
// the digits that mean something.
type Table struct {
	Title   string   `json:"title"`
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
}

// Table adds an empty table.
func (r *Report) Table(title string, columns ...string) *Table {
	t := &Table{Title: title, Columns: columns}
	r.Tables = append(r.Tables, t)
	return t
}

// Add appends a row: strings, numbers, durations.
func (t *Table) Add(cells ...any) {
	for i, c := range cells {
		if d, ok := c.(time.Duration); ok {
			cells[i] = Milliseconds(d)
		}
	}
	t.Rows = append(t.Rows, cells)
}

// Note adds a sentence below the tables.
func (r *Report) Note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// Milliseconds is a duration as a number of milliseconds.
func Milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%s\n", r.Title, r.Machine)
	for _, t := range r.Tables {
		fmt.Fprintf(&b, "\n%s\n", t.Title)
		tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		cells := append([]string{}, t.Columns...)
		fmt.Fprintln(tw, strings.Join(cells, "\t")+"\t")
		for _, row := range t.Rows {
			cells = cells[:0]
			for _, c := range row {
				cells = append(cells, cell(c))
			}
			fmt.Fprintln(tw, strings.Join(cells, "\t")+"\t")
		}
		if err := tw.Flush(); err != nil {
			return err
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "\n%s\n", n)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func cell(c any) string {
	switch v := c.(type) {
	case float64:
		return number(v)
	case int:
		return thousands(int64(v))
	case int64:
		return thousands(v)
	}
	return fmt.Sprint(c)
}

func number(v float64) string {
	switch {
	case v >= 1000 || v <= -1000:
		return thousands(int64(v + 0.5))
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(s) - 3; i > start; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Save writes the report as JSON into dir and returns the path.
func (r *Report) Save(dir string) (string, error) {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, r.Name+".json")
	return path, os.WriteFile(path, append(b, '\n'), 0o644)
}

// Load reads a report that Save has written. Its figures are float64.
func Load(file string) (*Report, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the result of a benchmark cannot be read: %w", err)
	}
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%s is not the JSON result of a benchmark: %w", file, err)
	}
	return &r, nil
}
