package activities_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"
	"golang.org/x/sync/errgroup"

	"holdfast/activities"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
)

// Orders that come together, each of them twice, are reserved and carried out as if
// each came alone, one time; what became of each is announced. The last ones are not
// covered by the credits.
func TestOrdersThatComeTogetherAreAsIfTheyCameAlone(t *testing.T) {
	const orders, credits = 16, 12
	ctx := t.Context()
	o := open(t, "prepaid-verification", "email", credits)
	o.Verifies = true
	heard, err := o.Book.Listen(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { heard.Close(ctx) })

	var inputs []activities.ReserveInput
	for i := range orders {
		request, err := o.pricer.Normalize(ctx, o.org, order.Body{Request: order.Request{Kind: order.Verify}, Emails: []string{fmt.Sprintf("valid.%d@host.test", i)}}, true)
		require.NoError(t, err)
		inputs = append(inputs, activities.ReserveInput{
			Input: order.Input{ID: order.ID(o.org, fmt.Sprint(i)), Org: o.org, Request: request}, Announce: true,
		})
	}
	reservations := make([]order.Reservation, 2*orders)
	var reserving errgroup.Group
	for i := range reservations {
		reserving.Go(func() (err error) {
			reservations[i], err = o.Reserve(ctx, inputs[i%orders])
			return err
		})
	}
	require.NoError(t, reserving.Wait())
	announced := map[string]order.Status{}
	for len(announced) < orders { // PostgreSQL says the same in one transaction once
		said, err := heard.Next(ctx)
		require.NoError(t, err)
		announced[said.OrderID] = said.Order.Status
	}

	var carrying errgroup.Group
	for i, r := range reservations {
		require.Equal(t, announced[r.Order.ID], r.Order.Status)
		require.Equal(t, reservations[i%orders].Order.Status, r.Order.Status)
		if r.Order.Status == order.Rejected {
			continue
		}
		carrying.Go(func() error {
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestActivityEnvironment()
			env.RegisterActivity(o.Activities)
			value, err := env.ExecuteActivity(o.CarryOut, activities.CarryOutInput{Input: inputs[i%orders].Input, Terms: r.Terms})
			if err != nil {
				return err
			}
			var now activities.Selection
			if err := value.Get(&now); err != nil {
				return err
			}
			if now.Status != order.Settled || now.Tally.Valid != 1 || now.Credits[0].Captured != 1 {
				return fmt.Errorf("order %d: %+v", i, now)
			}
			return nil
		})
	}
	require.NoError(t, carrying.Wait())
	events := map[string]int{}
	rows, err := o.pool.Query(ctx, `SELECT topic, count(*) FROM outbox WHERE topic LIKE 'order.%' GROUP BY 1`)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var topic string
		var n int
		require.NoError(t, rows.Scan(&topic, &n))
		events[topic] = n
	}
	require.Equal(t, map[string]int{
		"order.reserved": credits, "order.rejected": orders - credits, "order.started": credits, "order.completed": credits, "order.settled": credits,
	}, events)
	balances, err := o.Ledger.Balances(ctx, o.org)
	require.NoError(t, err)
	require.Zero(t, balances[0].Available+balances[0].Held)
}

// A submitter learns at once of an order that cannot be made.
func TestARefusalIsAnnounced(t *testing.T) {
	ctx := t.Context()
	o := open(t, "prepaid-verification", "email", 1)
	heard, err := o.Book.Listen(ctx)
	require.NoError(t, err)
	t.Cleanup(func() { heard.Close(ctx) })
	for id, request := range map[string]order.Request{
		"its plan does not sell it": {Kind: order.LeadList, Count: 1},
		"its list is not there":     {Kind: order.Verify, ListID: "7b1c0f6e-0000-0000-0000-000000000000", Count: 1},
	} {
		_, err := o.Reserve(ctx, activities.ReserveInput{Input: order.Input{ID: id, Org: o.org, Request: request}, Announce: true})
		info, refused := activities.Refused(err)
		require.True(t, refused, "%v", err)
		said, err := heard.Next(ctx)
		require.NoError(t, err)
		require.Equal(t, id, said.OrderID)
		require.Equal(t, &order.Refusal{Code: info.Code, Message: info.Text, Field: info.Field}, said.Refused)
	}
	_, err = o.Reserve(ctx, activities.ReserveInput{Input: order.Input{ID: "stranger", Org: "nowhere", Request: order.Request{Kind: order.LeadList, Count: 1}}, Announce: true})
	require.Error(t, err)
	said, err := heard.Next(ctx)
	require.NoError(t, err)
	require.NotNil(t, said.Refused)
}

// A ride that is carried out again after its worker died hands over what was delivered
// and not settled.
func TestARideHandsOverWhatItDeliveredBefore(t *testing.T) {
	ctx := t.Context()
	o := open(t, "prepaid-verification", "email", 5)
	b, _ := o.begin("", "one", order.Body{Request: order.Request{Kind: order.Verify}, Emails: []string{"valid.1@host.test"}})
	all := activities.Range{From: 1, To: 1}
	do(o, o.VerifyBatch, activities.BatchInput{OrderID: b.in.ID, From: 1, To: 1, Due: time.Now()})
	do(o, o.CaptureCredits, o.capture(b, all))
	require.Equal(t, order.Completed, do(o, o.DeliverOrder, activities.DeliverInput{OrderID: b.in.ID, Org: o.org}).Status)
	_, err := o.pool.Exec(ctx, `INSERT INTO order_ride (order_id, org, member, request_hash, ride_id) VALUES ($1, $2, '', $3, 'ride/one')`, b.in.ID, o.org, b.in.Request.Hash())
	require.NoError(t, err)
	boarded := do(o, o.Board, activities.Ride{ID: "ride/one", Orders: []order.Input{b.in}})
	require.False(t, boarded[0].Rides)
	require.NotNil(t, boarded[0].Terms)
}

// Where the last entry of the journal is of a time to come, because the database's clock
// was ahead, the period of every offer is over: an order is reserved all the same.
func TestAnOrderIsReservedWhenTheJournalIsAheadOfTheClock(t *testing.T) {
	o := open(t, "licence-monthly", "email", 100)
	_, err := o.pool.Exec(t.Context(), `UPDATE credit_owner SET at = now() + interval '101 years' WHERE owner = $1`, o.org)
	require.NoError(t, err)
	o.Ledger = ledger.New(o.pool) // it has nothing in memory
	t.Cleanup(o.Ledger.Close)
	_, reserved := o.begin("jane", "one", export(o.people(2, 2)))
	require.Equal(t, order.Reserved, reserved.Status)
}
