package lead

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// Contact is what credits were charged for: a piece of information about a lead, or
// an address that a customer has brought.
type Contact struct {
	Subject uuid.UUID // of the ledger's fact
	LeadID  string    // empty where it is no lead, or not in the catalogue any more
	Field   order.Field
	Name    string // the last name only where the viewer sees the value
	Value   string // empty where the viewer may not see it
}

// Contacts finds what subjects of the ledger's facts stand for among what orders
// have delivered. A viewer sees the values that the organization has paid for and
// not got back, as everywhere, and the addresses that it has brought; of people
// who are suppressed, none.
func (c *Catalogue) Contacts(ctx context.Context, v Viewer, subjects []uuid.UUID, orders []string) (map[uuid.UUID]Contact, error) {
	rows, _ := c.pool.Query(ctx, `
		SELECT DISTINCT ON (fact.subject) fact.subject, coalesce(l.id, '') AS lead_id, i.field,
			trim(coalesce(l.first_name, '') || ' ' || CASE WHEN w.seen THEN coalesce(l.last_name, '') ELSE coalesce(`+initialSQL("l.last_name")+`, '') END) AS name,
			CASE WHEN NOT w.seen OR i.field = 'lead' THEN ''
				WHEN i.field = 'phone' AND fact.at <= cardinality(i.keys) THEN split_part(i.value, ';', fact.at::int) ELSE i.value END AS value
		FROM orders o JOIN order_item i ON i.order_id = o.id LEFT JOIN lead l ON l.no = i.lead_no
		CROSS JOIN LATERAL unnest(i.keys || i.fingerprint) WITH ORDINALITY AS fact (subject, at)
		CROSS JOIN LATERAL (SELECT coalesce(i.lead_no, 0) = 0
			OR (l.no IS NOT NULL AND `+visible("fact.subject")+` AND NOT coalesce(`+isSuppressed+`, false)) AS seen OFFSET 0) w
		WHERE o.org = $1 AND o.id = ANY ($4) AND i.delivered_at IS NOT NULL AND fact.subject = ANY ($5)
		ORDER BY fact.subject, i.n`, v.Org, v.Types, v.Scopes, orders, subjects)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[Contact])
	if err != nil {
		return nil, fmt.Errorf("finding the contacts of a history: %w", err)
	}
	contacts := make(map[uuid.UUID]Contact, len(found))
	for _, contact := range found {
		contacts[contact.Subject] = contact
	}
	return contacts, nil
}
