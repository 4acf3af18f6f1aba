package lead_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/lead"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/outbox"
)

// atOnce calls do 50 times in the same moment and returns the errors, nil included.
func atOnce(do func(i int) error) []error {
	var wait sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, 50)
	for i := range errs {
		wait.Go(func() {
			<-start
			errs[i] = do(i)
		})
	}
	close(start)
	wait.Wait()
	return errs
}

func oneRow(i int) string { return fmt.Sprintf("email\np%04d@x.test\n", i) }

func (f fixture) upload(c *lead.Catalogue, i int) error {
	_, err := c.Upload(f.ctx, lead.Upload{Org: "acme", Member: "ann"}, strings.NewReader(oneRow(i)))
	return err
}

// C13: 50 uploads at the same time leave no more than the quota, in rows and in
// bytes; what one organization has does not concern another.
func TestC13_QuotaOfUploads(t *testing.T) {
	const fits = 10
	size := int64(len(oneRow(0)))
	for name, quota := range map[string]lead.Quota{
		"rows": {Rows: 4 * fits}, "bytes": {Bytes: 4 * fits * size}, // unused lists may have a quarter
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			c := lead.New(f.pool, lead.WithQuota(quota))
			kept := 0
			for _, err := range atOnce(func(i int) error { return f.upload(c, i) }) {
				var full *lead.QuotaError
				if err == nil {
					kept++
				} else {
					require.ErrorAs(t, err, &full)
				}
			}
			require.Equal(t, fits, kept)
			lists, err := c.Lists(f.ctx, "acme", time.Time{}, "", 100)
			require.NoError(t, err)
			require.Len(t, lists, fits)
			require.Equal(t, size, lists[0].Bytes)
			_, err = c.KeepList(f.ctx, "other", "", strings.NewReader(oneRow(1)))
			require.NoError(t, err)
			_, err = c.KeepEmails(f.ctx, "acme", []string{"one@x.test"}) // in the body of an order
			require.ErrorAs(t, err, new(*lead.QuotaError))

			for _, list := range lists { // used lists count to the whole quota only
				f.book(t, "ord_"+list.ID, list.ID, order.Verify)
				_, err := c.SelectList(f.ctx, "ord_"+list.ID, list.ID)
				require.NoError(t, err)
			}
			require.NoError(t, f.upload(c, 1000))
			require.NoError(t, c.DeleteList(f.ctx, "acme", "ann", f.newest(t, c)))
		})
	}
}

func TestC13_UsedListsCountToo(t *testing.T) {
	f := setup(t)
	c := lead.New(f.pool, lead.WithQuota(lead.Quota{Rows: 4}))
	for i := range 4 {
		require.NoError(t, f.upload(c, i))
		id := f.newest(t, c)
		_, err := c.SelectList(f.ctx, fmt.Sprint("ord_", i), id)
		require.NoError(t, err)
	}
	require.ErrorAs(t, f.upload(c, 5), new(*lead.QuotaError))
	_, err := c.KeepEmails(f.ctx, "acme", []string{"one@x.test"})
	require.NoError(t, err, "an order may still bring its own")
}

func (f fixture) newest(t *testing.T, c *lead.Catalogue) string {
	t.Helper()
	lists, err := c.Lists(f.ctx, "acme", time.Time{}, "", 1)
	require.NoError(t, err)
	require.Len(t, lists, 1)
	return lists[0].ID
}

// book enters an order for a list.
func (f fixture) book(t *testing.T, id, list string, kind order.Kind) {
	t.Helper()
	_, err := orderbook.New(f.pool).Create(f.ctx, orderbook.NewOrder{
		ID: id, Org: "acme", Request: order.Request{Kind: kind, ListID: list, Count: 1}, PlanID: "p", PlanVersion: 1, Status: order.Reserved,
	})
	require.NoError(t, err)
}

func (f fixture) count(t *testing.T, table string) (n int64) {
	t.Helper()
	require.NoError(t, f.pool.QueryRow(f.ctx, `SELECT count(*) FROM `+table).Scan(&n))
	return n
}

