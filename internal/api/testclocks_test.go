package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/account"
	"holdfast/internal/api"
	"holdfast/internal/billing"
	"holdfast/internal/ledger"
	"holdfast/internal/order"
	"holdfast/internal/orderbook"
	"holdfast/internal/plan"
	"holdfast/internal/testclock"
)

func sandbox(t *testing.T) *fixture {
	f := &fixture{t: t, org: fmt.Sprintf("org-%d", orgs.Add(1))}
	f.serveWith(func(c *api.Config) { c.Sandbox = true })
	return f
}

// createClock gives the organization of the fixture a clock.
func (f *fixture) createClock(at time.Time) (id string) {
	f.t.Helper()
	clock := f.call("POST", "/test-clocks", operatorKey, map[string]any{"org": f.org, "at": at}, "Idempotency-Key", f.org).is(201)
	again := f.call("POST", "/test-clocks", operatorKey, map[string]any{"org": f.org, "at": at}, "Idempotency-Key", f.org).is(201)
	require.Equal(f.t, string(clock.body), string(again.body))
	return clock.text("id")
}

// advance moves a clock and waits until it is there.
func (f *fixture) advance(clock string, to time.Time) {
	f.t.Helper()
	var c testclock.Clock
	f.call("POST", "/test-clocks/"+clock+"/advance?wait=1m", operatorKey, map[string]any{"to": to}).is(200).into(&c)
	require.Eventually(f.t, func() bool {
		if c.Status == testclock.Advancing {
			f.call("GET", "/test-clocks/"+clock, operatorKey, nil).is(200).into(&c)
		}
		return c.Status == testclock.Ready
	}, time.Minute, 50*time.Millisecond)
	require.Equal(f.t, to.UTC(), c.At)
}

// rehearsal is what the pure rules say of an organization, its one licence
// included: an account by pool ("" is the shared one) and type.
type rehearsal struct {
	plans    map[string]*plan.Plan
	current  string
	anchor   time.Time
	period   plan.Period
	start    map[ledger.Account]int64         // allotted with the period
	switches map[ledger.Account][]plan.Switch // of the period
	pending  string                           // the plan that waits for the period's end
	allotted map[ledger.Account]int64         // left of what the plan gave, and ends with the period where it does
	packs    map[ledger.Account]int64         // left of what was bought
}

var owners = map[string]plan.Owner{"": plan.Organization, "jane": plan.Member}

// begins begins a period under the plan then in force.
func (r *rehearsal) begins(n int) {
	ended := r.plans[r.current]
	if r.pending != "" {
		r.current, r.pending = r.pending, ""
	}
	r.period = plan.PeriodN(r.anchor, n, time.UTC)
	r.start, r.switches = map[ledger.Account]int64{}, map[ledger.Account][]plan.Switch{}
	for pool, owner := range owners {
		for _, kind := range ended.CreditTypes() {
			a := ledger.Account{Pool: pool, Type: kind}
			if rolls, _ := ended.Credits[kind].RollsOver(); !rolls {
				r.allotted[a] = 0
			}
			r.start[a] = r.plans[r.current].Allotment(kind, owner)
			r.allotted[a] += r.start[a]
		}
	}
}

// changes moves the organization to a plan with the same credit types.
func (r *rehearsal) changes(to string, at time.Time) {
	from := r.plans[r.current]
	if from.Period != plan.Month {
		r.current = to
		return
	}
	if from.PlanChange == plan.AtPeriodEnd {
		r.pending = to
		return
	}
	r.current = to
	for pool, owner := range owners {
		for _, kind := range from.CreditTypes() {
			a := ledger.Account{Pool: pool, Type: kind}
			r.switches[a] = append(r.switches[a], plan.Switch{At: at, Allotment: r.plans[to].Allotment(kind, owner)})
			tops := plan.TopUps(r.period, r.start[a], r.switches[a])
			r.allotted[a] += tops[len(tops)-1]
		}
	}
}

