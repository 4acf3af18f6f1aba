package offer

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// simulated is an organization whose orders have valid rates that lie apart by a
// spread, about a mean.
type simulated struct {
	rng          *rand.Rand
	mean, spread float64
}

// order draws the outcome of an order of n contacts.
func (s simulated) order(n int64) past {
	share := s.mean
	if s.spread > 0 {
		concentration := 1/s.spread - 1
		a, b := s.gamma(s.mean*concentration), s.gamma((1-s.mean)*concentration)
		share = a / (a + b)
	}
	p := past{n: float64(n)}
	for range n {
		if s.rng.Float64() < share {
			p.charged++
		}
	}
	return p
}

// gamma draws from a gamma distribution (Marsaglia and Tsang, 2000).
func (s simulated) gamma(shape float64) float64 {
	if shape < 1 {
		return s.gamma(shape+1) * math.Pow(s.rng.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	for {
		x := s.rng.NormFloat64()
		v := math.Pow(1+x/math.Sqrt(9*d), 3)
		if v > 0 && math.Log(s.rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// Of 200 orders in a row, each quoted by those before it, at least 90 % cost an
// amount within their range, however far the orders lie apart. Once 2,000
// contacts are known, half of the ranges are no wider than 40 % of the hold.
func TestX1_RangesHoldWhatOrdersCost(t *testing.T) {
	for _, mean := range []float64{0.05, 0.49, 0.8, 0.99} {
		for _, spread := range []float64{0, 0.01, 0.03, 0.08} {
			s := simulated{rand.New(rand.NewPCG(7, math.Float64bits(mean+spread))), mean, spread}
			var orders []past
			var inside, quotes, known int64
			var widths []float64
			for len(orders) < 201 {
				n := 20 + s.rng.Int64N(400)
				next := s.order(n)
				if len(orders) > 0 {
					low, high := estimate(orders[max(0, len(orders)-outcomeOrdersInTests):], ownSpread).between(n)
					require.Less(t, low, high)
					quotes++
					if c := int64(next.charged); low <= c && c <= high {
						inside++
					}
					if known >= 2000 {
						widths = append(widths, float64(high-low)/float64(n))
					}
				}
				orders, known = append(orders, next), known+n
			}
			require.GreaterOrEqual(t, float64(inside)/float64(quotes), 0.9, "mean %v, spread %v", mean, spread)
			slices.Sort(widths)
			if spread <= 0.03 { // beyond, an honest range is wider
				require.LessOrEqual(t, widths[len(widths)/2], 0.4, "mean %v, spread %v", mean, spread)
			}
		}
	}
}

const outcomeOrdersInTests = 100

// Nothing known is anything between none and all, and no number of orders makes
// a point of a range.
func TestX1_ARangeIsNeverAPoint(t *testing.T) {
	low, high := rate{alpha: 1, beta: 1}.of(due{least: 60, most: 60})
	require.Equal(t, []int64{0, 60}, []int64{low, high})
	for _, charged := range []float64{0, 45, 48} {
		for _, n := range []int64{1, 2, 64, 100_000} {
			low, high := estimate([]past{{48, charged}}, ownSpread).between(n)
			require.Less(t, low, high, "%v of 48, then %d", charged, n)
			require.True(t, low >= 0 && high <= n)
		}
	}
	low, high = estimate([]past{{48, 48}}, ownSpread).between(48)
	require.Less(t, low, int64(46), "48 of 48 were charged, then 45 of 48")
	require.EqualValues(t, 48, high)
	low, high = estimate(nil, 0).between(0)
	require.Equal(t, []int64{0, 0}, []int64{low, high})
}

// A million contacts take no longer than what carries weight among them, and
// the range is about what the normal distribution says.
func TestX1_LargeRangesAreNormal(t *testing.T) {
	r := rate{alpha: 5000, beta: 5000}
	low, high := r.between(1_000_000)
	sd := 1_000_000 * math.Sqrt(0.25/10_001+0.25/1_000_000)
	require.InDelta(t, 500_000-1.88*sd, low, sd/20)
	require.InDelta(t, 500_000+1.88*sd, high, sd/20)
}
