package intake

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/postgres/pgtest"
)

// Everybody who waits for an order hears what became of it. When the connection is
// lost, all waiting ends, and the next announcement is heard again.
func TestAnnouncementsAreHeard(t *testing.T) {
	ctx, pool := t.Context(), pgtest.New(t)
	book := orderbook.New(pool)
	a := &announcements{book: book}
	t.Cleanup(a.close)
	one, both := a.expect(ctx, "a"), a.expect(ctx, "a", "b")
	require.NotNil(t, one)
	require.NoError(t, book.Announce(ctx, []orderbook.Announcement{
		{OrderID: "c"},
		{OrderID: "a", RequestHash: "h", Order: order.Order{ID: "a", Status: order.Reserved}},
		{OrderID: "b", Refused: &order.Refusal{Code: "invalid", Message: "No."}},
	}))
	heard := <-one.said
	require.Equal(t, "h", heard.RequestHash)
	require.Equal(t, order.Reserved, heard.Order.Status)
	require.Equal(t, heard, <-both.said)
	require.Equal(t, "No.", (<-both.said).Refused.Message)
	a.forget(one)
	a.forget(both)
	require.Empty(t, a.waiting)

	lost := a.expect(ctx, "d", "e")
	_, err := pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`)
	require.NoError(t, err)
	_, open := <-lost.said
	require.False(t, open)
	a.forget(lost)
	again := a.expect(ctx, "d")
	require.NoError(t, book.Announce(ctx, []orderbook.Announcement{{OrderID: "d"}}))
	require.Equal(t, "d", (<-again.said).OrderID)
}

// A pooler that gives each transaction another connection takes LISTEN and passes
// nothing on: this is noticed, and not by a submitter who waits.
func TestAnnouncementsThatDoNotComeThroughAreNotWaitedFor(t *testing.T) {
	pool := pgtest.New(t)
	a := &announcements{book: orderbook.New(pool)}
	t.Cleanup(a.close)
	_, err := pool.Exec(t.Context(), `
		CREATE SCHEMA pooler;
		CREATE FUNCTION pooler.pg_notify(text, text) RETURNS void LANGUAGE sql AS '';
		DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = pooler, pg_catalog, public', current_database()); END $$`)
	require.NoError(t, err)
	pool.Reset()
	began := time.Now()
	require.Nil(t, a.expect(t.Context(), "a"))
	require.Nil(t, a.expect(t.Context(), "a"))
	require.Less(t, time.Since(began), 2*listensWithin, "it is not tried for each order")
}

// A worker of an earlier build announces nothing; its orders are found in the book.
func TestOrdersThatAreNotAnnouncedAreFoundInTheBook(t *testing.T) {
	pool := pgtest.New(t)
	in := &Intake{book: orderbook.New(pool)}
	in.announced = &announcements{book: in.book}
	t.Cleanup(in.Close)
	entering := func(ctx context.Context) error {
		_, err := in.book.Create(ctx, orderbook.NewOrder{
			ID: "a", Org: "acme", Request: order.Request{Kind: order.LeadList, Count: 1}, PlanID: "p", PlanVersion: 1, Status: order.Reserved,
		})
		return err
	}
	began := time.Now()
	said, err := in.begin(t.Context(), entering, "a")
	require.NoError(t, err)
	require.Equal(t, map[string]orderbook.Announcement{"a": {OrderID: "a"}}, said)
	require.Less(t, time.Since(began), announcedIn)
}
