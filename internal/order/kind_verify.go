package order

import "fmt"

// Verify orders verdicts about addresses.
const Verify Kind = "verify"

var verify = KindSpec{
	Kind:     Verify,
	Source:   FromAddresses,
	Takes:    []string{"emails", "list_id"},
	Delivers: "Delivers verdicts on addresses: emails, or those of a list.",
	Item:     "address",
	Owes:     "addresses",
	Shares:   true,
	Examples: []Example{
		{"verify", "Some addresses", `{"kind":"verify","emails":["ann@example.com","bob@example.com"]}`},
		{"verify_list", "An uploaded list", `{"kind":"verify","list_id":"lst_7d2k4m"}`},
	},
	Lacks: func(r Request) error {
		switch {
		case r.ListID == "":
			return &InvalidError{"emails", "There is nothing to verify; give emails, or the list_id of an uploaded list."}
		case r.Count == 0:
			return &InvalidError{"emails", "None of the rows has an address; there is nothing to verify."}
		}
		return nil
	},
	Choosing: func(r Request) string {
		return fmt.Sprintf("take %d addresses from the list", r.Count)
	},
	About: func(who string, r Request) string {
		return orderedBy(who, fmt.Sprintf("the %d addresses of the list %s", r.Count, r.ListID))
	},
	AskedFor: func(o Order, count Counter) string {
		return fmt.Sprintf("%s, %s of the list left out as duplicates", count(o.Requested, "verdict"), count(o.Tally.Duplicate, "row"))
	},
}
