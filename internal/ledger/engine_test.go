package ledger

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"holdfast/internal/outbox"
)

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// runner runs single operations on tables in memory, with a clock of its own.
type runner struct {
	*testing.T
	tables *tables
	events []outbox.Event
}

func newRunner(t *testing.T) *runner { return &runner{T: t, tables: newTables("acme")} }

// try runs an operation at a time.
func (d *runner) try(now time.Time, op operation) (any, error) {
	d.Helper()
	require.NoError(d, validate(op))
	b := d.tables.open()
	d.tables.load(b, []operation{op})
	out := b.perform([]operation{op}, now)[0]
	require.NoError(d, d.tables.save(b))
	d.events = append(d.events, b.changes.events...)
	return out.result, out.err
}

func (d *runner) run(now time.Time, op operation) any {
	d.Helper()
	result, err := d.try(now, op)
	require.NoError(d, err)
	return result
}

// left is what of an account can be spent at a time.
func (d *runner) left(now time.Time, pool string) (n int64) {
	for _, l := range d.tables.rows.lots {
		if l.pool == pool && !l.expiredAt(now) {
			n += l.bucket[available]
		}
	}
	return n
}

func (d *runner) grant(key, pool string, n int64, source Source, priority int32, expires time.Time) {
	d.Helper()
	d.run(noon, Grant{Owner: "acme", Key: key, Pool: pool, Type: "email", Amount: n, Source: source, Priority: priority, ExpiresAt: expires})
}

func (d *runner) hold(now time.Time, id string, n int64, pools ...string) HoldResult {
	d.Helper()
	result, ok := d.run(now, Hold{Owner: "acme", Key: id, HoldID: id, Lines: []Line{{Type: "email", Amount: n, Pools: pools}}}).(HoldResult)
	require.True(d, ok)
	return result
}

// lows are the credits.low events so far.
func (d *runner) lows() (lows []outbox.Event) {
	for _, e := range d.events {
		if e.Topic == "credits.low" {
			lows = append(lows, e)
		}
	}
	return lows
}

func (d *runner) available(no int64) int64 { return d.tables.rows.lots[no].bucket[available] }

func TestBurnOrder(t *testing.T) { // N5
	d := newRunner(t)
	d.grant("1", "", 10, SourcePack, 0, time.Time{})
	d.grant("2", "", 10, SourcePack, 0, noon.Add(48*time.Hour))
	d.grant("3", "", 10, SourcePack, 0, noon.Add(24*time.Hour))
	d.grant("4", "", 10, SourcePack, -1, time.Time{})
	d.grant("5", "bob", 10, SourceAllotment, 9, time.Time{})
	d.grant("6", "", 10, SourcePack, 0, time.Time{})
	want := map[int64]int64{1: 10, 2: 10, 3: 10, 4: 10, 5: 10, 6: 10}
	// The member's own first; then priority, soonest expiry, age.
	for i, no := range []int64{5, 4, 3, 2, 1, 6} {
		require.True(t, d.hold(noon, string(rune('a'+i)), 10, "bob", "").Held)
		want[no] = 0
		for no, n := range want {
			require.Equal(t, n, d.available(no), "grant %d after hold %d", no, i)
		}
	}
	require.Equal(t, HoldResult{Missing: []Amount{{"email", 1}}}, d.hold(noon, "z", 1, "bob", ""))
}

func TestExpiredCreditsAreNotSpent(t *testing.T) { // I9
	d := newRunner(t)
	end := noon.Add(time.Hour)
	d.grant("1", "", 10, SourcePack, 0, end)
	require.True(t, d.hold(end.Add(-time.Microsecond), "in time", 4, "").Held)
	require.Equal(t, HoldResult{Missing: []Amount{{"email", 1}}}, d.hold(end, "late", 1, ""))
	require.EqualValues(t, 6, d.tables.rows.lots[1].bucket[expired])
	require.Equal(t, kindExpired, d.tables.journal[2].kind, "the hold came upon it and wrote it down")

	// The clock of another server is behind: the lane's time does not go back.
	d.grant("2", "", 1, SourcePack, 0, end.Add(-time.Minute))
	require.False(t, d.hold(end.Add(-time.Hour), "early clock", 1, "").Held)

	// A hold outlives its grant.
	captured := d.run(end.Add(time.Hour), Capture{Owner: "acme", Key: "c", HoldID: "in time", Type: "email", Amount: 3})
	require.Equal(t, CaptureResult{Charged: 3}, captured)
}

