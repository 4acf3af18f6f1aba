package plan_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/plan"
)

func preset(t testing.TB, id string) *plan.Plan {
	t.Helper()
	presets, err := plan.Presets()
	require.NoError(t, err)
	i := slices.IndexFunc(presets, func(p *plan.Plan) bool { return p.ID == id })
	require.GreaterOrEqual(t, i, 0, "there is a preset %s", id)
	return presets[i]
}

// charged adds up what outcomes of an action cost, by credit type, as if every
// subject were new.
func charged(p *plan.Plan, action string, verdicts map[string]int64) map[string]int64 {
	sum := map[string]int64{}
	for verdict, n := range verdicts {
		for _, c := range p.Charges(action, verdict, false) {
			sum[c.Type] += n * c.Amount
		}
	}
	return sum
}

var allVerdicts = []string{"valid", "invalid", "catch_all", "risky", "disposable", "unknown"}

var everyPreset = []string{
	"licence-monthly", "prepaid-verification", "rollover-boost", "rollover-ignite", "rollover-power",
	"verified-leads", "workspace-free", "workspace-paid",
}

func TestPresetsAreAllThere(t *testing.T) {
	presets, err := plan.Presets()
	require.NoError(t, err)
	var ids []string
	for _, p := range presets {
		ids = append(ids, p.ID)
	}
	require.Equal(t, everyPreset, ids)
}

func TestRule_L4_L6_OnlyVerifiedContactsAreCharged(t *testing.T) {
	p := preset(t, "verified-leads")
	hold, err := p.HoldFor(plan.LeadList, 10_000)
	require.NoError(t, err)
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 10_000}}, hold)
	require.Equal(t, map[string]int64{"email": 5_000}, charged(p, plan.LeadList, map[string]int64{
		"valid": 5_000, "invalid": 3_000, "catch_all": 1_000, "risky": 300, "disposable": 200, "unknown": 500,
	}))
}

func TestRule_L5_RefundAfterFiveMinutes(t *testing.T) {
	require.Equal(t, 5*time.Minute, preset(t, "verified-leads").RefundDelay)
}

func TestRule_A2_MonthlyAllotments(t *testing.T) {
	for id, phone := range map[string]int64{"rollover-ignite": 333, "rollover-boost": 800, "rollover-power": 2_000} {
		require.Equal(t, phone, preset(t, id).Allotment("phone", plan.Organization), id)
	}
	require.Equal(t, []plan.Amount{{Type: "email", Amount: 12_000}, {Type: "phone", Amount: 800}},
		preset(t, "rollover-boost").Allotments(plan.Organization))
}

func TestRule_A5_UnusedCreditsRollOver(t *testing.T) {
	for _, id := range []string{"rollover-ignite", "rollover-boost", "rollover-power"} {
		p := preset(t, id)
		for _, creditType := range []string{"email", "phone"} {
			require.Equal(t, int64(1_000_000), p.Credits[creditType].Rolled(1_000_000))
			require.True(t, p.GrantExpiry(creditType, thirty).IsZero())
		}
	}
}

func TestRule_A6_ChargedOnUnlockExportAndEnrichment(t *testing.T) {
	p := preset(t, "rollover-boost")
	for _, action := range []string{plan.RevealEmail, plan.Export, plan.EnrichEmail} {
		require.Equal(t, map[string]int64{"email": 1}, charged(p, action, map[string]int64{"valid": 1, "invalid": 1, "unknown": 1}), action)
	}
	for _, action := range []string{plan.RevealPhone, plan.EnrichPhone} {
		require.Equal(t, map[string]int64{"phone": 1}, charged(p, action, map[string]int64{"valid": 1, "invalid": 1, "unknown": 1}), action)
	}
}

func TestRule_A7_TwoHundredAndFiftyAndEight(t *testing.T) {
	p := preset(t, "rollover-boost")
	require.Equal(t, map[string]int64{"email": 200}, charged(p, plan.RevealEmail, map[string]int64{"valid": 200}))
	require.Equal(t, map[string]int64{"phone": 50}, charged(p, plan.RevealPhone, map[string]int64{"valid": 50}))
	require.Equal(t, map[string]int64{"email": 8}, charged(p, plan.RevealEmail, map[string]int64{"valid": 8, "invalid": 2}))
}

