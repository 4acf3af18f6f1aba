package suppression_test

import (
	"strings"
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
