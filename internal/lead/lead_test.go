package lead_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/postgres/pgtest"
)

// fixture is a catalogue on a database of its own.
type fixture struct {
	*lead.Catalogue
	t    testing.TB
	ctx  context.Context
	pool *pgxpool.Pool
}

func setup(t testing.TB) fixture {
	pool := pgtest.New(t)
	return fixture{lead.New(pool), t, t.Context(), pool}
}

func (f fixture) importCSV(file string) lead.ImportReport {
	f.t.Helper()
	report, err := f.Import(f.ctx, strings.NewReader(file), lead.CSV, lead.ImportOptions{})
	require.NoError(f.t, err)
	return report
}

// ids returns the ids of the leads in the catalogue, sorted.
func (f fixture) ids() []string {
	f.t.Helper()
	rows, err := f.pool.Query(f.ctx, `SELECT id FROM lead ORDER BY id`)
	require.NoError(f.t, err)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(f.t, err)
	return ids
}

// text returns one value of one lead.
func (f fixture) text(id, column string) string {
	f.t.Helper()
	var value string
	require.NoError(f.t, f.pool.QueryRow(f.ctx, `SELECT coalesce(`+pgx.Identifier{column}.Sanitize()+`::text, '') FROM lead WHERE id = $1`, id).Scan(&value))
	return value
}

var header = []string{
	"id", "email", "first_name", "last_name", "title", "seniority", "department", "company",
	"domain", "industry", "headcount", "country", "region", "city", "phone", "direct_email", "profile",
}

// person is a lead of the synthetic catalogue, in the order of the header.
type person []string

func (p person) value(column string) string { return p[slices.Index(header, column)] }

// people makes n synthetic leads: correlated, skewed, with gaps, and every
// 50th with the address of the one before.
func people(n int, seed uint64) []person {
	random := rand.New(rand.NewPCG(seed, 1))
	pick := func(of ...string) string { return of[min(random.IntN(len(of)), random.IntN(len(of)))] }
	list := make([]person, n)
	for i := range list {
		company := random.IntN(n/10 + 1)
		domain := fmt.Sprintf("company%d.test", company)
		email := fmt.Sprintf("p%d@%s", i, domain)
		if i%50 == 49 {
			email = strings.ToUpper(list[i-1].value("email"))
		}
		country := pick("US", "DE", "GB", "FR", "JP", "")
		list[i] = person{
			fmt.Sprintf("L%07d", i), email, "Ann", fmt.Sprintf("Person%d", i),
			pick("Engineer", "Software Engineer", "Senior Software Engineer", "VP of Sales", "Head of R&D", ""),
			pick("junior", "senior", "Director", "VP", ""), pick("Engineering", "Sales", "HR"),
			fmt.Sprintf("Company %d", company), domain, pick("Software", "Mining", "Retail"),
			pick("1", strconv.Itoa(random.IntN(100)), strconv.Itoa(random.IntN(100_000)), "", "50"),
			country, country + "-" + pick("North", "South"), pick("Springfield", "Neustadt", "Paris"),
			pick("", "+4930123456"), pick("", fmt.Sprintf("ann%d@home.test", i)), pick("", "decides fast"),
		}
	}
	return list
}

// file writes people as a CSV file.
func file(t *testing.T, list []person) io.Reader {
	t.Helper()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	require.NoError(t, w.Write(header))
	for _, p := range list {
		require.NoError(t, w.Write(p))
	}
	w.Flush()
	require.NoError(t, w.Error())
	return &b
}
