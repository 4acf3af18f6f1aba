package plan_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"holdfast/internal/order"
	"holdfast/internal/plan"
)

const small = `id: small
name: Small
period: month
credits:
  email:
    allotment: 100
    at_period_end: expire
actions:
  lead_list:
    charges:
      - {type: email, amount: 1, per: contact, scope: once_per_organization}
    billable: [valid]
`

func parse(t testing.TB, yaml string) *plan.Plan {
	p, err := plan.Parse("small.yaml", []byte(yaml))
	require.NoError(t, err)
	return p
}

func TestDefaults(t *testing.T) {
	p := parse(t, small)
	require.Equal(t, 5*time.Minute, p.RefundDelay)
	require.Equal(t, plan.Reinstate, p.LateRelease)
	require.Equal(t, 7*24*time.Hour, p.ReinstateFor)
	require.Zero(t, p.BounceWindow)
	require.Equal(t, plan.Prorated, p.PlanChange)
	require.Equal(t, plan.Organization, p.Credits["email"].Owner)
	require.Equal(t, []plan.Owner{plan.Member, plan.Organization}, p.Credits["email"].Burn)
}

// P1: each fault is named by file, line and field.
func TestParseNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ what, old, new, want string }{
		{"unknown field", "name: Small", "nmae: Small", `small.yaml:2: nmae: There is no field "nmae" here; check the spelling.`},
		{"unknown field inside", "allotment: 100", "alotment: 100", `small.yaml:6: credits.email.alotment: There is no field "alotment" here; check the spelling.`},
		{"broken YAML", "name: Small", "name: [", `small.yaml:2: The YAML is broken here: sequence end token ']' not found.`},
		{"twice the same", "name: Small", "id: again", `small.yaml:2: The YAML is broken here: mapping key "id" already defined at [1:1].`},
		{"a text as number", "allotment: 100", "allotment: many", `small.yaml:6: credits.email.allotment: The value does not fit here; give a whole number.`},
		{"a fraction", "allotment: 100", "allotment: 99.5", `small.yaml:6: credits.email.allotment: 99.5 is not a whole number; credits are never split.`},
		{"too many", "allotment: 100", "allotment: 1000000000001", `small.yaml:6: credits.email.allotment: 1000000000001 credits are not possible; give a whole number from 0 to 1000000000000.`},
		{"more than an integer holds", "allotment: 100", "allotment: 99999999999999999999", `small.yaml:6: credits.email.allotment: 99999999999999999999 is too large; give at most 1000000000000.`},
		{"negative", "allotment: 100", "allotment: -1", `small.yaml:6: credits.email.allotment: -1 credits are not possible; give a whole number from 0 to 1000000000000.`},
		{"free", "amount: 1", "amount: 0", `small.yaml:11: actions.lead_list.charges[0].amount: 0 credits are not possible; give a whole number from 1 to 1000000000000.`},
		{"no id", "id: small", "id: Small!", `small.yaml:1: id: "Small!" is not a plan id; use up to 63 lower-case letters, digits, - and _, beginning with a letter or digit.`},
		{"no name", "name: Small", `name: " "`, `small.yaml:2: name: The name is missing; give the one that customers see.`},
		{"no period", "period: month\n", "", `small.yaml:1: period: This field is missing; give one of month, none.`},
		{"unknown period", "period: month", "period: year", `small.yaml:3: period: "year" is not known; give one of month, none.`},
		{"allotment without period", "period: month", "period: none", `small.yaml:6: credits.email.allotment: The plan has no period in which to allot 100 credits; set period to month or leave the allotment out.`},
		{"end not said", "    at_period_end: expire\n", "", `small.yaml:5: credits.email.at_period_end: This field is missing; give one of expire, roll_over, never_expires.`},
		{"cap without rollover", "at_period_end: expire", "at_period_end: expire\n    roll_over_cap: 5", `small.yaml:8: credits.email.roll_over_cap: A cap has no meaning where at_period_end is expire; leave it out or set at_period_end to roll_over.`},
		{"cap of nothing without rollover", "at_period_end: expire", "at_period_end: expire\n    roll_over_cap: 0", `small.yaml:8: credits.email.roll_over_cap: A cap has no meaning where at_period_end is expire; leave it out or set at_period_end to roll_over.`},
		{"pool twice", "at_period_end: expire", "at_period_end: expire\n    burn: [member, member, organization]", `small.yaml:8: credits.email.burn[1]: The member's pool is named twice; name it once.`},
		{"allotment never spent", "at_period_end: expire", "at_period_end: expire\n    burn: [member]", `small.yaml:8: credits.email.burn: The organization's pool gets the allotment but is never spent; add it to the burn order.`},
		{"alert at nothing", "at_period_end: expire", "at_period_end: expire\n    low_balance: [0]", `small.yaml:8: credits.email.low_balance[0]: 0 credits are not possible; give a whole number from 1 to 1000000000000.`},
		{"odd credit type", "  email:\n", "  E-Mail:\n", `small.yaml:5: credits.E-Mail: "E-Mail" is not a credit type; use up to 31 lower-case letters, digits and _, beginning with a letter.` + "\n" + `small.yaml:11: actions.lead_list.charges[0].type: The plan has no credits of type "email"; use one of E-Mail.`},
		{"unknown action", "lead_list:", "leadlist:", `small.yaml:9: actions.leadlist: There is no action "leadlist"; use one of ` + strings.Join(order.Actions(), ", ") + `.`},
		{"unknown measure", "per: contact", "per: row", `small.yaml:11: actions.lead_list.charges[0].per: "row" is not known; give one of contact, verification, lead.`},
		{"scope not said", ", scope: once_per_organization", "", `small.yaml:11: actions.lead_list.charges[0].scope: This field is missing; give one of once_per_organization, once_per_member, every_time.`},
		{"charged twice", "    billable:", "      - {type: email, amount: 2, per: lead, scope: every_time}\n    billable:", `small.yaml:12: actions.lead_list.charges[1].type: Credits of type "email" are charged twice; put both amounts into one charge.`},
		{"unknown verdict", "[valid]", "[valid, perfect]", `small.yaml:12: actions.lead_list.billable[1]: "perfect" is not known; give one of valid, invalid, catch_all, risky, disposable, unknown.`},
		{"no verdict", "    billable: [valid]\n", "", `small.yaml:9: actions.lead_list.billable: A charge per contact depends on the verdict; list the billable ones.`},
		{"duration", "period: month", "period: month\nrefund:\n  delay: soon", `small.yaml:5: refund.delay: "soon" is not a duration; write it like 90s, 1h30m or 30d.`},
		{"bounces without a window", "period: month", "period: month\nbounces: {members: true}", `small.yaml:4: bounces: Bounces are never credited back without a window; give bounce_window or leave this out.`},
		{"negative duration", "period: month", "period: month\nbounce_window: -1h", `small.yaml:4: bounce_window: "-1h" is not a duration; write it like 90s, 1h30m or 30d.`},
		{"reinstated for no time", "period: month", "period: month\nrefund: {reinstate_for: 0s}", `small.yaml:4: refund.reinstate_for: Reinstated credits would expire at once; give a duration above zero or set refund.late_release to expire.`},
		{"a YAML tag", "[valid]", "!mine [valid]", `small.yaml:12: actions.lead_list.billable: The YAML tag "!mine" has no meaning in a plan; remove it.`},
		{"a list as fields", "credits:\n  email:\n    allotment: 100\n    at_period_end: expire", "credits: [email]", `small.yaml:4: credits[0]: The value does not have the shape expected here; look the field up in the description of plans.`},
	} {
		t.Run(c.what, func(t *testing.T) {
			require.Contains(t, small, c.old)
			_, err := plan.Parse("small.yaml", []byte(strings.Replace(small, c.old, c.new, 1)))
			require.EqualError(t, err, c.want)
			var field *plan.FieldError
			require.ErrorAs(t, err, &field)
			require.Equal(t, "small.yaml", field.File)
		})
	}
}

