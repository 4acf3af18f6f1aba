package account_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
)

// race calls do 50 times in the same moment and counts who was let in and who was
// refused; any other error is neither.
func race(do func(i int) error) (in, refused int64) {
	var wait sync.WaitGroup
	start := make(chan struct{})
	var made, invalid atomic.Int64
	for i := range 50 {
		wait.Go(func() {
			<-start
			switch err := do(i); {
			case err == nil:
				made.Add(1)
			case errors.Is(err, account.ErrInvalid):
				invalid.Add(1)
			}
		})
	}
	close(start)
	wait.Wait()
	return made.Load(), invalid.Load()
}

// I9: 50 calls at the same time leave no more keys or members than an
// organization may have.
func TestI9_LimitsAreNotOutrun(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "licence-monthly", time.Time{})
	b.member(t, "acme", "bob", time.Time{})
	_, err := b.pool.Exec(t.Context(), `
		INSERT INTO api_key (id, org, member, role, hash, prefix)
		SELECT 'k' || n, 'acme', 'bob', 'member', sha256(n::text::bytea), 'hf_' FROM generate_series(1, 993) n`)
	require.NoError(t, err)
	in, refused := race(func(int) error {
		_, _, err := b.CreateKey(t.Context(), "acme", "bob", "")
		return err
	})
	require.Equal(t, []int64{7, 43}, []int64{in, refused})
	require.NoError(t, b.RevokeKey(t.Context(), "acme", "k1"))
	_, _, err = b.CreateKey(t.Context(), "acme", "bob", "")
	require.NoError(t, err, "a revoked key makes room")

	_, err = b.pool.Exec(t.Context(), `
		INSERT INTO member (org, id, name, role, created_at) SELECT 'acme', 'm' || n, 'M', 'member', now() FROM generate_series(1, 19991) n`)
	require.NoError(t, err)
	in, refused = race(func(i int) error {
		_, err := b.CreateMember(t.Context(), account.Member{Org: "acme", ID: fmt.Sprint("new", i), Name: "New"})
		return err
	})
	require.Equal(t, []int64{8, 42}, []int64{in, refused})
}

// A member who is removed while keys are made for them keeps none.
func TestI9_NoKeyOutlivesItsMember(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "licence-monthly", time.Time{})
	for round := range 5 {
		id := fmt.Sprint("bob", round)
		b.member(t, "acme", id, time.Time{})
		var wait sync.WaitGroup
		start := make(chan struct{})
		for i := range 20 {
			wait.Go(func() {
				<-start
				if i == 10 {
					_, _ = b.RemoveMember(t.Context(), "acme", id)
				} else {
					_, _, _ = b.CreateKey(t.Context(), "acme", id, "")
				}
			})
		}
		close(start)
		wait.Wait()
		var left int
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM api_key WHERE member = $1 AND revoked_at IS NULL`, id).Scan(&left))
		require.Zero(t, left)
	}
}
