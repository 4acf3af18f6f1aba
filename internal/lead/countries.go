package lead

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/orderbook"
)

// Countries says in which country the telephone numbers of an order's items are
// to be read: the lead's, and where the catalogue does not have that, the
// country in the row of the list that stands for the lead. Items without either
// are left out.
func (c *Catalogue) Countries(ctx context.Context, orderID string, items []int64) (map[int64]string, error) {
	rows, err := c.pool.Query(ctx, `
		SELECT i.n, coalesce(l.country, '')
		FROM order_item i LEFT JOIN lead l ON l.no = i.lead_no
		WHERE `+orderbook.Numbered, orderID, items)
	if err != nil {
		return nil, fmt.Errorf("reading the countries of leads of order %s: %w", orderID, err)
	}
	of := make(map[int64]string, len(items))
	var silent []int64
	var n int64
	var country string
	if _, err := pgx.ForEachRow(rows, []any{&n, &country}, func() error {
		if country == "" {
			silent = append(silent, n)
		} else {
			of[n] = country
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("reading the countries of leads of order %s: %w", orderID, err)
	}
	if len(silent) > 0 {
		if err := c.countriesOfRows(ctx, orderID, silent, of); err != nil {
			return nil, fmt.Errorf("reading the countries of the list of order %s: %w", orderID, err)
		}
	}
	return of, nil
}

// countriesOfRows adds the countries of items whose lead has none, from the rows
// of the order's list.
func (c *Catalogue) countriesOfRows(ctx context.Context, orderID string, items []int64, of map[int64]string) error {
	selection, err := c.selectionOf(ctx, orderID)
	if err != nil || selection.List == "" || len(selection.Fields) == 0 {
		return err
	}
	at := countryColumn(selection.Columns)
	if at < 0 {
		return nil
	}
	fields := int64(len(selection.Fields))
	of1 := func(n int64) int64 { return n - (n-1)%fields } // the first item of the same lead
	firsts := make([]int64, len(items))
	for i, n := range items {
		firsts[i] = of1(n)
	}
	rows, err := c.pool.Query(ctx, `
		SELECT o.item, r.cells[$4]
		FROM order_row o JOIN list_row r ON r.list_id = $2 AND r.n = o.n
		WHERE o.order_id = $1 AND o.item = ANY ($3) AND trim(r.cells[$4]) <> ''
		ORDER BY o.n DESC`, orderID, selection.List, firsts, at+1) // the first row's word stands
	if err != nil {
		return err
	}
	byFirst := make(map[int64]string, len(items))
	var first int64
	var cell string
	if _, err := pgx.ForEachRow(rows, []any{&first, &cell}, func() error {
		byFirst[first] = unguard(cell)
		return nil
	}); err != nil {
		return err
	}
	for _, n := range items {
		if country := byFirst[of1(n)]; country != "" {
			of[n] = country
		}
	}
	return nil
}

// countryColumn finds the column of a list that has the country, -1 where none
// has.
func countryColumn(columns []string) int {
	for _, name := range []string{"country", "country code", "country name", "country iso", "land", "pays"} {
		if i := slices.IndexFunc(columns, func(column string) bool {
			return strings.EqualFold(strings.NewReplacer("_", " ", "-", " ").Replace(strings.TrimSpace(column)), name)
		}); i >= 0 {
			return i
		}
	}
	return -1
}
