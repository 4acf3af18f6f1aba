package lead_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/commit"
	"holdfast/internal/lead"
)

func (f fixture) keep(file, column string) lead.List {
	f.t.Helper()
	list, err := f.KeepList(f.ctx, "acme", column, strings.NewReader(file))
	require.NoError(f.t, err)
	return list
}

// C8: how a list is written is found out; each address counts once; malformed
// rows are kept.
func TestC8_ListsAsPeopleWriteThem(t *testing.T) {
	f := setup(t)
	for _, c := range []struct {
		name, file, column      string
		columns                 []string
		rows, unique, malformed int64
		emails                  []string // by mail domain
	}{
		{"a header names the column", "Name,E-Mail,Note\nAnn,ann@x.test,1\nBob,bob@a.test,\n", "", []string{"Name", "E-Mail", "Note"}, 2, 2, 0, []string{"bob@a.test", "ann@x.test"}},
		{"the column is named", "email,Second\nold@x.test,new@y.test\n", "second", []string{"email", "Second"}, 1, 1, 0, []string{"new@y.test"}},
		{"the content tells", "Who,Where\nAnn,nowhere\nBob,bob@x.test\nEve,eve@x.test\n", "", []string{"Who", "Where"}, 3, 2, 1, []string{"bob@x.test", "eve@x.test"}},
		{"semicolons, quotes, a byte order mark", "\xef\xbb\xbfName;Email\r\n\"Smith; Ann\";\"ann@x.test\"\r\n", "", []string{"Name", "Email"}, 1, 1, 0, []string{"ann@x.test"}},
		{"tabs", "Email\tName\nann@x.test\tAnn, the first\n", "", []string{"Email", "Name"}, 1, 1, 0, []string{"ann@x.test"}},
		{"plain text", "ann@x.test\r\n\n bob@x.test \nno address\nANN@X.test", "", []string{"email"}, 4, 2, 1, []string{"ann@x.test", "bob@x.test"}},
		{"plain text that begins badly", "nothing\nann@x.test\n", "", []string{"email"}, 2, 1, 1, []string{"ann@x.test"}},
		{"no header", "Ann,ann@x.test\nBob,bob@x.test\n", "", []string{"column_1", "email"}, 2, 2, 0, []string{"ann@x.test", "bob@x.test"}},
		{"ragged and broken rows", "email,note\nann@x.test\nbob@x.test,1,2,3\n\"open,never closed\ncid@x.test,\n,\n", "", []string{"email", "note"}, 5, 3, 2, []string{"ann@x.test", "bob@x.test", "cid@x.test"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := f.keep(c.file, c.column)
			require.Equal(t, c.columns, list.Columns)
			require.Equal(t, []int64{c.rows, c.unique, c.malformed}, []int64{list.Rows, list.Unique, list.Matchable + list.Malformed})
			require.Equal(t, list.ID, f.keep(c.file, c.column).ID, "the same again")

			for range 2 {
				selected, err := f.SelectList(f.ctx, "ord_"+c.name, list.ID)
				require.NoError(t, err)
				require.Equal(t, c.unique, selected.Items)
			}
			require.Equal(t, c.emails, f.itemEmails("ord_"+c.name))
		})
	}
}

func TestC8_WhatIsNoListIsRefused(t *testing.T) {
	f := setup(t)
	for _, c := range []struct{ file, column, says string }{
		{"", "", "empty"},
		{"\n\n", "", "empty"},
		{"email\n", "", "empty"},
		{"a,b\n1,2\n", "", "No column"},
		{"email,b\nann@x.test,2\n", "mail", `no column "mail"; it has email, b`},
	} {
		_, err := f.KeepList(f.ctx, "acme", c.column, strings.NewReader(c.file))
		var refused *lead.ListError
		require.ErrorAs(t, err, &refused, "%q", c.file)
		require.Contains(t, refused.Message, c.says)
	}
	broken := io.MultiReader(strings.NewReader("email\nann@x.test\n"), errorReader{})
	_, err := f.KeepList(f.ctx, "acme", "", broken)
	require.ErrorContains(t, err, "the line went dead", "half an upload is no list")
	var n int
	require.NoError(t, f.pool.QueryRow(f.ctx, `SELECT count(*) FROM list_row`).Scan(&n))
	require.Zero(t, n)
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, fmt.Errorf("the line went dead") }

