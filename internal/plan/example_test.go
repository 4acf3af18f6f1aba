package plan_test

import (
	"fmt"
	"log"

	"holdfast/internal/plan"
)

// What an item costs is asked of the plan's price, with its verdict and what the
// organization owns. The quote, the hold, the capture and the export all ask here.
func ExamplePrice_Due() {
	p, err := plan.Parse("leads.yaml", []byte(`
id: leads
name: Leads
description: One credit for each valid address, once.
period: none
credits: {email: {}}
actions:
  lead_list:
    charges: [{type: email, amount: 1, per: contact, scope: once_per_organization}]
    billable: [valid]
refund: {delay: 5m}
`))
	if err != nil {
		log.Fatal(err)
	}
	action, _ := p.Action("lead_list")
	price := action.Charges[0].Price(action.Billable)
	ann, bob := plan.Subject{1}, plan.Subject{2}
	owned := func(s plan.Subject) bool { return s == bob }

	fmt.Println("valid:", len(price.Due(plan.Item{Verdict: "valid", Values: []plan.Subject{ann}}, owned)))
	fmt.Println("invalid:", len(price.Due(plan.Item{Verdict: "invalid", Values: []plan.Subject{ann}}, owned)))
	fmt.Println("valid and owned:", len(price.Due(plan.Item{Verdict: "valid", Values: []plan.Subject{bob}}, owned)))
	// Output:
	// valid: 1
	// invalid: 0
	// valid and owned: 0
}
