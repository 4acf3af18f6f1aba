package orderbook_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// O11: results are removed from an order that is over, once.
func TestO11_OnlyAnOrderThatIsOver(t *testing.T) {
	f := setup(t)
	f.verifying("ord_1", 10)
	removed, err := f.RemoveResults(f.ctx, "ord_1")
	require.NoError(t, err)
	require.Zero(t, removed)
	_, err = f.pool.Exec(f.ctx, `UPDATE orders SET results_removed_at = now() WHERE id = 'ord_1'`)
	require.ErrorContains(t, err, "order_o11_removed_after_end")

	f.cancelled("ord_1")
	removed, err = f.RemoveResults(f.ctx, "ord_1")
	require.NoError(t, err)
	require.EqualValues(t, 10, removed)
	before, err := f.Get(f.ctx, "", "ord_1")
	require.NoError(t, err)
	removed, err = f.RemoveResults(f.ctx, "ord_1")
	require.NoError(t, err)
	require.Zero(t, removed)
	again, err := f.Get(f.ctx, "", "ord_1")
	require.NoError(t, err)
	require.Equal(t, before, again)
}

// O11: the room of what was removed is used by orders that come later.
func TestO11_RoomIsUsedAgain(t *testing.T) {
	f := setup(t)
	size := func() (bytes int64) {
		require.NoError(t, f.pool.QueryRow(f.ctx, `SELECT pg_total_relation_size('order_item')`).Scan(&bytes))
		return bytes
	}
	f.verifying("ord_kept", 5000)
	f.verifying("ord_old", 20000)
	f.verifying("ord_kept_too", 5000)
	f.cancelled("ord_old")
	before := size()
	removed, err := f.RemoveResults(f.ctx, "ord_old")
	require.NoError(t, err)
	require.EqualValues(t, 20000, removed)
	_, err = f.pool.Exec(f.ctx, `VACUUM order_item`)
	require.NoError(t, err)
	f.verifying("ord_new", 20000)
	require.InEpsilon(t, before, size(), 0.2, "pages of the index are used again a little later")
}

func (f fixture) cancelled(id string) {
	f.t.Helper()
	tally, _, err := f.Tally(f.ctx, id)
	require.NoError(f.t, err)
	require.NoError(f.t, f.Cancel(f.ctx, id, tally, nil))
}
