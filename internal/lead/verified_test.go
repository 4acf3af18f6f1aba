package lead_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
)

// C9: orders whose rows are read together each get their own, the same as in their
// results: of lists with malformed rows, of what is not delivered yet, and of lists
// that were deleted.
func TestC9_RowsThatAreReadTogetherAreThoseOfTheResults(t *testing.T) {
	f := setup(t)
	const orders = 20
	for i := range orders {
		list := f.keep(fmt.Sprintf("email\nann%d@x.test\nno address\nInfo <INFO%d@x.test>\nann%d@x.test\nlate%d@x.test\n", i, i, i, i), "")
		id := fmt.Sprint("ord_", i)
		_, err := f.SelectList(f.ctx, id, list.ID)
		require.NoError(t, err)
		_, err = f.pool.Exec(f.ctx, `
			UPDATE order_item SET verdict = 'valid', reason = 'accepted', mx_host = 'mx' || $2 || '.test', smtp_code = 250, smtp_enhanced = '2.1.5', checked_at = '2026-01-02T03:04:05Z',
				delivered_at = now(), score = 90, provider = 'google', flags = 9
			WHERE order_id = $1 AND value NOT LIKE 'late%'`, id, fmt.Sprint(i))
		require.NoError(t, err)
		if i%3 == 0 {
			_, err = f.pool.Exec(f.ctx, `DELETE FROM list WHERE id = $1`, list.ID)
			require.NoError(t, err)
		}
	}
	var all sync.WaitGroup
	var together [orders * 3][]lead.Verified
	for i := range together {
		all.Go(func() {
			var err error
			if together[i], err = f.Verified(f.ctx, "acme", fmt.Sprint("ord_", i%orders)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, rows := range together {
		var out bytes.Buffer
		require.NoError(t, f.WriteResults(f.ctx, &out, fmt.Sprint("ord_", i%orders), lead.NDJSON, lead.ResultOptions{}))
		var want []lead.Verified
		for decoder := json.NewDecoder(&out); decoder.More(); {
			var row lead.Verified
			require.NoError(t, decoder.Decode(&row))
			want = append(want, row)
		}
		require.Len(t, want, map[bool]int{true: 2, false: 4}[i%orders%3 == 0], "the addresses of a deleted list, all rows that are over of another")
		got, err := json.Marshal(rows)
		require.NoError(t, err)
		expected, err := json.Marshal(want)
		require.NoError(t, err)
		require.JSONEq(t, string(expected), string(got))
	}
	none, err := f.Verified(f.ctx, "acme", "ord_none")
	require.NoError(t, err)
	require.Empty(t, none)
}
