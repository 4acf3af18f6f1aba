package lead

import (
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// Every file is refused, or read to its end: each row is a lead that the database
// can store, or a problem that says its line.
func FuzzImport(f *testing.F) {
	f.Add("id,email,country,headcount\n1,a@x.test,US,5\n1,\"Ann\" <b@x.test>,Germany,-1\n", true)
	f.Add("id,email\n\"open,a@x.test\n2,b@x.test\n", true)
	f.Add("id;email;phone\n1;a@x.test;+49 170 1;2\n", true)
	f.Add(`{"id":"1","email":"a@x.test"}`+"\n{\"id\":2}\n[]\n", false)
	f.Fuzz(func(t *testing.T, text string, asCSV bool) {
		var rows recordReader = newNDJSONReader(strings.NewReader(text))
		if asCSV {
			read, _, err := newCSVReader(strings.NewReader(text))
			if err != nil {
				return
			}
			rows = read
		}
		batches := make(chan *batch)
		read := make(chan error, 1)
		go func() {
			defer close(batches)
			read <- readBatches(context.Background(), rows, batches)
		}()
		lines := int64(strings.Count(text, "\n")+strings.Count(text, "\r")) + 1
		for b := range batches {
			for _, row := range b.rows {
				require.NotEmpty(t, row.rec[colID])
				require.NotEmpty(t, row.rec[colEmail])
				require.LessOrEqual(t, row.line, lines)
				for _, cell := range row.rec {
					require.True(t, utf8.ValidString(cell) && !strings.ContainsRune(cell, 0), "%q", cell)
				}
			}
			for _, p := range b.problems {
				require.NotEmpty(t, p.Reason)
				require.LessOrEqual(t, p.Line, lines)
			}
		}
		if err := <-read; err != nil {
			require.NotEmpty(t, err.Error())
		}
	})
}

// A cell that goes out in a file comes back as it was, through a spreadsheet's
// guard and CSV's quotes; and no cell that goes out is a formula.
func FuzzCSVRoundTrip(f *testing.F) {
	for _, cell := range []string{"=1+1", "'=1", "''@x", "+49 170 1", "-", "\t=a", "a\"b,c\nd", "'", "+1;+2", "+1;=2", "\n=1", "＝1", "＋1", "'－1", "＠x"} {
		f.Add(cell)
	}
	f.Fuzz(func(t *testing.T, cell string) {
		guarded := Guard(cell)
		require.Equal(t, cell, unguard(guarded))
		if guarded != "" && strings.ContainsRune("=@\t\r\n＝＋－＠", []rune(guarded)[0]) {
			t.Fatalf("%q goes out as %q", cell, guarded)
		}
		if strings.ContainsRune(cell, '\r') {
			return // encoding/csv reads a line end as one
		}
		var file bytes.Buffer
		w := csv.NewWriter(&file)
		require.NoError(t, w.Write([]string{"first", guarded}))
		w.Flush()
		back, err := csv.NewReader(&file).Read()
		require.NoError(t, err)
		require.Equal(t, cell, unguard(back[1]))
		_, err = csv.NewReader(&file).Read()
		require.ErrorIs(t, err, io.EOF)
	})
}
