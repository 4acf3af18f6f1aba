package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/plan"
)

// The rules of the credit systems (the letters and numbers are theirs), as far
// as a plan alone can keep them. They are kept in a table, so that
// TestARuleThatIsDeletedIsMissed can run them on presets that lack something.
var rules = map[string]func(c check){
	"what is sold, and at which price":                   prices,
	"what each period allots, and what becomes of it":    allotments,
	"what happens around an order and at its end":        around,
	"L4, L6: only verified contacts are charged":         onlyVerifiedAreCharged,
	"A1: three numbers in a cell are three contacts":     aContactIsANumber,
	"A5: unused credits roll over":                       unusedRollOver,
	"A6: charged on unlock, export and enrichment":       chargedOnUnlockExportEnrichment,
	"A7: 200 emails, 50 numbers, 8 of 10 unlocks":        twoHundredFiftyAndEight,
	"E1: every verdict costs one, in every order":        everyVerdictCostsOne,
	"E2: packs never expire":                             packsNeverExpire,
	"E3, P4: failures of our own are free in every plan": ourOwnFailuresAreFree,
	"K2: once for each lead":                             oncePerLead,
	"K3: every export is charged":                        everyExportIsCharged,
	"K5: personal or shared":                             personalOrShared,
	"N2: the organization pays once":                     theOrganizationPaysOnce,
	"N3: only found emails are charged":                  onlyFoundEmailsAreCharged,
	"N5: the licence first, then add-ons":                licenceFirstThenAddOns,
	"N7: annual payers get monthly allotments":           monthlyAllotments,
	"N10: no rollover":                                   noRollover,
}

func TestRules(t *testing.T) {
	presets := loadPresets(t)
	require.Equal(t, everyPreset, slices.Sorted(maps.Keys(presets)))
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) { rule(check{t, presets}) })
	}
}

// For each value that is taken out of a preset, a rule fails, unless the parser refuses
// what is left or the default says the same.
func TestARuleThatIsDeletedIsMissed(t *testing.T) {
	presets := loadPresets(t)
	deleted := 0
	for id, p := range presets {
		for what, without := range deletions(t, p) {
			lacking := maps.Clone(presets)
			lacking[id] = without
			require.True(t, anyFails(lacking), "%s without %s keeps every rule", id, what)
			deleted++
		}
	}
	require.Greater(t, deleted, 100)
}

// deletions are the plans that remain when one thing is taken out, by what that
// is. Names and texts are no rules.
func deletions(t *testing.T, p *plan.Plan) map[string]*plan.Plan {
	t.Helper()
	body, err := p.MarshalJSON()
	require.NoError(t, err)
	var content map[string]any
	require.NoError(t, json.Unmarshal(body, &content))
	whole, err := p.Hash()
	require.NoError(t, err)
	found := map[string]*plan.Plan{}
	try := func(path string) {
		if slices.Contains([]string{"id", "name", "description"}, path) || strings.HasPrefix(path, "notes") {
			return
		}
		rest, err := json.Marshal(content)
		require.NoError(t, err)
		without, err := plan.Parse("preset", rest)
		if err != nil {
			return
		}
		hash, err := without.Hash()
		require.NoError(t, err)
		if hash != whole {
			found[path] = without
		}
	}
	eachDeleted(content, "", try)
	return found
}

// eachDeleted takes every part out of a JSON value in turn, calls try and puts
// it back.
func eachDeleted(value any, path string, try func(path string)) {
	object, ok := value.(map[string]any)
	if !ok {
		return
	}
	for key, part := range maps.Clone(object) {
		at := strings.TrimPrefix(path+"."+key, ".")
		delete(object, key)
		try(at)
		object[key] = part
		if list, ok := part.([]any); ok {
			for i, element := range list {
				object[key] = slices.Concat(list[:i], list[i+1:])
				try(at + "[" + strconv.Itoa(i) + "]")
				object[key] = list
				eachDeleted(element, at+"["+strconv.Itoa(i)+"]", try)
			}
			continue
		}
		eachDeleted(part, at, try)
	}
}

