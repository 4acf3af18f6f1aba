package plan

import "slices"

// Subject identifies what a charge is about, as the ledger's facts do: a value
// (an address, a number, a profile) or a field of a lead.
type Subject = [16]byte

// Price is one charge of an action as it applies to an order. What an item costs
// is decided here and nowhere else: a quote and a hold ask with no verdict, a
// capture with the one there is.
type Price struct {
	Per       Measure
	EveryTime bool     // what is owned is charged again
	Billable  []string // verdicts that are charged; empty = every verdict
}

// Price is the charge as an action with these billable verdicts applies it.
func (c Charge) Price(billable []string) Price {
	return Price{Per: c.Per, EveryTime: c.Once == EveryTime, Billable: billable}
}

// Item is one thing that an order may deliver.
type Item struct {
	Verdict string    // "" where it is not known yet: it may turn out to be billable
	Free    bool      // our own system failed, or there was nothing that could be verified
	Lead    Subject   // the field of the lead, or, where there is no lead, the thing itself
	Values  []Subject // the values that are delivered: one address, several numbers; none where the item is no value
}

// Due is a unit that an item owes. An organization that has paid for the subject,
// or for all that comes with it, has paid for it.
type Due struct {
	Subject Subject
	With    []Subject // is paid for with it
}

// Due says what an item owes by this price: a unit for each value that is not
// owned (contact), one for the verification, or one for the lead's field unless
// that, or all of its values, are owned (lead). owned may be nil where the ledger
// decides.
func (p Price) Due(item Item, owned func(Subject) bool) []Due {
	if item.Free || (item.Verdict != "" && len(p.Billable) > 0 && !slices.Contains(p.Billable, item.Verdict)) {
		return nil
	}
	paid := func(s Subject) bool { return !p.EveryTime && owned != nil && owned(s) }
	var due []Due
	switch p.Per {
	case PerContact:
		for _, value := range item.values() {
			if !paid(value) {
				due = append(due, Due{Subject: value})
			}
		}
	case PerVerification:
		if value := item.values()[0]; !paid(value) {
			due = append(due, Due{Subject: value})
		}
	case PerLead:
		unit := Due{Subject: item.Lead}
		if !p.EveryTime {
			unit.With = item.Values
		}
		if !paid(unit.Subject) && (len(item.Values) == 0 || slices.ContainsFunc(item.Values, func(v Subject) bool { return !paid(v) })) {
			due = append(due, unit)
		}
	}
	return due
}

// values are what a price counts; where the item is no value, the item itself.
func (i Item) values() []Subject {
	if len(i.Values) == 0 {
		return []Subject{i.Lead}
	}
	return i.Values
}
