package lead

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"unicode"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/jackc/pgx/v5"
)

// chunkSize is how many lead numbers one row of the facet index covers: the
// size of one Roaring container.
const chunkSize = 1 << 16

// The facets that are more than a column's values.
const (
	facetTitle     = "title"     // values are the words of the title
	facetHas       = "has"       // values below
	facetHeadcount = "headcount" // values are bit positions: leads whose headcount has the bit set

	hasLead        = "lead" // every lead
	hasPhone       = "phone"
	hasDirectEmail = "direct_email"
	hasHeadcount   = "headcount"
)

// headcountBits is how many bits a headcount has.
const headcountBits = 31

// markStale notes, in the transaction that changes leads, that their chunks
// want to be indexed again.
func markStale(ctx context.Context, tx pgx.Tx, chunks map[int64]bool) error {
	numbers := make([]int64, 0, len(chunks))
	for chunk := range chunks {
		numbers = append(numbers, chunk)
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO lead_chunk (chunk, stale) SELECT chunk, true FROM unnest($1::bigint[]) AS chunk ORDER BY chunk
		ON CONFLICT (chunk) DO UPDATE SET stale = true`, numbers)
	return err
}

// Reindex brings the facet index up to date with the leads. Import does so
// itself; after an import that was killed, the next one or this does.
func (c *Catalogue) Reindex(ctx context.Context) error {
	rows, err := c.pool.Query(ctx, `SELECT chunk FROM lead_chunk WHERE stale ORDER BY chunk`)
	if err != nil {
		return fmt.Errorf("indexing the catalogue: %w", err)
	}
	chunks, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return fmt.Errorf("indexing the catalogue: %w", err)
	}
	for _, chunk := range chunks {
		if err := pgx.BeginFunc(ctx, c.pool, func(tx pgx.Tx) error { return reindex(ctx, tx, chunk) }); err != nil {
			return fmt.Errorf("indexing chunk %d of the catalogue: %w", chunk, err)
		}
	}
	return nil
}

// reindex replaces the index of one chunk. The lock on the chunk's row comes
// first: a change of leads of the chunk marks it stale last, so that
// either their leads are read here or the mark is set again after this.
func reindex(ctx context.Context, tx pgx.Tx, chunk int64) error {
	tag, err := tx.Exec(ctx, `UPDATE lead_chunk SET stale = false WHERE chunk = $1 AND stale`, chunk)
	if err != nil || tag.RowsAffected() == 0 {
		return err // nothing to do: another process was faster
	}
	facets, err := readFacets(ctx, tx, chunk)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM lead_facet WHERE chunk = $1`, chunk); err != nil {
		return err
	}
	// Not run-length encoded: the sets would be half the size, and their unions
	// many times slower.
	var copied [][]any
	for facet, values := range facets {
		for value, leads := range values {
			data, err := leads.ToBytes()
			if err != nil {
				return err
			}
			copied = append(copied, []any{facet, value, chunk, data})
		}
	}
	_, err = tx.CopyFrom(ctx, pgx.Identifier{"lead_facet"}, []string{"facet", "value", "chunk", "leads"}, pgx.CopyFromRows(copied))
	return err
}

// facetColumns are indexed by their values.
var facetColumns = []string{"country", "region", "city", "industry", "seniority", "department"}

// facetSets collects the leads of a chunk by facet and value.
type facetSets struct {
	byFacet   map[string]map[string]*roaring.Bitmap
	headcount [headcountBits]*roaring.Bitmap // the bits of the numbers

	// seen are the sets that a raw value belongs to, by column; the last column is
	// the title. Lists of companies repeat themselves, so sets are looked up once
	// for each value and not for each lead.
	seen []map[string][]*roaring.Bitmap
}

