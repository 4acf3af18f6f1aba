package workflows

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"holdfast/internal/order"
)

// An order that a ride hands over is described as one that was started alone.
func TestAHandedOverOrderIsDescribedAsAnyOther(t *testing.T) {
	in := order.Input{ID: "ord_1", Org: "acme", Member: "jane", Request: order.Request{
		Kind: order.Reveal, Count: 2, ListID: "lst_1", Fields: []order.Field{order.EmailField, order.PhoneField},
	}}
	alone, handed := StartOptions(in), handedOver(in)
	require.Equal(t, "acme: reveal of 2 (email, phone)", handed.StaticSummary)
	require.Equal(t, "Ordered by jane of acme: email, phone of the 2 leads of the list lst_1.", handed.StaticDetails)
	require.Equal(t, alone.StaticSummary, handed.StaticSummary)
	require.Equal(t, alone.StaticDetails, handed.StaticDetails)
	for name, want := range map[string]string{"Organization": "acme", "OrderKind": "reveal"} {
		got, _ := alone.TypedSearchAttributes.GetKeyword(temporal.NewSearchAttributeKeyKeyword(name))
		require.Equal(t, want, got, name)
	}
	require.Equal(t, alone.TypedSearchAttributes, handed.TypedSearchAttributes)
	require.Equal(t, alone.Priority, handed.Priority)
	require.Equal(t, alone.ID, handed.WorkflowID)
	require.Equal(t, alone.TaskQueue, handed.TaskQueue)
}
