package lead

import (
	"testing"

	"github.com/RoaringBitmap/roaring/v2"
	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

// A slow process that stores what it read some time ago does not take the place of
// what a faster one has stored since, unless that is of another journal.
func TestAnEarlierOwnedSetGivesWay(t *testing.T) {
	pool, ctx := pgtest.New(t), t.Context()
	books := ledger.New(pool)
	defer books.Close()
	for _, key := range []string{"one", "two"} {
		_, err := books.Grant(ctx, ledger.Grant{Owner: "acme", Key: key, Type: "email", Amount: 5, Source: ledger.SourcePack})
		require.NoError(t, err)
	}
	at := func(seq int64) (s ownedSet) {
		s.leads = roaring.BitmapOf(1, 2, 3)
		require.NoError(t, pool.QueryRow(ctx, `SELECT seq, hash FROM credit_entry WHERE owner = 'acme' AND seq = $1`, seq).Scan(&s.seq, &s.head))
		return s
	}
	c, of := New(pool), ownership{org: "acme", factType: "email"}
	stored := func() int64 {
		set, err := c.storedSet(ctx, of)
		require.NoError(t, err)
		return set.seq
	}
	require.NoError(t, c.storeSet(ctx, of, at(2)))
	require.NoError(t, c.storeSet(ctx, of, at(1)))
	require.EqualValues(t, 2, stored())
	_, err := pool.Exec(ctx, `UPDATE owned_set SET head = 'x'`) // before the database was restored
	require.NoError(t, err)
	require.NoError(t, c.storeSet(ctx, of, at(1)))
	require.EqualValues(t, 1, stored())
}
