package lead_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

func TestC1_ImportIsIdempotent(t *testing.T) {
	f := setup(t)
	list := people(1000, 1)
	for i, want := range []lead.ImportReport{{Rows: 1000, Imported: 1000}, {Rows: 1000, Unchanged: 1000}} {
		report, err := f.Import(f.ctx, file(t, list), lead.CSV, lead.ImportOptions{})
		require.NoError(t, err)
		require.Equal(t, want, report, "run %d", i)
	}
	list[7][4] = "Astronaut"
	report, err := f.Import(f.ctx, file(t, list), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	require.Equal(t, lead.ImportReport{Rows: 1000, Updated: 1, Unchanged: 999}, report)
	counted, err := f.Count(f.ctx, lead.Selection{Criteria: order.Criteria{Title: "astronaut"}})
	require.NoError(t, err)
	require.Equal(t, int64(1), counted.Leads, "an update reaches the index")
	require.Len(t, f.ids(), 1000)
}

func TestImportColumns(t *testing.T) {
	f := setup(t)
	report := f.importCSV("\xef\xbb\xbfEmail, Id ,Favourite Colour,headcount,country\r\n" +
		"Ann@Mail.Test,a,red,0042,us\r\n\r\n" +
		"\"bob@mail.test\",b,\"dark \"\"blue\"\",\nor so\",,\n" +
		"eve@mail.test,e,,7,de") // no line end
	require.Equal(t, lead.ImportReport{Rows: 3, Imported: 3, IgnoredColumns: []string{"favourite colour"}}, report)
	require.Equal(t, "Ann@Mail.Test", f.text("a", "email"), "an address is kept as it was written")
	require.Equal(t, "mail.test", f.text("a", "email_domain"))
	require.Equal(t, "42", f.text("a", "headcount"))
	require.Equal(t, "US", f.text("a", "country"))
	require.Empty(t, f.text("b", "headcount"))
	require.Equal(t, "DE", f.text("e", "country"))
	require.Equal(t, lead.Fingerprint("e").String(), f.text("e", "fingerprint"))
}

func TestImportNDJSON(t *testing.T) {
	f := setup(t)
	report, err := f.Import(f.ctx, strings.NewReader(`
{"id":"a","email":"a@b.test","headcount":12,"title":"tab\tand\\slash\nline","unknown":[1]}
{"id":"b","email":"b@b.test","headcount":"13","phone":null}
{"id":"c","email":["c@b.test"]}
nonsense
{"id":"d","email":"d@b.test"} {"id":"e"}
`+`{"id":"f","email":"f@b.test","title":"`+strings.Repeat("x", 300_000)+`"}
{"id":9,"email":"g@b.test"}`), lead.NDJSON, lead.ImportOptions{})
	require.NoError(t, err)
	require.Equal(t, int64(3), report.Imported)
	require.Equal(t, []lead.Problem{
		{Line: 4, Reason: "email is neither text nor a number"},
		{Line: 5, Reason: "the line is not a JSON object"},
		{Line: 6, Reason: "the line has more than one JSON object; put each on its own line"},
		{Line: 7, Reason: "the line is longer than 256 kB"},
	}, report.Problems)
	require.Equal(t, []string{"9", "a", "b"}, f.ids())
	require.Equal(t, "tab\tand\\slash\nline", f.text("a", "title"))
	require.Equal(t, "12", f.text("a", "headcount"))
}

func TestC2_BadRowsAreReportedAndLeftOut(t *testing.T) {
	f := setup(t)
	long := strings.Repeat("x", 501)
	report := f.importCSV(strings.Join([]string{
		"id,email,title,headcount,country",
		"ok1,a@b.test,,,",
		"short,a@b.test",
		"wide,a@b.test,,,,",
		",a@b.test,,,",
		"noemail,,,,",
		"minus,a@b.test,,-1,",
		"many,a@b.test,,ten,",
		"huge,a@b.test,,2147483648,",
		"land,a@b.test,,,Atlantis",
		"digit,a@b.test,,,1A",
		"utf8,a@b.test,\xff,,",
		"zero,a@b.test,a\x00b,,",
		"long,a@b.test," + long + ",,",
		"longmail," + strings.Repeat("x", 321) + ",,,",
		`quote,a@b.test,say "hello",,`,
		`after,a@b.test,"say" hello,,`,
		"ok2,a@b.test,\"two\nlines\",,",
		"twice,first@b.test,,,",
		"twice,second@b.test,,,",
		"ok3,Ann <ann@b.test>,,,",
		"noat,no at sign,,,",
		"twoat,x@@y.test,,,",
	}, "\n"))
	require.Equal(t, []lead.Problem{
		{3, "the row has 2 columns, the header has 5"},
		{4, "the row has 6 columns, the header has 5"},
		{5, "the id is missing"},
		{6, "the email is missing"},
		{7, `headcount "-1" is not a whole number from 0 to 2147483647`},
		{8, `headcount "ten" is not a whole number from 0 to 2147483647`},
		{9, `headcount "2147483648" is not a whole number from 0 to 2147483647`},
		{10, `country "Atlantis" is not a country; write its code such as US, or its English name`},
		{11, `country "1A" is not a country; write its code such as US, or its English name`},
		{12, "title is not valid UTF-8"},
		{13, "title contains a zero byte"},
		{14, "title is 501 bytes long; at most 500 fit"},
		{15, "email is 321 bytes long; at most 320 fit"},
		{16, "a quote stands inside a value that is not quoted; quote the whole value and double the quotes in it"},
		{17, "something follows the closing quote of a value; double the quotes inside a quoted value"},
		{20, `the id "twice" occurs again on line 21, which counts`},
		{23, "email is not a deliverable address: there is no @ (RFC 5321 §4.1.2)"},
		{24, "email is not a deliverable address: '@' is not allowed in a domain (RFC 5321 §4.1.2)"},
	}, report.Problems)
	require.Equal(t, int64(22), report.Rows)
	require.Equal(t, int64(4), report.Imported)
	require.Equal(t, int64(18), report.Rejected)
	require.Equal(t, int64(1), report.Cleaned)
	require.Equal(t, []string{"ok1", "ok2", "ok3", "twice"}, f.ids())
	require.Equal(t, "second@b.test", f.text("twice", "email"))
	require.Equal(t, "ann@b.test", f.text("ok3", "email"))
}

// TestC2_UnclosedQuote: a quote that is never closed costs one row, not the
// rest of the file.
func TestC2_UnclosedQuote(t *testing.T) {
	f := setup(t)
	var b strings.Builder
	b.WriteString("id,email,title\n" + `bad,a@b.test,"oops` + "\n")
	const rows = 30_000 // beyond the longest row
	for i := range rows {
		fmt.Fprintf(&b, "id%d,a@b.test,engineer\n", i)
	}
	b.WriteString(`last,a@b.test,"oops`)
	report := f.importCSV(b.String())
	require.Equal(t, int64(rows), report.Imported)
	require.Equal(t, []lead.Problem{
		{2, "the row does not end within 256 kB; is a quote never closed?"},
		{rows + 3, "a quote is opened and never closed"},
	}, report.Problems)
}

// TestC2_RepeatedIDsAcrossBatches: the same id far apart in one file is one
// lead with the last row's values, and every row is counted once.
func TestC2_RepeatedIDsAcrossBatches(t *testing.T) {
	f := setup(t)
	var b strings.Builder
	b.WriteString("id,email\n")
	const rows = 45_000
	for i := range rows {
		fmt.Fprintf(&b, "id%d,a%d@b.test\n", i, i)
	}
	b.WriteString("id3,changed@b.test\nid4,a4@b.test\n")
	var progress []int64
	report, err := f.Import(f.ctx, strings.NewReader(b.String()), lead.CSV, lead.ImportOptions{
		Progress: func(n int64) { progress = append(progress, n) },
	})
	require.NoError(t, err)
	require.Equal(t, lead.ImportReport{
		Rows: rows + 2, Imported: rows, Rejected: 2, Problems: []lead.Problem{
			{rows + 2, `the id "id3" occurs on an earlier line too; this line counts`},
			{rows + 3, `the id "id4" occurs on an earlier line too; this line counts`},
		},
	}, report)
	require.Equal(t, "changed@b.test", f.text("id3", "email"))
	require.Equal(t, []int64{20_000, 40_000, rows + 2}, progress)

	// The second import of the same file finds both rows there.
	report = f.importCSV(b.String())
	require.Equal(t, int64(rows+2), report.Imported+report.Updated+report.Unchanged+report.Rejected)
	require.Equal(t, int64(2), report.Rejected)
	require.Equal(t, "changed@b.test", f.text("id3", "email"))
}

func TestImportRefuses(t *testing.T) {
	f := setup(t)
	for file, want := range map[string]string{
		"":                      "the file is empty",
		"id,name\n1,2\n":        `no column "email"`,
		"email\na@b.test\n":     `no column "id"`,
		"id,email,ID\n1,a@b,\n": `the column "id" twice`,
		"id,\"email\n":          "the header cannot be read",
	} {
		_, err := f.Import(f.ctx, strings.NewReader(file), lead.CSV, lead.ImportOptions{})
		require.ErrorContains(t, err, want, file)
	}
	_, err := f.Import(f.ctx, strings.NewReader(""), "xlsx", lead.ImportOptions{})
	require.ErrorContains(t, err, `no file format "xlsx"`)
	require.Empty(t, f.ids())
}

func TestImportKeepsProblemsBounded(t *testing.T) {
	f := setup(t)
	report, err := f.Import(f.ctx, strings.NewReader("id,email\n"+strings.Repeat("x\n", 5000)), lead.CSV, lead.ImportOptions{MaxProblems: 3})
	require.NoError(t, err)
	require.Equal(t, int64(5000), report.Rejected)
	require.Len(t, report.Problems, 3)
}

// brokenFile gives some rows and then fails, as a connection does.
type brokenFile struct{ rows io.Reader }

var errConnection = errors.New("connection lost")

func (b brokenFile) Read(p []byte) (int, error) {
	n, err := b.rows.Read(p)
	if errors.Is(err, io.EOF) {
		err = errConnection
	}
	return n, err
}

func TestC1_BrokenImportCanBeRunAgain(t *testing.T) {
	f := setup(t)
	list := people(30_000, 2)
	_, err := f.Import(f.ctx, brokenFile{file(t, list[:25_000])}, lead.CSV, lead.ImportOptions{})
	require.ErrorIs(t, err, errConnection)
	require.Len(t, f.ids(), 20_000, "whole batches are kept")
	report, err := f.Import(f.ctx, file(t, list), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	require.Equal(t, lead.ImportReport{Rows: 30_000, Imported: 10_000, Unchanged: 20_000}, report)
	counted, err := f.Count(f.ctx, lead.Selection{})
	require.NoError(t, err)
	require.Equal(t, int64(30_000), counted.Leads)
}

func TestOneImportAtATime(t *testing.T) {
	f := setup(t)
	pipe, feed := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := f.Import(f.ctx, pipe, lead.CSV, lead.ImportOptions{})
		done <- err
	}()
	_, err := io.WriteString(feed, "id,email\n")
	require.NoError(t, err)
	second := func() error {
		_, err := f.Import(f.ctx, strings.NewReader("id,email\nb,b@b.test\n"), lead.CSV, lead.ImportOptions{})
		return err
	}
	_, err = io.WriteString(feed, "a,a@b.test\n") // taken once the first import reads rows
	require.NoError(t, err)
	require.ErrorIs(t, second(), lead.ErrImportRunning)
	require.NoError(t, feed.Close())
	require.NoError(t, <-done)
	require.NoError(t, second(), "the lock is given back")
	require.Equal(t, []string{"a", "b"}, f.ids())
}
