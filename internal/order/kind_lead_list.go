package order

import (
	"encoding/json"
	"fmt"
)

// LeadList orders leads by criteria.
const LeadList Kind = "lead_list"

var leadList = KindSpec{
	Kind:   LeadList,
	Source: FromCriteria,
	Takes:  []string{"count", "criteria", "fill", "include_owned", "include_known_bad"},
	Item:   "lead",
	Owes:   "leads",
	Lacks:  func(Request) error { return nil },
	Choosing: func(r Request) string {
		return fmt.Sprintf("choose %d leads", r.Count)
	},
	About: func(who string, r Request) string {
		criteria, err := json.MarshalIndent(r.Criteria, "", "  ")
		if err != nil || string(criteria) == "{}" {
			return fmt.Sprintf("Ordered by %s, without criteria.", who)
		}
		return fmt.Sprintf("Ordered by %s.\n\n```json\n%s\n```", who, criteria)
	},
	AskedFor: func(o Order, count Counter) string {
		return fmt.Sprintf("%s, %s selected", count(o.Requested, "lead"), count(o.Selected, ""))
	},
}
