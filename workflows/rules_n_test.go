package workflows_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/offer"
	"holdfast/internal/order"
	"holdfast/internal/plan"
)

// N12: before anything is spent a quote tells what it would cost at most and
// whether the credits, and a member's budget, cover it; the order then does what
// the quote said.
func TestRule_N12_AQuoteTellsWhetherTheCreditsCoverIt(t *testing.T) {
	w, _ := ruled(t, "workspace-paid", 99, everyVerdict) // of 100 leads
	_, err := w.accounts.CreateMember(t.Context(), account.Member{Org: "beta", ID: "bob", Name: "Bob"})
	require.NoError(t, err)
	require.NoError(t, w.accounts.SetBudget(t.Context(), "beta", "bob", plan.Amount{Type: "email", Amount: 30}))
	pricer := offer.New(w.accounts, w.ledger, w.catalogue, w.book)
	quote := func(member string, count int64) order.Quote {
		q, err := pricer.Quote(t.Context(), order.Input{
			ID: "ord_quote", Org: "beta", Member: member, Request: order.Request{Kind: order.LeadList, Count: count},
		})
		require.NoError(t, err)
		require.Equal(t, []order.Amount{{Type: "email", Amount: count}}, q.Hold)
		return q
	}
	require.True(t, quote("", 99).Covered)
	beyond := quote("", 100)
	require.False(t, beyond.Covered)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 1}}, beyond.Missing)
	require.True(t, quote("bob", 30).Covered)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 10}}, quote("bob", 40).Missing, "the budget counts, too")
	require.Equal(t, int64(99), w.balance("").Available, "a quote spends nothing")

	require.Equal(t, beyond.Missing, w.ordered("", "beyond", 100, order.Criteria{}).Failure.Missing)
	_, err = w.ledger.Grant(t.Context(), ledger.Grant{Owner: "beta", Key: "one more", Type: "email", Amount: 1, Source: ledger.SourcePack})
	require.NoError(t, err)
	require.Equal(t, order.Settled, w.ordered("", "all", 1_000, order.Criteria{}).Status, "no more is held than there are leads")
	again := quote("", 40)
	require.Equal(t, int64(60), again.AlreadyOwned, "what is paid for is known")
	require.Equal(t, int64(40), again.Candidates)
}

// N12: an operator undoes an order or a part of it, with a reason in the journal.
func TestRule_N12_AnOperatorReversesAnOrder(t *testing.T) {
	w, b := ruled(t, "rollover-boost", 1_000, everyVerdict)
	o := w.ordered("", "one", 100, order.Criteria{})
	require.Equal(t, int64(940), w.balance("").Available)
	now := time.Now()
	for reversal, want := range map[*billing.Reversal]error{
		{OrderID: o.ID, Key: "k1"}:                                                       billing.ErrNoReason,
		{OrderID: o.ID, Reason: "why not"}:                                               billing.ErrNoKey,
		{OrderID: o.ID, Key: "k2", Reason: "r", Amount: 5}:                               billing.ErrPart,
		{OrderID: o.ID, Key: "k3", Reason: "r", Type: "email", Amount: 61}:               ledger.ErrHoldExhausted,
		{OrderID: o.ID, Key: "k4", Reason: "r", Type: "email", Amount: -1}:               ledger.ErrInvalid,
		{OrderID: o.ID, Key: "k5", Reason: "r", Type: "email", Amount: 5, Leads: ids(1)}: billing.ErrPart,
	} {
		_, err := b.Reverse(t.Context(), *reversal, now)
		require.ErrorIs(t, err, want, "%+v", *reversal)
	}
	require.Equal(t, int64(940), w.balance("").Available)

	part := billing.Reversal{OrderID: o.ID, Key: "part", Reason: "wrong people", Leads: ids(3)}
	for range 2 {
		reversed, err := b.Reverse(t.Context(), part, now)
		require.NoError(t, err)
		require.Equal(t, []plan.Amount{{Type: "email", Amount: 3}}, reversed.Credits)
		require.Equal(t, int64(3), reversed.Facts)
		require.Equal(t, int64(943), w.balance("").Available)
	}
	some, err := b.Reverse(t.Context(), billing.Reversal{OrderID: o.ID, Key: "some", Reason: "goodwill", Type: "email", Amount: 7}, now)
	require.NoError(t, err)
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 7}}, some.Credits)
	rest, err := b.Reverse(t.Context(), billing.Reversal{OrderID: o.ID, Key: "all", Reason: "exported by mistake"}, now)
	require.NoError(t, err)
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 50}}, rest.Credits)
	require.Equal(t, int64(57), rest.Facts)
	require.Equal(t, int64(1_000), w.balance("").Available)
	shown, err := w.book.Get(t.Context(), "beta", o.ID)
	require.NoError(t, err)
	require.Equal(t, []order.Credit{{Type: "email", Held: 100, Captured: 60, Released: 40, Reversed: 60}}, shown.Credits)

	page, err := w.ledger.History(t.Context(), ledger.HistoryFilter{Owner: "beta", OrderID: o.ID, Kind: "reverse"})
	require.NoError(t, err)
	require.Equal(t, "exported by mistake", page.Lines[0].Reason)
	again := w.ordered("", "two", 100, order.Criteria{})
	require.Equal(t, int64(60), again.Credits[0].Captured, "no longer paid for, so it costs again")
}

