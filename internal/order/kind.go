package order

import (
	"fmt"
	"slices"
	"strings"
)

// Kind says what is being ordered.
type Kind string

// Source is where the items of an order come from.
type Source int

// The sources of items.
const (
	FromCriteria  Source = iota + 1 // leads of the catalogue that meet the criteria
	FromAddresses                   // the addresses of a list
	FromFields                      // fields of given leads, which are looked up before the order is accepted
)

// KindSpec is all that the product knows of a kind of order. Code that depends on
// the kind asks it; only the files kind_*.go name a kind.
type KindSpec struct {
	Kind   Kind
	Source Source
	Takes  []string // members of the body that the kind has, by their JSON names
	Needs  []string // those of them without which there is no order
	Item   string   // what is counted: a lead, an address, a field
	Owes   string   // what the count of a request is of: leads, addresses, rows

	Fields  []Field // that are sold one by one, each with a price and a column of its own; nil where an item is sold as a whole
	Matches bool    // the rows of a list are matched with leads of the catalogue
	Exports bool    // contact data leaves in a file or to a webhook; charged when that is complete
	Shares  bool    // small orders may share a workflow with others of their organization

	// Lacks says what a request of the kind lacks, nil where it is complete.
	Lacks func(Request) error

	// Delivers is what the API's description says of the kind: one sentence.
	Delivers string

	// Examples are bodies of requests for the API's description.
	Examples []Example

	// What people read of an order: what its items are chosen by, what was ordered
	// (Temporal's UI), and what was asked for (the command line).
	Choosing func(Request) string
	About    func(who string, r Request) string
	AskedFor func(o Order, count Counter) string
}

// Example is the body of a request, as JSON, with a name of its own.
type Example struct{ Name, Summary, Body string }

// Counter writes a number and what it is of; the number alone without a noun.
type Counter func(n int64, noun string) string

// specs are the kinds of orders, in the order in which they are listed.
var specs = []KindSpec{leadList, verify, reveal, enrich, export}

// Kinds are the kinds of orders.
func Kinds() []Kind {
	kinds := make([]Kind, len(specs))
	for i, s := range specs {
		kinds[i] = s.Kind
	}
	return kinds
}

// KindNames are the kinds as texts.
func KindNames() []string {
	names := make([]string, len(specs))
	for i, s := range specs {
		names[i] = string(s.Kind)
	}
	return names
}

// Spec is what is known of the kind; nothing of one that there is not.
func (k Kind) Spec() KindSpec {
	for _, s := range specs {
		if s.Kind == k {
			return s
		}
	}
	return KindSpec{}
}

// Known reports whether there is such a kind.
func (s KindSpec) Known() bool { return s.Kind != "" }

// Has reports whether requests of the kind have a member, by its JSON name.
func (s KindSpec) Has(member string) bool { return slices.Contains(s.Takes, member) }

// PerField reports whether fields are sold one by one.
func (s KindSpec) PerField() bool { return len(s.Fields) > 0 }

// Action names what a plan must sell for an item of an order: the kind, and
// where each field has a price of its own, the field.
func (k Kind) Action(f Field) string {
	if k.Spec().PerField() {
		return string(k) + "_" + string(f)
	}
	return string(k)
}

// Actions are all that a plan can sell for orders of the kind.
func (k Kind) Actions() []string {
	if !k.Spec().PerField() {
		return []string{k.Action("")}
	}
	var all []string
	for _, f := range k.Spec().Fields {
		all = append(all, k.Action(f))
	}
	return all
}

// Actions are all that a plan can sell.
func Actions() []string {
	var all []string
	for _, k := range Kinds() {
		all = append(all, k.Actions()...)
	}
	return all
}

// kindsWith lists the kinds that have a member of the body.
func kindsWith(member string) string {
	var with []string
	for _, s := range specs {
		if s.Has(member) {
			with = append(with, string(s.Kind))
		}
	}
	return or(with)
}

func or(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func fieldNames(fields []Field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = string(f)
	}
	return strings.Join(names, ", ")
}

func fieldWords(fields []Field) string { return strings.ReplaceAll(fieldNames(fields), "_", " ") }

func orderedBy(who, what string) string { return fmt.Sprintf("Ordered by %s: %s.", who, what) }
