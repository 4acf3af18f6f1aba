package plan_test

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/ledger"
	"holdfast/internal/plan"
	"holdfast/internal/postgres/pgtest"
)

// The rules again, where a plan meets the real ledger: what an order holds,
// captures and gives back under each of the built-in plans.

// books are an organization's credits under one plan.
type books struct {
	*ledger.Ledger
	plan *plan.Plan
	keys int
}

func open(t *testing.T, planID string) *books {
	t.Helper()
	l := ledger.New(pgtest.New(t))
	t.Cleanup(l.Close)
	return &books{Ledger: l, plan: preset(t, planID)}
}

func (b *books) key() string {
	b.keys++
	return fmt.Sprintf("key-%d", b.keys)
}

func (b *books) grant(t *testing.T, pool, creditType string, amount int64) {
	t.Helper()
	_, err := b.Grant(t.Context(), ledger.Grant{
		Owner: "acme", Key: b.key(), Pool: pool, Type: creditType, Amount: amount, Source: ledger.SourcePack,
	})
	require.NoError(t, err)
}

// left asks for more than there can be and learns what there is.
func (b *books) left(t *testing.T, pool, creditType string) int64 {
	t.Helper()
	const tooMuch = plan.MaxAmount
	k := b.key()
	res, err := b.Hold(t.Context(), ledger.Hold{
		Owner: "acme", Key: k, HoldID: k,
		Lines: []ledger.Line{{Type: creditType, Amount: tooMuch, Pools: []string{pool}}},
	})
	require.NoError(t, err)
	require.False(t, res.Held)
	return tooMuch - res.Missing[0].Amount
}

// outcome is what came of one thing that was ordered.
type outcome struct {
	subject string // the lead, or the address to verify
	verdict string // "" where the action asks for none
	system  bool   // it failed because of our own system
}

func outcomes(verdict string, from, to int) []outcome {
	list := make([]outcome, 0, to-from)
	for i := from; i < to; i++ {
		list = append(list, outcome{subject: fmt.Sprintf("lead-%d", i), verdict: verdict})
	}
	return list
}

// result is what an order cost, by credit type.
type result struct {
	held     bool
	captured map[string]int64
	released map[string]int64
}

// order holds for every outcome, captures what the plan charges and releases
// the rest.
func (b *books) order(t *testing.T, member, action string, list ...outcome) result {
	t.Helper()
	order := b.key()
	hold, err := b.plan.HoldFor(action, int64(len(list)))
	require.NoError(t, err)
	lines := make([]ledger.Line, len(hold))
	for i, h := range hold {
		lines[i] = ledger.Line{Type: h.Type, Amount: h.Amount, Pools: b.plan.Pools(h.Type, member)}
	}
	held, err := b.Hold(t.Context(), ledger.Hold{Owner: "acme", Key: order + "/hold", HoldID: order, Lines: lines})
	require.NoError(t, err)
	res := result{held: held.Held, captured: map[string]int64{}, released: map[string]int64{}}
	if !held.Held {
		return res
	}
	captures := map[string]*ledger.Capture{}
	a, _ := b.plan.Action(action)
	for i, o := range list {
		subject := o.subject
		if action == "verify" {
			subject = fmt.Sprint(i) // each one carried out
		}
		sum := sha256.Sum256([]byte(subject))
		item := plan.Item{Verdict: o.verdict, Free: o.system, Lead: plan.Subject(sum[:16])}
		for _, c := range a.Charges {
			for _, due := range c.Price(a.Billable).Due(item, nil) {
				if captures[c.Type] == nil {
					captures[c.Type] = &ledger.Capture{Owner: "acme", Key: order + "/capture/" + c.Type, HoldID: order, Type: c.Type, UnitCost: c.Amount}
				}
				captures[c.Type].Facts = append(captures[c.Type].Facts, ledger.Fact{Scope: c.FactScope(member, order), Subject: due.Subject})
			}
		}
	}
	for creditType, c := range captures {
		captured, err := b.Capture(t.Context(), *c)
		require.NoError(t, err)
		res.captured[creditType] = captured.Charged
	}
	released, err := b.Release(t.Context(), ledger.Release{
		Owner: "acme", Key: order + "/release", HoldID: order, Late: ledger.LateRelease(b.plan.LateRelease),
	})
	require.NoError(t, err)
	for _, r := range released.Released {
		res.released[r.Type] = r.Amount
	}
	return res
}

