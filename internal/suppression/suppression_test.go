package suppression_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/suppression"
)

func TestU1_NoContactDataIsKept(t *testing.T) {
	pool := pgtest.New(t)
	list := suppression.New(pool)
	added, err := list.Add(t.Context(), "acme", "asked to", []string{" Ann@Example.test", "ann@example.TEST", "@corp.test", "corp.test"})
	require.NoError(t, err)
	require.EqualValues(t, 2, added, "each once, however it is written")
	added, err = list.Add(t.Context(), "acme", "again", []string{"ann@example.test"})
	require.NoError(t, err)
	require.Zero(t, added)

	rows, err := pool.Query(t.Context(), `SELECT row_to_json(s)::text || encode(subject, 'escape') FROM suppression s`)
	require.NoError(t, err)
	stored, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Len(t, stored, 2)
	for _, row := range stored {
		require.NotContains(t, row, "example")
		require.NotContains(t, row, "corp")
		require.Contains(t, row, "asked to")
	}
}

func TestU2_AListConcernsItsOwner(t *testing.T) {
	list := suppression.New(pgtest.New(t))
	_, err := list.Add(t.Context(), "acme", "", []string{"ann@example.test", "corp.test"})
	require.NoError(t, err)
	_, err = list.Add(t.Context(), suppression.Everybody, "", []string{"bob@example.test"})
	require.NoError(t, err)
	entries := []string{"ANN@example.test", "bob@example.test", "eve@corp.test", "eve@example.test", "corp.test"}
	for org, want := range map[string][]bool{
		"acme": {true, true, true, false, true},
		"beta": {false, true, false, false, false},
	} {
		got, err := list.Suppressed(t.Context(), org, entries)
		require.NoError(t, err)
		require.Equal(t, want, got, org)
	}

	removed, err := list.Remove(t.Context(), "acme", []string{"ann@example.test", "bob@example.test"})
	require.NoError(t, err)
	require.EqualValues(t, 1, removed, "what is on everybody's list stays there")
	n, err := list.Count(t.Context(), "acme")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

// U5: parallel calls put no more on an organization's list than it may have; the
// operator's has no bound.
func TestU5_AListIsBounded(t *testing.T) {
	ctx := t.Context()
	list := suppression.New(pgtest.New(t))
	suppression.SetMost(list, 100)
	var wait sync.WaitGroup
	var added, refused, other atomic.Int64
	for i := range 50 {
		wait.Go(func() {
			entries := make([]string, 10)
			for k := range entries {
				entries[k] = fmt.Sprintf("p%d@n%d.test", k, i)
			}
			n, err := list.Add(ctx, "acme", "", entries)
			if errors.Is(err, suppression.ErrFull) {
				refused.Add(1)
			} else if err != nil {
				other.Add(1)
			}
			added.Add(n)
		})
	}
	wait.Wait()
	require.Equal(t, []int64{100, 40, 0}, []int64{added.Load(), refused.Load(), other.Load()})
	n, err := list.Count(ctx, "acme")
	require.NoError(t, err)
	require.EqualValues(t, 100, n)
	again, err := list.Add(ctx, "acme", "", []string{"full.test"})
	require.ErrorIs(t, err, suppression.ErrFull)
	require.Zero(t, again)
	removed := int64(0)
	for i := range 50 {
		n, err := list.Remove(ctx, "acme", []string{fmt.Sprintf("p0@n%d.test", i)})
		require.NoError(t, err)
		removed += n
	}
	require.EqualValues(t, 10, removed)
	more, err := list.Add(ctx, "acme", "", []string{"full.test"})
	require.NoError(t, err)
	require.EqualValues(t, 1, more, "what is removed makes room")
	many := make([]string, 200)
	for k := range many {
		many[k] = fmt.Sprintf("n%d.test", k)
	}
	_, err = list.Add(ctx, suppression.Everybody, "", many)
	require.NoError(t, err)
}

func TestWhatIsNoEntryIsRefusedWhole(t *testing.T) {
	list := suppression.New(pgtest.New(t))
	for _, entry := range []string{"", "ann", "ann@localhost", "ann@example.test, bob@example.test"} {
		_, err := list.Add(t.Context(), "acme", "", []string{"good@example.test", entry})
		var invalid *suppression.InvalidError
		require.ErrorAs(t, err, &invalid, entry)
		require.Equal(t, 2, invalid.Line)
	}
	n, err := list.Count(t.Context(), "acme")
	require.NoError(t, err)
	require.Zero(t, n)
}

// A reason is as long as everywhere, and none makes of a listed person one who was
// erased.
func TestReasonsOfEntries(t *testing.T) {
	pool := pgtest.New(t)
	list := suppression.New(pool)
	for reason, want := range map[string]string{
		strings.Repeat("ü", suppression.MaxReason+1): "501 characters", suppression.Erased: "erased",
	} {
		_, err := list.Add(t.Context(), suppression.Everybody, reason, []string{"ann@example.test"})
		require.ErrorContains(t, err, want)
	}
	added, err := list.Add(t.Context(), suppression.Everybody, strings.Repeat("ü", suppression.MaxReason), []string{"ann@example.test"})
	require.NoError(t, err)
	require.EqualValues(t, 1, added)
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	erased, err := suppression.WhichErased(t.Context(), tx, [][]byte{suppression.Subject("ann@example.test")})
	require.NoError(t, err)
	require.Equal(t, []bool{false}, erased)
	require.NoError(t, tx.Rollback(t.Context()))
}
