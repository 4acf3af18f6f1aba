package maillab

import (
	"bytes"
	"encoding/csv"
	"io"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
	"github.com/stretchr/testify/require"
)

// A catalogue has unique ids and addresses over the world's domains, valid
// phone numbers, and the share of valid addresses that was asked for.
func TestCatalogue_M6(t *testing.T) {
	for _, share := range []float64{0, 0.3, 0.6} {
		const n = 10_000
		var out bytes.Buffer
		require.NoError(t, WriteCatalogue(&out, n, CatalogueOptions{Seed: 7, ValidShare: share}))
		world := NewWorld(Config{Seed: 7})
		rows, err := csv.NewReader(&out).ReadAll()
		require.NoError(t, err)
		require.Equal(t, strings.Join(CatalogueHeader, ","), strings.Join(rows[0], ","))
		require.Len(t, rows, n+1)
		ids, emails, kinds := map[string]bool{}, map[string]bool{}, map[Kind]int{}
		phones := map[string]string{} // each once, with its country
		valid, several, profiles := 0, 0, 0
		for _, row := range rows[1:] {
			require.False(t, ids[row[0]] || emails[row[1]], "a row twice: %v", row)
			ids[row[0]], emails[row[1]] = true, true
			require.True(t, strings.HasSuffix(row[1], "@"+row[8]))
			require.NotContains(t, row[:14], "", "only phone, direct_email and profile may be left out")
			if row[14] != "" {
				numbers := strings.Split(row[14], ";")
				several += min(len(numbers)-1, 1)
				for _, number := range numbers {
					phones[number] = row[11]
				}
			}
			if row[16] != "" {
				profiles++
			}
			if world.Truth(row[1]).Verdict == "valid" {
				valid++
			}
			kinds[world.KindOf(row[8])]++
		}
		for phone, country := range phones {
			number, err := phonenumbers.Parse(phone, "")
			require.NoError(t, err, phone)
			require.True(t, phonenumbers.IsValidNumber(number), phone)
			require.Equal(t, country, phonenumbers.GetRegionCodeForNumber(number), phone)
		}
		want := share
		if want == 0 {
			want = 0.5
		}
		require.InDelta(t, want, float64(valid)/n, 0.02)
		require.InDelta(t, 0.14, float64(several)/n, 0.02)
		require.InDelta(t, 0.3, float64(profiles)/n, 0.02)
		require.InDelta(t, 0.08, float64(kinds[CatchAll])/n, 0.03)
		require.InDelta(t, 0.48, float64(kinds[Shared])/n, 0.08)
		for _, k := range mix {
			require.NotZero(t, kinds[k.kind], k.kind)
		}
	}
}

func TestCatalogueIsTheSameEveryTime_M6(t *testing.T) {
	var a, b, c bytes.Buffer
	require.NoError(t, WriteCatalogue(&a, 500, CatalogueOptions{Seed: 1}))
	require.NoError(t, WriteCatalogue(&b, 500, CatalogueOptions{Seed: 1}))
	require.NoError(t, WriteCatalogue(&c, 500, CatalogueOptions{Seed: 2}))
	require.Equal(t, a.String(), b.String())
	require.NotEqual(t, a.String(), c.String())
	rows, err := csv.NewReader(&a).ReadAll()
	require.NoError(t, err)
	for i, email := range NewWorld(Config{Seed: 1}).Emails(500, 0) {
		require.Equal(t, rows[i+1][1], email)
	}
}

// More people than a company's culture has names for: they get numbers.
func TestCatalogueNeverRunsOut_M6(t *testing.T) {
	emails := NewWorld(Config{Domains: 2, Only: []Kind{Shared}}).Emails(60_000, 0.5)
	seen := make(map[string]bool, len(emails))
	for _, email := range emails {
		require.False(t, seen[email], email)
		seen[email] = true
	}
}

func TestCatalogueReportsAFullDisk(t *testing.T) {
	err := WriteCatalogue(fullDisk{}, 5000, CatalogueOptions{})
	require.ErrorContains(t, err, "the catalogue could not be written")
	require.ErrorIs(t, err, io.ErrShortWrite)
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// BenchmarkCatalogue measures rows of a streamed catalogue.
func BenchmarkCatalogue(b *testing.B) {
	require.NoError(b, WriteCatalogue(io.Discard, b.N, CatalogueOptions{}))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
