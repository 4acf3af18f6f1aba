package account

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Threshold is a balance that is called low: a number of credits, or a part of
// the allotment of a period.
type Threshold struct {
	Credits *int64 `json:"credits,omitempty"`
	Percent *int64 `json:"percent,omitempty"`
}

// LowBalance is what an organization has said about one pool and credit type.
type LowBalance struct {
	Member  string      // "" = the shared pool
	Type    string      // credit type
	Rules   []Threshold // nil = the plan's
	TopUp   *int64      // the threshold at which credits are bought; nil = none
	Version int64       // counts the changes
	Applied int64       // the version that the ledger watches for
}

// LowBalances lists what an organization has said about its low balances.
func (a *Accounts) LowBalances(ctx context.Context, org string) ([]LowBalance, error) {
	rows, _ := a.pool.Query(ctx, `SELECT member, type, rules, top_up, version, applied FROM low_balance WHERE org = $1 ORDER BY member, type`, org)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LowBalance])
	if err != nil {
		return nil, fmt.Errorf("the thresholds of %s cannot be read: %w", org, err)
	}
	return list, nil
}

// SetLowBalance stores the thresholds of a pool and type; nil = the plan's.
func (a *Accounts) SetLowBalance(ctx context.Context, org, member, creditType string, rules []Threshold) error {
	return a.setLowBalance(ctx, `
		INSERT INTO low_balance AS b (org, member, type, rules, version) VALUES ($1, $2, $3, $4, 1)
		ON CONFLICT (org, member, type) DO UPDATE SET rules = excluded.rules, version = b.version + 1
		WHERE b.rules IS DISTINCT FROM excluded.rules`, org, member, creditType, rules)
}

// SetTopUpAt stores the threshold of the shared pool at which credits are
// bought; nil = none.
func (a *Accounts) SetTopUpAt(ctx context.Context, org, creditType string, at *int64) error {
	return a.setLowBalance(ctx, `
		INSERT INTO low_balance AS b (org, member, type, top_up, version) VALUES ($1, '', $2, $3, 1)
		ON CONFLICT (org, member, type) DO UPDATE SET top_up = excluded.top_up, version = b.version + 1
		WHERE b.top_up IS DISTINCT FROM excluded.top_up`, org, creditType, at)
}

func (a *Accounts) setLowBalance(ctx context.Context, sql string, args ...any) error {
	if _, err := a.pool.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("the thresholds were not stored: %w", err)
	}
	return nil
}

// MarkWatched notes that the ledger watches for a version of a low balance.
func (a *Accounts) MarkWatched(ctx context.Context, org string, b LowBalance) error {
	return a.setLowBalance(ctx, `
		UPDATE low_balance SET applied = $4 WHERE org = $1 AND member = $2 AND type = $3 AND applied < $4`, org, b.Member, b.Type, b.Version)
}

// Unwatched lists organizations with a low balance that the ledger does not
// watch for yet: a process has ended in between.
func (a *Accounts) Unwatched(ctx context.Context, limit int) ([]string, error) {
	rows, _ := a.pool.Query(ctx, `SELECT DISTINCT org FROM low_balance WHERE applied < version ORDER BY org LIMIT $1`, limit)
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Watching runs arm while no other process changes what the ledger watches for
// in an organization. Each process has one such connection at most.
func (a *Accounts) Watching(ctx context.Context, org string, arm func() error) error {
	select {
	case a.watching <- struct{}{}:
		defer func() { <-a.watching }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('low_balance/' || $1, 0))`, org); err != nil {
			return fmt.Errorf("the thresholds of %s cannot be changed now: %w", org, err)
		}
		return arm()
	})
}
