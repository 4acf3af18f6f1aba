package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres/pgtest"
)

// Two processes write in turn to an organization with many small grants. Their
// books follow what the other has done instead of being read again,
// and stay those that a third process reads.
func TestBooksFollowAnotherProcess(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	one, two := New(pool), New(pool)
	defer one.Close()
	defer two.Close()
	for i := range 40 {
		for _, p := range []string{"", "bob"} {
			_, err := one.Grant(ctx, Grant{Owner: "acme", Key: fmt.Sprint(i, p), Pool: p, Type: "email", Amount: 3, Source: SourcePack})
			require.NoError(t, err)
		}
	}
	line := func(n int64, budget string) []Line {
		return []Line{{Type: "email", Amount: n, Pools: []string{"bob", ""}, Budget: Budget{Name: budget, Cap: 100}}}
	}
	fact := []Fact{{Subject: [16]byte{1}}}
	_, err := two.Hold(ctx, Hold{Owner: "acme", Key: "warm", HoldID: "warm", Lines: line(125, "bob/1")})
	require.NoError(t, err)
	for name, run := range map[string]func(l *Ledger, key string) error{
		"hold and release": func(l *Ledger, key string) error {
			_, err := l.Hold(ctx, Hold{Owner: "acme", Key: key, HoldID: key, Lines: line(2, "bob/1")})
			require.NoError(t, err)
			_, err = l.Release(ctx, Release{Owner: "acme", Key: key + "/r", HoldID: key})
			return err
		},
		"capture": func(l *Ledger, key string) error {
			_, err := l.Capture(ctx, Capture{Owner: "acme", Key: key, HoldID: "warm", Type: "email", Amount: 2})
			return err
		},
		"charge and reverse": func(l *Ledger, key string) error {
			_, err := l.Charge(ctx, Charge{Owner: "acme", Key: key, Lines: []ChargeLine{{Type: "email", Pools: []string{""}, Facts: fact, UnitCost: 1}}})
			require.NoError(t, err)
			_, err = l.Reverse(ctx, Reverse{Owner: "acme", Key: key + "/b", Type: "email", Facts: fact})
			return err
		},
		"grant": func(l *Ledger, key string) error {
			_, err := l.Grant(ctx, Grant{Owner: "acme", Key: key, Type: "email", Amount: 2, Source: SourceAllotment, ExpiresAt: time.Now().Add(time.Hour)})
			return err
		},
		"void": func(l *Ledger, key string) error {
			_, err := l.Void(ctx, Void{Owner: "acme", Key: key, Grant: 79, Amount: 1})
			return err
		},
		"alert": func(l *Ledger, key string) error {
			_, err := l.Alert(ctx, Alert{Owner: "acme", Key: key, Type: "email", Thresholds: []int64{1}})
			return err
		},
		"empty hold": func(l *Ledger, key string) error {
			_, err := l.Hold(ctx, Hold{Owner: "acme", Key: key, HoldID: key, Lines: line(0, "bob/2")})
			return err
		},
	} {
		held := one.lanes["acme"].books
		require.NoError(t, run(one, name+"1"), name)
		require.NoError(t, run(two, name+"2"), name)
		require.NoError(t, run(one, name+"3"), name)
		one.wg.Wait()
		require.Same(t, held, one.lanes["acme"].books, "%s: nothing was read again", name)
		requireSameBooks(t, one, name)
	}
	held := one.lanes["acme"].books
	_, err = two.Renew(ctx, Renew{Owner: "acme", Key: "renew", Lines: []Renewal{{Type: "email", Amount: 5, Rollover: true, Cap: 1}}})
	require.NoError(t, err)
	_, err = one.Hold(ctx, Hold{Owner: "acme", Key: "last", HoldID: "last", Lines: line(1, "")})
	require.NoError(t, err)
	one.wg.Wait()
	require.NotSame(t, held, one.lanes["acme"].books, "a period's end touches more than it names")
	report, err := Audit(ctx, pool, AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
}

// requireSameBooks compares a ledger's books with those that another one reads.
func requireSameBooks(t *testing.T, l *Ledger, name string) {
	t.Helper()
	fresh := New(l.pool)
	defer fresh.Close()
	for _, l := range []*Ledger{l, fresh} { // an operation that fails changes nothing and reads both pools
		_, err := l.Hold(t.Context(), Hold{Owner: "acme", Key: "same", HoldID: "warm", Lines: []Line{{Type: "email", Amount: 1, Pools: []string{"", "bob"}}}})
		require.ErrorIs(t, err, ErrInvalid)
		l.wg.Wait()
	}
	is, want := l.lanes["acme"].books, fresh.lanes["acme"].books
	require.Equal(t, want.head, is.head, name)
	require.Equal(t, want.grants, is.grants, name)
	require.Equal(t, want.at, is.at, name)
	for id, a := range want.accounts {
		have := is.accounts[id]
		require.Equal(t, [2]int64{a.available, a.held}, [2]int64{have.available, have.held}, "%s %v", name, id)
		require.Equal(t, a.alertAt, have.alertAt, name)
		require.Equal(t, a.seen, have.seen, name)
		live := func(a *account) (nos []int64) {
			for _, l := range a.lots {
				if l.live() {
					nos = append(nos, l.no)
				}
			}
			return nos
		}
		require.Equal(t, live(a), live(have), "%s %v: the burn order", name, id)
	}
	for no, l := range want.lots {
		have := *is.lots[no]
		have.changed, have.listed = l.changed, l.listed
		require.Equal(t, *l, have, "%s: grant %d", name, no)
	}
}

// Many processes' operations at random, over few and over many grants.
func TestProcessesInTurn(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	ledgers := []*Ledger{New(pool), New(pool), New(pool)}
	random := rand.New(rand.NewPCG(1, 2))
	var captured int64
	for i := range 400 {
		l := ledgers[random.IntN(len(ledgers))]
		key := fmt.Sprint(i)
		switch n := random.IntN(10); {
		case n < 5 || i < 30:
			_, err := l.Grant(ctx, Grant{Owner: "acme", Key: key, Type: "email", Amount: random.Int64N(4) + 1, Source: SourcePack})
			require.NoError(t, err)
		case n < 8:
			r, err := l.Charge(ctx, Charge{Owner: "acme", Key: key, Lines: []ChargeLine{{Type: "email", Pools: []string{""}, Amount: random.Int64N(6)}}})
			require.NoError(t, err)
			for _, line := range r.Lines {
				captured += line.Charged
			}
		default:
			held, err := l.Hold(ctx, Hold{Owner: "acme", Key: key, HoldID: key, Lines: []Line{{Type: "email", Amount: 3, Pools: []string{""}}}})
			require.NoError(t, err)
			if held.Held {
				_, err = ledgers[random.IntN(3)].Release(ctx, Release{Owner: "acme", Key: key + "/r", HoldID: key})
				require.NoError(t, err)
			}
		}
	}
	for _, l := range ledgers {
		l.Close()
	}
	report, err := Audit(ctx, pool, AuditOptions{})
	require.NoError(t, err)
	require.Empty(t, report.Findings)
	balances, err := ledgers[0].Balances(ctx, "acme")
	require.NoError(t, err)
	require.Equal(t, captured, balances[0].Captured)
}

// Following ends at the head of the locked row: one that the journal does not lead
// to is damage, not a place to write on from.
func TestFollowingEndsAtTheHead(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	one, two := New(pool), New(pool)
	defer one.Close()
	defer two.Close()
	grant := func(l *Ledger, key string) error {
		_, err := l.Grant(ctx, Grant{Owner: "acme", Key: key, Type: "email", Amount: 3, Source: SourcePack})
		return err
	}
	for i := range 12 {
		require.NoError(t, grant(one, fmt.Sprint(i)))
	}
	require.NoError(t, grant(two, "ahead"))
	_, err := pool.Exec(ctx, `UPDATE credit_owner SET head = decode(repeat('ab', 32), 'hex') WHERE owner = 'acme'`)
	require.NoError(t, err)
	require.ErrorIs(t, grant(one, "on"), ErrDamaged)
	var entries int
	require.NoError(t, pool.QueryRow(ctx, `SELECT count(*) FROM credit_entry`).Scan(&entries))
	require.Equal(t, 13, entries)
}
