package ledger_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres/pgtest"
)

// I2, I10: a void takes what is available, says what was spent and what is held,
// and happens once. The audit follows it.
func TestVoidTakesWhatIsAvailable(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l := ledger.New(pool)
	t.Cleanup(l.Close)
	grant(t, l, ledger.Grant{Key: "g", Amount: 100})
	_, err := l.Charge(ctx, ledger.Charge{Owner: "acme", Key: "c", Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{""}, Amount: 30}}})
	require.NoError(t, err)
	_, err = l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "h", HoldID: "h", Lines: []ledger.Line{{Type: "email", Amount: 20, Pools: []string{""}}}})
	require.NoError(t, err)

	part := ledger.Void{Owner: "acme", Key: "part", Grant: 1, Amount: 10}
	for range 2 {
		voided, err := l.Void(ctx, part)
		require.NoError(t, err)
		require.Equal(t, ledger.VoidResult{Type: "email", Voided: 10, Available: 40, Held: 20, Spent: 30}, voided)
	}
	part.Amount = 11
	_, err = l.Void(ctx, part)
	require.ErrorIs(t, err, ledger.ErrKeyReused)
	voided, err := l.Void(ctx, ledger.Void{Owner: "acme", Key: "too much", Grant: 1, Amount: 1000})
	require.NoError(t, err)
	require.Equal(t, ledger.VoidResult{Type: "email", Voided: 40, Held: 20, Spent: 30}, voided)
	voided, err = l.Void(ctx, ledger.Void{Owner: "acme", Key: "nothing left", Grant: 1})
	require.NoError(t, err)
	require.Equal(t, ledger.VoidResult{Type: "email", Held: 20, Spent: 30}, voided)
	for _, no := range []int64{2, 1 << 40} {
		_, err = l.Void(ctx, ledger.Void{Owner: "acme", Key: "unknown", Grant: no})
		require.ErrorIs(t, err, ledger.ErrUnknownGrant)
	}
	_, err = l.Void(ctx, ledger.Void{Owner: "acme", Key: "none", Grant: 0})
	require.ErrorIs(t, err, ledger.ErrInvalid)

	// What an order gives back is there again, and can be taken back again.
	_, err = l.Release(ctx, ledger.Release{Owner: "acme", Key: "r", HoldID: "h"})
	require.NoError(t, err)
	other := ledger.New(pool) // that has not seen the grant
	t.Cleanup(other.Close)
	voided, err = other.Void(ctx, ledger.Void{Owner: "acme", Key: "the rest", Grant: 1})
	require.NoError(t, err)
	require.Equal(t, ledger.VoidResult{Type: "email", Voided: 20, Spent: 30}, voided)
	requireClean(t, pool)

	history, err := l.History(ctx, ledger.HistoryFilter{Owner: "acme", Kind: "void"})
	require.NoError(t, err)
	require.Len(t, history.Lines, 3)
	require.Zero(t, history.Lines[0].Balance)

	_, err = pool.Exec(ctx, `UPDATE credit_grant SET available = 20, voided = 50, live = true`)
	require.NoError(t, err)
	report, err := ledger.Audit(ctx, pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Equal(t, "acme/1", report.Findings[0].Key)
}

