package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/lead"
)

// shownProblems is how many rejected rows a person gets to see one by one.
const shownProblems = 20

func (a *app) importCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "import FILE|-",
		Short: "Read leads from a CSV or NDJSON file into the catalogue",
		Long: `Reads leads into the catalogue: CSV with a header row or NDJSON, with the fields
id, email, first_name, last_name, title, seniority, department, company, domain,
industry, headcount, country, region, city, phone, direct_email. A lead with an
id that is there already is updated, so a file can be imported again. Rows that
cannot be used are reported with line and reason and left out.`,
		Example: examples(
			"holdfast import leads.csv",
			"zcat leads.ndjson.gz | holdfast import - --json"),
		Args: oneArgument("the file (- for the standard input)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, closeInput, err := a.input(args[0])
			if err != nil {
				return err
			}
			defer closeInput()
			in := bufio.NewReaderSize(file, 64<<10)
			if format == "" {
				format = formatOf(args[0], in)
			}
			return a.importLeads(cmd.Context(), in, format)
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "csv or ndjson; found out by itself when left out")
	return cmd
}

func (a *app) importLeads(ctx context.Context, in io.Reader, format string) error {
	parts, err := a.openDatabase(ctx)
	if err != nil {
		return err
	}
	defer parts.Close()
	progress := a.newMeter("importing", "rows", 0)
	defer progress.close()
	start := time.Now()
	report, err := parts.Catalogue.Import(ctx, in, format, lead.ImportOptions{
		Progress: func(rows int64) { progress.set(rows, "") },
	})
	if err != nil {
		return err
	}
	progress.close()
	elapsed := time.Since(start)
	if a.json {
		return a.printJSON(report)
	}
	a.say("%s read in %s (%s a second): %s new, %s updated, %s unchanged, %s left out.",
		count(report.Rows, "row"), took(elapsed), number(perSecond(report.Rows, elapsed)),
		number(report.Imported), number(report.Updated), number(report.Unchanged), number(report.Rejected))
	if report.Cleaned > 0 {
		a.note("%s had an address with something around it (a name, quotes, invisible characters), which was taken off.", count(report.Cleaned, "row"))
	}
	if len(report.IgnoredColumns) > 0 {
		a.note("Columns that the catalogue does not know: %s.", strings.Join(report.IgnoredColumns, ", "))
	}
	for i, p := range report.Problems {
		if i == shownProblems {
			break
		}
		a.note("line %d: %s", p.Line, p.Reason)
	}
	if more := report.Rejected - shownProblems; more > 0 {
		a.note("… and %s; --json lists more of them.", count(more, "more row"))
	}
	return nil
}

// input opens a file or, for "-", the standard input.
func (a *app) input(name string) (io.Reader, func(), error) {
	if name == "-" {
		return a.stdin, func() {}, nil
	}
	file, err := os.Open(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fmt.Errorf("there is no file %s", name)
	case err != nil:
		return nil, nil, fmt.Errorf("%s cannot be read: %w", name, err)
	}
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, nil, errors.Join(fmt.Errorf("%s is a folder; name a file", name), file.Close())
	}
	return file, func() { _ = file.Close() }, nil
}

// formatOf tells CSV from NDJSON by the file's name, else by its first byte.
func formatOf(name string, in *bufio.Reader) string {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return lead.CSV
	case ".ndjson", ".jsonl":
		return lead.NDJSON
	}
	first, err := in.Peek(1)
	if err == nil && first[0] == '{' {
		return lead.NDJSON
	}
	return lead.CSV
}
