package order

// Quote is what an order would come to, before it is placed. It binds neither side
// and changes nothing: an order placed later may find other leads and balances.
type Quote struct {
	Candidates     int64    `json:"candidates"`      // leads, addresses or fields of leads that the order could deliver
	AlreadyOwned   int64    `json:"already_owned"`   // of what it asks for, what the organization owns: free
	Hold           []Amount `json:"hold"`            // what would be held, the most it can cost
	ExpectedCharge []Range  `json:"expected_charge"` // what it would probably cost, by earlier orders
	Covered        bool     `json:"covered"`         // whether the credits cover the hold
	Missing        []Amount `json:"missing"`         // missing credits, where they do not
	// OverBudget is how many of the missing credits are there, but withheld by the
	// member's budget.
	OverBudget []Amount `json:"over_budget,omitempty" doc:"How many of the missing credits are there, but withheld by the member's budget."`
}

// Range is a number of credits of one type between two bounds. About 19 of 20
// orders cost an amount within them.
type Range struct {
	Type  string `json:"type"`
	Low   int64  `json:"low"`
	High  int64  `json:"high"`
	Known int64  `json:"known"` // contacts of earlier orders that the range is based on; 0 = no earlier orders, or no verification needed
}
