package order

import (
	"encoding/json"
	"fmt"
	"strings"
)

// LeadList orders leads by criteria.
const LeadList Kind = "lead_list"

// shownCriteria is how many bytes of criteria Temporal's UI shows; a server takes
// 20,000 bytes of details.
const shownCriteria = 4_000

var leadList = KindSpec{
	Kind:     LeadList,
	Source:   FromCriteria,
	Takes:    []string{"count", "criteria", "fill", "include_owned", "include_known_bad"},
	Needs:    []string{"count"},
	Delivers: "Delivers leads that match criteria.",
	Item:     "lead",
	Owes:     "leads",
	Examples: []Example{
		{"lead_list", "10,000 software engineers in the US", `{"kind":"lead_list","count":10000,"criteria":{"country":["US"],"industry":["software"],"title":"engineer"}}`},
		{"lead_list_fill", "Candidates until 500 valid ones are delivered", `{"kind":"lead_list","count":500,"fill":true,"criteria":{"seniority":["director"],"has_phone":true}}`},
	},
	Lacks: func(Request) error { return nil },
	Choosing: func(r Request) string {
		return fmt.Sprintf("choose %d leads", r.Count)
	},
	About: func(who string, r Request) string {
		criteria, err := json.MarshalIndent(r.Criteria, "", "  ")
		if err != nil || string(criteria) == "{}" {
			return fmt.Sprintf("Ordered by %s, without criteria.", who)
		}
		if len(criteria) > shownCriteria {
			return fmt.Sprintf("Ordered by %s. The beginning of %d KB of criteria:\n\n```json\n%s\n```",
				who, (len(criteria)+1023)>>10, strings.ToValidUTF8(string(criteria[:shownCriteria]), ""))
		}
		return fmt.Sprintf("Ordered by %s.\n\n```json\n%s\n```", who, criteria)
	},
	AskedFor: func(o Order, count Counter) string {
		return fmt.Sprintf("%s, %s selected", count(o.Requested, "lead"), count(o.Selected, ""))
	},
}
