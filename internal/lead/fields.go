package lead

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/google/uuid"

	"holdfast/internal/order"
)

// FieldSelection says which fields of which leads an order wants: it reveals or
// exports leads that are named, or enriches rows that are matched to leads.
type FieldSelection struct {
	OrderID string
	Org     string
	Member  string
	// ListID is the list whose rows name leads by id or, with Match, are
	// matched to leads.
	ListID string
	Match  bool
	// FromOrder is, instead of a list, the order of the same organization whose
	// delivered leads are exported.
	FromOrder string
	Fields    []FieldWanted // each makes one item of a lead, in this order
	Carry     []FieldWanted // of an export: what goes out with an item where it is owned
}

// FieldWanted is a field and the fact by which an organization owns it.
type FieldWanted struct {
	Field     order.Field
	FactType  string // credit type of the fact; "" = the field cannot be owned
	FactScope string // "" = once per organization
}

// FieldCount says what the items of one field would come to.
// Items − Owned − Lacking could be charged.
type FieldCount struct {
	Field   order.Field
	Items   int64
	Owned   int64 // paid for already
	Lacking int64 // nothing to give: not found, not new, nothing owned that could be exported, or suppressed
}

// Subject identifies a field of a lead in the ledger: an address, and the lead
// as a whole, by the lead's Fingerprint; another field by the first 16 bytes of
// the SHA-256 of "lead:", the lead's id, "/" and the field, so that several
// fields can be sold for credits of the same type.
func Subject(id string, f order.Field) uuid.UUID {
	if f == order.EmailField || f == order.LeadField {
		return Fingerprint(id)
	}
	sum := sha256.Sum256([]byte("lead:" + id + "/" + string(f)))
	return uuid.UUID(sum[:16])
}

var errNotYet = errors.New("not there yet")

// CountFields says how many of the leads that a selection names are known and
// what the items of each field would come to, by the same rules as
// SelectFields. It changes nothing.
func (c *Catalogue) CountFields(ctx context.Context, s FieldSelection) (leads int64, counts []FieldCount, err error) {
	return 0, nil, errNotYet
}

// SelectFields freezes the items of an order: one for each lead and field.
// It is idempotent per order.
func (c *Catalogue) SelectFields(ctx context.Context, s FieldSelection) (Selected, error) {
	return Selected{}, errNotYet
}

// KeepLeadIDs stores lead ids, each once, as a list whose rows name leads.
// Its Rows is the number of ids; ids that nobody knows are kept.
//
// Errors: *ListError, where no id is known.
func (c *Catalogue) KeepLeadIDs(ctx context.Context, org string, ids []string) (List, error) {
	return List{}, errNotYet
}
