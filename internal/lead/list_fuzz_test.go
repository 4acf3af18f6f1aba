package lead

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// Every upload is refused, or read to its end: a row is an address, stands
// for a lead, or says what is wrong with it; the database can store all of it.
func FuzzList(f *testing.F) {
	f.Add("Name;Email\r\n\"Smith; Ann\";ann@x.test\r\n", "")
	f.Add("ann@x.test\nnobody\n\"open", "")
	f.Add("a,b\n\xff,\x00c@d.test\n", "B")
	f.Add("name,company\nAnn,Corp\n", "")
	f.Fuzz(func(t *testing.T, text, column string) {
		source, err := readList(strings.NewReader(text), column)
		if err != nil {
			return
		}
		for source.Next() {
			row, err := source.Values()
			require.NoError(t, err)
			email, cells, problem := row[2].(string), row[4].([]string), row[5]
			require.Equal(t, problem == nil, email != "", "%q", row)
			for _, cell := range append(cells, email) {
				require.True(t, utf8.ValidString(cell) && !strings.ContainsRune(cell, 0), "%q", cell)
			}
			require.False(t, problem == nil && row[6].(bool), "an address needs no match")
		}
		require.LessOrEqual(t, source.n, int64(len(text)+1))
	})
}
