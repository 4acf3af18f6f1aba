package order

import "time"

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
	Done       int64       `json:"done"`  // items with a final verdict
	Total      int64       `json:"total"` // items selected
	Greylisted int64       `json:"greylisted"`
	Tally      Tally       `json:"tally"`
	Charged    []Amount    `json:"charged,omitempty"`
	Waiting    string      `json:"waiting,omitempty"` // what the order waits for, in one sentence
	Until      *time.Time  `json:"until,omitempty"`   // when the wait ends
	Stages     []StageTime `json:"stages"`
}

// StageTime is when a stage began, in the workflow's time.
type StageTime struct {
	Stage Stage     `json:"stage"`
	At    time.Time `json:"at"`
}
