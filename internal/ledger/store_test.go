package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/postgres"
	"holdfast/internal/postgres/pgtest"
)

// L6: 10,000 held, 5,000 delivered, 5,000 charged, 5,000 given back.
func TestHoldCaptureReleaseReverse(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l := ledger.New(pool)
	t.Cleanup(l.Close)
	grant(t, l, ledger.Grant{Key: "g1", Amount: 10_000})
	hold := ledger.Hold{Owner: "acme", Key: "o1/hold", HoldID: "o1", Lines: []ledger.Line{{Type: "email", Amount: 10_000, Pools: []string{""}}}}
	held, err := l.Hold(ctx, hold)
	require.NoError(t, err)
	require.True(t, held.Held)

	facts := make([]ledger.Fact, 5000)
	for i := range facts {
		facts[i].Subject = [16]byte{1, byte(i), byte(i >> 8)}
	}
	capture := ledger.Capture{Owner: "acme", Key: "o1/capture/1", HoldID: "o1", Type: "email", Facts: facts, UnitCost: 1}
	captured, err := l.Capture(ctx, capture)
	require.NoError(t, err)
	require.Equal(t, ledger.CaptureResult{Charged: 5000, NewFacts: 5000}, captured)
	capture.Key = "o1/capture/2"
	captured, err = l.Capture(ctx, capture)
	require.NoError(t, err)
	require.Equal(t, ledger.CaptureResult{KnownFacts: 5000}, captured, "I5: what is owned is free")
	_, err = l.Capture(ctx, ledger.Capture{Owner: "acme", Key: "o1/capture/3", HoldID: "o1", Type: "email", Amount: 5001})
	require.ErrorIs(t, err, ledger.ErrHoldExhausted)

	released, err := l.Release(ctx, ledger.Release{Owner: "acme", Key: "o1/release", HoldID: "o1"})
	require.NoError(t, err)
	require.Equal(t, []ledger.Amount{{Type: "email", Amount: 5000}}, released.Released)
	_, err = l.Release(ctx, ledger.Release{Owner: "acme", Key: "o1/release/again", HoldID: "o1"})
	require.ErrorIs(t, err, ledger.ErrHoldClosed)
	_, err = l.Release(ctx, ledger.Release{Owner: "acme", Key: "o2/release", HoldID: "o2"})
	require.ErrorIs(t, err, ledger.ErrUnknownHold)

	again, err := l.Hold(ctx, hold)
	require.NoError(t, err)
	require.Equal(t, held, again, "I7: a repeated request has the first one's result")
	hold.Lines[0].Amount++
	_, err = l.Hold(ctx, hold)
	require.ErrorIs(t, err, ledger.ErrKeyReused, "I7")

	reversed, err := l.Reverse(ctx, ledger.Reverse{Owner: "acme", Key: "o1/reverse", HoldID: "o1", Memo: ledger.Memo{Reason: "by mistake"}})
	require.NoError(t, err)
	require.Equal(t, ledger.ReverseResult{Reversed: 5000, Amounts: []ledger.Amount{{Type: "email", Amount: 5000}}, Facts: 5000}, reversed)
	requireClean(t, pool)
}

func TestInsufficientIsAStoredResult(t *testing.T) {
	ctx := t.Context()
	l := newLedger(t)
	grant(t, l, ledger.Grant{Key: "g1", Amount: 5})
	hold := ledger.Hold{Owner: "acme", Key: "h", HoldID: "h", Lines: []ledger.Line{
		{Type: "email", Amount: 3, Pools: []string{""}},
		{Type: "phone", Amount: 2, Pools: []string{"bob", ""}},
	}}
	lacking := ledger.HoldResult{Missing: []ledger.Amount{{Type: "phone", Amount: 2}}}
	got, err := l.Hold(ctx, hold)
	require.NoError(t, err)
	require.Equal(t, lacking, got, "nothing is held when one line lacks")
	_, err = l.Grant(ctx, ledger.Grant{Owner: "acme", Key: "g2", Type: "phone", Amount: 5, Source: ledger.SourcePack})
	require.NoError(t, err)
	got, err = l.Hold(ctx, hold)
	require.NoError(t, err)
	require.Equal(t, lacking, got, "a retry has the same answer")
	hold.Key = "h2"
	got, err = l.Hold(ctx, hold)
	require.NoError(t, err)
	require.True(t, got.Held, "a new key is a new attempt")
}