// Expired credits are written off in the order and at the time of their expiry,
// after any other operations and however late.
func TestExpiriesBearTheirTime(t *testing.T) { // I9
	d := newRunner(t)
	d.grant("1", "", 1, SourcePack, 0, noon.Add(3*time.Hour))
	d.grant("2", "", 2, SourcePack, 0, noon.Add(time.Hour))
	d.grant("3", "bob", 4, SourceReinstated, 0, noon.Add(time.Hour))
	d.grant("4", "", 8, SourcePack, 0, noon.Add(9*time.Hour))
	require.Equal(t, ExpireResult{Expired: []Amount{{"email", 7}}}, d.run(noon.Add(5*time.Hour), Expire{Owner: "acme"}))
	require.Equal(t, ExpireResult{}, d.run(noon.Add(5*time.Hour), Expire{Owner: "acme"}), "it leaves no entry of its own")
	require.Len(t, d.tables.journal, 6)
	for i, want := range []time.Duration{time.Hour, 3 * time.Hour} {
		e := d.tables.journal[4+i]
		require.Equal(t, kindExpired, e.kind)
		require.Equal(t, noon.Add(want), e.at)
	}
	require.Len(t, d.tables.journal[4].postings, 2)
	d.run(noon.Add(7*time.Hour), Alert{Owner: "acme", Key: "later", Pool: "bob", Type: "email"})
	d.grant("5", "", 1, SourcePack, 0, noon.Add(6*time.Hour))
	d.run(noon.Add(8*time.Hour), Expire{Owner: "acme"})
	require.Equal(t, noon.Add(7*time.Hour), d.tables.journal[8].at, "the journal's time never runs backwards")
	require.NoError(t, d.tables.replayed())
}

// Credits given back to a grant expire with it, also where the account had
// nothing left that could expire when it was last looked at.
func TestReleasedCreditsExpireToo(t *testing.T) { // I9
	for name, until := range map[string]time.Time{
		"to their grant": noon.Add(2 * time.Hour),
		"in a new grant": noon.Add(95 * time.Minute), // theirs has expired by then
	} {
		t.Run(name, func(t *testing.T) {
			d := newRunner(t)
			d.grant("long", "", 10, SourcePack, 0, until)
			require.True(t, d.hold(noon, "all", 10, "").Held)
			d.grant("short", "", 5, SourcePack, 0, noon.Add(time.Hour))
			b := d.tables.open() // kept in memory, as the store does
			step := func(now time.Time, op operation) any {
				d.tables.load(b, []operation{op})
				out := b.perform([]operation{op}, now)[0]
				require.NoError(t, out.err)
				require.NoError(t, d.tables.save(b))
				b.settle(100)
				return out.result
			}
			step(noon.Add(90*time.Minute), Alert{Owner: "acme", Key: "looks at it", Type: "email"})
			step(noon.Add(100*time.Minute), Release{Owner: "acme", Key: "r", HoldID: "all", Late: LateReinstate, ReinstateUntil: Until{Shared: noon.Add(2 * time.Hour)}})
			back := d.tables.rows.lots[int64(len(d.tables.rows.lots))]
			if until.After(noon.Add(100 * time.Minute)) {
				back = d.tables.rows.lots[1]
			}
			require.EqualValues(t, 10, back.bucket[available])
			ask := Hold{Owner: "acme", Key: "late", HoldID: "late", Lines: []Line{{Type: "email", Amount: 1, Pools: []string{""}}}}
			require.Equal(t, HoldResult{Missing: []Amount{{"email", 1}}}, step(noon.Add(2*time.Hour), ask))
			require.EqualValues(t, 10, d.tables.rows.lots[back.no].bucket[expired], "written off")
			require.NoError(t, d.tables.replayed())
		})
	}
}

