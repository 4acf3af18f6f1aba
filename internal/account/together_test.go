package account_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/account"
	"holdfast/internal/postgres"
	"holdfast/internal/postgres/pgtest"
)

// A change of an organization needs one connection, not a second one while it holds
// the first: where as many come together as the pool has connections, all would
// wait for one another, and with them everything else that the server does.
func TestChangesThatComeTogetherDoNotWaitForConnections(t *testing.T) {
	pool, err := postgres.Open(t.Context(), pgtest.NewURL(t)+"&pool_max_conns=2")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	a := account.New(pool)
	require.NoError(t, a.EnsurePresets(t.Context()))
	_, err = a.CreateOrg(t.Context(), account.Org{ID: "acme", Name: "Acme", Plan: "rollover-ignite"})
	require.NoError(t, err)

	fresh := account.New(pool) // which has read no plan yet
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var all errgroup.Group
	for i := range 8 {
		all.Go(func() error {
			_, err := fresh.Suspend(ctx, "acme")
			return err
		})
		all.Go(func() error {
			_, err := fresh.Rename(ctx, "acme", "Acme", "")
			return err
		})
		all.Go(func() error {
			_, err := fresh.ChangePlan(ctx, "acme", []string{"rollover-ignite", "rollover-boost"}[i%2], time.Now())
			return err
		})
	}
	require.NoError(t, all.Wait())
}
