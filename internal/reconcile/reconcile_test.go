package reconcile_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/reconcile"
)

// early is the book as it was when the open orders were listed: before any of today's
// was entered.
type early struct{ *orderbook.Book }

func (early) Open(context.Context, int64, int) ([]orderbook.OpenOrder, error) { return nil, nil }

// ended are workflows of which none is running any more.
type ended struct{}

func (ended) RunningOrders(context.Context) (map[string]bool, error) { return nil, nil }
func (ended) Runs(context.Context, string) (bool, error)             { return false, nil }
func (ended) TakeUp(context.Context, order.Input) error              { return nil }
func (ended) EndRunning(context.Context, string) error               { return nil }
func (ended) PassCancelOn(context.Context, string) error             { return nil }

// running are workflows that run, of which Temporal's list does not tell yet.
type running struct{ ended }

func (running) Runs(context.Context, string) (bool, error) { return true, nil }

type world struct {
	pool  *pgxpool.Pool
	book  *orderbook.Book
	books *ledger.Ledger
}

// setup enters an order with its hold, and makes a hold that has no order.
func setup(t *testing.T) world {
	ctx := t.Context()
	pool := pgtest.New(t)
	accounts, books, book := account.New(pool), ledger.New(pool), orderbook.New(pool)
	t.Cleanup(books.Close)
	require.NoError(t, accounts.EnsurePresets(ctx))
	_, err := accounts.CreateOrg(ctx, account.Org{ID: "acme", Name: "Acme", Plan: "verified-leads"})
	require.NoError(t, err)
	_, err = books.Grant(ctx, ledger.Grant{Owner: "acme", Key: "start", Type: "email", Amount: 100, Source: ledger.SourcePack})
	require.NoError(t, err)
	for _, id := range []string{"ord_entered", "ord_lost"} {
		_, err := books.Hold(ctx, ledger.Hold{Owner: "acme", Key: id, HoldID: id, Lines: []ledger.Line{{Type: "email", Amount: 30, Pools: []string{""}}}})
		require.NoError(t, err)
	}
	_, err = book.Create(ctx, orderbook.NewOrder{
		ID: "ord_entered", Org: "acme", Request: order.Request{Kind: order.LeadList, Count: 30}, PlanID: "verified-leads", PlanVersion: 1,
		Status: order.Reserved, Held: []order.Amount{{Type: "email", Amount: 30}},
	})
	require.NoError(t, err)
	return world{pool, book, books}
}

func (w world) released(t *testing.T, want map[string]int64) {
	t.Helper()
	for id, released := range want {
		lines, err := w.books.HoldState(t.Context(), "acme", id)
		require.NoError(t, err)
		require.Equal(t, released, lines[0].Released, id)
	}
}

// An order that is entered after the open orders were listed, and whose workflow is
// terminated then, is not in the list while its hold is open: the hold stays for the
// next run, which takes the order up. A hold that has no order is released.
func TestAHoldIsNotReleasedUnderAnOrderThatWasJustEntered(t *testing.T) {
	w := setup(t)
	result, err := reconcile.New(w.pool, early{w.book}, w.books, ended{}, slog.New(slog.DiscardHandler)).Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, []reconcile.Lost{{OrderID: "ord_lost", Org: "acme"}}, result.Lost)
	w.released(t, map[string]int64{"ord_entered": 0, "ord_lost": 30})
}

// What runs is not lost, although Temporal does not list it yet: neither an order,
// nor a hold whose workflow has not entered its order.
func TestWhatRunsIsNotLost(t *testing.T) {
	w := setup(t)
	result, err := reconcile.New(w.pool, w.book, w.books, running{}, slog.New(slog.DiscardHandler)).Run(t.Context())
	require.NoError(t, err)
	require.Empty(t, result.Lost)
	require.Zero(t, result.Recovered+result.Released)
	w.released(t, map[string]int64{"ord_entered": 0, "ord_lost": 0})
}
