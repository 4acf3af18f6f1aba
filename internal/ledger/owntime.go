package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"holdfast/internal/database"
	"holdfast/internal/errcode"
)

// ErrClockBack is a test clock that was to run backwards, or to begin before
// what the organization has done already.
var ErrClockBack = errcode.New(errcode.Conflict, "the time of an organization never runs backwards")

// SetClock makes a time the organization's own: from now on operations are booked
// at it, and credits start and expire by it, until the clock is set again. It
// waits for the operations under way. Set to the same time nothing changes.
func (l *Ledger) SetClock(ctx context.Context, owner string, at time.Time) error {
	return SetClock(ctx, l.pool, owner, at)
}

// SetClock is Ledger.SetClock within a transaction.
func SetClock(ctx context.Context, db database.Writer, owner string, at time.Time) error {
	_, err := db.Exec(ctx, `
		INSERT INTO credit_owner (owner, clock) VALUES ($1, $2)
		ON CONFLICT (owner) DO UPDATE SET clock = excluded.clock`, owner, micro(at))
	var pg *pgconn.PgError
	if errors.As(err, &pg) && strings.HasPrefix(pg.ConstraintName, "ledger_i11_") {
		return fmt.Errorf("%w: it cannot be %s", ErrClockBack, at.UTC().Format(time.RFC3339))
	}
	if err != nil {
		return fmt.Errorf("the test clock of %q was not set: %w", owner, err)
	}
	return nil
}

// DropClock takes the test clock away from an organization that has no credits
// yet. Of any other it stays: its journal was written by it.
func (l *Ledger) DropClock(ctx context.Context, owner string) error {
	if _, err := l.pool.Exec(ctx, `UPDATE credit_owner SET clock = NULL WHERE owner = $1 AND seq = 0`, owner); err != nil {
		return fmt.Errorf("the test clock of %q was not taken away: %w", owner, err)
	}
	return nil
}

// NextTurn is when, after a time and by another one, credits of an organization
// start or expire that do not wait for the end of a period; the zero time where
// none do.
func (l *Ledger) NextTurn(ctx context.Context, owner string, after, by time.Time) (time.Time, error) {
	var next *time.Time
	err := l.pool.QueryRow(ctx, `
		SELECT min(turn.at) FROM credit_grant g CROSS JOIN LATERAL (VALUES
			(CASE WHEN waiting > 0 THEN starts_at END),
			(CASE WHEN available + waiting > 0 AND (renewed OR source NOT IN ('allotment', 'rollover')) THEN expires_at END)) turn (at)
		WHERE g.owner = $1 AND g.live AND turn.at > $2 AND turn.at <= $3`, owner, after, by).Scan(&next)
	if err != nil {
		return time.Time{}, fmt.Errorf("the grants of %q cannot be read: %w", owner, err)
	}
	return orZero(next), nil
}
