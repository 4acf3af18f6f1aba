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
// first: whoever changes leads of the chunk marks it stale last, so that
// either their leads are read here or the mark is set again after this.
func reindex(ctx context.Context, tx pgx.Tx, chunk int64) error {
	tag, err := tx.Exec(ctx, `UPDATE lead_chunk SET stale = false WHERE chunk = $1 AND stale`, chunk)
	if err != nil || tag.RowsAffected() == 0 {
		return err // nothing to do: somebody else was faster
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

// readFacets reads the leads of a chunk and sorts their numbers by facet and
// value. Lists of companies repeat themselves, so the sets a raw value belongs
// to are looked up once per value and not once per lead.
func readFacets(ctx context.Context, tx pgx.Tx, chunk int64) (map[string]map[string]*roaring.Bitmap, error) {
	facets := map[string]map[string]*roaring.Bitmap{}
	set := func(facet, value string) *roaring.Bitmap {
		values := facets[facet]
		if values == nil {
			values = map[string]*roaring.Bitmap{}
			facets[facet] = values
		}
		if values[value] == nil {
			values[value] = roaring.New()
		}
		return values[value]
	}
	var slices [headcountBits]*roaring.Bitmap
	for i := range slices {
		slices[i] = roaring.New()
	}
	cache := make([]map[string][]*roaring.Bitmap, len(facetColumns)+1) // by raw value; the last is the title's
	for i := range cache {
		cache[i] = map[string][]*roaring.Bitmap{}
	}
	all := set(facetHas, hasLead)
	phone, direct, headcount := set(facetHas, hasPhone), set(facetHas, hasDirectEmail), set(facetHas, hasHeadcount)

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
				slices[bits.TrailingZeros32(n)].Add(no)
			}
		}
		if raw[2][0] == 1 {
			phone.Add(no)
		}
		if raw[3][0] == 1 {
			direct.Add(no)
		}
		for i, value := range raw[4:] {
			if len(value) == 0 {
				continue
			}
			sets, known := cache[i][string(value)]
			if !known {
				if i < len(facetColumns) {
					sets = append(sets, set(facetColumns[i], fold(string(value))))
				} else {
					for _, word := range words(string(value)) {
						sets = append(sets, set(facetTitle, word))
					}
				}
				cache[i][string(bytes.Clone(value))] = sets
			}
			for _, s := range sets {
				s.Add(no)
			}
		}
	}
	for bit, leads := range slices {
		if !leads.IsEmpty() {
			facets[facetHeadcount] = orEmpty(facets[facetHeadcount])
			facets[facetHeadcount][strconv.Itoa(bit)] = leads
		}
	}
	for _, empty := range []string{hasLead, hasPhone, hasDirectEmail, hasHeadcount} {
		if facets[facetHas][empty].IsEmpty() {
			delete(facets[facetHas], empty)
		}
	}
	return facets, rows.Err()
}

func orEmpty(m map[string]*roaring.Bitmap) map[string]*roaring.Bitmap {
	if m == nil {
		return map[string]*roaring.Bitmap{}
	}
	return m
}

// fold makes values comparable without regard to case and surrounding space.
func fold(value string) string { return strings.ToLower(strings.TrimSpace(value)) }

// words splits a title into its words, in lower case, each once.
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
