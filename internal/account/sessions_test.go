package account_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
)

// S1: a clock that was ahead makes neither a session nor a login link live for as
// much longer; one that was little ahead ends nothing.
func TestS1_SessionsOfAnotherTimeEnd(t *testing.T) {
	f, ctx := setup(t), t.Context()
	f.org(t, "acme", "verified-leads", time.Time{})
	_, err := f.CreateMember(ctx, account.Member{Org: "acme", ID: "jane", Name: "Jane", Role: account.RoleAdmin})
	require.NoError(t, err)
	link := func(ahead string) string {
		t.Helper()
		_, secret, err := f.CreateLoginLink(ctx, "acme", "jane", 24*time.Hour)
		require.NoError(t, err)
		_, err = f.pool.Exec(ctx, `UPDATE login_link SET expires_at = expires_at + $1::interval WHERE used_at IS NULL`, ahead)
		require.NoError(t, err)
		return secret
	}
	_, err = f.UseLoginLink(ctx, link("30 days"))
	require.ErrorIs(t, err, account.ErrNotFound)
	session, err := f.UseLoginLink(ctx, link("1 hour"))
	require.NoError(t, err)

	ahead := func(by string) error {
		t.Helper()
		_, err := f.pool.Exec(ctx, `UPDATE session SET seen_at = now() + $1::interval, created_at = now() + $1::interval`, by)
		require.NoError(t, err)
		_, err = f.Session(ctx, session, nil)
		return err
	}
	require.NoError(t, ahead("3 hours"))
	var future bool
	require.NoError(t, f.pool.QueryRow(ctx, `SELECT seen_at > now() OR created_at > now() FROM session`).Scan(&future))
	require.False(t, future, "it lives on by the right clock")
	require.ErrorIs(t, ahead("30 days"), account.ErrNotFound)
	require.NoError(t, f.CloseSession(ctx, "another"))
	var left int
	require.NoError(t, f.pool.QueryRow(ctx, `SELECT count(*) FROM session`).Scan(&left))
	require.Zero(t, left)
}

// S1: links whose time is over are cleared away by those that are made later; used
// ones stay until then, so that they are not made again.
func TestS1_OldLoginLinksGo(t *testing.T) {
	f, ctx := setup(t), t.Context()
	f.org(t, "acme", "verified-leads", time.Time{})
	_, err := f.CreateMember(ctx, account.Member{Org: "acme", ID: "jane", Name: "Jane", Role: account.RoleAdmin})
	require.NoError(t, err)
	var secrets []string
	for range 5 {
		_, secret, err := f.CreateLoginLink(ctx, "acme", "jane", time.Hour)
		require.NoError(t, err)
		secrets = append(secrets, secret)
	}
	_, err = f.UseLoginLink(ctx, secrets[0])
	require.NoError(t, err)
	left := func() (n int) {
		t.Helper()
		_, _, err := f.CreateLoginLink(ctx, "acme", "jane", time.Hour)
		require.NoError(t, err)
		require.NoError(t, f.pool.QueryRow(ctx, `SELECT count(*) FROM login_link`).Scan(&n))
		return n
	}
	require.Equal(t, 6, left(), "all live")
	_, err = f.pool.Exec(ctx, `UPDATE login_link SET expires_at = now() - interval '1 minute' WHERE used_at IS NOT NULL`)
	require.NoError(t, err)
	require.Equal(t, 6, left(), "the used one has gone")
	_, err = f.pool.Exec(ctx, `UPDATE login_link SET expires_at = expires_at + interval '30 days'`) // of a clock that was ahead
	require.NoError(t, err)
	require.Equal(t, 1, left())
}