func TestRule_A9_BouncesAreCreditedBack(t *testing.T) {
	require.Equal(t, 30*24*time.Hour, preset(t, "rollover-power").BounceWindow)
}

func TestRule_E1_EveryVerdictCostsOne(t *testing.T) {
	p := preset(t, "prepaid-verification")
	for _, v := range allVerdicts {
		require.Equal(t, map[string]int64{"email": 1}, charged(p, plan.Verify, map[string]int64{v: 1}), v)
	}
	for _, c := range p.Charges(plan.Verify, "valid", false) {
		require.Equal(t, "ord_1", c.FactScope("bob", "ord_1"), "the same address costs again in another order")
	}
}

func TestRule_E2_PacksNeverExpire(t *testing.T) {
	p := preset(t, "prepaid-verification")
	require.Equal(t, plan.NoPeriod, p.Period)
	require.Empty(t, p.Allotments(plan.Organization))
	require.Empty(t, p.Allotments(plan.Member))
	require.True(t, p.GrantExpiry("email", thirty).IsZero())
}

// P4 for every plan, E3 for the one that charges unknown verdicts.
func TestRule_E3_OurOwnFailuresAreFree(t *testing.T) {
	for _, id := range everyPreset {
		p := preset(t, id)
		for action := range p.Actions {
			for _, v := range append([]string{""}, allVerdicts...) {
				require.Empty(t, p.Charges(action, v, true), "%s %s %s", id, action, v)
			}
		}
	}
	require.NotEmpty(t, preset(t, "prepaid-verification").Charges(plan.Verify, "unknown", false))
}

func TestRule_K1_FourTypes(t *testing.T) {
	for _, id := range []string{"workspace-free", "workspace-paid"} {
		require.Equal(t, []string{"direct_email", "email", "export", "phone"}, preset(t, id).CreditTypes())
	}
}

func TestRule_K2_OncePerLead(t *testing.T) {
	for _, id := range []string{"workspace-free", "workspace-paid"} {
		for _, action := range []string{plan.RevealEmail, plan.RevealPhone, plan.RevealDirectEmail} {
			a, ok := preset(t, id).Action(action)
			require.True(t, ok)
			require.Len(t, a.Charges, 1)
			require.Equal(t, plan.PerLead, a.Charges[0].Per)
			require.NotEqual(t, plan.EveryTime, a.Charges[0].Once)
		}
	}
}

func TestRule_K3_EveryExportIsCharged(t *testing.T) {
	for _, id := range []string{"workspace-free", "workspace-paid"} {
		charges := preset(t, id).Charges(plan.Export, "", false)
		require.Equal(t, []plan.Charge{{Type: "export", Amount: 1, Per: plan.PerLead, Once: plan.EveryTime}}, charges)
		require.NotEqual(t, charges[0].FactScope("bob", "ord_1"), charges[0].FactScope("bob", "ord_2"))
	}
}

func TestRule_K5_PersonalOrShared(t *testing.T) {
	free, paid := preset(t, "workspace-free"), preset(t, "workspace-paid")
	require.Empty(t, free.Allotments(plan.Organization))
	require.Len(t, free.Allotments(plan.Member), 4)
	require.Len(t, paid.Allotments(plan.Organization), 4)
	require.Empty(t, paid.Allotments(plan.Member))
	for _, p := range []*plan.Plan{free, paid} {
		require.NotContains(t, p.Pools("email", "alice"), "bob", "nobody spends another member's credits")
	}
	require.Equal(t, "alice", free.Charges(plan.RevealPhone, "valid", false)[0].FactScope("alice", "ord_1"))
}

func TestRule_N1_ActionsHaveTheirOwnCosts(t *testing.T) {
	p := preset(t, "licence-monthly")
	for action, creditType := range map[string]string{
		plan.RevealEmail: "email", plan.Export: "email", plan.EnrichEmail: "email",
		plan.RevealPhone: "phone", plan.RevealProfile: "profile",
	} {
		hold, err := p.HoldFor(action, 3)
		require.NoError(t, err)
		require.Equal(t, []plan.Amount{{Type: creditType, Amount: 3}}, hold, action)
	}
}

func TestRule_N2_TheOrganizationPaysOnce(t *testing.T) {
	p := preset(t, "licence-monthly")
	for action := range p.Actions {
		for _, c := range p.Charges(action, "valid", false) {
			require.Equal(t, c.FactScope("bob", "ord_1"), c.FactScope("jane", "ord_2"), action)
		}
	}
	// An unlock and an export of the same email are one fact.
	require.Equal(t, p.Charges(plan.RevealEmail, "valid", false), p.Charges(plan.Export, "valid", false))
}

