package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// FactsSince returns the subjects of the facts of a type and scope that were
// charged or reversed after an entry of an organization's journal, in the order
// of the journal: what a reader that knows the facts as of that entry has to look
// at again. Whether they are owned now, table credit_fact says; read it in the
// same snapshot.
func FactsSince(ctx context.Context, tx pgx.Tx, owner, kind, scope string, seq int64) ([][16]byte, error) {
	rows, _ := tx.Query(ctx, `
		SELECT facts FROM credit_entry WHERE owner = $1 AND seq > $2 AND facts IS NOT NULL ORDER BY seq`, owner, seq)
	var subjects [][16]byte
	var text []byte
	_, err := pgx.ForEachRow(rows, []any{&text}, func() error {
		groups, err := parseFacts(text)
		if err != nil {
			return fmt.Errorf("run the audit: %w", err)
		}
		for _, g := range groups {
			if g.kind == kind && g.scope == scope {
				subjects = append(subjects, g.subjects...)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the journal of %q after entry %d cannot be read: %w", owner, seq, err)
	}
	return subjects, nil
}
