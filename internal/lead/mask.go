package lead

// One rule says what is shown of a lead that the organization has not paid for:
// just enough of who it is to distinguish two leads. A preview shows a few
// more facts about the job (see PreviewLead), never a way to reach the person.

// initial is what is shown of a last name.
func initial(name string) string {
	for i := range name {
		if i > 0 {
			return name[:i] + "."
		}
	}
	return name
}

// initialSQL is initial in SQL.
func initialSQL(column string) string {
	return `left(` + column + `, 1) || CASE WHEN length(` + column + `) > 1 THEN '.' ELSE '' END`
}

// mask leaves of a row of results what may be seen of a lead of which nothing
// was delivered. Its contact data was never read.
func (r *Row) mask() {
	r.LastName = initial(r.LastName)
	r.Title, r.Seniority, r.Department, r.Domain, r.Industry, r.Region, r.City = "", "", "", "", "", "", ""
	r.Headcount = nil
}

// maskColumns does the same to the columns that a reveal shows of a lead.
func maskColumns(lead []string) {
	for i, column := range revealColumns {
		switch column {
		case "id", "first_name", "company", "country":
		case "last_name":
			lead[i] = initial(lead[i])
		default:
			lead[i] = ""
		}
	}
}
