package order

// Quote is what an order would come to, before it is placed. It binds nobody
// and changes nothing: an order placed later may find other leads and balances.
type Quote struct {
	Candidates     int64    `json:"candidates"`      // leads, addresses or fields of leads that the order could deliver
	AlreadyOwned   int64    `json:"already_owned"`   // of what it asks for, what the organization owns: free
	Hold           []Amount `json:"hold"`            // what would be held, the most it can cost
	ExpectedCharge []Range  `json:"expected_charge"` // what it would probably cost, by past orders
	Covered        bool     `json:"covered"`         // whether the credits cover the hold
	Missing        []Amount `json:"missing"`         // what lacks where they do not
}

// Range is a number of credits of one type between two bounds.
type Range struct {
	Type string `json:"type"`
	Low  int64  `json:"low"`
	High int64  `json:"high"`
}

// Of counts the items with one of the verdicts.
func (t Tally) Of(verdicts []string) int64 {
	var n int64
	for _, v := range verdicts {
		switch v {
		case "valid":
			n += t.Valid
		case "invalid":
			n += t.Invalid
		case "catch_all":
			n += t.CatchAll
		case "risky":
			n += t.Risky
		case "disposable":
			n += t.Disposable
		case "unknown":
			n += t.Unknown
		}
	}
	return n
}