// What comes back to an account is booked after what has expired in it.
func TestAReleaseComesUponWhatHasExpired(t *testing.T) { // I9
	d := newRunner(t)
	d.grant("long", "", 10, SourcePack, 0, time.Time{})
	require.True(t, d.hold(noon, "all", 10, "").Held)
	d.grant("short", "", 5, SourcePack, 0, noon.Add(time.Hour))
	d.run(noon.Add(2*time.Hour), Release{Owner: "acme", Key: "r", HoldID: "all"})
	last := d.tables.journal[len(d.tables.journal)-2:]
	require.Equal(t, kindExpired, last[0].kind)
	require.EqualValues(t, 10, last[1].postings[0].Balance)
	require.NoError(t, d.tables.replayed())
}

// A period's credits whose time is over are not spent, but wait for what its end
// brings, however late that is booked.
func TestAPeriodsCreditsWaitForItsEnd(t *testing.T) { // A5
	end := noon.Add(time.Hour)
	for name, c := range map[string]struct {
		line Renewal
		want RenewedLine
		left int64
	}{
		"expire":    {Renewal{Amount: 100}, RenewedLine{Type: "email", Expired: 30, Granted: 100}, 100},
		"roll over": {Renewal{Amount: 100, Rollover: true, Cap: -1}, RenewedLine{Type: "email", Rolled: 30, Granted: 100}, 130},
		"cap":       {Renewal{Amount: 100, Rollover: true, Cap: 20}, RenewedLine{Type: "email", Rolled: 20, Expired: 10, Granted: 100}, 120},
		"cap of 0":  {Renewal{Amount: 100, Rollover: true}, RenewedLine{Type: "email", Expired: 30, Granted: 100}, 100},
	} {
		for _, late := range []time.Duration{0, time.Hour, 90 * 24 * time.Hour} {
			t.Run(name+" after "+late.String(), func(t *testing.T) {
				d := newRunner(t)
				d.grant("1", "", 30, SourceAllotment, 0, end)
				d.run(noon, Alert{Owner: "acme", Key: "watch", Type: "email", Thresholds: []int64{29}})
				require.Equal(t, HoldResult{Missing: []Amount{{"email", 1}}}, d.hold(end.Add(late), "late", 1, ""))
				d.run(end.Add(late), Expire{Owner: "acme"})
				require.EqualValues(t, 30, d.available(1))
				c.line.Type = "email"
				result, ok := d.run(end.Add(late), Renew{Owner: "acme", Key: "renew", Lines: []Renewal{c.line}, At: end}).(RenewResult)
				require.True(t, ok)
				require.Equal(t, c.want, result.Lines[0])
				require.Equal(t, c.left, d.left(end.Add(late), ""))
				require.Empty(t, d.lows(), "alerts look at the balance after it")
				require.NoError(t, d.tables.replayed())
			})
		}
	}
}

// What an earlier plan left to expire by itself does not come back to life when
// much later a period ends under one that rolls over.
func TestCreditsOfAMissedPeriodStayExpired(t *testing.T) { // I9
	d := newRunner(t)
	end := noon.Add(time.Hour)
	d.grant("1", "", 10, SourceAllotment, 0, end)
	later := end.AddDate(0, 2, 0)
	result, ok := d.run(later.Add(time.Hour), Renew{Owner: "acme", Key: "renew", At: later, Lines: []Renewal{{Type: "email", Rollover: true, Cap: -1}}}).(RenewResult)
	require.True(t, ok)
	require.Equal(t, []RenewedLine{{Type: "email"}}, result.Lines)
	require.EqualValues(t, 10, d.tables.rows.lots[1].bucket[expired])
	require.Equal(t, end, d.tables.journal[1].at)
	require.NoError(t, d.tables.replayed())
}

