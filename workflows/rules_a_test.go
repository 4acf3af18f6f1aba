package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/order"
	"holdfast/internal/plan"
)

// A1, A3: a credit per verified contact; what is invalid, not verifiable or
// owned already costs nothing.
func TestRule_A1_A3_InvalidAndDuplicateDataIsFree(t *testing.T) {
	w, _ := ruled(t, "rollover-boost", 12_001, everyVerdict)
	first := w.ordered("", "one", 100, order.Criteria{})
	require.Equal(t, []order.Credit{{Type: "email", Held: 100, Captured: 60, Released: 40}}, first.Credits)
	again := w.ordered("", "two", 100, order.Criteria{})
	for _, c := range again.Credits {
		require.Zero(t, c.Captured, "nothing new")
	}
	require.Equal(t, int64(12_001-60), w.balance("").Available)
}

// A4: an address at a domain that accepts everything is neither delivered nor
// charged.
func TestRule_A4_CatchAllIsDetectedAndNotCharged(t *testing.T) {
	w, _ := ruled(t, "rollover-boost", 100, map[string]int{"catch_all": 40, "valid": 10})
	o := w.ordered("", "one", 50, order.Criteria{})
	require.Equal(t, int64(40), o.Tally.CatchAll)
	require.Equal(t, int64(10), o.Credits[0].Captured)
}

// A9: a bounce within the window is credited back, once, however often and in
// any spelling; one that comes too late is not.
func TestRule_A9_BouncesAreCreditedBackOnce(t *testing.T) {
	w, b := ruled(t, "rollover-power", 100, map[string]int{"valid": 10, "invalid": 10})
	w.ordered("", "one", 20, order.Criteria{})
	require.Equal(t, int64(90), w.balance("").Available)
	report := billing.Bounces{Org: "beta", Key: "monday", Emails: []string{
		"valid.US.1@domain1.test", " VALID.us.2@domain2.test ", "valid.US.1@DOMAIN1.test",
		"invalid.US.3@domain3.test", "stranger@nowhere.test",
	}}
	for range 2 { // the same request, the same answer
		bounced, err := b.Bounce(t.Context(), report, time.Now())
		require.NoError(t, err)
		require.Equal(t, []billing.BouncedResult{
			{Email: "invalid.us.3@domain3.test", Result: billing.BounceUnknown},
			{Email: "stranger@nowhere.test", Result: billing.BounceUnknown},
			{Email: "valid.us.1@domain1.test", Result: billing.BounceCredited},
			{Email: "valid.us.2@domain2.test", Result: billing.BounceCredited},
		}, bounced.Results)
		bounced.Results = nil
		require.Equal(t, billing.Bounced{Reported: 4, Found: 2, Facts: 2, Credits: []plan.Amount{{Type: "email", Amount: 2}}}, bounced)
		require.Equal(t, int64(92), w.balance("").Available)
	}
	report.Key = "tuesday"
	bounced, err := b.Bounce(t.Context(), report, time.Now())
	require.NoError(t, err)
	require.Equal(t, billing.BounceBefore, bounced.Results[2].Result)
	bounced.Results = nil
	require.Equal(t, billing.Bounced{Reported: 4, Found: 2, Credits: []plan.Amount{}}, bounced, "once")

	report.Key, report.Emails = "late", []string{"valid.US.5@domain5.test"}
	bounced, err = b.Bounce(t.Context(), report, time.Now().Add(31*24*time.Hour))
	require.NoError(t, err)
	require.Zero(t, bounced.Found, "the window is 30 days")
	require.Equal(t, billing.BounceLate, bounced.Results[0].Result)
	bounced, err = b.Bounce(t.Context(), report, time.Now().Add(29*24*time.Hour))
	require.NoError(t, err)
	require.Equal(t, int64(1), bounced.Facts)
	require.Equal(t, int64(93), w.balance("").Available)
	_, err = b.Bounce(t.Context(), billing.Bounces{Org: "beta"}, time.Now())
	require.ErrorIs(t, err, billing.ErrNoKey)
	_, err = b.Bounce(t.Context(), billing.Bounces{Org: "missing", Key: "k"}, time.Now())
	require.ErrorIs(t, err, account.ErrNotFound)
}

// A7 on real servers: 200 valid addresses are 200 email credits, 50 numbers are
// 50 phone credits, 10 unlocks of which 2 are invalid are 8 credits.
func TestRule_A7_TwoHundredAndFiftyAndEight(t *testing.T) {
	s := realStack(t)
	org := s.org(t, "rollover-boost", map[string]int64{"email": 300, "phone": 60})
	valid, invalid := s.withVerdict(t, 208, "valid", "true"), s.withVerdict(t, 2, "invalid", "true")

	o := s.settled(t, reveal(org, "", "emails", valid[:200], order.EmailField))
	require.Equal(t, map[string]int64{"email": 200}, captured(o))
	o = s.settled(t, reveal(org, "", "mobiles", s.leads(t, 50, ownNumber), order.PhoneField))
	require.Equal(t, map[string]int64{"phone": 50}, captured(o))
	o = s.settled(t, reveal(org, "", "unlocks", append(valid[200:208:208], invalid...), order.EmailField))
	require.Equal(t, map[string]int64{"email": 8}, captured(o))
	require.EqualValues(t, 300-208, s.available(t, org, "", "email"))
	require.EqualValues(t, 10, s.available(t, org, "", "phone"))
}
