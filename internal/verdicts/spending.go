package verdicts

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"holdfast/internal/verify"
)

// Spending counts in the database what sending identities have asked for, by the
// database's clock: budgets hold for all workers together, and across restarts.
type Spending struct{ pool *pgxpool.Pool }

// NewSpending returns what is counted in the database behind pool.
func NewSpending(pool *pgxpool.Pool) *Spending { return &Spending{pool} }

// Spent returns what an identity has asked for in this hour and this day of UTC.
func (s *Spending) Spent(ctx context.Context, identity string) (b verify.Budget, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT coalesce(sum(asked) FILTER (WHERE hour = date_trunc('hour', clock_timestamp(), 'UTC')), 0), coalesce(sum(asked), 0)
		FROM smtp_spending WHERE identity = $1 AND hour BETWEEN date_trunc('day', clock_timestamp(), 'UTC') AND clock_timestamp()`, identity).Scan(&b.Hour, &b.Day)
	return b, err
}

// Take implements verify.Spending. One identity's claims are granted one after
// the other.
func (s *Spending) Take(ctx context.Context, c verify.Claim) (granted int, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('smtp_spending ' || $1, 0))`, c.Identity); err != nil {
			return err
		}
		var all, own verify.Budget
		err := tx.QueryRow(ctx, `
			SELECT coalesce(sum(asked) FILTER (WHERE hour = date_trunc('hour', clock_timestamp(), 'UTC')), 0),
				coalesce(sum(asked), 0),
				coalesce(sum(asked) FILTER (WHERE hour = date_trunc('hour', clock_timestamp(), 'UTC') AND provider = $2), 0),
				coalesce(sum(asked) FILTER (WHERE provider = $2), 0)
			FROM smtp_spending WHERE identity = $1 AND hour BETWEEN date_trunc('day', clock_timestamp(), 'UTC') AND clock_timestamp()`,
			c.Identity, c.Provider).Scan(&all.Hour, &all.Day, &own.Hour, &own.Day)
		if err != nil {
			return err
		}
		if granted = c.Room(all, own); granted == 0 {
			return nil
		}
		if _, err := tx.Exec(ctx, `DELETE FROM smtp_spending WHERE identity = $1 AND hour < date_trunc('day', clock_timestamp(), 'UTC')`, c.Identity); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO smtp_spending AS s (identity, hour, provider, asked)
			VALUES ($1, date_trunc('hour', clock_timestamp(), 'UTC'), $2, $3)
			ON CONFLICT (identity, hour, provider) DO UPDATE SET asked = s.asked + EXCLUDED.asked`, c.Identity, c.Provider, granted)
		return err
	})
	if err != nil {
		return 0, err
	}
	return granted, nil
}

// Return implements verify.Spending.
func (s *Spending) Return(ctx context.Context, identity, provider string, taken time.Time, n int) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE smtp_spending SET asked = greatest(0, asked - $4)
		WHERE identity = $1 AND provider = $2 AND hour = date_trunc('hour', $3::timestamptz, 'UTC')`, identity, provider, taken, n)
	return err
}