func TestInvalidRequests(t *testing.T) {
	ctx := t.Context()
	l := newLedger(t)
	line := []ledger.Line{{Type: "email", Amount: 1, Pools: []string{""}}}
	for name, call := range map[string]func() error{
		"no organization": func() error { _, err := l.Hold(ctx, ledger.Hold{Key: "k", HoldID: "h", Lines: line}); return err },
		"no key":          func() error { _, err := l.Hold(ctx, ledger.Hold{Owner: "acme", HoldID: "h", Lines: line}); return err },
		"no hold id":      func() error { _, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "k", Lines: line}); return err },
		"no pool": func() error {
			_, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "k", HoldID: "h", Lines: []ledger.Line{{Type: "email"}}})
			return err
		},
		"type twice": func() error {
			_, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "k", HoldID: "h", Lines: append(line, line...)})
			return err
		},
		"pool twice": func() error {
			_, err := l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "k", HoldID: "h", Lines: []ledger.Line{{Type: "email", Amount: 1, Pools: []string{"bob", "", "bob"}}}})
			return err
		},
		"too large": func() error {
			_, err := l.Grant(ctx, ledger.Grant{Owner: "acme", Key: "k", Type: "email", Amount: ledger.MaxAmount + 1, Source: ledger.SourcePack})
			return err
		},
		"negative amount": func() error {
			_, err := l.Capture(ctx, ledger.Capture{Owner: "acme", Key: "k", HoldID: "h", Type: "email", Amount: -1})
			return err
		},
		"no source": func() error {
			_, err := l.Grant(ctx, ledger.Grant{Owner: "acme", Key: "k", Type: "email", Amount: 1})
			return err
		},
		"zero grant": func() error {
			_, err := l.Grant(ctx, ledger.Grant{Owner: "acme", Key: "k", Type: "email", Source: ledger.SourcePack})
			return err
		},
		"zero byte": func() error {
			_, err := l.Grant(ctx, ledger.Grant{Owner: "ac\x00me", Key: "k", Type: "email", Amount: 1, Source: ledger.SourcePack})
			return err
		},
		"overflow": func() error {
			_, err := l.Capture(ctx, ledger.Capture{
				Owner: "acme", Key: "k", HoldID: "h", Type: "email", UnitCost: ledger.MaxAmount, Facts: make([]ledger.Fact, 2),
			})
			return err
		},
		"nothing to reverse": func() error { _, err := l.Reverse(ctx, ledger.Reverse{Owner: "acme", Key: "k"}); return err },
	} {
		require.ErrorIs(t, call(), ledger.ErrInvalid, name)
	}
	balances, err := l.Balances(ctx, "acme")
	require.NoError(t, err)
	require.Empty(t, balances)
}

func TestClosedLedgerRefusesWork(t *testing.T) {
	l := ledger.New(pgtest.New(t))
	l.Close()
	_, err := l.Expire(t.Context(), ledger.Expire{Owner: "acme"})
	require.ErrorIs(t, err, ledger.ErrClosed)
}

