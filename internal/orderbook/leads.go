package orderbook

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/order"
)

// LeadOfFact is the lead, and the field of it, that a fact of the ledger may be
// about.
type LeadOfFact struct {
	Subject uuid.UUID
	ID      string
	Field   order.Field
}

// LeadsOfFacts finds the leads behind subjects of the ledger's facts, which
// orders have charged. An address that a customer had verified is no lead, and a
// lead that is not in the catalogue any more has no id: they are left out.
func (b *Book) LeadsOfFacts(ctx context.Context, subjects []uuid.UUID, orders []string) ([]LeadOfFact, error) {
	rows, _ := b.pool.Query(ctx, `
		WITH whole AS MATERIALIZED ( -- the lead as a whole, and its address
			SELECT fingerprint AS subject, id, 'email' AS field FROM lead WHERE fingerprint = ANY ($1)),
		charged AS MATERIALIZED ( -- a field of a lead, or its value
			SELECT DISTINCT ON (s.subject) s.subject, l.id, i.field
			FROM orders o JOIN order_item i ON i.order_id = o.id JOIN lead l ON l.no = i.lead_no
			CROSS JOIN LATERAL unnest(i.keys || i.fingerprint) AS s (subject)
			WHERE o.id = ANY ($2) AND i.delivered_at IS NOT NULL
				AND s.subject = ANY ($1) AND s.subject NOT IN (SELECT subject FROM whole)
			ORDER BY s.subject, i.n)
		SELECT * FROM whole UNION ALL SELECT * FROM charged
		UNION ALL -- facts that were carried over name no order that has their value
		(SELECT DISTINCT ON (email_key) email_key, id, 'email' FROM lead
		WHERE email_key = ANY ($1) AND email_key NOT IN (SELECT subject FROM charged) ORDER BY email_key, no)`, subjects, orders)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[LeadOfFact])
	if err != nil {
		return nil, fmt.Errorf("the leads of a history cannot be found: %w", err)
	}
	return found, nil
}