// What else expires with the period is in the entry that ends it, so that no
// alert sees the account in between; the entry bears the period's end.
func TestOneEntryEndsAPeriod(t *testing.T) { // E6
	d := newRunner(t)
	end := noon.Add(time.Hour)
	d.grant("1", "", 10, SourceAllotment, 0, end)
	d.grant("2", "", 5, SourceReinstated, 0, end)
	d.grant("3", "", 3, SourcePack, 0, end.Add(-time.Minute))
	d.grant("4", "", 2, SourcePack, 0, time.Time{})
	d.run(noon, Alert{Owner: "acme", Key: "watch", Type: "email", Thresholds: []int64{15}})
	before := len(d.tables.journal)
	d.run(end.Add(time.Hour), Renew{Owner: "acme", Key: "renew", Lines: []Renewal{{Type: "email", Amount: 20, ExpiresAt: end.AddDate(0, 1, 0)}}, At: end})
	require.Empty(t, d.lows())
	require.Len(t, d.tables.journal, before+2)
	require.Equal(t, end.Add(-time.Minute), d.tables.journal[before].at, "the pack expired before")
	renewal := d.tables.journal[before+1]
	require.Equal(t, end, renewal.at)
	var kinds []string
	for _, p := range renewal.postings {
		kinds = append(kinds, fmt.Sprint(p.Move, p.Amount))
	}
	require.Equal(t, []string{"expire10", "expire5", "carry0", "grant20"}, kinds)
	require.EqualValues(t, 22, d.left(end.Add(time.Hour), ""))
	require.NoError(t, d.tables.replayed())
}

// What would be lost first is spent first: an allotment whose rollover is capped
// before packs that never expire, after what expires sooner.
func TestBurnOrderOfWhatTheCapTakes(t *testing.T) { // N5
	d := newRunner(t)
	end := noon.AddDate(0, 1, 0)
	d.grant("pack", "", 10, SourcePack, 0, time.Time{})
	d.grant("later", "", 10, SourcePromotion, 0, end.Add(time.Hour))
	d.grant("sooner", "", 10, SourcePromotion, 0, end.Add(-time.Hour))
	renew := func(now time.Time, key string, burnBy time.Time) {
		d.run(now, Renew{Owner: "acme", Key: key, Lines: []Renewal{{Type: "email", Amount: 10, Rollover: true, Cap: 15, BurnBy: burnBy}}})
	}
	renew(noon, "first", end) // grant 4
	for i, no := range []int64{3, 4, 2, 1} {
		if no == 4 { // held and given back, it is the same grant in the same place
			require.True(t, d.hold(noon, "back", 10, "").Held)
			d.run(noon, Release{Owner: "acme", Key: "back/release", HoldID: "back"})
		}
		require.True(t, d.hold(noon, fmt.Sprint(i), 10, "").Held)
		require.Zero(t, d.available(no), "grant %d is spent as number %d", no, i+1)
	}

	// What rolled over, also what came back late, is subject to the next cap.
	d = newRunner(t)
	d.grant("pack", "", 10, SourcePack, 0, time.Time{})
	renew(noon, "first", end)
	require.True(t, d.hold(noon, "open", 4, "").Held)
	renew(end, "second", end.AddDate(0, 1, 0))                                        // 6 roll over into grant 3, grant 4 is new
	d.run(end.Add(time.Hour), Release{Owner: "acme", Key: "release", HoldID: "open"}) // 4 more: grant 5
	require.True(t, d.hold(end.Add(time.Hour), "all", 20, "").Held)
	require.EqualValues(t, 10, d.available(1), "the pack is last")
	require.NoError(t, d.tables.replayed())
}

// A hold that was made for a period that is over is not carried out; one that
// was carried out in time has its answer.
func TestAHoldIsForItsPeriod(t *testing.T) {
	d := newRunner(t)
	end := noon.Add(time.Hour)
	d.grant("1", "", 10, SourcePack, 0, time.Time{})
	hold := func(key string) Hold {
		return Hold{Owner: "acme", Key: key, HoldID: key, Before: end, Lines: []Line{{Type: "email", Amount: 4, Pools: []string{""}}}}
	}
	require.Equal(t, HoldResult{Held: true}, d.run(end.Add(-time.Microsecond), hold("a")))
	_, err := d.try(end, hold("b"))
	require.ErrorIs(t, err, ErrPeriodOver)
	_, err = d.try(end, Charge{Owner: "acme", Key: "c", Before: end, Lines: []ChargeLine{{Type: "email", Amount: 1, Pools: []string{""}}}})
	require.ErrorIs(t, err, ErrPeriodOver)
	_, err = d.try(end.Add(time.Hour), hold("a"))
	require.NoError(t, err)
	later := hold("b")
	later.Before = end.AddDate(0, 1, 0)
	require.Equal(t, HoldResult{Held: true}, d.run(end, later), "nothing was stored under the key")
}

