package activities_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/activities"
	"holdfast/internal/account"
	"holdfast/internal/order"
)

// An order that was started in Temporal by someone else than our intake gets no
// credits in the name of those who do not exist or may not order, and nothing that
// belongs to another organization.
func TestStrangersOrdersAreRefused(t *testing.T) {
	o := open(t, "prepaid-verification", "email", 100)
	list, err := o.Catalogue.KeepEmails(t.Context(), "acme", []string{"ann@x.test"})
	require.NoError(t, err)
	_, err = o.Accounts.CreateOrg(t.Context(), account.Org{ID: "other", Name: "Other", Plan: "prepaid-verification"})
	require.NoError(t, err)
	theirs, err := o.Catalogue.KeepEmails(t.Context(), "other", []string{"eve@x.test"})
	require.NoError(t, err)
	_, err = o.Accounts.RemoveMember(t.Context(), "acme", "bob")
	require.NoError(t, err)
	reserve := func(id, org, member, list string) error {
		_, err := o.Reserve(t.Context(), activities.ReserveInput{Input: order.Input{ID: "ord_" + id, Org: org, Member: member, Request: order.Request{Kind: order.Verify, ListID: list, Count: 1}}})
		return err
	}
	require.ErrorContains(t, reserve("a", "nowhere", "", list.ID), "no organization")
	require.ErrorContains(t, reserve("b", "acme", "mallory", list.ID), "no member")
	require.ErrorContains(t, reserve("c", "acme", "bob", list.ID), "was removed")
	require.ErrorContains(t, reserve("d", "acme", "jane", theirs.ID), "no list")
	require.NoError(t, reserve("e", "acme", "jane", list.ID))
	_, err = o.Accounts.Suspend(t.Context(), "acme")
	require.NoError(t, err)
	require.ErrorContains(t, reserve("f", "acme", "jane", list.ID), "suspended")
	require.NoError(t, reserve("e", "acme", "jane", list.ID), "what was accepted goes on")
	for _, id := range strings.Split("abcdf", "") {
		_, err := o.Book.Get(t.Context(), "acme", "ord_"+id)
		require.Error(t, err, id)
	}
}