func newFacetSets() *facetSets {
	s := &facetSets{byFacet: map[string]map[string]*roaring.Bitmap{}, seen: make([]map[string][]*roaring.Bitmap, len(facetColumns)+1)}
	for i := range s.headcount {
		s.headcount[i] = roaring.New()
	}
	for i := range s.seen {
		s.seen[i] = map[string][]*roaring.Bitmap{}
	}
	return s
}

// of is the set of a value of a facet.
func (s *facetSets) of(facet, value string) *roaring.Bitmap {
	values := orEmpty(s.byFacet[facet])
	s.byFacet[facet] = values
	if values[value] == nil {
		values[value] = roaring.New()
	}
	return values[value]
}

// ofRaw are the sets that a raw value of a column belongs to.
func (s *facetSets) ofRaw(column int, raw []byte) []*roaring.Bitmap {
	sets, known := s.seen[column][string(raw)]
	if known {
		return sets
	}
	if column < len(facetColumns) {
		sets = append(sets, s.of(facetColumns[column], fold(string(raw))))
	} else {
		for _, word := range words(string(raw)) {
			sets = append(sets, s.of(facetTitle, word))
		}
	}
	s.seen[column][string(bytes.Clone(raw))] = sets
	return sets
}

// done are the sets by facet and value, without empty ones.
func (s *facetSets) done() map[string]map[string]*roaring.Bitmap {
	for bit, leads := range s.headcount {
		if !leads.IsEmpty() {
			s.of(facetHeadcount, strconv.Itoa(bit)).Or(leads)
		}
	}
	for _, value := range []string{hasLead, hasPhone, hasDirectEmail, hasHeadcount} {
		if s.of(facetHas, value).IsEmpty() {
			delete(s.byFacet[facetHas], value)
		}
	}
	return s.byFacet
}

// readFacets reads the leads of a chunk and sorts their numbers by facet and
// value.
func readFacets(ctx context.Context, tx pgx.Tx, chunk int64) (map[string]map[string]*roaring.Bitmap, error) {
	sets := newFacetSets()
	all, phone := sets.of(facetHas, hasLead), sets.of(facetHas, hasPhone)
	direct, headcount := sets.of(facetHas, hasDirectEmail), sets.of(facetHas, hasHeadcount)
	rows, err := tx.Query(ctx, `
		SELECT no, headcount, phone <> '', direct_email <> '',
			country, region, city, industry, seniority, department, title
		FROM lead WHERE no >= $1 AND no < $2 ORDER BY no`,
		pgx.QueryResultFormats{pgx.BinaryFormatCode}, chunk*chunkSize, (chunk+1)*chunkSize)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		raw := rows.RawValues()
		no := uint32(binary.BigEndian.Uint64(raw[0]))
		all.Add(no)
		if raw[1] != nil {
			headcount.Add(no)
			for n := binary.BigEndian.Uint32(raw[1]); n != 0; n &= n - 1 {
				sets.headcount[bits.TrailingZeros32(n)].Add(no)
			}
		}
		if raw[2][0] == 1 {
			phone.Add(no)
		}
		if raw[3][0] == 1 {
			direct.Add(no)
		}
		for column, value := range raw[4:] {
			if len(value) == 0 {
				continue
			}
			for _, set := range sets.ofRaw(column, value) {
				set.Add(no)
			}
		}
	}
	return sets.done(), rows.Err()
}

func orEmpty(m map[string]*roaring.Bitmap) map[string]*roaring.Bitmap {
	if m == nil {
		return map[string]*roaring.Bitmap{}
	}
	return m
}

// fold makes values comparable without regard to case and surrounding space.
func fold(value string) string { return strings.ToLower(strings.TrimSpace(value)) }

// words splits a title into its words, in lower case, without duplicates.
func words(title string) []string {
	var list []string
	seen := map[string]bool{}
	for _, word := range strings.FieldsFunc(strings.ToLower(title), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}) {
		if !seen[word] {
			seen[word] = true
			list = append(list, word)
		}
	}
	return list
}