func TestLateReleases(t *testing.T) {
	end, late := noon.Add(time.Hour), noon.Add(2*time.Hour)
	until := noon.Add(24 * time.Hour)
	for policy, back := range map[LateRelease]int64{"": 10, LateReinstate: 10, LateExpire: 0} {
		d := newRunner(t)
		d.grant("1", "bob", 10, SourceAllotment, 3, end)
		d.hold(noon, "h", 10, "bob")
		released := d.run(late, Release{Owner: "acme", Key: "r", HoldID: "h", Late: policy, ReinstateUntil: Until{Shared: until.Add(time.Hour), Own: until}})
		require.Equal(t, ReleaseResult{Released: []Amount{{"email", 10}}}, released)
		require.Equal(t, back, d.left(late, "bob"), policy)
		require.Zero(t, d.left(until, "bob"))
		require.Zero(t, d.available(1), "an expired grant never comes back to life")
		if back > 0 {
			reinstated := d.tables.rows.lots[2]
			require.Equal(t, SourceReinstated, reinstated.source)
			require.EqualValues(t, 3, reinstated.priority)
		}
		require.NoError(t, d.tables.replayed())
	}
}

func TestRenewalRollsOverUpToTheCap(t *testing.T) { // A5, I10
	d := newRunner(t)
	renew := func(now time.Time, key string, most int64) RenewedLine {
		result, ok := d.run(now, Renew{Owner: "acme", Key: key, Lines: []Renewal{
			{Type: "email", Amount: 100, Rollover: true, Cap: most},
		}}).(RenewResult)
		require.True(t, ok)
		return result.Lines[0]
	}
	d.grant("pack", "", 5, SourcePack, 9, time.Time{})
	require.Equal(t, RenewedLine{Type: "email", Granted: 100}, renew(noon, "january", 40))
	d.hold(noon, "open", 70, "") // 30 left
	require.Equal(t, RenewedLine{Type: "email", Rolled: 30, Granted: 100}, renew(noon.Add(time.Hour), "february", 40))
	require.EqualValues(t, 135, d.left(noon, ""), "30 rolled over, 100 new, 5 bought")

	// Of the 70 that were held, 10 still fit under the cap.
	d.run(noon.Add(2*time.Hour), Capture{Owner: "acme", Key: "c", HoldID: "open", Type: "email", Amount: 20})
	d.run(noon.Add(2*time.Hour), Release{Owner: "acme", Key: "r", HoldID: "open"})
	require.EqualValues(t, 145, d.left(noon, ""))

	require.Equal(t, RenewedLine{Type: "email", Rolled: 140, Granted: 100}, renew(noon.Add(3*time.Hour), "march", -1))
	require.Equal(t, RenewedLine{Type: "email", Expired: 240, Granted: 100}, renew(noon.Add(4*time.Hour), "april", 0))
	require.EqualValues(t, 105, d.left(noon, ""), "what was bought is never lost")
	require.Equal(t, RenewedLine{Type: "email", Expired: 240, Granted: 100},
		d.stored("april").Lines[0], "X6: once per key")
	require.NoError(t, d.tables.replayed())
}

// stored repeats a renewal that was carried out.
func (d *runner) stored(key string) RenewResult {
	d.Helper()
	op := Renew{Owner: "acme", Key: key, Lines: []Renewal{{Type: "email", Amount: 100, Rollover: true}}}
	b := d.tables.open()
	d.tables.load(b, []operation{op})
	out := b.perform([]operation{op}, noon)[0]
	require.NoError(d, out.err)
	result, err := decode[RenewResult]("acme", out)
	require.NoError(d, err)
	return result
}

