package payment

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// checks are what finance relies on: each selects rows that contradict the
// ledger or each other, as a table, a row and a sentence.
var checks = []string{
	`SELECT 'purchase_line', l.purchase || '/' || l.line, 'it says that ' || l.credits || ' ' || l.credit_type || ' credits were bought, the ledger''s grant ' || l.grant_id || ' says otherwise'
	FROM purchase_line l JOIN purchase b ON b.id = l.purchase
	WHERE $1 IN ('', b.org) AND l.grant_id IS NOT NULL AND NOT EXISTS (
		SELECT FROM credit_grant g WHERE g.owner = b.org AND g.no = l.grant_id AND g.type = l.credit_type AND g.amount = l.credits)`,

	`SELECT 'purchase_line', min(l.purchase || '/' || l.line), 'the grant ' || l.grant_id || ' is named by several lines of purchases'
	FROM purchase_line l JOIN purchase b ON b.id = l.purchase
	WHERE $1 IN ('', b.org) AND l.grant_id IS NOT NULL GROUP BY b.org, l.grant_id HAVING count(*) > 1`,

	`SELECT 'credit_entry', e.owner || '/' || e.seq, 'credits were given for a purchase of which nothing is known'
	FROM credit_entry e
	WHERE $1 IN ('', e.owner) AND e.kind = 'grant' AND e.key ~ '^purchase/[0-9]+/[0-9]+$' AND NOT EXISTS (
		SELECT FROM purchase_line l JOIN purchase b ON b.id = l.purchase
		WHERE b.org = e.owner AND l.purchase::text = split_part(e.key, '/', 2) AND l.line::text = split_part(e.key, '/', 3))`,

	`SELECT 'purchase_void', v.purchase || '/' || v.line || '/' || v.cause, 'it says that ' || v.voided || ' credits were taken back, the journal says otherwise'
	FROM purchase_void v JOIN purchase b ON b.id = v.purchase
	WHERE $1 IN ('', b.org) AND v.voided > 0 AND v.voided IS DISTINCT FROM (
		SELECT sum((p ->> 'amount')::bigint) FROM credit_entry e, json_array_elements(e.postings) p
		WHERE e.owner = b.org AND e.key = 'purchase/void/' || v.purchase || '/' || v.line || '/' || v.cause AND p ->> 'move' IN ('void', 'withdraw'))`,

	`SELECT 'purchase', b.id::text, 'it says that ' || b.amount || ' was paid, the payment service reported another amount'
	FROM purchase b JOIN payment_event e ON e.facts ->> 'reference' = b.reference
	WHERE $1 IN ('', b.org) AND b.source = 'stripe' AND e.facts ->> 'kind' = 'sale' AND e.status = 'done' AND coalesce((e.facts ->> 'amount')::bigint, 0) <> b.amount`,

	`SELECT 'purchase', b.id::text, 'it says that ' || b.refunded || ' was refunded, the refunds add up to another amount'
	FROM purchase b WHERE $1 IN ('', b.org) AND b.refunded <> coalesce((
		SELECT sum(r.amount) FROM purchase_return r WHERE r.purchase = b.id AND r.cause LIKE 'refund/%'), 0)`,
}

// CheckLedger compares purchases with the ledger's grants and voids, and with
// what the payment service has reported: what the reports of finance are made of.
// It runs within the audit's snapshot.
func CheckLedger(ctx context.Context, tx pgx.Tx, org string, found func(invariant, table, key, problem string)) error {
	for _, check := range checks {
		rows, _ := tx.Query(ctx, check+` ORDER BY 2`, org)
		var table, key, problem string
		if _, err := pgx.ForEachRow(rows, []any{&table, &key, &problem}, func() error {
			found("P12", table, key, problem)
			return nil
		}); err != nil {
			return fmt.Errorf("the purchases cannot be compared with the ledger: %w", err)
		}
	}
	return nil
}