func TestC8_AListIsItsOwners(t *testing.T) {
	f := setup(t)
	list := f.keep("ann@x.test\n", "")
	_, err := f.List(f.ctx, "beta", list.ID)
	require.ErrorIs(t, err, lead.ErrNoList)
	other, err := f.KeepList(f.ctx, "beta", "", strings.NewReader("ann@x.test\n"))
	require.NoError(t, err)
	require.NotEqual(t, list.ID, other.ID)
}

// C8: lists from the bodies of orders that come at the same time are kept together,
// each as if it had come alone; the same content is the same list.
func TestC8_ListsThatComeTogether(t *testing.T) {
	f := setup(t)
	deferred := commit.Losable(f.ctx)
	body := func(i int) []string {
		return []string{fmt.Sprintf("ann%d@x.test", i/2), "no address", fmt.Sprintf("ANN%d@x.test", i/2), "bob@y.test"}
	}
	kept := make([]lead.List, 50)
	for _, err := range atOnce(func(i int) (err error) {
		ctx := f.ctx
		if i%3 == 0 {
			ctx = deferred
		}
		kept[i], err = f.KeepEmails(ctx, "acme", body(i))
		return err
	}) {
		require.NoError(t, err)
	}
	for i, list := range kept {
		require.Equal(t, kept[i/2*2].ID, list.ID)
		require.Equal(t, []int64{4, 2, 1}, []int64{list.Rows, list.Unique, list.Matchable + list.Malformed})
		again, err := f.KeepEmails(f.ctx, "acme", body(i))
		require.NoError(t, err)
		require.Equal(t, list, again)
		var rows, items int64
		require.NoError(t, f.pool.QueryRow(f.ctx, `SELECT count(*), max(item) FROM list_row WHERE list_id = $1`, list.ID).Scan(&rows, &items))
		require.Equal(t, []int64{4, 2}, []int64{rows, items})
	}
	lists, err := f.Lists(f.ctx, "acme", time.Time{}, "", 100)
	require.NoError(t, err)
	require.Len(t, lists, 25)
}

// The first rows of a database cost no more of the write-ahead log than later ones:
// what finds a person again to erase them is made when there are many.
func TestTheFirstRowsCostNoMoreThanOthers(t *testing.T) {
	f := setup(t)
	list := f.keep("ann@x.test\n", "")
	for table, insert := range map[string]string{
		"list_row": `INSERT INTO list_row (list_id, n, line, item, email, cells)
			SELECT $1, 1 + g, g, 1 + g, 'p' || g || '@x.test', '{}' FROM generate_series(1, 500) g`,
		"order_item": `INSERT INTO order_item (order_id, n, lead_no, field, value, fingerprint, already_owned)
			SELECT $1, g, g, 'email', 'p' || g || '@x.test', gen_random_uuid(), false FROM generate_series(1, 500) g`,
	} {
		var plans []struct {
			Plan struct {
				Bytes int64 `json:"WAL Bytes"`
			}
		}
		require.NoError(t, f.pool.QueryRow(f.ctx, `EXPLAIN (ANALYZE, WAL, FORMAT JSON) `+insert, list.ID).Scan(&plans))
		require.Less(t, plans[0].Plan.Bytes, int64(500*1000), table)
	}
}