func TestParseTellsEveryProblemInOrder(t *testing.T) {
	broken := strings.NewReplacer("name: Small", "name: ''", "amount: 1", "amount: 0", "period: month", "period: week").Replace(small)
	_, err := plan.Parse("small.yaml", []byte(broken))
	joined, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err)
	require.True(t, ok)
	var lines []int
	for _, e := range joined.Unwrap() {
		var field *plan.FieldError
		require.ErrorAs(t, e, &field)
		lines = append(lines, field.Line)
	}
	require.Equal(t, []int{2, 3, 11}, lines)
}

func TestParseRefusesWhatIsNotOnePlan(t *testing.T) {
	_, err := plan.Parse("x.yaml", nil)
	require.EqualError(t, err, "x.yaml:1: The file is empty; put a plan into it.")
	_, err = plan.Parse("x.yaml", []byte(small+"---\n"+small))
	require.EqualError(t, err, "x.yaml:1: The file holds 2 plans; put each into a file of its own.")
	_, err = plan.Parse("x.yaml", []byte("- a\n"))
	require.ErrorContains(t, err, "x.yaml:1: ")
	_, err = plan.Parse("x.yaml", []byte(small+strings.Repeat("#", 256<<10)))
	require.ErrorContains(t, err, "a plan fits into 262144")
}