// anyFails reports whether a rule does not hold for the presets.
func anyFails(presets map[string]*plan.Plan) bool {
	for _, rule := range rules {
		r := &recorder{}
		done := make(chan struct{})
		go func() { // FailNow ends it
			defer close(done)
			defer func() {
				if recover() != nil { // it looked for what is not there
					r.failed = true
				}
			}()
			rule(check{r, presets})
		}()
		if <-done; r.failed {
			return true
		}
	}
	return false
}

// recorder is a test that only notes whether it failed.
type recorder struct{ failed bool }

func (r *recorder) Errorf(string, ...any) { r.failed = true }
func (r *recorder) FailNow()              { r.failed = true; runtime.Goexit() }

// check is what a rule is checked with: the plans, by ID.
type check struct {
	require.TestingT
	plans map[string]*plan.Plan
}

// action is what a plan charges for an action that it must sell.
func (c check) action(planID, name string) plan.Action {
	a, ok := c.plans[planID].Action(name)
	require.True(c, ok, "%s sells %s", planID, name)
	return a
}

// cost adds up what items of an action are due, by credit type, when nothing is
// owned.
func (c check) cost(planID, action string, items ...plan.Item) map[string]int64 {
	return costOf(c.action(planID, action), items...)
}

func costOf(a plan.Action, items ...plan.Item) map[string]int64 {
	sum := map[string]int64{}
	for _, charge := range a.Charges {
		price := charge.Price(a.Billable)
		for _, item := range items {
			if n := int64(len(price.Due(item, nil))); n > 0 {
				sum[charge.Type] += n * charge.Amount
			}
		}
	}
	return sum
}

// items are n items with a verdict each.
func items(verdict string, n int) []plan.Item {
	return slices.Repeat([]plan.Item{{Verdict: verdict, Lead: plan.Subject{1}, Values: []plan.Subject{{2}}}}, n)
}

var threeNumbers = plan.Item{Verdict: "valid", Lead: plan.Subject{1}, Values: []plan.Subject{{2}, {3}, {4}}}

var everyPreset = []string{
	"licence-monthly", "prepaid-verification", "rollover-boost", "rollover-ignite", "rollover-power",
	"verified-leads", "workspace-free", "workspace-paid",
}

var rollover = []string{"rollover-ignite", "rollover-boost", "rollover-power"}

// prices is the price list of every preset: one line for each action.
func prices(c check) {
	const (
		contact  = "contact once_per_organization if valid"
		lead     = "lead once_per_organization if valid"
		personal = "lead once_per_member if valid"
	)
	contacts := map[string]string{
		"lead_list": "1 email/" + contact, "reveal_email": "1 email/" + contact, "enrich_email": "1 email/" + contact,
		"export": "1 email/" + contact, "reveal_phone": "1 phone/" + contact, "enrich_phone": "1 phone/" + contact,
	}
	workspace := func(per string) map[string]string {
		list := map[string]string{"lead_list": "1 email/" + per, "export": "1 export/lead every_time"}
		for _, field := range []string{"email", "phone", "direct_email"} {
			list["reveal_"+field], list["enrich_"+field] = "1 "+field+"/"+per, "1 "+field+"/"+per
		}
		return list
	}
	want := map[string]map[string]string{
		"verified-leads":       {"lead_list": "1 email/" + contact},
		"prepaid-verification": {"verify": "1 email/verification every_time if valid|invalid|catch_all|risky|disposable|unknown"},
		"rollover-ignite":      contacts, "rollover-boost": contacts, "rollover-power": contacts,
		"workspace-free": workspace(personal), "workspace-paid": workspace(lead),
		"licence-monthly": {
			"lead_list": "1 email/" + lead, "reveal_email": "1 email/" + lead, "enrich_email": "1 email/" + lead,
			"export": "1 email/" + lead, "reveal_phone": "1 phone/" + lead, "enrich_phone": "1 phone/" + lead,
			"reveal_profile": "1 profile/lead once_per_organization",
		},
	}
	for id, p := range c.plans {
		got := map[string]string{}
		for name, a := range p.Actions {
			for _, charge := range a.Charges {
				got[name] += fmt.Sprintf("%d %s/%s %s", charge.Amount, charge.Type, charge.Per, charge.Once)
			}
			if len(a.Billable) > 0 {
				got[name] += " if " + strings.Join(a.Billable, "|")
			}
		}
		require.Equal(c, want[id], got, id)
	}
}

