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
	For    string     `json:"for" enum:"resume,greylisting,verification,refund" doc:"resume: it is paused. greylisting: mail hosts want to be asked again later. verification: nothing can be verified just now. refund: it is delivered, and the plan's refund delay runs."`
	Reason string     `json:"reason" doc:"One sentence for people."`
	Until  *time.Time `json:"until,omitempty" doc:"When the order continues by itself; absent where that is not known."`
}

// Pace is how far an order is.
type Pace struct {
	Done  int64      `json:"done" doc:"Items with a final verdict."`
	Total int64      `json:"total" doc:"Items selected so far; an order with fill may select more."`
	Rate  float64    `json:"rate,omitempty" doc:"Items a second while verifying, without the waits."`
	ETA   *time.Time `json:"eta,omitempty" doc:"When everything is probably verified; absent where that cannot be said."`
}

// Look is the progress of an order as its book shows it, for those who watch many
// orders: no workflow is asked.
func (o Order) Look() Progress {
	p := Progress{Stage: StageOver, Status: o.Status, Total: o.Selected, Tally: o.Tally, Stages: []StageTime{}}
	switch o.Status {
	case Reserved:
		p.Stage = StageSelecting
	case Verifying:
		p.Stage = StageVerifying
	case Completed:
		p.Stage = StageRefunding
	case Settled, Rejected, Cancelled, Failed:
	}
	for _, c := range o.Credits {
		if c.Captured > 0 {
			p.Charged = append(p.Charged, Amount{c.Type, c.Captured})
		}
	}
	if o.Progress != nil {
		p.Done, p.Total, p.Rate, p.ETA = o.Progress.Done, o.Progress.Total, o.Progress.Rate, o.Progress.ETA
	}
	if o.Waiting != nil {
		p.Waiting, p.Until = o.Waiting.Reason, o.Waiting.Until
	}
	return p
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