// spends takes credits of the licence first, then shared ones, allotments first.
func (r *rehearsal) spends(kind string, n int64) {
	for _, pool := range []string{"jane", ""} {
		for _, from := range []map[ledger.Account]int64{r.allotted, r.packs} {
			a := ledger.Account{Pool: pool, Type: kind}
			taken := min(n, from[a])
			from[a] -= taken
			n -= taken
		}
	}
}

// matches compares what the API shows with the rehearsal.
func (r *rehearsal) matches(f *fixture, when string) {
	f.t.Helper()
	var view billing.Credits
	f.call("GET", "/credits?org="+f.org, operatorKey, nil).is(200).into(&view)
	have, want := map[ledger.Account]int64{}, map[ledger.Account]int64{}
	for _, c := range view.Credits {
		have[ledger.Account{Pool: c.Member, Type: c.Type}] = c.Available
		require.Zero(f.t, c.Held, "%s: %s %s", when, c.Member, c.Type)
	}
	for pool := range owners {
		for _, kind := range r.plans[r.current].CreditTypes() {
			a := ledger.Account{Pool: pool, Type: kind}
			if n := r.allotted[a] + r.packs[a]; n > 0 {
				want[a] = n
			}
		}
	}
	maps.DeleteFunc(have, func(_ ledger.Account, n int64) bool { return n == 0 })
	require.Equal(f.t, want, have, when)
	if r.plans[r.current].Period == plan.Month {
		require.Equal(f.t, &billing.Period{Start: r.period.Start, End: r.period.End}, view.Period, when)
	}
}

// double stores a plan like another one with twice its allotments.
func (f *fixture) double(id string) (name string) {
	f.t.Helper()
	var text map[string]any
	f.call("GET", "/plans/"+id, operatorKey, nil).is(200).into(&text)
	name = id + "-double"
	text["id"] = name
	for _, c := range text["credits"].(map[string]any) {
		if credit := c.(map[string]any); credit["allotment"] != nil {
			credit["allotment"] = 2 * credit["allotment"].(float64)
		}
	}
	f.call("PUT", "/plans/"+name, operatorKey, text).is(200)
	return name
}

// Each preset over 14 months, from January 31 of a leap year on: periods, an
// upgrade, a downgrade, orders and their refunds, three months that were missed;
// after each month the credits are those of the pure rules.
func TestEveryPresetOverFourteenMonths(t *testing.T) {
	presets, err := plan.Presets()
	require.NoError(t, err)
	for _, preset := range presets {
		t.Run(preset.ID, func(t *testing.T) {
			t.Parallel()
			rehearse(sandbox(t), preset)
		})
	}
}

func rehearse(f *fixture, preset *plan.Plan) {
	begin := time.Date(2028, 1, 31, 9, 30, 0, 0, time.UTC)
	clock := f.createClock(begin)
	f.call("POST", "/orgs", operatorKey, map[string]any{"id": f.org, "name": "Rehearsal", "plan": preset.ID}).is(201)
	f.call("POST", "/orgs/"+f.org+"/members", operatorKey, map[string]any{"id": "jane", "name": "Jane"}).is(201)
	f.jane = f.newKey("jane")
	double := f.double(preset.ID)
	larger, err := app.Accounts.Plan(f.t.Context(), double, 0)
	require.NoError(f.t, err)
	r := &rehearsal{
		plans: map[string]*plan.Plan{preset.ID: preset, double: larger}, current: preset.ID, anchor: begin,
		allotted: map[ledger.Account]int64{}, packs: map[ledger.Account]int64{},
	}
	if preset.Period == plan.Month {
		r.begins(0)
	}
	if preset.ID != "workspace-free" { // its credits are personal
		f.fund(100)
		r.packs[ledger.Account{Type: "email"}] = 100
	}
	r.matches(f, "at the beginning")
	for month := 1; month <= 14; month++ {
		at := plan.PeriodN(begin, month, time.UTC).Start
		switch month {
		case 11, 12: // nothing runs
			r.begins(month)
			continue
		case 13: // something runs again: who looks at the credits finds all that was missed
			require.NoError(f.t, app.Ledger.SetClock(f.t.Context(), f.org, at))
		default:
			f.advance(clock, at)
		}
		if preset.Period == plan.Month {
			r.begins(month)
		}
		r.matches(f, fmt.Sprint("month ", month))
		switch month {
		case 2, 6, 10:
			f.orderIn(clock, r, at, preset)
		case 4:
			f.call("PUT", "/orgs/"+f.org+"/plan", operatorKey, map[string]any{"plan": double}).is(200)
			r.changes(double, at)
		case 7:
			at = at.Add(100 * time.Hour)
			f.advance(clock, at)
			f.call("PUT", "/orgs/"+f.org+"/plan", operatorKey, map[string]any{"plan": preset.ID}).is(200)
			r.changes(preset.ID, at)
		}
		r.matches(f, fmt.Sprint("later in month ", month))
	}
	f.renewedOnTime(r)
}