// A2, K1, N1: what a period allots, and to which pool; L7, E6: when a balance
// is low.
func allotments(c check) {
	want := map[string]map[string]string{
		"verified-leads":       {"email": "0 organization never_expires [1000]"},
		"prepaid-verification": {"email": "0 organization never_expires [1000 100]"},
		"rollover-ignite":      {"email": "5000 organization roll_over [500]", "phone": "333 organization roll_over [33]"},
		"rollover-boost":       {"email": "12000 organization roll_over [1200]", "phone": "800 organization roll_over [80]"},
		"rollover-power":       {"email": "30000 organization roll_over [3000]", "phone": "2000 organization roll_over [200]"},
		"workspace-free": {
			"email": "50 member expire []", "phone": "5 member expire []", "direct_email": "5 member expire []", "export": "10 member expire []",
		},
		"workspace-paid": {
			"email": "10000 organization expire []", "phone": "1000 organization expire []",
			"direct_email": "200 organization expire []", "export": "5000 organization expire []",
		},
		"licence-monthly": {"email": "1000 member expire [100]", "phone": "100 member expire [10]", "profile": "100 member expire []"},
	}
	for id, p := range c.plans {
		got := map[string]string{}
		for creditType, credit := range p.Credits {
			got[creditType] = fmt.Sprintf("%d %s %s %v", credit.Allotment, credit.Owner, credit.AtPeriodEnd, credit.LowBalance)
		}
		require.Equal(c, want[id], got, id)
	}
}

// L5: refunds five minutes after an order; A9: bounces are credited back for
// thirty days; what else a plan says of the end of orders and of itself.
func around(c check) {
	const month = 30 * 24 * time.Hour
	type end struct {
		period  plan.Cycle
		refund  time.Duration
		late    plan.LateRelease
		bounces time.Duration
		by      plan.BounceRules
		change  plan.ChangeMode
	}
	none, members := plan.BounceRules{}, plan.BounceRules{Members: true, Most: 2000}
	want := map[string]end{
		"verified-leads":       {plan.NoPeriod, 5 * time.Minute, plan.Reinstate, month, none, plan.Prorated},
		"prepaid-verification": {plan.NoPeriod, 0, plan.Reinstate, 0, none, plan.Prorated},
		"rollover-ignite":      {plan.Month, 5 * time.Minute, plan.Reinstate, month, members, plan.Prorated},
		"rollover-boost":       {plan.Month, 5 * time.Minute, plan.Reinstate, month, members, plan.Prorated},
		"rollover-power":       {plan.Month, 5 * time.Minute, plan.Reinstate, month, members, plan.Prorated},
		"workspace-free":       {plan.Month, 5 * time.Minute, plan.Reinstate, 0, none, plan.Prorated},
		"workspace-paid":       {plan.Month, 5 * time.Minute, plan.Reinstate, 0, none, plan.Prorated},
		"licence-monthly":      {plan.Month, 5 * time.Minute, plan.ExpireOnLate, 0, none, plan.AtPeriodEnd},
	}
	for id, p := range c.plans {
		got := end{p.Period, p.RefundDelay, p.LateRelease, p.BounceWindow, p.Bounces, p.PlanChange}
		require.Equal(c, want[id], got, id)
	}
}

func onlyVerifiedAreCharged(c check) {
	hold, err := c.plans["verified-leads"].HoldFor("lead_list", 10_000)
	require.NoError(c, err)
	require.Equal(c, []plan.Amount{{Type: "email", Amount: 10_000}}, hold)
	list := slices.Concat(items("valid", 5_000), items("invalid", 3_000), items("catch_all", 1_000),
		items("risky", 300), items("disposable", 200), items("unknown", 500))
	require.Equal(c, map[string]int64{"email": 5_000}, c.cost("verified-leads", "lead_list", list...))
}

func aContactIsANumber(c check) {
	for _, id := range rollover {
		require.Equal(c, map[string]int64{"phone": 3}, c.cost(id, "reveal_phone", threeNumbers), id)
	}
}

