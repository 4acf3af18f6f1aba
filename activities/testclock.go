package activities

import (
	"context"

	"holdfast/internal/testclock"
)

// TestClockActivities is what moving a test clock works with.
type TestClockActivities struct {
	Clocks *testclock.Clocks
	Orders testclock.Orders
}

// WalkTestClock leads a test clock to the time that is noted with it.
func (a *TestClockActivities) WalkTestClock(ctx context.Context, clock string) error {
	defer heartbeat(ctx, noProgress)()
	return toTemporal(a.Clocks.Walk(ctx, clock, a.Orders))
}

// RefundDue reports whether the time of an order's refund has come to its
// organization.
func (a *Activities) RefundDue(ctx context.Context, orderID string) (bool, error) {
	due, err := a.Book.RefundDue(ctx, orderID)
	return due, toTemporal(err)
}
