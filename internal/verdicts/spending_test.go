package verdicts

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/postgres/pgtest"
	"holdfast/internal/verify"
)

// TestSpending_V14: claims of several workers together never get more than the
// budgets have, and what was not asked for can be taken again.
func TestSpending_V14(t *testing.T) {
	pool := pgtest.New(t)
	var got, google atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			s := NewSpending(pool) // another worker
			for i := range 20 {
				c := verify.Claim{Identity: "mail1", Provider: "other", N: 7, All: verify.Budget{Hour: 400, Day: 300}}
				if i%2 == 0 {
					c.Provider, c.Own = "google", verify.Budget{Hour: 100}
				}
				n, err := s.Take(t.Context(), c)
				require.NoError(t, err)
				got.Add(int64(n))
				if c.Provider == "google" {
					google.Add(int64(n))
				}
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 300, got.Load())
	require.LessOrEqual(t, google.Load(), int64(100))

	s := NewSpending(pool)
	spent, err := s.Spent(t.Context(), "mail1")
	require.NoError(t, err)
	require.Equal(t, verify.Budget{Hour: 300, Day: 300}, spent)
	require.NoError(t, s.Return(t.Context(), "mail1", "other", time.Now(), 5))
	n, err := s.Take(t.Context(), verify.Claim{Identity: "mail1", Provider: "other", N: 7, All: verify.Budget{Day: 300}})
	require.NoError(t, err)
	require.Equal(t, 5, n)

	// An hour of this day that is over counts for the day, and not for the hour.
	_, err = pool.Exec(t.Context(), `
		INSERT INTO smtp_spending (identity, hour, provider, asked)
		SELECT identity, h, 'other', 5 FROM unnest('{mail3,mail4}'::text[]) identity, generate_series(date_trunc('day', now(), 'UTC'), date_trunc('hour', now(), 'UTC'), interval '1 hour') h`)
	require.NoError(t, err)
	var hours int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM smtp_spending WHERE identity = 'mail3'`).Scan(&hours))
	for name, c := range map[string]verify.Claim{
		"all": {Identity: "mail3", Provider: "another", N: 7, All: verify.Budget{Hour: 1000, Day: 5*hours + 2}},
		"own": {Identity: "mail4", Provider: "other", N: 7, Own: verify.Budget{Hour: 1000, Day: 5*hours + 2}},
	} {
		n, err := s.Take(t.Context(), c)
		require.NoError(t, err)
		require.Equal(t, 2, n, name)
	}

	// What was asked for under a clock that was ahead is not spent each day until then.
	_, err = pool.Exec(t.Context(), `UPDATE smtp_spending SET hour = hour + interval '30 days'`)
	require.NoError(t, err)
	n, err = s.Take(t.Context(), verify.Claim{Identity: "mail1", Provider: "other", N: 7, All: verify.Budget{Hour: 7, Day: 7}})
	require.NoError(t, err)
	require.Equal(t, 7, n)
	n, err = s.Take(t.Context(), verify.Claim{Identity: "mail2", Provider: "other", N: 7, All: verify.Budget{Day: -1}})
	require.NoError(t, err)
	require.Zero(t, n, "an identity whose first day is still to come")
}