// orderIn orders in the organization's time: the charge at once, the refund when
// the clock has come to it.
func (f *fixture) orderIn(clock string, r *rehearsal, at time.Time, preset *plan.Plan) {
	f.t.Helper()
	request := leadList(4)
	if _, sells := preset.Action("lead_list"); !sells {
		request = map[string]any{"kind": "verify", "emails": []string{"a@nowhere.invalid", "b@nowhere.invalid"}}
	}
	var o order.Order
	f.call("POST", "/orders?wait=1m", f.jane, request, "Idempotency-Key", at.String()).is(201).into(&o)
	require.Eventually(f.t, func() bool {
		o = f.order(o.ID)
		return o.Status.Delivered() || o.Status.Over()
	}, time.Minute, 50*time.Millisecond)
	require.Equal(f.t, []time.Time{at, at}, []time.Time{o.CreatedAt, *o.CompletedAt}, "in its own time")
	require.Equal(f.t, at.Add(preset.RefundDelay), *o.RefundAt)
	captured := o.Credits[0].Captured
	if preset.RefundDelay > 0 && captured < o.Credits[0].Held {
		require.Equal(f.t, order.Completed, o.Status, "no time has passed")
		f.advance(clock, at.Add(preset.RefundDelay-time.Microsecond))
		require.Equal(f.t, order.Completed, f.order(o.ID).Status, "its time has not come")
		f.advance(clock, at.Add(24*time.Hour))
		o = f.order(o.ID)
		require.Equal(f.t, order.Settled, o.Status)
		require.Equal(f.t, *o.RefundAt, *o.SettledAt, "not when the advance ended")
	}
	require.Equal(f.t, order.Settled, f.settled(o.ID).Status)
	r.spends("email", captured)
}

// renewedOnTime looks into the journal: each period of each subscription once, at
// its beginning, the books clean.
func (f *fixture) renewedOnTime(r *rehearsal) {
	f.t.Helper()
	var page struct {
		Entries []billing.Entry
	}
	f.call("GET", "/credits/history?org="+f.org+"&kind=grant&limit=500", operatorKey, nil).is(200).into(&page)
	var begun []time.Time
	for _, e := range page.Entries {
		if e.Action == "reset" && e.Type == "email" && (len(begun) == 0 || !begun[len(begun)-1].Equal(e.At)) {
			begun = append(begun, e.At)
		}
	}
	if r.plans[r.current].Period == plan.Month {
		require.Len(f.t, begun, 15)
		for i, at := range begun { // newest first
			require.Equal(f.t, plan.PeriodN(r.anchor, 14-i, time.UTC).Start, at)
		}
	} else {
		require.Empty(f.t, begun)
	}
	report, err := ledger.Audit(f.t.Context(), app.Pool, ledger.AuditOptions{Owner: f.org, Also: []ledger.Check{account.CheckLedger, orderbook.CheckLedger}})
	require.NoError(f.t, err)
	require.True(f.t, report.Clean(), "%v", report.Findings)
}

