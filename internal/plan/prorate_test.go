package plan_test

import (
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"holdfast/internal/plan"
)

// thirty is a period of thirty days, so that shares are easy to see.
var thirty = plan.Period{Start: utc("2024-04-01T00:00:00Z"), End: utc("2024-05-01T00:00:00Z")}

func on(day int, allotment int64) plan.Switch {
	return plan.Switch{At: thirty.Start.AddDate(0, 0, day), Allotment: allotment}
}

func TestTopUps(t *testing.T) {
	for _, c := range []struct {
		what     string
		start    int64
		switches []plan.Switch
		want     []int64
	}{
		{"an upgrade half way brings half the difference", 1000, []plan.Switch{on(15, 3000)}, []int64{1000}},
		{"a downgrade takes nothing back", 3000, []plan.Switch{on(15, 1000)}, []int64{0}},
		{"back and forth mints nothing", 1000, []plan.Switch{on(10, 3000), on(10, 1000), on(10, 3000)}, []int64{1333, 0, 0}},
		{"down and up again restores nothing that was never lost", 3000, []plan.Switch{on(10, 1000), on(20, 3000)}, []int64{0, 0}},
		{"a second upgrade counts from the first", 1000, []plan.Switch{on(10, 2500), on(20, 4000)}, []int64{1000, 500}},
		{"the time on the smaller plan counts", 1000, []plan.Switch{on(10, 4000), on(20, 1000), on(25, 7000)}, []int64{2000, 0, 0}},
		{"from nothing", 0, []plan.Switch{on(29, 30)}, []int64{1}},
		{"fractions are rounded down", 0, []plan.Switch{on(29, 59)}, []int64{1}},
		{"at the beginning the period itself has granted it", 1000, []plan.Switch{on(0, 1000)}, []int64{0}},
		{"outside the period nothing", 1000, []plan.Switch{on(-1, 9000), on(30, 9000)}, []int64{0, 0}},
		{"the largest amounts fit", 0, []plan.Switch{on(15, plan.MaxAmount)}, []int64{plan.MaxAmount / 2}},
	} {
		t.Run(c.what, func(t *testing.T) {
			require.Equal(t, c.want, plan.TopUps(thirty, c.start, c.switches))
		})
	}
}

// P5: no sequence of switches mints or loses credits.
func TestTopUpsNeverMintOrLose(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.OneOf(rapid.Int64Range(0, 50), rapid.Int64Range(0, plan.MaxAmount))
		start := amount.Draw(t, "start")
		length := thirty.End.Sub(thirty.Start)
		offsets := rapid.SliceOfN(rapid.Int64Range(0, int64(length)-1), 0, 12).Draw(t, "offsets")
		slices.Sort(offsets)
		switches := make([]plan.Switch, len(offsets))
		for i, o := range offsets {
			switches[i] = plan.Switch{At: thirty.Start.Add(time.Duration(o)), Allotment: amount.Draw(t, "allotment")}
		}
		tops := plan.TopUps(thirty, start, switches)
		require.Len(t, tops, len(switches))

		granted, largest := start, start
		for i := range switches {
			require.GreaterOrEqual(t, tops[i], int64(0))
			granted += tops[i]
			largest = max(largest, switches[i].Allotment)
			require.LessOrEqual(t, granted, largest, "never more than the largest allotment")
			require.Equal(t, tops[:i+1], plan.TopUps(thirty, start, switches[:i+1]), "what comes later changes nothing granted before")
			entitled := entitlement(start, switches[:i+1])
			require.GreaterOrEqual(t, new(big.Rat).SetInt64(granted+1).Cmp(entitled), 0, "never less than entitled to, rounded down")
		}
	})
}

// entitlement is the same sum the slow way: each allotment times its share.
func entitlement(start int64, switches []plan.Switch) *big.Rat {
	sum := new(big.Rat)
	length := int64(thirty.End.Sub(thirty.Start))
	since, rate := thirty.Start, start
	for _, s := range append(slices.Clone(switches), plan.Switch{At: thirty.End}) {
		share := big.NewRat(int64(s.At.Sub(since)), length)
		sum.Add(sum, share.Mul(share, new(big.Rat).SetInt64(rate)))
		since, rate = s.At, s.Allotment
	}
	return sum
}

// A switch of the period before, or at the moment of the next one, adds nothing to
// this one.
func TestSwitchesOfOtherPeriods(t *testing.T) {
	p := plan.PeriodN(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), 0, time.UTC)
	for _, at := range []time.Time{p.Start.Add(-time.Nanosecond), p.Start.AddDate(0, -1, 0), p.End, p.End.AddDate(0, 1, 0)} {
		for _, allotment := range []int64{0, 1000} {
			require.Equal(t, []int64{0}, plan.TopUps(p, 100, []plan.Switch{{At: at, Allotment: allotment}}), at)
		}
	}
	require.Equal(t, []int64{900}, plan.TopUps(p, 100, []plan.Switch{{At: p.Start, Allotment: 1000}}))
}
