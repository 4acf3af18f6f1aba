package order_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/errcode"
	"holdfast/internal/order"
)

func TestStatus(t *testing.T) {
	for status, c := range map[order.Status]struct {
		over, delivered bool
		stage           order.Stage
	}{
		order.Reserved:  {false, false, order.StageSelecting},
		order.Verifying: {false, false, order.StageVerifying},
		order.Completed: {false, true, order.StageRefunding},
		order.Settled:   {true, true, order.StageOver},
		order.Rejected:  {true, false, order.StageOver},
		order.Cancelled: {true, false, order.StageOver},
		order.Failed:    {true, false, order.StageOver},
		"unheard":       {false, false, order.StageOver},
	} {
		require.Equal(t, c.over, status.Over(), status)
		require.Equal(t, c.delivered, status.Delivered(), status)
		require.Equal(t, c.stage, order.Order{Status: status}.Look().Stage, status)
	}
}

// Lists of orders show progress from the book alone.
func TestLook(t *testing.T) {
	until := time.Date(2026, 3, 1, 12, 5, 0, 0, time.UTC)
	o := order.Order{
		Status: order.Verifying, Selected: 10, Tally: order.Tally{Valid: 4},
		Credits:  []order.Credit{{Type: "email", Held: 10, Captured: 4}, {Type: "phone", Held: 10}},
		Progress: &order.Pace{Done: 5, Total: 8, Rate: 2.5, ETA: &until},
		Waiting:  &order.Wait{For: order.WaitGreylisting, Reason: "round 2", Until: &until},
	}
	p := o.Look()
	require.Equal(t, []order.Amount{{Type: "email", Amount: 4}}, p.Charged, "nothing is said of what was not charged")
	require.Equal(t, order.Tally{Valid: 4}, p.Tally)
	require.EqualValues(t, 5, p.Done)
	require.EqualValues(t, 8, p.Total)
	require.InDelta(t, 2.5, p.Rate, 0)
	require.Equal(t, "round 2", p.Waiting)
	require.Equal(t, &until, p.Until)
	require.Equal(t, &until, p.ETA)
	require.EqualValues(t, 10, order.Order{Selected: 10}.Look().Total, "without a pace, what is selected")
}

func TestPace(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	since, round := now.Add(-10*time.Second), now.Add(time.Minute)
	at := func(seconds int) *time.Time {
		at := now.Add(time.Duration(seconds) * time.Second)
		return &at
	}
	for name, c := range map[string]struct {
		given order.Pace
		since time.Time
		wait  *order.Wait
		rate  float64
		eta   *time.Time
	}{
		"half done":            {order.Pace{Done: 500, Total: 1000}, since, nil, 50, at(10)},
		"nothing done":         {order.Pace{Total: 1000}, since, nil, 0, nil},
		"just begun":           {order.Pace{Done: 5, Total: 1000}, now, nil, 0, nil},
		"all done":             {order.Pace{Done: 1000, Total: 1000}, since, nil, 100, nil},
		"too slow for a rate":  {order.Pace{Done: 1, Total: 1000}, now.Add(-time.Hour), nil, 0, nil},
		"waiting for a round":  {order.Pace{Done: 500, Total: 1000}, since, &order.Wait{Until: &round}, 50, at(70)},
		"waiting for a person": {order.Pace{Done: 500, Total: 1000}, since, &order.Wait{}, 50, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.given
			p.Estimate(c.since, now, c.wait)
			require.InDelta(t, c.rate, p.Rate, 0.001)
			require.Equal(t, c.eta, p.ETA)
		})
	}
}