// C9: the results are the list, in its order, with all of its cells.
func TestC9_ResultsKeepEveryRowAndColumn(t *testing.T) {
	f := setup(t)
	list := f.keep("name,email,verdict,name\nAnn,Ann <ann@x.test>,=1+1,a\nMissing,,x,b\nann again,ANN@x.test,y,c\nBob,bob@a.test,z,d\n", "")
	_, err := f.SelectList(f.ctx, "ord_1", list.ID)
	require.NoError(t, err)
	deliver := func(email, verdict, reason string) {
		_, err := f.pool.Exec(f.ctx, `
			UPDATE order_item SET verdict = $2, reason = $3, smtp_code = 250, checked_at = '2026-01-02T03:04:05Z', delivered_at = now(),
				flags = CASE $2 WHEN 'invalid' THEN 41 ELSE 9 END, provider = 'google', meant_domain = CASE $2 WHEN 'invalid' THEN 'b.test' END, score = 90
			WHERE order_id = 'ord_1' AND value = $1`, email, verdict, reason)
		require.NoError(t, err)
	}
	write := func(format string) string {
		var out bytes.Buffer
		require.NoError(t, f.WriteResults(f.ctx, &out, "ord_1", format, lead.ResultOptions{}))
		return out.String()
	}
	deliver("ann@x.test", "valid", "accepted")
	running, err := csv.NewReader(strings.NewReader(write(lead.CSV))).ReadAll()
	require.NoError(t, err)
	require.Len(t, running, 4, "Bob has no verdict yet")

	deliver("bob@a.test", "invalid", "no_such_user")
	rows, err := csv.NewReader(strings.NewReader(write(lead.CSV))).ReadAll()
	require.NoError(t, err)
	require.Equal(t, [][]string{
		{
			"name", "email", "verdict", "name", "verified_verdict", "reason", "mx_host", "smtp_code", "smtp_enhanced", "checked_at",
			"address", "role", "free", "disposable", "alias", "cleaned", "doubtful", "did_you_mean", "provider", "score", "score_parts",
		},
		{
			"Ann", "Ann <ann@x.test>", "'=1+1", "a", "valid", "accepted", "", "250", "", "2026-01-02T03:04:05Z",
			"ann@x.test", "true", "false", "false", "true", "true", "false", "", "google", "90", `{"verdict": 90}`,
		},
		{"Missing", "", "x", "b", "", "malformed: there is no address", "", "", "", "", "", "", "", "", "", "false", "", "", "", "", ""},
		{
			"ann again", "ANN@x.test", "y", "c", "valid", "accepted", "", "250", "", "2026-01-02T03:04:05Z",
			"ann@x.test", "true", "false", "false", "true", "false", "false", "", "google", "90", `{"verdict": 90}`,
		},
		{
			"Bob", "bob@a.test", "z", "d", "invalid", "no_such_user", "", "250", "", "2026-01-02T03:04:05Z",
			"bob@a.test", "true", "false", "false", "true", "false", "true", "bob@b.test", "google", "90", `{"verdict": 90}`,
		},
	}, rows)

	var first map[string]any
	line, _, _ := strings.Cut(write(lead.NDJSON), "\n")
	require.NoError(t, json.Unmarshal([]byte(line), &first))
	require.Equal(t, map[string]any{
		"name": "Ann", "email": "Ann <ann@x.test>", "address": "ann@x.test", "verdict": "=1+1", "column_4": "a", "verified_verdict": "valid",
		"reason": "accepted", "mx_host": "", "smtp_code": 250.0, "smtp_enhanced": "", "checked_at": "2026-01-02T03:04:05Z",
		"role": true, "free": false, "disposable": false, "alias": true, "cleaned": true, "doubtful": false, "did_you_mean": "", "provider": "google",
		"score": 90.0, "score_parts": map[string]any{"verdict": 90.0},
	}, first)

	again := f.keep(write(lead.CSV), "")
	require.Equal(t, []int64{list.Rows, list.Unique, list.Matchable + list.Malformed}, []int64{again.Rows, again.Unique, again.Malformed}, "a result is a list")
}

// manyRows is a file that is made while it is read.
type manyRows struct{ n, left int }

func (m *manyRows) Read(p []byte) (int, error) {
	if m.left == 0 {
		return 0, io.EOF
	}
	row := fmt.Sprintf("person %d,p%d@d%d.test\n", m.left, m.left, m.left%1000)
	if len(row) > len(p) {
		return 0, io.ErrShortBuffer
	}
	m.left--
	return copy(p, row), nil
}

func TestC8_ListsAreStreamed(t *testing.T) {
	f := setup(t)
	const n = 100_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	list, err := f.KeepList(f.ctx, "acme", "", &manyRows{n: n, left: n})
	require.NoError(t, err)
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.EqualValues(t, n, list.Unique)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(8<<20), "nothing of the list stays in memory")
}

// TestC8_BadRows: what is wrong with which line of a file.
func TestC8_BadRows(t *testing.T) {
	f := setup(t)
	list, err := f.KeepList(f.ctx, "acme", "", strings.NewReader("email,name\nann@x.test,Ann\nnonsense,Bob\n,\n\"two\nlines\",Eve\nbob@,Bob\n"))
	require.NoError(t, err)
	bad, err := f.BadRows(f.ctx, "acme", list.ID, 3)
	require.NoError(t, err)
	var lines []int64
	for _, row := range bad {
		lines = append(lines, row.Line)
		require.NotEmpty(t, row.Problem)
	}
	require.Equal(t, []int64{3, 4, 5}, lines)
	require.Equal(t, []string{"nonsense", "Bob"}, bad[0].Cells)
	all, err := f.BadRows(f.ctx, "acme", list.ID, 100)
	require.NoError(t, err)
	require.Len(t, all, 4)
	require.EqualValues(t, 4, list.Malformed+list.Matchable)
	require.EqualValues(t, 7, all[3].Line, "behind a cell of two lines")
	foreign, err := f.BadRows(f.ctx, "beta", list.ID, 100)
	require.NoError(t, err)
	require.Empty(t, foreign)
}
