package lead_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
)

// deliver gives the items of an order verdicts and delivers the valid ones.
func (f fixture) deliver(orderID string) {
	f.t.Helper()
	_, err := f.pool.Exec(f.ctx, `
		UPDATE order_item SET
			verdict = CASE n % 3 WHEN 0 THEN 'invalid' ELSE 'valid' END,
			reason = CASE n % 3 WHEN 0 THEN 'no_such_user' ELSE 'accepted' END,
			mx_host = 'mx.b.test', smtp_code = 250, smtp_enhanced = '2.1.5', checked_at = '2026-03-01 12:00:00Z',
			delivered_at = CASE n % 3 WHEN 0 THEN NULL ELSE now() END
		WHERE order_id = $1 AND n % 4 <> 0`, orderID)
	require.NoError(f.t, err)
}

// nasty leads: what a spreadsheet would run, what a CSV reader could stumble
// over, and telephone numbers.
const nasty = "id,email,first_name,last_name,title,company,phone,direct_email,headcount,country,profile\r\n" +
	"a,a@b.test,=1+1,\"+cmd|' /C calc'!A0\",-2+3,\"@SUM(A1)\",+4930123456,=x@home.test,7,DE,=profile\r\n" +
	"b,b@b.test,\"Zoë \"\"Z\"\"\",\"O'Neil, Ann\",\"two\nlines\",'=already quoted,+49 30 1234;+49 30 12345,,,,\r\n" +
	"c,c@b.test,'quoted',漢字,\u00a0,Ltd;,+49-30-1234,,,,\"two\nlines\"\r\n"

func TestC6_ResultsAreSafeInASpreadsheet(t *testing.T) {
	f := setup(t)
	require.Equal(t, int64(3), f.importCSV(nasty).Imported)
	f.ownField("", order.EmailField, "a", "b", "c")
	f.ownField("", order.PhoneField, "a", "b", "c")
	f.ownField("", order.DirectEmailField, "a", "b", "c")
	f.ownField("", order.ProfileField, "a", "b", "c")
	f.enter("ord_1", order.Export)
	f.selectFields(lead.FieldSelection{OrderID: "ord_1", Org: "acme", ListID: f.leadIDs("a", "b", "c"), Fields: wants("email"), Carry: wants("email", "phone", "direct_email", "profile")})
	f.deliverValid("ord_1")
	written := f.results("ord_1", lead.CSV)
	require.True(t, utf8.ValidString(written))
	rows, err := csv.NewReader(strings.NewReader(written)).ReadAll()
	require.NoError(t, err)
	require.Equal(t, []string{
		"id", "email", "first_name", "last_name", "title", "seniority", "department", "company", "domain",
		"industry", "headcount", "country", "region", "city", "phone", "direct_email", "profile",
		"verdict", "reason", "mx_host", "smtp_code", "smtp_enhanced", "checked_at",
		"role", "free", "disposable", "alias", "cleaned", "doubtful", "did_you_mean", "provider", "score", "score_parts",
	}, rows[0])
	require.Equal(t, []string{
		"a", "a@b.test", "'=1+1", "'+cmd|' /C calc'!A0", "'-2+3", "", "", "'@SUM(A1)", "", "", "7", "DE", "", "", "+4930123456", "'=x@home.test", "'=profile",
	}, rows[1][:17])
	for _, row := range rows[1:] {
		for i, cell := range row {
			if cell != "" && rows[0][i] != "phone" {
				require.NotContains(t, "=+-@\t\r", cell[:1])
			}
		}
	}
	require.Equal(t, "'+49-30-1234", rows[3][14], "a spreadsheet would subtract")

	// The file can be imported again and says the same.
	g := setup(t)
	report := g.importCSV(written)
	require.Equal(t, int64(3), report.Imported)
	require.Equal(t, []string{
		"verdict", "reason", "mx_host", "smtp_code", "smtp_enhanced", "checked_at",
		"role", "free", "disposable", "alias", "cleaned", "doubtful", "did_you_mean", "provider", "score", "score_parts",
	}, report.IgnoredColumns)
	for _, id := range []string{"a", "b", "c"} {
		for _, column := range header {
			require.Equal(t, f.text(id, column), g.text(id, column), "%s of %s", column, id)
		}
	}
}

