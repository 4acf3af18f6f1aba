package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/ledger"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/internal/plan"
)

func (w *world) quote(in order.Input) order.Quote {
	w.t.Helper()
	q, err := offer.New(w.accounts, w.ledger, w.catalogue, w.book).Quote(w.t.Context(), in)
	require.NoError(w.t, err)
	return q
}

func TestRule_X1_N12_TheQuotePredictsTheCharge(t *testing.T) {
	w := newWorld(t, 200, 150)
	in := input(60)
	in.ID = order.ID(org, "first")

	q := w.quote(in)
	require.Equal(t, order.Quote{
		Candidates: 60, Hold: []order.Amount{{Type: "email", Amount: 60}}, Covered: true, Missing: []order.Amount{},
		ExpectedCharge: []order.Range{{Type: "email", Low: 0, High: 60}},
	}, q, "without any earlier order there is no estimate")
	w.requireBalance(150, 0)

	env := w.env()
	run(env, in)
	require.NoError(t, env.GetWorkflowError())
	first := w.stored(in.ID)

	in.ID, in.Request.Count = order.ID(org, "second"), 1000
	q = w.quote(in)
	require.Equal(t, first.Tally.Valid, q.AlreadyOwned, "exactly what was delivered is owned")
	require.Equal(t, 200-q.AlreadyOwned, q.Candidates)
	require.False(t, q.Covered)
	require.Equal(t, []order.Amount{{Type: "email", Amount: q.Candidates - (150 - first.Tally.Valid)}}, q.Missing, "no more is held than there are")
	rate := q.Candidates * first.Tally.Valid / 60
	require.Less(t, q.ExpectedCharge[0].Low, rate, "one order makes no point")
	require.Greater(t, q.ExpectedCharge[0].High, rate)
	require.EqualValues(t, 60, q.ExpectedCharge[0].Known)

	in.ID, in.Request.Count = order.ID(org, "third"), 50
	q = w.quote(in)
	env = w.env()
	run(env, in)
	require.NoError(t, env.GetWorkflowError())
	third := w.stored(in.ID)
	require.Equal(t, q.Hold[0].Amount, third.Credits[0].Held, "what the quote names is what is held")
	require.Equal(t, q.Candidates, third.Selected)
	require.GreaterOrEqual(t, third.Credits[0].Captured, q.ExpectedCharge[0].Low)
	require.LessOrEqual(t, third.Credits[0].Captured, q.ExpectedCharge[0].High)
}

func TestAQuoteOfANewcomerLooksAtWhatOthersGot(t *testing.T) {
	w := newWorld(t, 200, 150)
	in := input(100)
	env := w.env()
	run(env, in)
	require.NoError(t, env.GetWorkflowError())
	valid := w.stored(in.ID).Tally.Valid

	_, err := w.accounts.CreateOrg(t.Context(), account.Org{ID: "beta", Name: "Beta", Plan: "verified-leads"})
	require.NoError(t, err)
	in.Org = "beta"
	q := w.quote(in)
	require.EqualValues(t, 100, q.ExpectedCharge[0].Known)
	require.Less(t, q.ExpectedCharge[0].Low, valid)
	require.Greater(t, q.ExpectedCharge[0].High, valid)
	require.Zero(t, q.AlreadyOwned)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 100}}, q.Missing)
}

func TestAQuoteKnowsTheMembersBudget(t *testing.T) {
	w := newWorld(t, 100, 500)
	_, err := w.accounts.CreateMember(t.Context(), account.Member{Org: org, ID: "ann", Name: "Ann", Role: account.RoleMember})
	require.NoError(t, err)
	require.NoError(t, w.accounts.SetBudget(t.Context(), org, "ann", plan.Amount{Type: "email", Amount: 40}))
	in := input(50)
	in.Member = "ann"
	q := w.quote(in)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 10}}, q.Missing)
	held, err := w.ledger.Hold(t.Context(), ledger.Hold{Owner: org, Key: "x", HoldID: "x", Lines: []ledger.Line{
		{Type: "email", Amount: 460, Pools: []string{""}},
	}})
	require.NoError(t, err)
	require.True(t, held.Held)
	in.Request.Count = 45
	require.Equal(t, []order.Amount{{Type: "email", Amount: 5}}, w.quote(in).Missing, "either limit is one")
}

func TestAQuoteOfWhatThePlanDoesNotSellSaysSo(t *testing.T) {
	w := newWorld(t, 10, 10)
	_, err := w.accounts.CreateOrg(t.Context(), account.Org{ID: "beta", Name: "Beta", Plan: "prepaid-verification"})
	require.NoError(t, err)
	in := input(5)
	in.Org = "beta"
	_, err = offer.New(w.accounts, w.ledger, w.catalogue, w.book).Quote(t.Context(), in)
	var invalid *order.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "kind", invalid.Field)
}

func TestAQuoteOfAFilledOrderLooksAtTheWholeCatalogue(t *testing.T) {
	w := newWorld(t, 200, 150)
	first := input(40)
	env := w.env()
	run(env, first)
	require.NoError(t, env.GetWorkflowError())
	valid := w.stored(first.ID).Tally.Valid

	q := w.quote(fill(30))
	require.Equal(t, 200-valid, q.Candidates)
	require.EqualValues(t, 30, q.ExpectedCharge[0].High, "there are enough")
	require.InDelta(t, 30, q.ExpectedCharge[0].Low, 8)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 30}}, q.Hold)

	in := input(50)
	in.Request.IncludeOwned = true
	q = w.quote(in)
	require.EqualValues(t, 50, q.Candidates)
	require.Equal(t, valid, q.AlreadyOwned)
	require.Less(t, q.ExpectedCharge[0].Low, (50-valid)*valid/40, "all that is owned may be among them, by chance")
	require.Greater(t, q.ExpectedCharge[0].High, 50*valid/40)
}
