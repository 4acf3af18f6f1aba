package lead

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/database"
	"holdfast/internal/order"
	"holdfast/internal/verify"
)

// matching returns the numbers of the leads that match the criteria: the
// intersection over the criteria of the union over their values.
func matching(ctx context.Context, db database.Reader, criteria order.Criteria) (*roaring.Bitmap, error) {
	var q facetQuery
	q.anyOf("country", countriesAlike(criteria.Country))
	q.anyOf("region", criteria.Region)
	q.anyOf("city", criteria.City)
	q.anyOf("industry", criteria.Industry)
	q.anyOf("seniority", criteria.Seniority)
	q.anyOf("department", criteria.Department)
	for _, word := range words(criteria.Title) {
		q.anyOf(facetTitle, []string{word})
	}
	if strings.TrimSpace(criteria.Title) != "" && len(words(criteria.Title)) == 0 {
		return roaring.New(), nil // no lead has a title without a letter or digit
	}
	if criteria.HasPhone {
		q.anyOf(facetHas, []string{hasPhone})
	}
	if criteria.HasDirectEmail {
		q.anyOf(facetHas, []string{hasDirectEmail})
	}
	byHeadcount := criteria.HeadcountMin > 0 || criteria.HeadcountMax > 0
	if len(q.terms) == 0 && !byHeadcount && len(criteria.Company) == 0 && len(criteria.Domain) == 0 {
		q.anyOf(facetHas, []string{hasLead})
	}

	sets, err := q.sets(ctx, db)
	if err != nil {
		return nil, err
	}
	if byHeadcount {
		set, err := headcountBetween(ctx, db, criteria.HeadcountMin, criteria.HeadcountMax)
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	if len(criteria.Company) > 0 {
		set, err := numbers(ctx, db, `
			SELECT no FROM lead
			WHERE lower(company) COLLATE "C" = ANY (ARRAY(SELECT lower(trim(name)) FROM unnest($1::text[]) AS name))`, criteria.Company)
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	if len(criteria.Domain) > 0 {
		set, err := numbers(ctx, db, `
			SELECT no FROM lead
			WHERE domain = ANY (ARRAY(SELECT lower(trim(name)) FROM unnest($1::text[]) AS name))`, criteria.Domain)
		if err != nil {
			return nil, err
		}
		sets = append(sets, set)
	}
	return roaring.FastAnd(sets...), nil
}

// countriesAlike adds to the codes of countries the ISO codes of the same ones:
// the catalogue has those, and of early imports what their files had.
func countriesAlike(codes []string) []string {
	alike := slices.Clone(codes)
	for _, code := range codes {
		iso := verify.Country(code)
		if iso != "" {
			alike = append(alike, iso)
		}
		if iso == "GB" {
			alike = append(alike, "UK")
		}
	}
	return alike
}

// facetQuery gathers facet values so that one statement reads them all. A term
// is met by any of its values.
type facetQuery struct {
	facets, values []string
	term           []int32 // which term a value belongs to
	terms          []bool  // one per term
}

func (q *facetQuery) anyOf(facet string, values []string) {
	if len(values) == 0 {
		return
	}
	term := int32(len(q.terms))
	q.terms = append(q.terms, true)
	for _, value := range values {
		q.facets = append(q.facets, facet)
		q.values = append(q.values, fold(value))
		q.term = append(q.term, term)
	}
}

// sets returns for each term the leads that meet it.
func (q *facetQuery) sets(ctx context.Context, db database.Reader) ([]*roaring.Bitmap, error) {
	if len(q.terms) == 0 {
		return nil, nil
	}
	var rows pgx.Rows
	var err error
	if len(q.facets) == 1 { // as most are; the plan is kept
		rows, err = db.Query(ctx, `SELECT 0, leads FROM lead_facet WHERE facet = $1 AND value = $2`, q.facets[0], q.values[0])
	} else {
		rows, err = db.Query(ctx, `
			SELECT wanted.term, f.leads
			FROM unnest($1::text[], $2::text[], $3::int[]) AS wanted (facet, value, term)
			JOIN lead_facet f ON f.facet = wanted.facet AND f.value = wanted.value`, q.facets, q.values, q.term)
	}
	if err != nil {
		return nil, err
	}
	parts := make([][]*roaring.Bitmap, len(q.terms))
	var term int32
	var data []byte
	if _, err := pgx.ForEachRow(rows, []any{&term, &data}, func() error {
		part := roaring.New()
		if _, err := part.FromBuffer(data); err != nil {
			return err
		}
		parts[term] = append(parts[term], part)
		data = nil // the part keeps it
		return nil
	}); err != nil {
		return nil, err
	}
	sets := make([]*roaring.Bitmap, len(parts))
	for i, part := range parts {
		sets[i] = roaring.FastOr(part...)
	}
	return sets, nil
}

// headcountBetween returns the leads whose company has at least low and, where
// high is not 0, at most high people. The index holds headcounts bit by bit: a
// number is compared with a bound from the highest bit down, for all leads at
// once (O'Neil and Quass, Improved Query Performance with Variant Indexes).
func headcountBetween(ctx context.Context, db database.Reader, low, high int64) (*roaring.Bitmap, error) {
	var q facetQuery
	q.anyOf(facetHas, []string{hasHeadcount})
	for bit := range headcountBits {
		q.anyOf(facetHeadcount, []string{strconv.Itoa(bit)})
	}
	sets, err := q.sets(ctx, db)
	if err != nil {
		return nil, err
	}
	known, slices := sets[0], sets[1:]
	const most = 1<<headcountBits - 1
	if low > most {
		return roaring.New(), nil
	}
	result := known
	if low > 0 {
		above, _, equal := compare(known, slices, low)
		above.Or(equal)
		result = above
	}
	if high > 0 && high < most {
		_, below, equal := compare(known, slices, high)
		below.Or(equal)
		result = roaring.And(result, below)
	}
	return result, nil
}

// compare splits the leads whose headcount is known into those above, below
// and equal to the bound.
func compare(known *roaring.Bitmap, slices []*roaring.Bitmap, bound int64) (above, below, equal *roaring.Bitmap) {
	above, below, equal = roaring.New(), roaring.New(), known.Clone()
	for bit := len(slices) - 1; bit >= 0; bit-- {
		if bound>>bit&1 == 1 {
			below.Or(roaring.AndNot(equal, slices[bit]))
			equal.And(slices[bit])
		} else {
			above.Or(roaring.And(equal, slices[bit]))
			equal.AndNot(slices[bit])
		}
	}
	return above, below, equal
}

// numbers runs a query for lead numbers.
func numbers(ctx context.Context, db database.Reader, sql string, args ...any) (*roaring.Bitmap, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	var all []uint32
	var no int64
	_, err = pgx.ForEachRow(rows, []any{&no}, func() error {
		all = append(all, uint32(no))
		return nil
	})
	slices.Sort(all) // a bitmap takes numbers in order many times as fast
	return roaring.BitmapOf(all...), err
}
