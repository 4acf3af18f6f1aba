package lead

import (
	"context"
	"encoding/binary"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"holdfast/internal/database"
	"holdfast/internal/verdicts"
)

// claims are addresses by the first 8 bytes of their keys. Two addresses with the
// same 8 bytes are one in 10^13 orders; the second is left alone.
type claims map[uint64]bool

// add puts an address in and reports whether it is new.
func (c claims) add(key uuid.UUID) bool {
	n := binary.BigEndian.Uint64(key[:8])
	if c[n] {
		return false
	}
	c[n] = true
	return true
}

// claimsOf are the claims of the candidates that an order takes, as they are
// stored.
func claimsOf(picked []candidate) []byte {
	stored := make([]byte, 0, 8*len(picked))
	for _, c := range picked {
		stored = append(stored, c.Key[:8]...)
	}
	return stored
}

// claimed are the addresses that open orders of an organization may still deliver.
// What an order gives up is free again when it is over.
func claimed(ctx context.Context, db database.Reader, org string) (claims, error) {
	rows, err := db.Query(ctx, `
		SELECT s.claims FROM orders o JOIN order_selection s ON s.order_id = o.id
		WHERE o.org = $1 AND o.status IN ('reserved', 'verifying') AND s.claims IS NOT NULL`, org)
	if err != nil {
		return nil, err
	}
	taken := claims{}
	var stored []byte
	_, err = pgx.ForEachRow(rows, []any{&stored}, func() error {
		for ; len(stored) >= 8; stored = stored[8:] {
			taken[binary.BigEndian.Uint64(stored)] = true
		}
		stored = nil
		return nil
	})
	return taken, err
}

// oneAtATime makes the selections of an organization by criteria wait for each
// other until the transaction ends: each sees what the one before has claimed.
// It is taken before any row is locked.
func oneAtATime(ctx context.Context, tx pgx.Tx, org string) error {
	const selecting = 0x5e1ec7
	_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1, hashtext($2))`, selecting, org)
	return err
}

// isKnownBad says in SQL whether a verdict about the address of the lead l is
// known, still relied on, and none of those given.
func isKnownBad(billable string) string {
	return `EXISTS (SELECT FROM (` + verdicts.FreshSQL("l.email") + `) known WHERE known.verdict <> ALL (` + billable + `))`
}
