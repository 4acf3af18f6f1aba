package activities_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/activities"
	"holdfast/internal/order"
)

// What a build before sent to SelectLeads is still understood, and it cannot
// mistake what is sent now: without criteria it would select any lead.
func TestTheRequestOfASelectionComesFromTheBook(t *testing.T) {
	o := open(t, "verified-leads", "email", 100)
	o.people(10, 5)
	in := order.Input{ID: order.ID("acme", "one"), Org: "acme", Request: order.Request{Kind: order.LeadList, Count: 6}}
	r, err := o.Reserve(t.Context(), activities.ReserveInput{Input: in})
	require.NoError(t, err)

	type earlier struct {
		order.Input
		Terms order.Terms `json:"terms"`
	}
	now, err := json.Marshal(activities.SelectInput{ID: in.ID, Org: in.Org, Terms: r.Terms})
	require.NoError(t, err)
	require.ErrorContains(t, json.Unmarshal(now, &earlier{}), "request")

	sent := earlier{in, r.Terms}
	sent.Request.Count = 4
	before, err := json.Marshal(sent)
	require.NoError(t, err)
	var understood activities.SelectInput
	require.NoError(t, json.Unmarshal(before, &understood))
	require.EqualValues(t, 4, do(o, o.SelectLeads, understood).Selected)

	in.ID = order.ID("acme", "two")
	r, err = o.Reserve(t.Context(), activities.ReserveInput{Input: in})
	require.NoError(t, err)
	require.EqualValues(t, 6, do(o, o.SelectLeads, activities.SelectInput{ID: in.ID, Org: in.Org, Terms: r.Terms}).Selected)
}
