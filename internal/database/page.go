package database

import (
	"math"
	"strconv"
)

// Below begins a page of rows that have numbers, newest first: they lie below the
// number in the cursor, or below any number on the first page. base is that in which
// the list writes its cursors. ok is false where the cursor is none.
func Below(cursor string, base int) (number int64, ok bool) {
	if cursor == "" {
		return math.MaxInt64, true
	}
	number, err := strconv.ParseInt(cursor, base, 64)
	return number, err == nil && number > 0
}

// Cut takes off the row that was read beyond the limit to see whether another page
// follows; next is the cursor of that page.
func Cut[T any](rows []T, limit, base int, number func(T) int64) (page []T, next string) {
	if len(rows) <= limit {
		return rows, ""
	}
	return rows[:limit], strconv.FormatInt(number(rows[limit-1]), base)
}