func TestBudgetsCapTheSharedPool(t *testing.T) { // X5, I8
	d := newRunner(t)
	d.grant("1", "bob", 10, SourceAllotment, 0, time.Time{})
	d.grant("2", "", 100, SourcePack, 0, time.Time{})
	hold := func(id string, n int64, budget Budget) HoldResult {
		result, ok := d.run(noon, Hold{Owner: "acme", Key: id, HoldID: id, Lines: []Line{
			{Type: "email", Amount: n, Pools: []string{"bob", ""}, Budget: budget},
		}}).(HoldResult)
		require.True(t, ok)
		return result
	}
	may := Budget{Name: "bob/may", Cap: 20}
	require.True(t, hold("a", 25, may).Held, "10 of his own, 15 shared")
	require.Equal(t, HoldResult{Missing: []Amount{{"email", 3}}, OverBudget: []Amount{{"email", 3}}}, hold("b", 8, may))
	require.True(t, hold("c", 5, may).Held)
	d.run(noon, Release{Owner: "acme", Key: "r", HoldID: "c"})
	require.True(t, hold("d", 5, may).Held, "what was given back may be spent again")
	require.True(t, hold("e", 20, Budget{Name: "bob/june", Cap: 20}).Held)
	require.EqualValues(t, 20, d.tables.rows.budgets[budgetID{"bob/may", "email"}])
	require.NoError(t, d.tables.replayed())
}

func TestAlertFiresOncePerThresholdUntilRecovered(t *testing.T) { // E6
	d := newRunner(t)
	d.grant("1", "", 100, SourcePack, 0, time.Time{})
	require.Equal(t, AlertResult{}, d.run(noon, Alert{Owner: "acme", Key: "watch", Type: "email", Thresholds: []int64{5, 20, 0, 20}}))
	require.Equal(t, []int64{20, 5, 0}, d.tables.rows.accounts[accountID{"", "email"}].alertAt)
	alerts := func() (thresholds []int64) {
		for _, e := range d.events {
			if e.Topic != outbox.CreditsLow {
				continue // what was granted
			}
			var payload lowPayload
			require.NoError(t, json.Unmarshal(e.Data, &payload))
			thresholds = append(thresholds, payload.Threshold)
		}
		d.events = nil
		return thresholds
	}
	charge := func(key string, n int64) {
		d.run(noon, Charge{Owner: "acme", Key: key, Lines: []ChargeLine{{Type: "email", Pools: []string{""}, Amount: n}}})
	}
	charge("a", 79)
	require.Empty(t, alerts(), "21 left")
	charge("b", 1)
	require.Len(t, d.events, 1, "20 left: at the threshold")
	require.Equal(t, "credits.low", d.events[0].Topic)
	require.JSONEq(t, `{"org":"acme","pool":"","type":"email","available":20,"threshold":20,"at":"2026-01-31T12:00:00Z"}`, string(d.events[0].Data))
	require.Equal(t, []int64{20}, alerts())
	charge("c", 14)
	require.Empty(t, alerts(), "6 left")
	charge("d", 1)
	require.Equal(t, []int64{5}, alerts())
	d.grant("2", "", 15, SourcePack, 0, time.Time{}) // 20: above 5, not above 20
	charge("e", 20)
	require.Equal(t, []int64{5, 0}, alerts())
	d.grant("3", "", 21, SourcePack, 0, time.Time{}) // above all
	charge("f", 21)
	require.Equal(t, []int64{20, 5, 0}, alerts(), "one entry may cross them all")

	require.Equal(t, AlertResult{Low: true}, d.run(noon, Alert{Owner: "acme", Key: "lower", Type: "email", Thresholds: []int64{3, 5}}))
	require.Equal(t, []int64{3}, alerts(), "armed above the balance; the one of 5 has fired")
	d.run(noon, Alert{Owner: "acme", Key: "same", Type: "email", Thresholds: []int64{3}})
	require.Empty(t, alerts(), "once")
	require.Equal(t, AlertResult{Low: true}, d.run(noon, Alert{Owner: "acme", Key: "begin", Pool: "bob", Type: "email", Thresholds: []int64{3}, Begin: true}))
	require.Empty(t, alerts(), "an empty beginning is no event")
	d.grant("4", "", 30, SourcePack, 0, time.Time{})
	charge("g", 20)
	require.Empty(t, alerts())
	require.Equal(t, AlertResult{}, d.run(noon, Alert{Owner: "acme", Key: "end", Type: "email"}))
	charge("h", 10)
	require.Empty(t, alerts(), "no threshold")
	require.NoError(t, d.tables.replayed())
}