// The books stay exact while several processes' worth of ledgers work on the
// same organizations, every request is sent twice at once, and connections are
// killed in the middle of it all.
func TestConcurrentClientsAndKilledConnections(t *testing.T) { // I1–I10
	url := pgtest.NewURL(t)
	var ledgers []*ledger.Ledger
	for range 3 {
		l := ledger.New(open(t, url))
		t.Cleanup(l.Close)
		ledgers = append(ledgers, l)
	}
	pool := open(t, url)
	owners := []string{"acme", "globex"}
	for _, owner := range owners {
		for _, p := range []string{"", "ann", "bob"} {
			_, err := ledgers[0].Grant(t.Context(), ledger.Grant{
				Owner: owner, Key: "fund/" + p, Pool: p, Type: "email", Amount: 40_000, Source: ledger.SourcePack,
			})
			require.NoError(t, err)
		}
	}

	var charged atomic.Int64
	var kills atomic.Int64
	var killer, clients sync.WaitGroup
	done := make(chan struct{}, 1000)
	killer.Go(func() { killConnections(t.Context(), pool, done, &kills) })
	const each = 20
	for c := range 24 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(c), 7))
			for i := range each {
				order(t, ledgers, random, owners[c%2], fmt.Sprintf("ord-%d-%d", c, i), &charged)
				done <- struct{}{}
			}
		})
	}
	clients.Wait()
	close(done)
	killer.Wait()

	require.Positive(t, kills.Load(), "connections were killed")
	pool = open(t, url) // none of its connections was killed
	requireClean(t, pool)
	last := ledger.New(pool)
	defer last.Close()
	var available, held, captured int64
	for _, owner := range owners {
		balances, err := last.Balances(t.Context(), owner)
		require.NoError(t, err)
		for _, b := range balances {
			available += b.Available
			held += b.Held
			captured += b.Captured
		}
	}
	require.Zero(t, held)
	require.Equal(t, charged.Load(), captured, "the answers of clients are what the books say")
	require.EqualValues(t, 240_000, available+captured, "I3")
}

