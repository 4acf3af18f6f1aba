package idempotency_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"holdfast/internal/idempotency"
	"holdfast/internal/postgres/pgtest"
)

func asking(key, what string) *idempotency.Request {
	return &idempotency.Request{Key: key, Hash: sha256.Sum256([]byte(what)), Secret: []byte("hf_caller")}
}

// Requests that arrive at the same time make one thing, and all of them get it.
func TestY1_EqualRequestsMakeOneThing(t *testing.T) {
	pool := pgtest.New(t)
	const requests = 8
	made := make([]idempotency.Made, requests)
	replayed := make([]bool, requests)
	var wg sync.WaitGroup
	for i := range requests {
		wg.Go(func() {
			r := asking("k1", "a list")
			ctx := idempotency.With(t.Context(), r)
			err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
				made[i], _, err = idempotency.Claim(ctx, tx, "acme", "list", idempotency.Made{ID: fmt.Sprint("lst_", i)})
				return err
			})
			if err != nil {
				t.Error(err)
			}
			replayed[i] = r.Replayed()
		})
	}
	wg.Wait()
	first := 0
	for i := range requests {
		require.Equal(t, made[0].ID, made[i].ID)
		if !replayed[i] {
			first++
		}
	}
	require.Equal(t, 1, first, "one request made it, the others say that they are repeated")

	again := asking("k1", "a list")
	found, ok, err := idempotency.Find(idempotency.With(t.Context(), again), pool, "acme", "list")
	require.NoError(t, err)
	require.True(t, ok && again.Replayed())
	require.Equal(t, made[0], found)

	other := idempotency.With(t.Context(), asking("k1", "another list"))
	_, _, err = idempotency.Find(other, pool, "acme", "list")
	require.ErrorIs(t, err, idempotency.ErrReused)
	idempotency.Asks(other, "a list") // what is known late counts
	_, ok, err = idempotency.Find(other, pool, "acme", "list")
	require.NoError(t, err)
	require.True(t, ok)
	for _, elsewhere := range [][2]string{{"beta", "list"}, {"acme", "webhook"}} {
		_, ok, err = idempotency.Find(idempotency.With(t.Context(), again), pool, elsewhere[0], elsewhere[1])
		require.NoError(t, err)
		require.False(t, ok, "keys belong to one organization and one kind of thing")
	}
}

// A request without a key makes its thing each time.
func TestWithoutAKeyNothingIsKept(t *testing.T) {
	pool := pgtest.New(t)
	for _, ctx := range []context.Context{t.Context(), idempotency.With(t.Context(), asking("", "a list"))} {
		require.Empty(t, idempotency.Key(ctx))
		require.Nil(t, idempotency.NewSalt(ctx))
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			made, ok, err := idempotency.Claim(ctx, tx, "acme", "list", idempotency.Made{ID: "lst_1"})
			require.False(t, ok)
			require.Equal(t, "lst_1", made.ID)
			return err
		})
		require.NoError(t, err)
		_, ok, err := idempotency.Find(ctx, pool, "acme", "list")
		require.NoError(t, err)
		require.False(t, ok)
	}
	idempotency.MarkReplayed(t.Context())
	idempotency.Asks(t.Context(), "a list")
	var kept int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*) FROM idempotency_key`).Scan(&kept))
	require.Zero(t, kept)
}

// A secret can be made again with the salt, the idempotency key and the caller's own
// secret, and with nothing less.
func TestY2_ASecretTakesAllThree(t *testing.T) {
	r := asking("k1", "a key")
	ctx := idempotency.With(t.Context(), r)
	salt := idempotency.NewSalt(ctx)
	require.Len(t, salt, 32)
	require.NotEqual(t, salt, idempotency.NewSalt(ctx))
	secret := idempotency.Secret(ctx, salt)
	require.Len(t, secret, 32)
	require.Equal(t, secret, idempotency.Secret(idempotency.With(t.Context(), asking("k1", "a key")), salt))

	require.NotEqual(t, secret, idempotency.Secret(ctx, idempotency.NewSalt(ctx)), "another salt")
	require.NotEqual(t, secret, idempotency.Secret(idempotency.With(t.Context(), asking("k2", "a key")), salt), "another key")
	stranger := asking("k1", "a key")
	stranger.Secret = []byte("hf_other")
	require.NotEqual(t, secret, idempotency.Secret(idempotency.With(t.Context(), stranger), salt), "another caller")
	stranger.Secret = nil
	require.Nil(t, idempotency.NewSalt(idempotency.With(t.Context(), stranger)), "a caller without a secret of their own")

	require.False(t, r.Replayed())
	idempotency.MarkReplayed(ctx)
	require.True(t, r.Replayed())
}