// I2: voids and orders that come at once share the credits of a grant; none is
// taken twice.
func TestVoidBesideOrders(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	ledgers := []*ledger.Ledger{ledger.New(pool), ledger.New(pool)}
	for _, l := range ledgers {
		t.Cleanup(l.Close)
	}
	grant(t, ledgers[0], ledger.Grant{Key: "g", Amount: 500})
	var spent, voided atomic.Int64
	var group errgroup.Group
	for i := range 100 {
		group.Go(func() error {
			l := ledgers[i%2]
			if i%5 == 0 {
				r, err := l.Void(ctx, ledger.Void{Owner: "acme", Key: fmt.Sprint("v", i), Grant: 1, Amount: 12})
				voided.Add(r.Voided)
				return err
			}
			r, err := l.Charge(ctx, ledger.Charge{Owner: "acme", Key: fmt.Sprint("c", i), Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{""}, Amount: 7}}})
			if r.Charged {
				spent.Add(7)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	balances, err := ledgers[0].Balances(ctx, "acme")
	require.NoError(t, err)
	require.EqualValues(t, 500, spent.Load()+voided.Load()+balances[0].Available)
	require.Equal(t, spent.Load(), balances[0].Captured)
	requireClean(t, pool)
}

// Each move of credits outside of orders and resets makes an event, in the
// transaction that makes it true, once for each pool and type.
func TestCreditsEvents(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l := ledger.New(pool)
	t.Cleanup(l.Close)
	for range 2 { // a repeated grant makes one event
		grant(t, l, ledger.Grant{Key: "g", Amount: 30, Priority: 3, Memo: ledger.Memo{Reason: "welcome"}})
	}
	grant(t, l, ledger.Grant{Key: "bob", Amount: 5, Pool: "bob"})
	charge := ledger.Charge{
		Owner: "acme", Key: "c", Memo: ledger.Memo{OrderID: "ord_1"},
		Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{"bob", ""}, Amount: 9}},
	}
	_, err := l.Charge(ctx, charge)
	require.NoError(t, err)
	_, err = l.Reverse(ctx, ledger.Reverse{Owner: "acme", Key: "r", HoldID: "c", Memo: ledger.Memo{OrderID: "ord_1", Reason: "goodwill"}})
	require.NoError(t, err)
	_, err = l.Void(ctx, ledger.Void{Owner: "acme", Key: "v", Grant: 1, Amount: 10, Memo: ledger.Memo{Reason: "typing error"}})
	require.NoError(t, err)
	require.Equal(t, []string{
		`credits.granted {"amount":30,"balance":30,"entry":1,"grant_id":1,"org":"acme","pool":"","priority":3,"reason":"welcome","source":"pack","type":"email"}`,
		`credits.granted {"amount":5,"balance":5,"entry":2,"grant_id":2,"org":"acme","pool":"bob","source":"pack","type":"email"}`,
		`credits.reversed {"amount":4,"balance":30,"entry":4,"order_id":"ord_1","org":"acme","pool":"","reason":"goodwill","type":"email"}`,
		`credits.reversed {"amount":5,"balance":5,"entry":4,"order_id":"ord_1","org":"acme","pool":"bob","reason":"goodwill","type":"email"}`,
		`credits.voided {"amount":10,"balance":20,"entry":5,"grant_id":1,"org":"acme","pool":"","reason":"typing error","type":"email"}`,
	}, outbox(t, pool))

	over := time.Now().Add(-time.Second)
	grant(t, l, ledger.Grant{Key: "x1", Amount: 4, ExpiresAt: over})
	grant(t, l, ledger.Grant{Key: "x2", Amount: 6, ExpiresAt: over, Pool: "bob"})
	_, err = l.Expire(ctx, ledger.Expire{Owner: "acme"})
	require.NoError(t, err)
	require.Equal(t, []string{
		`credits.expired {"amount":4,"balance":20,"entry":8,"org":"acme","pool":"","type":"email"}`,
		`credits.expired {"amount":6,"balance":5,"entry":8,"org":"acme","pool":"bob","type":"email"}`,
	}, outbox(t, pool)[7:])
}

// outbox lists events by entry and pool, without their times.
func outbox(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, _ := pool.Query(t.Context(), `SELECT topic, payload - 'at' - 'expires_at' FROM outbox ORDER BY (payload ->> 'entry')::bigint, payload ->> 'pool'`)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var topic string
		var payload map[string]any
		if err := row.Scan(&topic, &payload); err != nil {
			return "", err
		}
		text, err := json.Marshal(payload) // its keys in order
		return topic + " " + string(text), err
	})
	require.NoError(t, err)
	return list
}