func TestRule_N3_OnlyFoundEmailsAreCharged(t *testing.T) {
	require.Equal(t, map[string]int64{"email": 190},
		charged(preset(t, "licence-monthly"), plan.Export, map[string]int64{"valid": 190, "unknown": 10}))
}

func TestRule_N5_LicenceFirstThenAddOns(t *testing.T) {
	p := preset(t, "licence-monthly")
	require.Equal(t, []string{"bob", ""}, p.Pools("email", "bob"))
	require.Equal(t, []string{""}, p.Pools("email", ""), "without a member only the add-ons pay")
}

func TestRule_N7_AnnualPayersGetMonthlyAllotments(t *testing.T) {
	for _, id := range everyPreset {
		require.Contains(t, []plan.Cycle{plan.Month, plan.NoPeriod}, preset(t, id).Period)
	}
	require.Contains(t, preset(t, "licence-monthly").Notes, "Annual payers get the same monthly allotment, not twelve months at once.")
}

func TestRule_N10_NoRollover(t *testing.T) {
	p := preset(t, "licence-monthly")
	for _, creditType := range p.CreditTypes() {
		require.Zero(t, p.Credits[creditType].Rolled(500))
		require.Equal(t, thirty.End, p.GrantExpiry(creditType, thirty))
	}
}

func TestRolledHeedsTheCap(t *testing.T) {
	c := plan.Credit{AtPeriodEnd: plan.RollOver, RollOverCap: new(int64(2_000))}
	require.Equal(t, int64(2_000), c.Rolled(2_500))
	require.Equal(t, int64(1_500), c.Rolled(1_500))
	require.Zero(t, c.Rolled(0))
	require.Zero(t, plan.Credit{AtPeriodEnd: plan.RollOver, RollOverCap: new(int64)}.Rolled(2_500), "a cap of 0 is a cap")
	require.Equal(t, int64(2_500), plan.Credit{AtPeriodEnd: plan.NeverExpires}.Rolled(2_500))
}

func TestReinstateUntil(t *testing.T) {
	at := thirty.Start.AddDate(0, 0, 3)
	require.Equal(t, thirty.End, preset(t, "rollover-boost").ReinstateUntil(at, thirty))
	require.Equal(t, at.Add(7*24*time.Hour), preset(t, "verified-leads").ReinstateUntil(at, thirty), "a plan without period gives 7 days")
}

func TestHoldFor(t *testing.T) {
	p := parse(t, `id: both
name: Both
period: none
credits: {zebra: {}, apple: {}}
actions:
  export:
    charges:
      - {type: zebra, amount: 2, per: lead, scope: every_time}
      - {type: apple, amount: 3, per: lead, scope: every_time}
`)
	hold, err := p.HoldFor(plan.Export, 10)
	require.NoError(t, err)
	require.Equal(t, []plan.Amount{{Type: "apple", Amount: 30}, {Type: "zebra", Amount: 20}}, hold, "in alphabetical order")

	_, err = p.HoldFor(plan.Verify, 1)
	require.EqualError(t, err, "plan both does not offer verify; choose a plan that does")
	_, err = p.HoldFor(plan.Export, -1)
	require.EqualError(t, err, "a hold for -1 units is not possible; count from 0")
	// P3
	for _, tooMany := range []int64{plan.MaxAmount/3 + 1, math.MaxInt64} {
		_, err = p.HoldFor(plan.Export, tooMany)
		require.EqualError(t, err, "the order costs more than 1000000000000 apple credits, the most that one order may cost; order less")
	}
	hold, err = p.HoldFor(plan.Export, plan.MaxAmount/3)
	require.NoError(t, err)
	require.Equal(t, plan.MaxAmount/3*3, hold[0].Amount)
}

func TestPools(t *testing.T) {
	p := parse(t, small)
	p.Credits["email"] = plan.Credit{Burn: []plan.Owner{plan.Organization, plan.Member}}
	require.Equal(t, []string{"", "bob"}, p.Pools("email", "bob"), "as the plan says")
	require.Equal(t, []string{"bob", ""}, p.Pools("fax", "bob"), "credits of a former plan can still be spent")
}