// What comes with a fact is owned with it and free; where it is owned, so is the
// fact, in one operation as in several. A fact that was paid for brings what is new
// with it at no cost.
func TestI5_WhatComesWithAFactIsPaidForOnce(t *testing.T) {
	d := newRunner(t)
	d.grant("1", "", 100, SourcePack, 0, time.Time{})
	fact := func(subject byte, with ...byte) Fact {
		f := Fact{Subject: [16]byte{subject}}
		for _, w := range with {
			f.With = append(f.With, [16]byte{w})
		}
		return f
	}
	charge := func(key string, facts ...Fact) CaptureResult {
		result, ok := d.run(noon, Charge{Owner: "acme", Key: key, Lines: []ChargeLine{
			{Type: "email", Pools: []string{""}, Facts: facts, UnitCost: 2},
		}}).(ChargeResult)
		require.True(t, ok)
		return result.Lines[0]
	}
	const ann, ida, bob, address, other, changed = 1, 2, 3, 11, 12, 13
	require.Equal(t, CaptureResult{Charged: 2, NewFacts: 1, KnownFacts: 1}, charge("two rows", fact(ann, address), fact(ida, address)))
	require.Equal(t, CaptureResult{KnownFacts: 1}, charge("the value again", fact(address)))
	require.Equal(t, CaptureResult{KnownFacts: 1}, charge("under another row", fact(bob, address)))
	require.Equal(t, CaptureResult{Charged: 2, NewFacts: 1}, charge("one of two", fact(bob, address, other)))
	require.Equal(t, CaptureResult{KnownFacts: 1}, charge("the row's value changed", fact(ann, changed)))
	require.Equal(t, CaptureResult{KnownFacts: 1}, charge("and is owned", fact(changed)))
	require.Equal(t, ReverseResult{Reversed: 2, Amounts: []Amount{{"email", 2}}, Facts: 1},
		d.run(noon, Reverse{Owner: "acme", Key: "back", HoldID: "two rows", Type: "email", Facts: []Fact{fact(ann), fact(address)}}))
	require.Equal(t, CaptureResult{Charged: 2, NewFacts: 1}, charge("costs again", fact(address)))
	require.EqualValues(t, 96, d.left(noon, ""))
	require.NoError(t, d.tables.replayed())
}

// Credits that an operator gave back as an amount are not given back again for
// the facts they were paid for: those take what is left, and the rest stays owned.
func TestI5_FactsTakeBackAtMostWhatIsLeft(t *testing.T) {
	d := newRunner(t)
	d.grant("1", "", 100, SourcePack, 0, time.Time{})
	fact := func(subject byte) Fact { return Fact{Subject: [16]byte{subject}, With: [][16]byte{{subject + 100}}} }
	charge := Charge{Owner: "acme", Key: "o1", Lines: []ChargeLine{
		{Type: "email", Pools: []string{""}, Facts: []Fact{fact(1), fact(2), fact(3)}, UnitCost: 2},
	}}
	d.run(noon, charge)
	back := func(key string, facts ...Fact) Reverse {
		return Reverse{Owner: "acme", Key: key, HoldID: "o1", Type: "email", AtMost: true, Facts: facts}
	}
	d.run(noon, Reverse{Owner: "acme", Key: "goodwill", HoldID: "o1", Type: "email", Amount: 3})
	first := back("first", fact(1), fact(1), fact(9), fact(2), fact(3))
	want := ReverseResult{
		Reversed: 3, Amounts: []Amount{{"email", 3}}, Facts: 2,
		Each: []FactReversal{{Reversed: 2}, {Kept: KeptReversed}, {Kept: KeptUnpaid}, {Reversed: 1}, {Kept: KeptNoRest}},
	}
	require.Equal(t, want, d.run(noon, first))
	require.Equal(t, ReverseResult{Each: []FactReversal{{Kept: KeptReversed}, {Kept: KeptNoRest}}}, d.run(noon, back("second", fact(2), fact(3))))
	require.EqualValues(t, 100, d.left(noon, ""))

	charge.Key = "o2"
	again, ok := d.run(noon, charge).(ChargeResult)
	require.True(t, ok)
	require.Equal(t, CaptureResult{Charged: 4, NewFacts: 2, KnownFacts: 1}, again.Lines[0], "what got nothing is still owned")
	require.NoError(t, d.tables.replayed())
	require.ErrorIs(t, validate(Reverse{Owner: "acme", Key: "k", Type: "email", AtMost: true, Facts: []Fact{fact(1)}}), ErrInvalid)
}

