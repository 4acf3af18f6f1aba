package suppression

import (
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Erased is the reason of the entries of people who were erased. They are on
// everybody's list, by their addresses and by the ids of their leads. No other
// reason keeps anybody out of the catalogue.
const Erased = "erased"

// erasing is the advisory lock between an erasure and all that copies contact
// data from one table to another, or from outside into one.
const erasing = 0xe4a5ed

// Copying keeps erasures waiting until tx ends, and waits for one that is under
// way. A transaction that writes contact data calls it before it reads what it
// is going to write and before it asks who was erased; so it has ended when an
// erasure looks for what to erase, or finds that it came too late.
func Copying(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared($1)`, erasing); err != nil {
		return fmt.Errorf("waiting for an erasure: %w", err)
	}
	return nil
}

// Erasing is the other side of Copying: tx is alone until it ends.
func Erasing(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, erasing); err != nil {
		return fmt.Errorf("waiting for those who copy contact data: %w", err)
	}
	return nil
}

// Erase puts a person on everybody's list, for good: their addresses and the
// ids of their leads. It says how many entries are new.
func Erase(ctx context.Context, tx pgx.Tx, addresses, leadIDs []string) (added int64, err error) {
	subjects := make([][]byte, 0, len(addresses)+len(leadIDs))
	for _, address := range addresses {
		subjects = append(subjects, Subject(address))
	}
	for _, id := range leadIDs {
		subjects = append(subjects, LeadSubject(id))
	}
	// The time is that of the erasure also where the address was listed before:
	// running orders look for what is new.
	err = tx.QueryRow(ctx, `
		WITH entered AS (
			INSERT INTO suppression (org, subject, reason)
			SELECT DISTINCT '', subject, $1 FROM unnest($2::bytea[]) AS subject
			ON CONFLICT (subject, org) DO UPDATE SET reason = excluded.reason, added_at = excluded.added_at
			RETURNING xmax = 0 AS new
		) SELECT count(*) FILTER (WHERE new) FROM entered`, Erased, subjects).Scan(&added)
	if err != nil {
		return 0, fmt.Errorf("the suppression list cannot be written: %w", err)
	}
	return added, nil
}

// LeadSubject is what the list holds of a lead that was erased: the SHA-256 of
// "lead:" and its id, of which the lead's fingerprint is the first half.
func LeadSubject(id string) []byte {
	sum := sha256.Sum256([]byte("lead:" + id))
	return sum[:]
}

// WhichErased says of each subject whether it belongs to a person who was
// erased. tx has called Copying.
func WhichErased(ctx context.Context, tx pgx.Tx, subjects [][]byte) ([]bool, error) {
	erased := make([]bool, len(subjects))
	var some bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM suppression WHERE reason = 'erased')`).Scan(&some); err != nil {
		return nil, fmt.Errorf("the suppression list cannot be read: %w", err)
	}
	if !some {
		return erased, nil
	}
	rows, _ := tx.Query(ctx, `
		SELECT asked.n - 1
		FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (subject, n)
		JOIN suppression s ON s.subject = asked.subject AND s.org = '' AND s.reason = 'erased'`, subjects)
	var i int64
	if _, err := pgx.ForEachRow(rows, []any{&i}, func() error {
		erased[i] = true
		return nil
	}); err != nil {
		return nil, fmt.Errorf("the suppression list cannot be read: %w", err)
	}
	return erased, nil
}
