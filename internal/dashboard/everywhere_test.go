package dashboard

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/api"
	"holdfast/internal/ledger"
)

// inCells is a visit of an address behind which cells are.
func inCells(t *testing.T, names ...string) *visit {
	t.Helper()
	cells := &Cells{}
	for _, name := range names {
		cells.join(&Dashboard{Config: Config{Cell: name, Cells: cells, Log: slog.New(slog.DiscardHandler)}})
	}
	return &visit{Dashboard: cells.all[0], r: httptest.NewRequestWithContext(t.Context(), "GET", "/app/operator", nil)}
}

// paged is a list that is read in pages of up to size entries, as the API does.
func paged(list []time.Time, cursor string, size int) ([]time.Time, string, error) {
	from, _ := strconv.Atoi(cursor)
	to := min(from+size, len(list))
	if to == len(list) {
		return list[from:], "", nil
	}
	return list[from:to], strconv.Itoa(to), nil
}

func identity(t time.Time) time.Time { return t }

// TestMergedLists: pages of a list of all cells have each entry once, newest first,
// however the entries are spread.
func TestMergedLists(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		v := inCells(t, "a", "b", "c")
		lists, all := map[string][]time.Time{}, []time.Time{}
		for i := range random.IntN(60) {
			at := time.Unix(int64(1000-i), 0)
			cell := []string{"a", "b", "c"}[random.IntN(1+random.IntN(3))]
			lists[cell], all = append(lists[cell], at), append(all, at)
		}
		size := 1 + random.IntN(8)
		var seen []time.Time
		for cursor, pages := "", 0; ; pages++ {
			require.Less(t, pages, 200)
			page, next, err := merged(v, cursor, size, func(there *visit, cursor string) ([]time.Time, string, error) {
				return paged(lists[there.Cell], cursor, size)
			}, identity)
			require.NoError(t, err)
			require.LessOrEqual(t, len(page), size)
			seen = append(seen, page...)
			if cursor = next; cursor == "" {
				break
			}
		}
		require.Equal(t, all, slices.Clip(append([]time.Time{}, seen...)), "seed %d", seed)
		require.Empty(t, v.silent)
	}
}

// TestSilentCell: a cell that does not answer hides no other and is named; what it
// has comes when it answers again. A filter that is refused is an error.
func TestSilentCell(t *testing.T) {
	v := inCells(t, "a", "b")
	down := true
	read := func(there *visit, cursor string) ([]time.Time, string, error) {
		if there.Cell == "b" && down {
			return nil, "", errors.New("connection refused")
		}
		return paged([]time.Time{time.Unix(5, 0)}, cursor, 10)
	}
	page, next, err := merged(v, "", 10, read, identity)
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.Equal(t, []string{"b"}, v.silent)
	down = false
	page, next, err = merged(v, next, 10, read, identity)
	require.NoError(t, err)
	require.Len(t, page, 1, "that of b")
	require.Empty(t, next)

	_, _, err = merged(v, "", 10, func(*visit, string) ([]time.Time, string, error) { return nil, "", &api.Problem{Status: 422} }, identity)
	require.Error(t, err)
	_, _, err = merged(v, "none", 10, read, identity)
	require.Error(t, err)
	down = true
	_, _, err = merged(inCells(t, "b"), "", 10, read, identity)
	require.ErrorContains(t, err, "refused", "the only one")
}

// TestAuditPassesASilentCellOver: a cell that does not answer is named, and the books
// of the others are proved.
func TestAuditPassesASilentCellOver(t *testing.T) {
	v := inCells(t, "a", "b", "c")
	for _, d := range v.everyone() {
		d.Audit = func(context.Context) (ledger.Report, error) {
			if d.Cell == "b" {
				return ledger.Report{}, errors.New("connection refused")
			}
			return ledger.Report{Entries: 7}, nil
		}
	}
	audits, err := v.audits()
	require.NoError(t, err)
	require.Equal(t, []string{"a", "c"}, slices.Sorted(maps.Keys(audits)))
	require.Equal(t, []string{"b"}, v.silent)

	alone := inCells(t, "b")
	alone.Audit = v.everyone()[1].Audit
	_, err = alone.audits()
	require.ErrorContains(t, err, "refused")
}

// TestWritesReachAllCells: where a cell does not take what all have to have, the
// answer names it.
func TestWritesReachAllCells(t *testing.T) {
	v := inCells(t, "a", "b", "c")
	var took []string
	err := v.inAll(func(there *visit) error {
		if there.Cell == "b" {
			return errors.New("connection refused")
		}
		took = append(took, there.Cell)
		return nil
	})
	var p *api.Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, 503, p.Status)
	require.Contains(t, p.Detail, "The cell b did not take it")
	require.Equal(t, []string{"a"}, took)
}
