package order

import "fmt"

// Enrich orders what the catalogue knows more about the people of a list.
const Enrich Kind = "enrich"

var enriched = []Field{EmailField, PhoneField, DirectEmailField}

var enrich = KindSpec{
	Kind:     Enrich,
	Source:   FromFields,
	Takes:    []string{"list_id", "fields"},
	Needs:    []string{"list_id", "fields"},
	Delivers: "Delivers what is new about the rows of a list.",
	Item:     "field",
	Owes:     "rows",
	Fields:   enriched,
	Matches:  true,
	Examples: []Example{
		{"enrich", "Numbers for the people of an uploaded list", `{"kind":"enrich","list_id":"lst_7d2k4m","fields":["phone"]}`},
	},
	Lacks: func(r Request) error {
		if r.ListID == "" {
			return &InvalidError{"list_id", "There is nothing to enrich; give the list_id of an uploaded list."}
		}
		return r.lacksFields(enriched)
	},
	Choosing: func(r Request) string {
		return fmt.Sprintf("look for %s in %d rows", fieldWords(r.Fields), r.Count)
	},
	About: func(who string, r Request) string {
		return orderedBy(who, fmt.Sprintf("%s for the %d rows of the list %s", fieldNames(r.Fields), r.Count, r.ListID))
	},
	AskedFor: func(o Order, count Counter) string {
		return fmt.Sprintf("%s for the leads of %s", count(o.Selected, "field"), count(o.Requested, "row"))
	},
}