// killConnections ends random connections to the database, two for every few
// orders done: as often on a slow machine as on a fast one.
func killConnections(ctx context.Context, pool *pgxpool.Pool, done <-chan struct{}, kills *atomic.Int64) {
	orders := 0
	for range done {
		if orders++; orders%6 != 0 {
			continue
		}
		tag, err := pool.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 2`)
		if err == nil {
			kills.Add(tag.RowsAffected())
		}
	}
}

// order is a client's order: hold, capture overlapping facts in two chunks,
// release; sometimes a part is reversed, sometimes it is a single charge.
func order(t *testing.T, ledgers []*ledger.Ledger, random *rand.Rand, owner, id string, charged *atomic.Int64) {
	pools := []string{[]string{"", "ann", "bob"}[random.IntN(3)]}
	if pools[0] != "" {
		pools = append(pools, "")
	}
	facts := make([]ledger.Fact, 5)
	for i := range facts {
		facts[i].Subject = [16]byte{byte(random.IntN(256)), byte(random.IntN(4))}
	}
	if random.IntN(4) == 0 {
		r := twice(t, ledgers, random, func(ctx context.Context, l *ledger.Ledger) (ledger.ChargeResult, error) {
			return l.Charge(ctx, ledger.Charge{Owner: owner, Key: id, Lines: []ledger.ChargeLine{{Type: "email", Pools: pools, Facts: facts, UnitCost: 2}}})
		})
		charged.Add(r.Lines[0].Charged)
		return
	}
	twice(t, ledgers, random, func(ctx context.Context, l *ledger.Ledger) (ledger.HoldResult, error) {
		return l.Hold(ctx, ledger.Hold{Owner: owner, Key: id + "/hold", HoldID: id, Lines: []ledger.Line{{Type: "email", Amount: 20, Pools: pools}}})
	})
	for chunk := range 2 {
		r := twice(t, ledgers, random, func(ctx context.Context, l *ledger.Ledger) (ledger.CaptureResult, error) {
			return l.Capture(ctx, ledger.Capture{
				Owner: owner, Key: fmt.Sprintf("%s/capture/%d", id, chunk), HoldID: id, Type: "email",
				Facts: facts[2*chunk : 2*chunk+3], UnitCost: 2,
			})
		})
		charged.Add(r.Charged)
	}
	released := twice(t, ledgers, random, func(ctx context.Context, l *ledger.Ledger) (ledger.ReleaseResult, error) {
		return l.Release(ctx, ledger.Release{Owner: owner, Key: id + "/release", HoldID: id})
	})
	if !assertReleased(released) {
		t.Errorf("%s released %v", id, released)
	}
	if random.IntN(3) == 0 {
		r := twice(t, ledgers, random, func(ctx context.Context, l *ledger.Ledger) (ledger.ReverseResult, error) {
			return l.Reverse(ctx, ledger.Reverse{Owner: owner, Key: id + "/reverse", HoldID: id})
		})
		charged.Add(-r.Reversed)
	}
}

func assertReleased(r ledger.ReleaseResult) bool {
	return len(r.Released) == 1 && r.Released[0].Amount >= 10 && r.Released[0].Amount <= 20
}

// twice sends a request over two ledgers at the same time, as a client that
// clicks twice, repeats it where the connection was lost for good, and requires
// that both have the same answer.
func twice[R any](t *testing.T, ledgers []*ledger.Ledger, random *rand.Rand, send func(context.Context, *ledger.Ledger) (R, error)) R {
	var results [2]R
	var errs [2]error
	var wg sync.WaitGroup
	for i := range results {
		l := ledgers[random.IntN(len(ledgers))]
		wg.Go(func() {
			for range 20 {
				results[i], errs[i] = send(t.Context(), l)
				if errs[i] == nil || errors.Is(errs[i], ledger.ErrInvalid) {
					return
				}
			}
		})
	}
	wg.Wait()
	if errs[0] != nil || errs[1] != nil {
		t.Errorf("an operation failed: %v, %v", errs[0], errs[1])
	}
	if fmt.Sprint(results[0]) != fmt.Sprint(results[1]) { // I7
		t.Errorf("the same request had two answers: %+v and %+v", results[0], results[1])
	}
	return results[0]
}

func open(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func requireClean(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	report, err := ledger.Audit(t.Context(), pool, ledger.AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	require.True(t, report.Clean())
	require.Positive(t, report.Entries)
}

// A hold that is there is neither replaced nor added to, by another hold or by a
// charge, open or closed.
func TestI4_AHoldIDIsUsedOnce(t *testing.T) {
	ctx := t.Context()
	l := ledger.New(pgtest.New(t))
	t.Cleanup(l.Close)
	_, err := l.Grant(ctx, ledger.Grant{Owner: "acme", Key: "g", Type: "email", Amount: 100, Source: ledger.SourcePack})
	require.NoError(t, err)
	lines := []ledger.Line{{Type: "email", Amount: 5, Pools: []string{""}}}
	_, err = l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "k", HoldID: "h", Lines: lines})
	require.NoError(t, err)
	for _, state := range []string{"open", "closed"} {
		_, err = l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "another " + state, HoldID: "h", Lines: lines})
		require.ErrorIs(t, err, ledger.ErrInvalid, state)
		_, err = l.Charge(ctx, ledger.Charge{Owner: "acme", Key: "charge " + state, HoldID: "h", Lines: []ledger.ChargeLine{{Type: "email", Pools: []string{""}, Amount: 1}}})
		require.ErrorIs(t, err, ledger.ErrInvalid, state)
		_, err = l.Release(ctx, ledger.Release{Owner: "acme", Key: "r", HoldID: "h"})
		require.NoError(t, err)
	}
	balances, err := l.Balances(ctx, "acme")
	require.NoError(t, err)
	require.EqualValues(t, 100, balances[0].Available)
}

// A key stands for one request: with other facts it is refused.
func TestI7_AKeyStandsForItsFacts(t *testing.T) {
	ctx := t.Context()
	l := newLedger(t)
	_, err := l.Grant(ctx, ledger.Grant{Owner: "acme", Key: "g", Type: "email", Amount: 100, Source: ledger.SourcePack})
	require.NoError(t, err)
	_, err = l.Hold(ctx, ledger.Hold{Owner: "acme", Key: "k", HoldID: "h", Lines: []ledger.Line{{Type: "email", Amount: 10, Pools: []string{""}}}})
	require.NoError(t, err)
	capture := ledger.Capture{Owner: "acme", Key: "c", HoldID: "h", Type: "email", UnitCost: 1, Facts: []ledger.Fact{{Subject: [16]byte{1}}}}
	_, err = l.Capture(ctx, capture)
	require.NoError(t, err)
	capture.Facts = []ledger.Fact{{Subject: [16]byte{2}}}
	_, err = l.Capture(ctx, capture)
	require.ErrorIs(t, err, ledger.ErrKeyReused)
}
