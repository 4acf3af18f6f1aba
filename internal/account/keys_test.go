package account_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
)

// I7: a key is shown once, recognised afterwards, and over when revoked.
func TestKeys(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "licence-monthly", time.Time{})
	b.org(t, "other", "licence-monthly", time.Time{})
	b.member(t, "acme", "bob", time.Time{})
	key, secret, err := b.CreateKey(t.Context(), "acme", "bob", "")
	require.NoError(t, err)
	require.Equal(t, account.RoleMember, key.Role)
	require.True(t, strings.HasPrefix(secret, key.Prefix))
	require.Len(t, secret, len("hf_")+52, "256 bits in base 32")
	require.Nil(t, key.LastUsedAt)

	var stored string
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT row_to_json(k)::text FROM api_key k`).Scan(&stored))
	require.NotContains(t, stored, secret[len(key.Prefix):], "the secret is not kept")

	used, err := b.Authenticate(t.Context(), secret)
	require.NoError(t, err)
	require.Equal(t, key.ID, used.ID)
	for _, wrong := range []string{"", key.Prefix, key.ID, secret + "a", strings.ToUpper(secret)} {
		_, err = b.Authenticate(t.Context(), wrong)
		require.ErrorIs(t, err, account.ErrNotFound)
		require.EqualError(t, err, "The API key is not known or has been revoked; create a new one.")
	}
	keys, err := b.Keys(t.Context(), "acme")
	require.NoError(t, err)
	require.Len(t, keys, 1)
	require.NotNil(t, keys[0].LastUsedAt)

	// Another use within the minute writes nothing.
	_, err = b.Authenticate(t.Context(), secret)
	require.NoError(t, err)
	again, err := b.Keys(t.Context(), "acme")
	require.NoError(t, err)
	require.Equal(t, keys, again)

	require.ErrorIs(t, b.RevokeKey(t.Context(), "other", key.ID), account.ErrNotFound, "not another organization's")
	require.NoError(t, b.RevokeKey(t.Context(), "acme", key.ID))
	require.NoError(t, b.RevokeKey(t.Context(), "acme", key.ID))
	_, err = b.Authenticate(t.Context(), secret)
	require.ErrorIs(t, err, account.ErrNotFound)
	keys, err = b.Keys(t.Context(), "acme")
	require.NoError(t, err)
	require.NotNil(t, keys[0].RevokedAt)
}

func TestKeysDiffer(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "licence-monthly", time.Time{})
	b.member(t, "acme", "bob", time.Time{})
	seen := map[string]bool{}
	for range 20 {
		key, secret, err := b.CreateKey(t.Context(), "acme", "bob", account.RoleMember)
		require.NoError(t, err)
		require.False(t, seen[secret] || seen[key.ID])
		seen[secret], seen[key.ID] = true, true
	}
}

func TestKeyNeedsItsMember(t *testing.T) {
	b := setup(t)
	b.org(t, "acme", "licence-monthly", time.Time{})
	b.member(t, "acme", "bob", time.Time{})
	_, _, err := b.CreateKey(t.Context(), "acme", "bob", account.RoleAdmin)
	require.ErrorIs(t, err, account.ErrInvalid)
	require.EqualError(t, err, "bob is not an admin and cannot have an admin's key; ask for the role member.")
	_, _, err = b.CreateKey(t.Context(), "acme", "bob", "boss")
	require.ErrorIs(t, err, account.ErrInvalid)
	_, _, err = b.CreateKey(t.Context(), "acme", "max", "")
	require.ErrorIs(t, err, account.ErrNotFound)
	_, _, err = b.CreateKey(t.Context(), "missing", "bob", "")
	require.ErrorIs(t, err, account.ErrNotFound)
}