func TestReversedFactsCostAgain(t *testing.T) { // A9
	d := newRunner(t)
	d.grant("1", "", 100, SourcePack, 0, time.Time{})
	jane := []Fact{{Subject: [16]byte{1}}}
	charge := func(key string) ChargeResult {
		result, ok := d.run(noon, Charge{Owner: "acme", Key: key, Lines: []ChargeLine{
			{Type: "email", Pools: []string{""}, Facts: jane, UnitCost: 2},
		}}).(ChargeResult)
		require.True(t, ok)
		return result
	}
	bounce := func(key string) ReverseResult {
		result, ok := d.run(noon, Reverse{Owner: "acme", Key: key, Type: "email", Facts: jane}).(ReverseResult)
		require.True(t, ok)
		return result
	}
	require.EqualValues(t, 2, charge("a").Lines[0].Charged)
	require.EqualValues(t, 0, charge("b").Lines[0].Charged)
	require.Equal(t, ReverseResult{Reversed: 2, Amounts: []Amount{{"email", 2}}, Facts: 1}, bounce("c"))
	require.Equal(t, ReverseResult{}, bounce("d"), "once")
	require.EqualValues(t, 2, charge("e").Lines[0].Charged)
	require.EqualValues(t, 98, d.left(noon, ""))
}

func TestJournalTextIsWhatJSONReads(t *testing.T) {
	at := time.Date(2026, 2, 1, 3, 4, 5, 6000, time.UTC)
	want := []posting{
		{Move: moveGrant, Type: "e\"m\\ail\n", Pool: "bób", Grant: 7, Amount: 1 << 52, Balance: 3, Terms: &terms{Source: SourcePack, Priority: -2, ExpiresAt: at}},
		{Move: moveReinstate, Type: "email", Hold: "h", Budget: "b", Into: 9, Carry: &carry{Left: -1, Priority: 4, Until: at}},
		{Move: moveAlert, Type: "email", Alert: []int64{2, 1}},
	}
	var got []posting
	require.NoError(t, json.Unmarshal(encodePostings(want), &got))
	require.Equal(t, want, got)

	h := &hold{captures: []int64{3, 4}, lines: []holdLine{
		{Type: "email", Budget: "b", Slices: []slice{{Grant: 1, Pool: "bob", Amount: 9, Captured: 4, Released: 3, Reversed: 2}, {Grant: 2, Amount: 1}}},
		{Type: "phone"},
	}}
	var body holdBody
	require.NoError(t, json.Unmarshal(appendHold(nil, h), &body))
	require.Equal(t, holdBody{Lines: h.lines, Captures: h.captures}, body)

	groups := []factGroup{{"email", "", 1, [][16]byte{{1}, {2}}}, {"phone", "bob", 8, [][16]byte{{3}}}}
	packed := encodeFacts(groups)
	back, err := parseFacts(packed)
	require.NoError(t, err)
	require.Equal(t, groups, back)
	for n := 1; n < len(packed); n++ {
		if _, err := parseFacts(packed[:n]); err != nil {
			require.ErrorContains(t, err, "cut off")
		}
	}
}
