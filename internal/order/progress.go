package order

import (
	"math"
	"time"
)

// Stage is what a running order is doing.
type Stage string

// The stages of an order, in their order.
const (
	StageReserving  Stage = "reserving"
	StageSelecting  Stage = "selecting"
	StageVerifying  Stage = "verifying"
	StageDelivering Stage = "delivering"
	StageRefunding  Stage = "refunding" // delivered, the refund delay runs
	StageOver       Stage = "over"
)

// Progress is a look at a running order: the answer of the query "progress".
type Progress struct {
	Stage      Stage       `json:"stage"`
	Status     Status      `json:"status"`
	Done       int64       `json:"done"`           // items with a final verdict
	Total      int64       `json:"total"`          // items selected
	More       bool        `json:"more,omitempty"` // further items may be selected
	Greylisted int64       `json:"greylisted"`
	Again      *time.Time  `json:"again,omitempty"` // when all hosts that said "later" may be asked again
	Tally      Tally       `json:"tally"`
	Charged    []Amount    `json:"charged,omitempty"`
	Waiting    string      `json:"waiting,omitempty"` // what the order waits for, in one sentence
	Until      *time.Time  `json:"until,omitempty"`   // when the wait ends
	Rate       float64     `json:"rate,omitempty"`    // items per second while verifying, without the waits
	ETA        *time.Time  `json:"eta,omitempty"`     // when everything is probably verified, then when the refund comes; not always known
	Since      *time.Time  `json:"since,omitempty"`   // where Rate counts from: when verification began, later by as long as it has waited
	Stages     []StageTime `json:"stages"`
}

// Estimate works out rate and ETA from what is done by now.
func (p *Progress) Estimate(now time.Time) {
	p.ETA = nil
	switch p.Stage {
	case StageRefunding:
		p.Rate, p.ETA = 0, p.Until
		return
	case StageVerifying:
	case StageReserving, StageSelecting, StageDelivering, StageOver:
		p.Rate = 0
		return
	}
	if p.Waiting == "" && p.Since != nil && now.After(*p.Since) {
		p.Rate = math.Round(10*float64(p.Done)/now.Sub(*p.Since).Seconds()) / 10
	}
	if p.Rate == 0 || p.More || (p.Waiting != "" && p.Until == nil) {
		return
	}
	if p.Until != nil && p.Until.After(now) {
		now = *p.Until
	}
	eta := now.Add(time.Duration(float64(p.Total-p.Done) / p.Rate * float64(time.Second)))
	if p.Again != nil && p.Again.After(eta) {
		eta = *p.Again
	}
	p.ETA = &eta
}

// StageTime is when a stage began, in the workflow's time.
type StageTime struct {
	Stage Stage     `json:"stage"`
	At    time.Time `json:"at"`
}