// Without the setting there are no test clocks; wrong requests are refused in a
// sentence.
func TestTestClocksAreForSandboxes(t *testing.T) {
	f := setup(t)
	p := f.call("POST", "/test-clocks", operatorKey, map[string]any{"org": "x", "at": "2028-01-31T00:00:00Z"}).problem(409, "not_configured")
	require.Contains(t, p.Detail, "HOLDFAST_SANDBOX")
	f.call("POST", "/test-clocks/x/advance", operatorKey, map[string]any{"to": "2028-01-31T00:00:00Z"}).problem(409, "not_configured")
	f.call("GET", "/test-clocks", operatorKey, nil).is(200)

	f.serveWith(func(c *api.Config) { c.Sandbox = true })
	f.call("POST", "/test-clocks", operatorKey, map[string]any{"org": "UPPER", "at": "2028-01-31T00:00:00Z"}).problem(422, "invalid_request")
	f.call("POST", "/test-clocks", operatorKey, map[string]any{"org": "x", "at": "1028-01-31T00:00:00Z"}).problem(422, "invalid_request")
	f.call("POST", "/test-clocks", operatorKey, map[string]any{"org": f.org, "at": "2020-01-31T00:00:00Z"}).problem(422, "invalid_request")
	f.call("GET", "/test-clocks/none", operatorKey, nil).problem(404, "not_found")
	other := sandbox(t)
	begin := time.Date(2028, 1, 31, 0, 0, 0, 0, time.UTC)
	clock := other.createClock(begin)
	f.call("POST", "/test-clocks/"+clock+"/advance", operatorKey, map[string]any{"to": "2027-01-31T00:00:00Z"}).problem(422, "invalid_request")
	f.call("POST", "/test-clocks/"+clock+"/advance", operatorKey, map[string]any{"to": "2031-01-31T00:00:00Z"}).problem(422, "invalid_request")
	require.Contains(t, f.walk("/test-clocks", operatorKey, "test_clocks", "id"), clock)
	other.call("POST", "/orgs", operatorKey, map[string]any{"id": other.org, "name": "Other", "plan": "quick"}).is(201)
	var org account.Org
	f.call("GET", "/orgs/"+other.org, operatorKey, nil).is(200).into(&org)
	require.Equal(t, begin, org.TestClock.UTC())
	f.call("DELETE", "/test-clocks/"+clock, operatorKey, nil).is(204)
	f.call("DELETE", "/test-clocks/"+clock, operatorKey, nil).problem(404, "not_found")
	f.call("GET", "/orgs/"+other.org, operatorKey, nil).is(200).into(&org)
	require.Equal(t, account.StatusClosed, org.Status)
	require.True(t, json.Valid(f.call("GET", "/credits?org="+other.org, operatorKey, nil).is(200).body))
}

// The requests in docs/test-clocks.md, as they stand there.
func TestTheExampleOfTheDocs(t *testing.T) {
	f := sandbox(t)
	text, err := os.ReadFile("../../docs/test-clocks.md")
	require.NoError(t, err)
	clock, sent := "CLOCK", 0
	var last *reply
	for _, block := range strings.Split(string(text), "```http\n")[1:] {
		block, _, _ = strings.Cut(block, "\n```")
		first, content, _ := strings.Cut(strings.NewReplacer("acme", f.org, "CLOCK", clock).Replace(block), "\n")
		method, path, _ := strings.Cut(first, " ")
		var body any
		if content != "" {
			body = content
		}
		last = f.call(method, path, operatorKey, body)
		require.Less(t, last.status, 300, "%s: %s", first, last.body)
		sent++
		switch {
		case path == "/test-clocks":
			clock = last.text("id")
		case strings.Contains(path, "/advance"):
			require.Equal(t, "ready", last.text("status"), "within 30 s")
		case strings.HasPrefix(path, "/credits?"):
			require.Contains(t, string(last.body), `"available":10000`)
		}
	}
	require.Equal(t, 8, sent)
}