func TestC7_ResultsAreTheDeliveredItems(t *testing.T) {
	f := setup(t)
	_, err := f.Import(f.ctx, file(t, people(400, 9)), lead.CSV, lead.ImportOptions{})
	require.NoError(t, err)
	selected, err := f.Select(f.ctx, selection("ord_1", 240))
	require.NoError(t, err)
	require.Equal(t, int64(240), selected.Items)
	f.deliver("ord_1")
	// What the lead becomes later does not change what was verified.
	_, err = f.pool.Exec(f.ctx, `UPDATE lead SET email = 'changed@b.test'`)
	require.NoError(t, err)

	var out bytes.Buffer
	require.NoError(t, f.WriteResults(f.ctx, &out, "ord_1", lead.NDJSON, lead.ResultOptions{}))
	require.NotContains(t, out.String(), "phone", "telephone numbers were not paid for")
	require.NotContains(t, out.String(), "home.test", "nor for personal addresses")
	addresses := map[string]bool{}
	dec := json.NewDecoder(&out)
	for dec.More() {
		var row map[string]any
		require.NoError(t, dec.Decode(&row))
		email := strings.ToLower(row["email"].(string))
		require.NotContains(t, email, "changed")
		require.False(t, addresses[email], "a clean file has no duplicates")
		addresses[email] = true
		require.Equal(t, "valid", row["verdict"], "nor unverified rows")
		require.Equal(t, "mx.b.test", row["mx_host"])
		require.EqualValues(t, 250, row["smtp_code"])
		require.Equal(t, "2026-03-01T12:00:00Z", row["checked_at"])
	}
	require.Len(t, addresses, 120)

	// All of them: with verdicts, but addresses only where delivered.
	require.NoError(t, f.WriteResults(f.ctx, &out, "ord_1", lead.CSV, lead.ResultOptions{All: true}))
	rows, err := csv.NewReader(&out).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1+180, "every fourth item has no verdict yet")
	for _, row := range rows[1:] {
		if row[14] == "invalid" {
			require.Empty(t, row[1])
		} else {
			require.NotEmpty(t, row[1])
		}
	}
}

func TestResultsOfNothing(t *testing.T) {
	f := setup(t)
	var out bytes.Buffer
	require.NoError(t, f.WriteResults(f.ctx, &out, "ord_none", lead.CSV, lead.ResultOptions{}))
	require.Equal(t, "id,email,first_name,last_name,title,seniority,department,company,domain,industry,headcount,country,region,city,verdict,reason,mx_host,smtp_code,smtp_enhanced,checked_at,role,free,disposable,alias,cleaned,doubtful,did_you_mean,provider,score,score_parts\r\n", out.String())
	out.Reset()
	require.NoError(t, f.WriteResults(f.ctx, &out, "ord_none", lead.NDJSON, lead.ResultOptions{}))
	require.Empty(t, out.String())
	require.ErrorContains(t, f.WriteResults(f.ctx, &out, "ord_none", "xlsx", lead.ResultOptions{}), `no result format "xlsx"`)
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errConnection }

func TestResultsStream(t *testing.T) {
	f := setup(t)
	_, err := f.pool.Exec(f.ctx, `
		INSERT INTO lead (id, fingerprint, email, email_domain, first_name, last_name, title, seniority, department,
			company, domain, industry, country, region, city, phone, direct_email)
		SELECT 'L' || n, md5(n::text)::uuid, 'p' || n || '@b.test', 'b.test', 'Ann', 'Person', repeat('x', 300), '', '',
			'', '', '', 'US', '', '', '', '' FROM generate_series(1, 60000) n`)
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `
		INSERT INTO order_item (order_id, n, lead_no, fingerprint, value, already_owned, verdict, reason, checked_at, delivered_at)
		SELECT 'ord_1', row_number() OVER (), no, fingerprint, email, false, 'valid', 'accepted', now(), now() FROM lead`)
	require.NoError(t, err)
	require.ErrorIs(t, f.WriteResults(f.ctx, brokenWriter{}, "ord_1", lead.CSV, lead.ResultOptions{}), errConnection)

	// 60,000 rows are 25 MB; they pass through without being gathered.
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	written, most := 0, uint64(0)
	pipe, feed := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := f.WriteResults(f.ctx, feed, "ord_1", lead.NDJSON, lead.ResultOptions{})
		_ = feed.Close() // a pipe's Close does not fail
		done <- err
	}()
	chunk := make([]byte, 1<<20)
	for {
		n, err := io.ReadFull(pipe, chunk)
		written += n
		runtime.GC()
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc)
		if err != nil {
			break
		}
	}
	require.NoError(t, <-done)
	require.Greater(t, written, 25<<20)
	require.Less(t, int64(most)-int64(before.HeapAlloc), int64(6<<20), "%d bytes written", written)
}
