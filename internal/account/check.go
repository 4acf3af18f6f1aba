package account

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/plan"
)

// CheckLedger finds organizations that were given credits and that the ledger
// does not know any more. It runs within the audit's snapshot.
func CheckLedger(ctx context.Context, tx pgx.Tx, org string, found func(invariant, table, key, problem string)) error {
	rows, _ := tx.Query(ctx, `
		SELECT DISTINCT o.id, s.member <> '', p.body
		FROM organization o
		JOIN subscription s ON s.org = o.id
		JOIN plan_change c ON c.org = o.id AND c.applied_at IS NOT NULL
		JOIN plan p ON p.id = c.plan_id AND p.version = c.plan_version
		WHERE $1 IN ('', o.id) AND s.next_period > 0 AND s.due_at > s.created_at -- its first period was given
			AND NOT EXISTS (SELECT FROM credit_entry e WHERE e.owner = o.id)
			AND NOT EXISTS (SELECT FROM credit_owner w WHERE w.owner = o.id AND w.seq > 0)
		ORDER BY o.id`, org)
	var id, reported string
	var member bool
	var body []byte
	_, err := pgx.ForEachRow(rows, []any{&id, &member, &body}, func() error {
		terms, err := plan.Parse("plan of "+id, body)
		if err != nil || id == reported {
			return nil //nolint:nilerr // a plan that cannot be read says nothing about credits
		}
		owner := plan.Organization
		if member {
			owner = plan.Member
		}
		if len(terms.Allotments(owner)) > 0 {
			reported = id
			found("I6", "credit_owner", id, "the organization was given credits, its rows in the ledger are missing")
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the organizations cannot be compared with the ledger: %w", err)
	}
	return nil
}
