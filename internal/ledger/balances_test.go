package ledger

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres/pgtest"
)

// The balances of an organization with many members and months are one pass over
// its grants, not one for each account: with 500 members it took 15 s.
func TestBalancesReadEveryGrantOnce(t *testing.T) {
	ctx := t.Context()
	pool := pgtest.New(t)
	l := New(pool)
	t.Cleanup(l.Close)
	const members, months = 80, 12
	op := Grants{Owner: "acme", Key: "all"}
	for m := range members {
		for range months {
			op.Lines = append(op.Lines, GrantLine{Pool: fmt.Sprintf("m%02d", m), Type: "email", Amount: 3, Source: SourceAllotment})
		}
	}
	_, err := l.Grants(ctx, op)
	require.NoError(t, err)
	balances, err := l.Balances(ctx, "acme")
	require.NoError(t, err)
	require.Len(t, balances, members)
	for _, b := range balances {
		require.EqualValues(t, 3*months, b.Available)
		require.EqualValues(t, 3*months, b.Allotment)
	}

	var text []byte
	require.NoError(t, pool.QueryRow(ctx, `EXPLAIN (ANALYZE, FORMAT JSON) `+selectBalances, "acme", time.Now()).Scan(&text))
	var plans []struct{ Plan planNode }
	require.NoError(t, json.Unmarshal(text, &plans))
	require.LessOrEqual(t, plans[0].Plan.rowsOf("credit_grant"), int64(members*months), "%s", text)
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