func unusedRollOver(c check) {
	for _, id := range rollover {
		for _, creditType := range []string{"email", "phone"} {
			rolls, most := c.plans[id].Credits[creditType].RollsOver()
			require.True(c, rolls)
			require.Equal(c, int64(-1), most)
			require.True(c, c.plans[id].GrantExpiry(creditType, thirty).IsZero())
		}
	}
}

func chargedOnUnlockExportEnrichment(c check) {
	one := slices.Concat(items("valid", 1), items("invalid", 1), items("unknown", 1))
	for _, id := range rollover {
		for _, action := range []string{"reveal_email", "export", "enrich_email"} {
			require.Equal(c, map[string]int64{"email": 1}, c.cost(id, action, one...), action)
		}
		for _, action := range []string{"reveal_phone", "enrich_phone"} {
			require.Equal(c, map[string]int64{"phone": 1}, c.cost(id, action, one...), action)
		}
	}
}

func twoHundredFiftyAndEight(c check) {
	require.Equal(c, map[string]int64{"email": 200}, c.cost("rollover-boost", "reveal_email", items("valid", 200)...))
	require.Equal(c, map[string]int64{"phone": 50}, c.cost("rollover-boost", "reveal_phone", items("valid", 50)...))
	require.Equal(c, map[string]int64{"email": 8},
		c.cost("rollover-boost", "reveal_email", slices.Concat(items("valid", 8), items("invalid", 2))...))
}

func everyVerdictCostsOne(c check) {
	for _, v := range plan.Verdicts {
		require.Equal(c, map[string]int64{"email": 1}, c.cost("prepaid-verification", "verify", items(v, 1)...), v)
	}
	charge := c.action("prepaid-verification", "verify").Charges[0]
	require.Equal(c, "ord_1", charge.FactScope("bob", "ord_1"), "the same address costs again in another order")
}

func packsNeverExpire(c check) {
	p := c.plans["prepaid-verification"]
	require.Empty(c, p.Allotments(plan.Organization))
	require.Empty(c, p.Allotments(plan.Member))
	require.True(c, p.GrantExpiry("email", thirty).IsZero())
}

func ourOwnFailuresAreFree(c check) {
	for id, p := range c.plans {
		for name, a := range p.Actions {
			for _, v := range append([]string{""}, plan.Verdicts...) {
				require.Empty(c, costOf(a, plan.Item{Verdict: v, Free: true}), "%s %s %s", id, name, v)
			}
		}
	}
}

func oncePerLead(c check) {
	for _, id := range []string{"workspace-free", "workspace-paid"} {
		require.Equal(c, map[string]int64{"phone": 1}, c.cost(id, "reveal_phone", threeNumbers), id)
		for _, action := range []string{"reveal_email", "reveal_phone", "reveal_direct_email"} {
			charge := c.action(id, action).Charges[0]
			for _, owned := range [][]plan.Subject{{{1}}, {{2}, {3}, {4}}} { // the lead's field, or all of its values
				due := charge.Price([]string{"valid"}).Due(threeNumbers, func(s plan.Subject) bool { return slices.Contains(owned, s) })
				require.Empty(c, due, "%s %s", id, action)
			}
		}
	}
}

func everyExportIsCharged(c check) {
	for _, id := range []string{"workspace-free", "workspace-paid"} {
		charge := c.action(id, "export").Charges[0]
		due := charge.Price(nil).Due(threeNumbers, func(plan.Subject) bool { return true })
		require.Len(c, due, 1, "owned, and charged again")
		require.NotEqual(c, charge.FactScope("bob", "ord_1"), charge.FactScope("bob", "ord_2"))
	}
}

func personalOrShared(c check) {
	free, paid := c.plans["workspace-free"], c.plans["workspace-paid"]
	require.Empty(c, free.Allotments(plan.Organization))
	require.Len(c, free.Allotments(plan.Member), 4)
	require.Len(c, paid.Allotments(plan.Organization), 4)
	require.Empty(c, paid.Allotments(plan.Member))
	require.Equal(c, "alice", c.action("workspace-free", "reveal_phone").Charges[0].FactScope("alice", "ord_1"))
}