// P2: what was written can be read again and means the same.
func TestPlansSurviveJSON(t *testing.T) {
	presets, err := plan.Presets()
	require.NoError(t, err)
	for _, p := range presets {
		p.Version = 7
		data, err := json.Marshal(p)
		require.NoError(t, err)
		var read plan.Plan
		require.NoError(t, json.Unmarshal(data, &read))
		require.Equal(t, *p, read)
	}
	var p plan.Plan
	require.ErrorContains(t, json.Unmarshal([]byte(`{"id":"x"}`), &p), "name: The name is missing")
}

// P2: every duration that Go writes is read, and written so that it can be read.
func TestEveryDurationSurvives(t *testing.T) {
	check := func(t require.TestingT, written string, want time.Duration) {
		p, err := plan.Parse("small.yaml", []byte(small+"bounce_window: "+written+"\nrefund: {delay: "+written+", reinstate_for: "+written+"}\n"))
		require.NoError(t, err, written)
		require.Equal(t, want, p.RefundDelay, written)
		body, err := json.Marshal(p)
		require.NoError(t, err)
		again, err := plan.Parse("again", body)
		require.NoError(t, err, "%s", body)
		require.Equal(t, p, again)
	}
	for _, written := range []string{"90s", "1m30s", "90m", "1h30m", "1h0m30s", "100m", "10m10s", "36h", "1.5h", "200ms", "1h0m0.5s", "20h", "70s", "1us"} {
		d, err := time.ParseDuration(written)
		require.NoError(t, err)
		check(t, written, d)
	}
	check(t, "30d", 30*24*time.Hour)
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.SampledFrom([]time.Duration{time.Nanosecond, time.Millisecond, time.Second, time.Minute, time.Hour, 24 * time.Hour}).Draw(t, "unit")
		d := unit * time.Duration(rapid.Int64Range(1, 36_500).Draw(t, "n"))
		check(t, d.String(), d)
	})
}

// P2: the hash follows the content, not the layout.
func TestHashFollowsContent(t *testing.T) {
	hash := func(p *plan.Plan) string {
		h, err := p.Hash()
		require.NoError(t, err)
		require.Len(t, h, 64)
		return h
	}
	p := parse(t, small)
	same := parse(t, "# a comment\n"+strings.Replace(small, "    allotment: 100\n    at_period_end: expire", "    {at_period_end: expire, allotment: 100, owner: organization}", 1)+"plan_change: prorated\nrefund: {delay: 300s}\n")
	require.Equal(t, hash(p), hash(same))
	same.Version = 3
	require.Equal(t, hash(p), hash(same), "the store's version is not content")
	require.NotEqual(t, hash(p), hash(parse(t, strings.Replace(small, "100", "101", 1))))
}

// The README's example names every field there is, and it is a plan.
func TestReadmeExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, example, found := strings.Cut(string(readme), "```yaml\n")
	require.True(t, found)
	example, _, found = strings.Cut(example, "```")
	require.True(t, found)
	p := parse(t, example)
	require.NotEmpty(t, p.Notes)
	for _, field := range []string{
		"id", "name", "description", "notes", "period", "credits", "actions", "refund", "bounce_window", "bounces", "plan_change", "members", "most",
		"allotment", "owner", "at_period_end", "roll_over_cap", "burn", "low_balance", "member_budget",
		"charges", "billable", "type", "amount", "per", "scope", "delay", "late_release", "reinstate_for",
	} {
		require.Contains(t, example, field+":")
		require.Contains(t, string(readme), "| `"+field+"` |", "described in the tables")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte(strings.ReplaceAll(small, "email", "&x [*x]")))
	f.Add([]byte(`{"id":"x","name":"X","period":"none","credits":{"a":{}},"actions":{"verify":{"charges":[]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := plan.Parse("fuzz.yaml", data)
		if err != nil {
			require.Contains(t, err.Error(), "fuzz.yaml:")
			return
		}
		body, err := json.Marshal(p)
		require.NoError(t, err)
		again, err := plan.Parse("again", body)
		require.NoError(t, err)
		require.Equal(t, p, again)
	})
}