func TestRule_L6_TenThousandFiveThousandFiveThousand(t *testing.T) {
	b := open(t, "verified-leads")
	b.grant(t, "", "email", 10_000)
	res := b.order(t, "", "lead_list", append(outcomes("valid", 0, 5_000), outcomes("invalid", 5_000, 10_000)...)...)
	require.Equal(t, int64(5_000), res.captured["email"])
	require.Equal(t, int64(5_000), res.released["email"])
	require.Equal(t, int64(5_000), b.left(t, "", "email"))
}

func TestRule_A7_InTheLedger(t *testing.T) {
	b := open(t, "rollover-boost")
	for _, a := range b.plan.Allotments(plan.Organization) {
		b.grant(t, "", a.Type, a.Amount)
	}
	require.Equal(t, int64(200), b.order(t, "", "reveal_email", outcomes("valid", 0, 200)...).captured["email"])
	require.Equal(t, int64(50), b.order(t, "", "reveal_phone", outcomes("valid", 0, 50)...).captured["phone"])
	require.Equal(t, int64(8), b.order(t, "", "reveal_email", append(outcomes("valid", 500, 508), outcomes("invalid", 508, 510)...)...).captured["email"])
	require.Equal(t, int64(12_000-208), b.left(t, "", "email"))
	require.Equal(t, int64(750), b.left(t, "", "phone"))
	// A3, A6: a duplicate costs nothing, by any action.
	require.Zero(t, b.order(t, "", "export", outcomes("valid", 0, 200)...).captured["email"])
}

func TestRule_A5_InTheLedger(t *testing.T) {
	b := open(t, "rollover-boost")
	period := plan.PeriodN(time.Now(), 0, time.UTC)
	for n, want := range []int64{800, 1_550, 2_350} { // 50 are spent in the first month
		_, err := b.Renew(t.Context(), ledger.Renew{Owner: "acme", Key: fmt.Sprint("renew-", n), Lines: []ledger.Renewal{{
			Type: "phone", Amount: b.plan.Allotment("phone", plan.Organization), Rollover: true, Cap: -1,
			ExpiresAt: b.plan.GrantExpiry("phone", period),
		}}})
		require.NoError(t, err)
		require.Equal(t, want, b.left(t, "", "phone"))
		if n == 0 {
			b.order(t, "", "reveal_phone", outcomes("valid", 0, 50)...)
		}
	}
}

func TestRule_A9_InTheLedger(t *testing.T) {
	b := open(t, "rollover-boost")
	b.grant(t, "", "email", 10)
	b.order(t, "", "reveal_email", outcomes("valid", 0, 10)...)
	sum := sha256.Sum256([]byte("lead-3"))
	for i, want := range []int64{1, 0} {
		res, err := b.Reverse(t.Context(), ledger.Reverse{
			Owner: "acme", Key: fmt.Sprint("bounce-", i), Type: "email", Facts: []ledger.Fact{{Subject: [16]byte(sum[:16])}},
		})
		require.NoError(t, err)
		require.Equal(t, want, res.Reversed, "credited back once")
	}
	require.Equal(t, int64(1), b.left(t, "", "email"))
}

func TestRule_E7_BulkVerification(t *testing.T) {
	b := open(t, "prepaid-verification")
	b.grant(t, "", "email", 100)
	list := append(outcomes("valid", 0, 40), outcomes("invalid", 40, 80)...)
	list = append(list, outcomes("unknown", 80, 95)...)
	for i := range 5 {
		list = append(list, outcome{subject: fmt.Sprint("ours-", i), verdict: "unknown", system: true})
	}
	res := b.order(t, "", "verify", list...)
	require.Equal(t, int64(95), res.captured["email"], "E1: every verdict, E3: not our own failures")
	require.Equal(t, int64(5), res.released["email"])
	require.Equal(t, int64(1), b.order(t, "", "verify", outcomes("valid", 0, 1)...).captured["email"], "verified again, charged again")
	require.Equal(t, int64(4), b.left(t, "", "email"))
}

func TestRule_K2_ThreePhonesAreOneCredit(t *testing.T) {
	b := open(t, "workspace-paid")
	b.grant(t, "", "phone", 10)
	lead := outcome{subject: "lead-1", verdict: "valid"}
	require.Equal(t, int64(1), b.order(t, "bob", "reveal_phone", lead, lead, lead).captured["phone"])
	require.Zero(t, b.order(t, "jane", "reveal_phone", lead).captured["phone"], "shared with the workspace")
	require.Equal(t, int64(9), b.left(t, "", "phone"))
}