func ids(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("US-valid-%d", i)
	}
	return list
}

// N1, N2 on real servers: each action costs credits of its own type, and what
// bob revealed jane gets free.
func TestRule_N1_N2_OwnCostsPaidOnce(t *testing.T) {
	s := realStack(t)
	org := s.org(t, "licence-monthly", nil)
	s.member(t, org, "bob")
	s.member(t, org, "jane")
	ids := s.withVerdict(t, 10, "valid", ownNumber+" AND profile <> ''")
	fields := []order.Field{order.EmailField, order.PhoneField, order.ProfileField}
	costs := map[string]int64{"email": 10, "phone": 10, "profile": 10}
	require.Equal(t, costs, captured(s.settled(t, reveal(org, "bob", "bobs", ids, fields...))))
	free := s.settled(t, reveal(org, "jane", "janes", ids, fields...))
	for credit, n := range captured(free) {
		require.Zero(t, n, credit)
	}
	require.EqualValues(t, 30, free.Tally.AlreadyOwned)
	_, rows := s.rows(t, free.ID)
	require.Len(t, rows, 10)
	for credit := range costs {
		require.Equal(t, s.available(t, org, "bob", credit)+10, s.available(t, org, "jane", credit))
	}
	o := s.settled(t, export(org, "jane", "export", ids))
	require.Zero(t, captured(o)["email"], "an address that is owned is exported free")
	require.EqualValues(t, 10, o.Tally.Valid)
}

// N3, N4, N5, N11 on real servers: 190 of bob's 200 are found and charged when
// the export completes, downloaded or not; 80 of jane's 200 are known, so she
// pays for 120, with her licence's credits first.
func TestRule_N3_N4_N5_N11_ExportsOfTwoMembers(t *testing.T) {
	s := realStack(t)
	org := s.org(t, "licence-monthly", map[string]int64{"email": 500})
	s.member(t, org, "bob")
	s.member(t, org, "jane")
	found, missing := s.withVerdict(t, 310, "valid", "true"), s.withVerdict(t, 10, "invalid", "true")

	bobs := s.settled(t, export(org, "bob", "bobs", append(found[:190:190], missing...)))
	require.Equal(t, map[string]int64{"email": 190}, captured(bobs))
	require.EqualValues(t, 1000-190, s.available(t, org, "bob", "email"))

	spend := s.available(t, org, "jane", "email") - 100
	_, err := s.Ledger.Charge(t.Context(), ledger.Charge{
		Owner: org, Key: "spend", Memo: ledger.Memo{Member: "jane"},
		Lines: []ledger.ChargeLine{{Type: "email", Amount: spend, Pools: []string{"jane"}}},
	})
	require.NoError(t, err)
	janes := s.settled(t, export(org, "jane", "janes", found[110:310]))
	require.Equal(t, map[string]int64{"email": 120}, captured(janes))
	require.EqualValues(t, 80, janes.Tally.AlreadyOwned)
	require.Zero(t, s.available(t, org, "jane", "email"), "the licence's own first")
	require.EqualValues(t, 500-20, s.available(t, org, "", "email"), "then the add-ons")
	_, rows := s.rows(t, janes.ID)
	require.Len(t, rows, 200, "what was known is in the file too")
}

// N12 on real servers: the quote of an export is what it then costs, and an
// operator undoes it, with a reason.
func TestRule_N12_AnExportIsQuotedAndUndone(t *testing.T) {
	s := realStack(t)
	org := s.org(t, "licence-monthly", map[string]int64{"email": 30})
	ids := s.withVerdict(t, 31, "valid", "true")
	beyond, err := s.Intake.Quote(t.Context(), export(org, "", "beyond", ids))
	require.NoError(t, err)
	require.False(t, beyond.Covered)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 1}}, beyond.Missing)
	q, err := s.Intake.Quote(t.Context(), export(org, "", "mistake", ids[:30]))
	require.NoError(t, err)
	require.True(t, q.Covered)
	require.Equal(t, []order.Amount{{Type: "email", Amount: 30}}, q.Hold)

	o := s.settled(t, export(org, "", "mistake", ids[:30]))
	require.Equal(t, q.Hold[0].Amount, captured(o)["email"])
	require.Zero(t, s.available(t, org, "", "email"))
	undone, err := s.Billing.Reverse(t.Context(), billing.Reversal{OrderID: o.ID, Key: "undo", Reason: "exported by mistake"}, time.Now())
	require.NoError(t, err)
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 30}}, undone.Credits)
	require.EqualValues(t, 30, s.available(t, org, "", "email"))
	s.requireExact(t, o)
}
