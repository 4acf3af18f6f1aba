package plan

import (
	"math/big"
	"time"
)

// Switch is a change of a pool's allotment of one credit type.
type Switch struct {
	At        time.Time
	Allotment int64 // per period, from At on
}

// TopUps returns what each switch within a period adds to a pool that was
// allotted start credits when the period began, one number per switch. Switches
// are in order of time; those outside the period add nothing.
//
// A period entitles to every allotment for the share of the period it was in
// force. A switch grants what the entitlement, rounded down, exceeds all that
// the period has granted so far, and never takes anything back. So the total
// lies between the entitlement and the largest allotment that was in force,
// and switching back and forth mints nothing.
func TopUps(p Period, start int64, switches []Switch) []int64 {
	tops := make([]int64, len(switches))
	length := big.NewInt(int64(p.End.Sub(p.Start)))
	earned := new(big.Int) // credits × nanoseconds, up to since
	since, rate, granted := p.Start, start, start
	for i, s := range switches {
		if s.At.Before(p.Start) || !s.At.Before(p.End) || s.At.Before(since) {
			continue
		}
		earned.Add(earned, product(rate, s.At.Sub(since)))
		since, rate = s.At, s.Allotment
		total := new(big.Int).Add(earned, product(rate, p.End.Sub(since)))
		entitled := total.Div(total, length).Int64() // at most the largest allotment
		if entitled > granted {
			tops[i] = entitled - granted
			granted = entitled
		}
	}
	return tops
}

func product(credits int64, d time.Duration) *big.Int {
	return new(big.Int).Mul(big.NewInt(credits), big.NewInt(int64(d)))
}