func theOrganizationPaysOnce(c check) {
	for name, a := range c.plans["licence-monthly"].Actions {
		for _, charge := range a.Charges {
			require.Equal(c, charge.FactScope("bob", "ord_1"), charge.FactScope("jane", "ord_2"), name)
		}
	}
	require.Equal(c, c.action("licence-monthly", "reveal_email"), c.action("licence-monthly", "export"),
		"an unlock and an export of the same email are one fact")
}

func onlyFoundEmailsAreCharged(c check) {
	require.Equal(c, map[string]int64{"email": 190},
		c.cost("licence-monthly", "export", slices.Concat(items("valid", 190), items("unknown", 10))...))
}

func licenceFirstThenAddOns(c check) {
	for id, p := range c.plans {
		for _, creditType := range p.CreditTypes() {
			pools := []string{"bob", ""}
			if id == "workspace-free" { // K5
				pools = []string{"bob"}
			}
			require.Equal(c, pools, p.Pools(creditType, "bob"), id)
			require.Equal(c, []string{""}, p.Pools(creditType, ""), "without a member only the add-ons pay")
		}
	}
}

func monthlyAllotments(c check) {
	require.Contains(c, c.plans["licence-monthly"].Notes, "Annual payers get the same monthly allotment, not twelve months at once.")
}

func noRollover(c check) {
	p := c.plans["licence-monthly"]
	for _, creditType := range p.CreditTypes() {
		rolls, _ := p.Credits[creditType].RollsOver()
		require.False(c, rolls)
		require.Equal(c, thirty.End, p.GrantExpiry(creditType, thirty))
	}
}

func loadPresets(t testing.TB) map[string]*plan.Plan {
	t.Helper()
	list, err := plan.Presets()
	require.NoError(t, err)
	presets := map[string]*plan.Plan{}
	for _, p := range list {
		presets[p.ID] = p
	}
	return presets
}

func preset(t testing.TB, id string) *plan.Plan {
	t.Helper()
	p := loadPresets(t)[id]
	require.NotNil(t, p, "there is a preset %s", id)
	return p
}

func TestRollsOver(t *testing.T) {
	for name, c := range map[string]struct {
		credit plan.Credit
		rolls  bool
		most   int64
	}{
		"expires":       {plan.Credit{AtPeriodEnd: plan.Expire}, false, 0},
		"rolls over":    {plan.Credit{AtPeriodEnd: plan.RollOver}, true, -1},
		"with a cap":    {plan.Credit{AtPeriodEnd: plan.RollOver, RollOverCap: new(int64(2_000))}, true, 2_000},
		"a cap of 0":    {plan.Credit{AtPeriodEnd: plan.RollOver, RollOverCap: new(int64)}, true, 0},
		"never expires": {plan.Credit{AtPeriodEnd: plan.NeverExpires}, true, -1},
	} {
		rolls, most := c.credit.RollsOver()
		require.Equal(t, c.rolls, rolls, name)
		require.Equal(t, c.most, most, name)
	}
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
	hold, err := p.HoldFor("export", 10)
	require.NoError(t, err)
	require.Equal(t, []plan.Amount{{Type: "apple", Amount: 30}, {Type: "zebra", Amount: 20}}, hold, "in alphabetical order")

	_, err = p.HoldFor("verify", 1)
	require.EqualError(t, err, "plan both does not offer verify; choose a plan that does")
	_, err = p.HoldFor("export", -1)
	require.EqualError(t, err, "a hold for -1 units is not possible; count from 0")
	// P3
	for tooMany, first := range map[int64]string{plan.MaxAmount/3 + 1: "apple", math.MaxInt64: "zebra"} {
		_, err = p.HoldFor("export", tooMany)
		require.EqualError(t, err, "the order costs more than 1000000000000 "+first+" credits, the most that one order may cost; order less")
	}
	hold, err = p.HoldFor("export", plan.MaxAmount/3)
	require.NoError(t, err)
	require.Equal(t, plan.MaxAmount/3*3, hold[0].Amount)
}

func TestPools(t *testing.T) {
	p := parse(t, small)
	p.Credits["email"] = plan.Credit{Burn: []plan.Owner{plan.Organization, plan.Member}}
	require.Equal(t, []string{"", "bob"}, p.Pools("email", "bob"), "as the plan says")
	require.Equal(t, []string{"bob", ""}, p.Pools("fax", "bob"), "credits of a former plan can still be spent")
}
