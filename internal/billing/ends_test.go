package billing_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/plan"
)

// The end of a licence: what a removed member has not used expires, also what an
// order gives back later; what is shared stays; no period and no plan change
// brings anything any more. The audit follows it all.
func TestEndOfALicence(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	anchor := day("2099-01-15")
	w.org(t, "acme", "licence-monthly", anchor)
	w.member(t, "acme", "bob", anchor)
	w.member(t, "acme", "jane", anchor)
	w.sweep(t, anchor)
	w.pack(t, "acme", "", "email", 500)
	w.pack(t, "acme", "bob", "email", 50)
	_, err := w.ledger.Hold(ctx, ledger.Hold{Owner: "acme", Key: "h", HoldID: "h", Lines: []ledger.Line{
		{Type: "email", Amount: 1200, Pools: []string{"bob", ""}},
	}})
	require.NoError(t, err)
	_, err = w.ledger.Capture(ctx, ledger.Capture{Owner: "acme", Key: "c", HoldID: "h", Type: "email", Amount: 40})
	require.NoError(t, err)

	_, err = w.RemoveMember(ctx, "acme", "missing")
	require.ErrorIs(t, err, account.ErrNotFound)
	for range 2 {
		removed, err := w.RemoveMember(ctx, "acme", "bob")
		require.NoError(t, err)
		require.Equal(t, []plan.Amount{{Type: "phone", Amount: 100}, {Type: "profile", Amount: 100}}, removed.Expired)
	}
	_, err = w.ledger.Release(ctx, ledger.Release{Owner: "acme", Key: "r", HoldID: "h"})
	require.NoError(t, err)
	require.Zero(t, w.available(t, "acme", "bob", "email"))
	require.EqualValues(t, 500, w.available(t, "acme", "", "email"), "what came back to the shared pool is there")
	require.EqualValues(t, 1000, w.available(t, "acme", "jane", "email"))

	w.sweep(t, day("2099-04-16"))
	require.Zero(t, w.available(t, "acme", "bob", "email"))
	require.EqualValues(t, 1000, w.available(t, "acme", "jane", "email"))
	require.Equal(t, 1, w.events(t, "acme", "member.removed"))
	w.requireBalanced(t)
}

// A suspended organization keeps what it has; a closed one has no credits, keys
// or resets, for good.
func TestEndOfAnOrganization(t *testing.T) {
	w := setup(t)
	ctx := t.Context()
	anchor := day("2099-01-15")
	w.org(t, "acme", "licence-monthly", anchor)
	w.member(t, "acme", "bob", anchor)
	w.sweep(t, anchor)
	w.pack(t, "acme", "", "email", 500)
	_, secret, err := w.accounts.CreateKey(ctx, "acme", "bob", "")
	require.NoError(t, err)

	for range 2 {
		org, err := w.accounts.Suspend(ctx, "acme")
		require.NoError(t, err)
		require.ErrorIs(t, org.MayOrder(), account.ErrSuspended)
	}
	w.sweep(t, day("2099-02-16"))
	require.EqualValues(t, 1000, w.available(t, "acme", "bob", "email"), "it is reset as before")
	org, err := w.accounts.Resume(ctx, "acme")
	require.NoError(t, err)
	require.NoError(t, org.MayOrder())
	require.Equal(t, 1, w.events(t, "acme", "org.suspended"))
	require.Equal(t, 1, w.events(t, "acme", "org.resumed"))

	_, err = w.CloseOrg(ctx, "acme", " ")
	require.ErrorIs(t, err, billing.ErrNoReason)
	_, err = w.CloseOrg(ctx, "acme", strings.Repeat("ü", ledger.MaxReason+1))
	require.ErrorIs(t, err, ledger.ErrInvalid)
	org, err = w.accounts.Org(ctx, "acme")
	require.NoError(t, err)
	require.NoError(t, org.MayOrder(), "a reason that cannot be kept changes nothing")
	for range 2 {
		closed, err := w.CloseOrg(ctx, "acme", strings.Repeat("ü", ledger.MaxReason))
		require.NoError(t, err)
		require.Equal(t, account.StatusClosed, closed.Status)
		require.Equal(t, []plan.Amount{{Type: "email", Amount: 1500}, {Type: "phone", Amount: 100}, {Type: "profile", Amount: 100}}, closed.Expired)
	}
	_, err = w.accounts.Authenticate(ctx, secret)
	require.ErrorIs(t, err, account.ErrNotFound)
	require.Zero(t, w.sweep(t, day("2099-06-16")))
	balances, err := w.ledger.Balances(ctx, "acme")
	require.NoError(t, err)
	for _, b := range balances {
		require.Zero(t, b.Available)
	}
	for name, refused := range map[string]error{
		"resume": second(w.accounts.Resume(ctx, "acme")),
		"rename": second(w.accounts.Rename(ctx, "acme", "Other", "")),
		"member": second(w.accounts.CreateMember(ctx, account.Member{Org: "acme", ID: "ann", Name: "Ann"})),
		"plan":   second(w.ChangePlan(ctx, "acme", "rollover-boost", time.Now())),
	} {
		require.ErrorIs(t, refused, account.ErrSuspended, name)
	}
	w.requireBalanced(t)
}

func second[T any](_ T, err error) error { return err }

// A new time zone moves the periods to come; no time lies between two of them,
// and none is given twice.
func TestNewTimeZone(t *testing.T) {
	for zone, c := range map[string]struct{ anchor, begins string }{
		"Asia/Tokyo":          {"2099-01-30T23:30:00Z", "2099-02-27T23:30:00Z"}, // the 31st there
		"America/Los_Angeles": {"2099-10-20T00:00:00Z", "2099-11-20T00:00:00Z"}, // an hour later there, by summer time
	} {
		w := setup(t)
		ctx := t.Context()
		anchor, err := time.Parse(time.RFC3339, c.anchor)
		require.NoError(t, err)
		begins, err := time.Parse(time.RFC3339, c.begins)
		require.NoError(t, err)
		w.org(t, "acme", "rollover-boost", anchor)
		w.sweep(t, anchor)
		org, err := w.accounts.Rename(ctx, "acme", "", zone)
		require.NoError(t, err)
		require.Equal(t, zone, org.TimeZone)
		require.Equal(t, "acme", org.Name)
		require.Zero(t, w.sweep(t, begins.Add(-time.Second)), zone)
		require.Equal(t, 1, w.sweep(t, begins), zone)
		require.EqualValues(t, 24_000, w.available(t, "acme", "", "email"))
		require.Zero(t, w.sweep(t, begins.AddDate(0, 0, 27)), zone)
		require.Equal(t, 1, w.sweep(t, begins.AddDate(0, 0, 33)), zone)
		w.requireBalanced(t)
	}
}
