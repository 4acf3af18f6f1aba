package ledger

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres/pgtest"
)

const members, months = 80, 12

// seedAllotments gives each of the members of acme a grant of 3 credits a month.
func seedAllotments(t *testing.T, l *Ledger) {
	op := Grants{Owner: "acme", Key: "all"}
	for m := range members {
		for range months {
			op.Lines = append(op.Lines, GrantLine{Pool: fmt.Sprintf("m%02d", m), Type: "email", Amount: 3, Source: SourceAllotment})
		}
	}
	_, err := l.Grants(t.Context(), op)
	require.NoError(t, err)
}

// The balances of an organization with many members and months are one pass over
// its grants, not one for each account: with 500 members it took 15 s.
func TestBalancesReadEveryGrantOnce(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l := New(pool)
	t.Cleanup(l.Close)
	seedAllotments(t, l)
	balances, err := l.Balances(ctx, "acme")
	require.NoError(t, err)
	require.Len(t, balances, members)
	for _, b := range balances {
		require.EqualValues(t, 3*months, b.Available)
		require.EqualValues(t, 3*months, b.Allotment)
	}

	require.LessOrEqual(t, grantsRead(t, pool, selectBalances, "acme", time.Now()), int64(members*months))
}

// After a journal entry only the grants of the accounts that it names are read:
// with 500 members a member's own balances cost as much as all.
func TestBalancesFollowTheJournal(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l, other := New(pool), New(pool)
	t.Cleanup(l.Close)
	t.Cleanup(other.Close)
	seedAllotments(t, l)
	_, err := pool.Exec(ctx, `ANALYZE`)
	require.NoError(t, err)
	_, err = l.Balances(ctx, "acme")
	require.NoError(t, err)
	known, _ := l.sums.get("acme")

	// m07 spends one grant whole and some of another; of m08's, one is over soon.
	_, err = other.Charge(ctx, Charge{Owner: "acme", Key: "spend", Lines: []ChargeLine{{Type: "email", Pools: []string{"m07"}, Amount: 4}}})
	require.NoError(t, err)
	_, err = other.Grant(ctx, Grant{Owner: "acme", Key: "soon", Pool: "m08", Type: "email", Amount: 5, Source: SourcePack, ExpiresAt: time.Now().Add(time.Second)})
	require.NoError(t, err)
	same := func() (now []Balance) {
		require.Eventually(t, func() bool { // unless some of it expires in between
			now, err = l.Balances(ctx, "acme")
			require.NoError(t, err)
			fresh := New(pool)
			defer fresh.Close()
			all, err := fresh.Balances(ctx, "acme")
			require.NoError(t, err)
			return slices.Equal(all, now)
		}, 10*time.Second, time.Millisecond)
		return now
	}
	balances := same()
	require.EqualValues(t, 3*months-4, balances[7].Available)
	require.EqualValues(t, 4, balances[7].Used)
	require.Eventually(t, func() bool { return same()[8].Available == 3*months }, 10*time.Second, 10*time.Millisecond)
	read := grantsRead(t, pool, followBalances, "acme", time.Now(), known.seq, known.head, []string{}, []string{})
	require.LessOrEqual(t, read, int64(2*(months+1)))

	// An account that is new, and a journal that is another one: everything is added up.
	_, err = other.Grant(ctx, Grant{Owner: "acme", Key: "new", Pool: "a", Type: "email", Amount: 5, Source: SourcePack})
	require.NoError(t, err)
	require.Equal(t, "a", same()[0].Pool)
	known, _ = l.sums.get("acme")
	known.head, known.balances = []byte("of another journal"), make([]Balance, len(known.balances))
	l.sums.put("acme", known)
	require.EqualValues(t, 5, same()[0].Available)
}

// grantsRead is how many rows of grants a query reads.
func grantsRead(t *testing.T, pool *pgxpool.Pool, query string, args ...any) int64 {
	t.Helper()
	var text []byte
	require.NoError(t, pool.QueryRow(t.Context(), `EXPLAIN (ANALYZE, FORMAT JSON) `+query, args...).Scan(&text))
	var plans []struct{ Plan planNode }
	require.NoError(t, json.Unmarshal(text, &plans))
	t.Logf("%s", text)
	return plans[0].Plan.rowsOf("credit_grant")
}

type planNode struct {
	Relation string `json:"Relation Name"`
	Rows     int64  `json:"Actual Rows"`
	Filtered int64  `json:"Rows Removed by Filter"`
	Loops    int64  `json:"Actual Loops"`
	Plans    []planNode
}

// rowsOf is how many rows of a table a plan has read.
func (p planNode) rowsOf(table string) (n int64) {
	if p.Relation == table {
		n = (p.Rows + p.Filtered) * p.Loops
	}
	for _, below := range p.Plans {
		n += below.rowsOf(table)
	}
	return n
}