func TestRule_K3_K4_Exports(t *testing.T) {
	b := open(t, "workspace-paid")
	b.grant(t, "", "export", 250)
	require.Equal(t, int64(100), b.order(t, "bob", "export", outcomes("", 0, 100)...).captured["export"])
	require.Equal(t, int64(100), b.order(t, "bob", "export", outcomes("", 0, 100)...).captured["export"], "K3: the second time too")
	require.False(t, b.order(t, "bob", "export", outcomes("", 0, 100)...).held, "K4: refused")
	require.Equal(t, int64(50), b.left(t, "", "export"), "K4: before anything is spent")
}

func TestRule_K5_InTheLedger(t *testing.T) {
	free := open(t, "workspace-free")
	free.grant(t, "bob", "email", 5)
	require.True(t, free.order(t, "bob", "reveal_email", outcomes("valid", 0, 2)...).held)
	require.False(t, free.order(t, "jane", "reveal_email", outcomes("valid", 0, 1)...).held, "personal")
	free.grant(t, "jane", "email", 5)
	require.Equal(t, int64(2), free.order(t, "jane", "reveal_email", outcomes("valid", 0, 2)...).captured["email"], "each member pays for their own")

	paid := open(t, "workspace-paid")
	paid.grant(t, "", "email", 5)
	require.Equal(t, int64(2), paid.order(t, "bob", "reveal_email", outcomes("valid", 0, 2)...).captured["email"])
	require.Equal(t, int64(2), paid.order(t, "jane", "reveal_email", outcomes("valid", 2, 4)...).captured["email"], "shared")
	require.Equal(t, int64(1), paid.left(t, "", "email"))
}

func TestRule_N4_JanesTwoHundredOverlapBobsByEighty(t *testing.T) {
	b := open(t, "licence-monthly")
	b.grant(t, "bob", "email", 1_000)
	b.grant(t, "jane", "email", 1_000)
	export := append(outcomes("valid", 0, 190), outcomes("unknown", 190, 200)...)
	require.Equal(t, int64(190), b.order(t, "bob", "export", export...).captured["email"], "N3: 190 of 200 found")
	res := b.order(t, "jane", "export", outcomes("valid", 110, 310)...)
	require.Equal(t, int64(120), res.captured["email"])
	require.Equal(t, int64(80), res.released["email"])
	require.Equal(t, int64(880), b.left(t, "jane", "email"))
}

func TestRule_N5_InTheLedger(t *testing.T) {
	b := open(t, "licence-monthly")
	b.grant(t, "bob", "email", 30)
	b.grant(t, "", "email", 100)
	require.True(t, b.order(t, "bob", "reveal_email", outcomes("valid", 0, 50)...).held)
	require.Zero(t, b.left(t, "bob", "email"), "the licence's own first")
	require.Equal(t, int64(80), b.left(t, "", "email"), "then the add-ons")
	require.True(t, b.order(t, "jane", "reveal_email", outcomes("valid", 50, 60)...).held, "N10: usable by anyone")
}

func TestRule_N10_InTheLedger(t *testing.T) {
	b := open(t, "licence-monthly")
	period := plan.PeriodN(time.Now(), 0, time.UTC)
	for n := range 3 {
		_, err := b.Renew(t.Context(), ledger.Renew{Owner: "acme", Key: fmt.Sprint("renew-", n), Pool: "bob", Lines: []ledger.Renewal{{
			Type: "email", Amount: b.plan.Allotment("email", plan.Member), ExpiresAt: b.plan.GrantExpiry("email", period),
		}}})
		require.NoError(t, err)
		require.Equal(t, int64(1_000), b.left(t, "bob", "email"), "no rollover")
	}
	require.Zero(t, b.left(t, "jane", "email"), "no transfer")
}

// What is charged by the lead pays for all values that come with it, unless each
// time costs again.
func TestRule_K2_ValuesComeWithTheirLead(t *testing.T) {
	lead, ann, bob := plan.Subject{1}, plan.Subject{2}, plan.Subject{3}
	item := plan.Item{Verdict: "valid", Lead: lead, Values: []plan.Subject{ann, bob}}
	require.Equal(t, []plan.Due{{Subject: lead, With: item.Values}}, plan.Price{Per: plan.PerLead}.Due(item, nil))
	require.Equal(t, []plan.Due{{Subject: lead}}, plan.Price{Per: plan.PerLead, EveryTime: true}.Due(item, nil))
	require.Equal(t, []plan.Due{{Subject: ann}, {Subject: bob}}, plan.Price{Per: plan.PerContact}.Due(item, nil))
}
