package order

import "fmt"

// Reveal orders fields of given leads.
const Reveal Kind = "reveal"

var reveal = KindSpec{
	Kind:     Reveal,
	Source:   FromFields,
	Takes:    []string{"lead_ids", "list_id", "fields"},
	Needs:    []string{"fields"},
	Delivers: "Delivers fields of leads by their ids.",
	Item:     "field",
	Owes:     "leads",
	Fields:   Fields,
	Shares:   true,
	Examples: []Example{
		{"reveal", "Addresses and numbers of leads whose ids are known", `{"kind":"reveal","lead_ids":["L00000042","L00000043"],"fields":["email","phone"]}`},
	},
	Lacks: func(r Request) error {
		if r.ListID == "" {
			return &InvalidError{"lead_ids", "There is nothing to reveal; give lead_ids."}
		}
		return r.lacksFields(Fields)
	},
	Choosing: func(r Request) string {
		return fmt.Sprintf("reveal %s of %d leads", fieldWords(r.Fields), r.Count)
	},
	About: func(who string, r Request) string {
		return orderedBy(who, fmt.Sprintf("%s of the %d leads of the list %s", fieldNames(r.Fields), r.Count, r.ListID))
	},
	AskedFor: func(o Order, count Counter) string {
		return fmt.Sprintf("%s of %s", count(o.Selected, "field"), count(o.Requested, "lead"))
	},
}