// C13: a list is deleted by those who may, unless an open order uses it. The order's
// results stay, without the cells of the list.
func TestC13_DeletedLists(t *testing.T) {
	f := setup(t)
	list, err := f.Upload(f.ctx, lead.Upload{Org: "acme", Member: "ann"}, strings.NewReader("Name,Email\nAnn,ann@x.test\nBob,bob@x.test\n"))
	require.NoError(t, err)
	ready := func() (n int) {
		t.Helper()
		rows, _ := f.pool.Query(f.ctx, `SELECT payload FROM outbox WHERE topic = $1 AND payload ->> 'id' = $2`, outbox.ListReady, list.ID)
		events, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		require.NoError(t, err)
		for _, event := range events {
			require.NoError(t, outbox.Fits(outbox.ListReady, event))
			require.Contains(t, string(event), `"rows": 2`)
		}
		return len(events)
	}
	require.Equal(t, 1, ready(), "it is announced")
	_, err = f.Upload(f.ctx, lead.Upload{Org: "acme", Member: "ann"}, strings.NewReader("Name,Email\nAnn,ann@x.test\nBob,bob@x.test\n"))
	require.NoError(t, err)
	require.Equal(t, 1, ready(), "the same list again is the same list")
	require.ErrorIs(t, f.DeleteList(f.ctx, "other", "", list.ID), lead.ErrNoList)
	require.ErrorIs(t, f.DeleteList(f.ctx, "acme", "bob", list.ID), lead.ErrNoList, "it is Ann's")
	f.book(t, "ord_a", list.ID, order.Verify)
	require.ErrorIs(t, f.DeleteList(f.ctx, "acme", "ann", list.ID), lead.ErrListInUse, "before the order has selected")
	_, err = f.SelectList(f.ctx, "ord_a", list.ID)
	require.NoError(t, err)
	require.ErrorIs(t, f.DeleteList(f.ctx, "acme", "ann", list.ID), lead.ErrListInUse)
	_, err = f.pool.Exec(f.ctx, `UPDATE order_item SET verdict = 'valid', reason = 'accepted', checked_at = now(), delivered_at = now()`)
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `UPDATE orders SET status = 'cancelled', settled_at = now()`)
	require.NoError(t, err)
	require.NoError(t, f.DeleteList(f.ctx, "acme", "ann", list.ID))
	require.Zero(t, f.count(t, "list"))
	require.Zero(t, f.count(t, "list_row"))
	var results bytes.Buffer
	require.NoError(t, f.WriteResults(f.ctx, &results, "ord_a", lead.CSV, lead.ResultOptions{}))
	require.Contains(t, results.String(), "ann@x.test,valid")
	require.NotContains(t, results.String(), "Ann,")

	_, err = f.SelectList(f.ctx, "ord_late", list.ID)
	require.ErrorIs(t, err, lead.ErrNoList, "an order that comes too late fails, rather than wait for ever")
	_, err = f.SelectList(f.ctx, "ord_a", list.ID)
	require.NoError(t, err, "one that has selected goes on")
}

// C13: what no order has used for a week goes; what an open order is to use, what
// was asked for lately and what an order has used stays.
func TestC13_UnusedListsExpire(t *testing.T) {
	f := setup(t)
	ids := map[string]string{}
	for i, name := range []string{"unused", "wanted", "again", "booked", "used", "young"} {
		require.NoError(t, f.upload(f.Catalogue, i))
		ids[name] = f.newest(t, f.Catalogue)
	}
	inBody, err := f.KeepEmails(f.ctx, "acme", []string{"body@x.test"})
	require.NoError(t, err)
	_, err = f.pool.Exec(f.ctx, `UPDATE list SET wanted_at = now() - interval '8 days' WHERE id <> $1`, ids["young"])
	require.NoError(t, err)
	_, err = f.Want(f.ctx, "acme", ids["wanted"])
	require.NoError(t, err)
	require.NoError(t, f.upload(f.Catalogue, 2)) // the same again
	f.book(t, "ord_b", ids["booked"], order.Verify)
	_, err = f.SelectList(f.ctx, "ord_u", ids["used"])
	require.NoError(t, err)
	n, err := f.ExpireLists(f.ctx, 100)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	for name, id := range ids {
		_, err := f.List(f.ctx, "acme", id)
		if name == "unused" {
			require.ErrorIs(t, err, lead.ErrNoList)
		} else {
			require.NoError(t, err, name)
		}
	}
	_, err = f.List(f.ctx, "acme", inBody.ID)
	require.ErrorIs(t, err, lead.ErrNoList)
	require.EqualValues(t, 5, f.count(t, "list_row"))

	// Nor does a clock that was ahead keep a list for ever.
	_, err = f.pool.Exec(f.ctx, `UPDATE list SET wanted_at = now() + interval '1 year' WHERE id = ANY ($1)`, []string{ids["wanted"], ids["again"]})
	require.NoError(t, err)
	_, err = f.Want(f.ctx, "acme", ids["wanted"])
	require.NoError(t, err)
	n, err = f.ExpireLists(f.ctx, 100)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = f.List(f.ctx, "acme", ids["wanted"])
	require.NoError(t, err)
}
