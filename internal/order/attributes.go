package order

// Attribute is a search attribute, a keyword by which the workflows of orders are
// found in Temporal.
type Attribute struct {
	Name  string
	Shows string             // for docs/temporal.md
	Of    func(Input) string // its value from the start on; nil: the workflow sets it
}

// Names of the attributes that are set elsewhere than at the start of an order.
const (
	OrganizationAttribute = "Organization"
	StatusAttribute       = "OrderStatus"
)

// Attributes is the one list of search attributes: orders start with them, the
// dev server has them, holdfast migrate registers them and docs/temporal.md shows
// them.
var Attributes = []Attribute{
	{OrganizationAttribute, "the organization that ordered", func(in Input) string { return in.Org }},
	{"OrderKind", "the kind of the order", func(in Input) string { return string(in.Request.Kind) }},
	{StatusAttribute, "the status of the order; of a small one only while it waits and at its end", nil},
}
