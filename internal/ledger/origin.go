package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// PaidBefore says, index by index, which of the facts were charged under
// another hold than this one: they cost this hold nothing.
func (l *Ledger) PaidBefore(ctx context.Context, owner, holdID, creditType string, facts []Fact) ([]bool, error) {
	return l.paid(ctx, `e.hold_id <> $5`, owner, holdID, creditType, facts)
}

// PaidUnder says, index by index, which of the facts were charged under this
// hold.
func (l *Ledger) PaidUnder(ctx context.Context, owner, holdID, creditType string, facts []Fact) ([]bool, error) {
	return l.paid(ctx, `e.hold_id = $5`, owner, holdID, creditType, facts)
}

// paid says which of the facts stand in an entry that meets a condition in SQL.
func (l *Ledger) paid(ctx context.Context, entry, owner, holdID, creditType string, facts []Fact) ([]bool, error) {
	scopes, subjects := make([]string, len(facts)), make([][16]byte, len(facts))
	for i, f := range facts {
		scopes[i], subjects[i] = f.Scope, f.Subject
	}
	rows, _ := l.pool.Query(ctx, `
		SELECT k.i
		FROM unnest($3::text[], $4::uuid[]) WITH ORDINALITY k (scope, subject, i)
		JOIN credit_fact f ON f.owner = $1 AND f.type = $2 AND f.scope = k.scope AND f.subject = k.subject
		JOIN credit_entry e ON e.owner = f.owner AND e.seq = f.seq
		WHERE `+entry+` AND NOT f.reversed`, owner, creditType, scopes, subjects, holdID)
	found, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("looking for facts that %s has paid for: %w", owner, err)
	}
	paid := make([]bool, len(facts))
	for _, i := range found {
		paid[i-1] = true
	}
	return paid, nil
}
