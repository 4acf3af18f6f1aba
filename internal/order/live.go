package order

import (
	"math"
	"time"
)

// What an order can wait for.
const (
	WaitResume       = "resume"       // it is paused
	WaitGreylisting  = "greylisting"  // hosts that want to be asked again later
	WaitVerification = "verification" // nothing can be verified just now
	WaitRefund       = "refund"       // delivered; the plan's refund delay runs
)

// Wait is what an order waits for.
type Wait struct {
	For    string     `json:"for"`
	Reason string     `json:"reason"`          // in one sentence
	Until  *time.Time `json:"until,omitempty"` // when it goes on by itself; nil where that is not known
}

// Pace is how far an order is.
type Pace struct {
	Done  int64      `json:"done"`           // items with a final verdict
	Total int64      `json:"total"`          // items selected
	Rate  float64    `json:"rate,omitempty"` // items a second while verifying, without the waits
	ETA   *time.Time `json:"eta,omitempty"`  // when everything is probably verified
}

// Estimate works out rate and ETA: since is when verification began, later by as
// long as the order has waited, and now the end of that time.
func (p *Pace) Estimate(since, now time.Time, wait *Wait) {
	if p.Done == 0 || !now.After(since) {
		return
	}
	p.Rate = math.Round(10*float64(p.Done)/now.Sub(since).Seconds()) / 10
	if p.Rate == 0 || p.Done >= p.Total || (wait != nil && wait.Until == nil) {
		return
	}
	if wait != nil {
		now = *wait.Until
	}
	eta := now.Add(time.Duration(float64(p.Total-p.Done) / p.Rate * float64(time.Second))).UTC()
	p.ETA = &eta
}