// Every verdict has its line; one that is not known counts as unknown.
func TestTally(t *testing.T) {
	var sum order.Tally
	verdicts := []string{"valid", "invalid", "catch_all", "risky", "disposable", "unknown"}
	for i, v := range verdicts {
		var one order.Tally
		one.Count(v, "accepted", int64(i+1))
		require.EqualValues(t, i+1, one.Of([]string{v}), v)
		require.EqualValues(t, i+1, one.Of(verdicts), v)
		require.EqualValues(t, i+1, one.Verified(), v)
		sum.Add(one)
	}
	sum.Add(order.Tally{AlreadyOwned: 3, Duplicate: 9})
	require.Equal(t, order.Tally{Valid: 1, Invalid: 2, CatchAll: 3, Risky: 4, Disposable: 5, Unknown: 6, AlreadyOwned: 3, Duplicate: 9}, sum)
	require.EqualValues(t, 21, sum.Verified(), "without duplicates")
	require.EqualValues(t, 4, sum.Of([]string{"valid", "catch_all", "nonsense"}))
	sum.Count("nonsense", "", 2)
	require.EqualValues(t, 8, sum.Unknown)

	// What another item stands for is a duplicate, and done; what a list says twice
	// was never selected.
	var reveal order.Tally
	reveal.Count("valid", "accepted", 1)
	reveal.Count("unknown", order.ReasonDuplicate, 2)
	require.Equal(t, order.Tally{Valid: 1, Duplicate: 2}, reveal)
	require.EqualValues(t, 3, reveal.Done(3))
	require.EqualValues(t, 1, order.Tally{Valid: 1, Duplicate: 2}.Done(1))
}

// The same key of the same organization is the same order, in every version of
// the program: the ids are in Temporal and at customers.
func TestIDAndHash(t *testing.T) {
	require.Equal(t, "ord_hpfis5gqa7rn6zyc5ckdwzps", order.ID("acme", "first"))
	require.NotEqual(t, order.ID("acme", "1x"), order.ID("acme1", "x"))
	a := order.Request{Kind: order.LeadList, Count: 7}
	b := a
	require.Equal(t, a.Hash(), b.Hash())
	require.Len(t, a.Hash(), 32)
	b.Fill = true
	require.NotEqual(t, a.Hash(), b.Hash())
}

func TestSmall(t *testing.T) {
	require.True(t, order.Request{Count: order.SmallCount}.Small())
	require.False(t, order.Request{Count: order.SmallCount + 1}.Small())
	require.False(t, order.Request{Count: 1, Fill: true}.Small(), "it may select more than once")
	two := []order.Field{order.EmailField, order.PhoneField}
	require.True(t, order.Request{Count: order.SmallCount / 2, Fields: two}.Small())
	require.False(t, order.Request{Count: order.SmallCount/2 + 1, Fields: two}.Small(), "an item for each field")
}

func TestEveryTime(t *testing.T) {
	require.True(t, order.Charge{Scope: "ord_1"}.EveryTime("ord_1"))
	require.False(t, order.Charge{Scope: "jane"}.EveryTime("ord_1"))
	require.False(t, order.Charge{}.EveryTime("ord_1"))
}

func TestParseRequest(t *testing.T) {
	body, err := order.ParseRequest([]byte(`{"kind":"lead_list","count":7,"criteria":{"country":["US"]},"member":"jane"}`))
	require.NoError(t, err)
	require.Equal(t, "jane", body.Member)
	require.Equal(t, order.Request{Kind: order.LeadList, Count: 7, Criteria: order.Criteria{Country: []string{"US"}}}, body.Request)

	for text, field := range map[string]string{`{"contry":["US"]}`: "contry", `{"count":"seven"}`: "", `{`: ""} {
		_, err := order.ParseRequest([]byte(text))
		var invalid *order.InvalidError
		require.ErrorAs(t, err, &invalid, text)
		require.Equal(t, field, invalid.Field)
		require.Equal(t, errcode.Info{Kind: errcode.Invalid, InBody: true, Field: field, Text: invalid.Error()}, invalid.ErrorInfo())
	}
}

// What is wrong with criteria is said with the name of the member.
func TestWrongCriteria(t *testing.T) {
	for field, criteria := range map[string]order.Criteria{
		"criteria.headcount_min": {HeadcountMin: -1},
		"criteria.headcount_max": {HeadcountMin: 9, HeadcountMax: 3},
		"criteria.industry":      {Industry: []string{"Software", " "}},
		"criteria.city":          {City: make([]string, 1001)},
		"criteria.country":       {Country: []string{"USA"}},
		"criteria":               {Domain: []string{string(make([]byte, order.MaxCriteria))}},
	} {
		var invalid *order.InvalidError
		require.ErrorAs(t, order.Request{Kind: order.LeadList, Count: 1, Criteria: criteria}.Validate(0), &invalid, field)
		require.Equal(t, field, invalid.Field)
	}
}
