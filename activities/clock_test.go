package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/activities"
	"holdfast/internal/verify"
)

// later says of every address that its host wants to be asked again in five minutes.
type later struct{ byWord }

func (later) Verify(_ context.Context, emails []string, each func(int, verify.Result)) error {
	for i, email := range emails {
		now := time.Now()
		each(i, verify.Result{Email: email, Verdict: verify.Unknown, Reason: verify.Greylisted, CheckedAt: now, RetryAt: now.Add(5 * time.Minute)})
	}
	return nil
}

// A clock of the database that was hours ahead when greylisted items were written keeps
// their order waiting no longer than the hosts want.
func TestNoOrderWaitsForAClockThatWasAhead(t *testing.T) {
	o := open(t, "licence-monthly", "email", 100)
	o.Verifier, o.GreylistRetry = later{}, 5*time.Minute
	b, _ := o.begin("jane", "one", export(o.people(2, 2)))
	in := activities.BatchInput{OrderID: b.in.ID, From: 1, To: 2, Due: time.Now()}
	result := do(o, o.VerifyBatch, in)
	require.EqualValues(t, 2, result.Greylisted)
	require.InDelta(t, 5*time.Minute, result.RetryIn, float64(time.Minute))
	_, err := o.pool.Exec(t.Context(), `UPDATE order_item SET retry_at = retry_at + interval '2 hours'`)
	require.NoError(t, err)
	result = do(o, o.VerifyBatch, in) // the batch again, after its worker died
	require.EqualValues(t, 2, result.Greylisted)
	require.Equal(t, 5*time.Minute, result.RetryIn)

	o.Verifier, in.Due = byWord{}, result.RetryAt // as the next round asks
	result = do(o, o.VerifyBatch, in)
	require.Zero(t, result.Greylisted)
	require.EqualValues(t, 2, result.Tally.Valid)
}
