// Package clock answers what time it is for an organization: the time of its
// test clock where it has one, otherwise everyone's. See README.md.
package clock

// SQL is the time of an organization within a statement, wall being everyone's:
// now() or a parameter. org is an expression for the organization's id.
func SQL(org, wall string) string {
	return `coalesce(` + test(org) + `, ` + wall + `)`
}

// None is true where an organization has no test clock: its times can be compared
// with those of rows that know only everyone's.
func None(org string) string {
	return test(org) + ` IS NULL`
}

// test is the time of an organization's test clock, NULL without one. It stands
// in the row that the ledger locks, so that the lane and everything else agree.
func test(org string) string {
	return `(SELECT own.clock FROM credit_owner own WHERE own.owner = ` + org + `)`
}
