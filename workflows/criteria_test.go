package workflows_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/proto"

	"holdfast/internal/intake"
	"holdfast/internal/order"
)

// Criteria of 100 KB are in the history of their order once, as what it was started
// with, however often it looks for leads.
func TestLargeCriteriaAreInAHistoryOnce(t *testing.T) {
	s := realStack(t)
	criteria := order.Criteria{Domain: s.ordinaryDomains(t)}
	size := 0
	for i := range 900 {
		domain := fmt.Sprintf("%060d.%054d.test", i, i)
		criteria.Domain = append(criteria.Domain, domain)
		size += len(domain)
	}
	require.Greater(t, size, 100_000)
	org := s.org(t, "verified-leads", map[string]int64{"email": 200})
	o, err := s.Intake.Submit(t.Context(), intake.Submission{
		Org: org, Key: "criteria", Request: order.Request{Kind: order.LeadList, Count: 150, Fill: true, Criteria: criteria},
	})
	require.NoError(t, err)
	o = s.over(t, o.ID)
	require.Equal(t, order.Settled, o.Status, "%+v", o.Failure)
	require.EqualValues(t, 150, o.Tally.Valid)

	var bytes, selections int
	events := s.Temporal.GetWorkflowHistory(t.Context(), o.ID, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(t, err)
		bytes += proto.Size(event)
		if event.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName() == "SelectLeads" {
			selections++
		}
	}
	t.Logf("%d bytes of criteria, %d selections, a history of %d bytes", size, selections, bytes)
	require.Greater(t, selections, 1)
	require.Less(t, bytes, size*3/2)
}
