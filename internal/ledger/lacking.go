package ledger

import (
	"context"
	"fmt"

	"holdfast/internal/clock"
)

// Overdue reports whether credits have expired, or grants have started, that the
// journal does not show as expired or started; credits that wait for the end of
// their period aside.
func (l *Ledger) Overdue(ctx context.Context, owner string) (overdue bool, err error) {
	err = l.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM credit_grant, (SELECT `+clock.SQL("$1", "clock_timestamp()")+` AS now) t WHERE owner = $1 AND live AND (waiting > 0 AND starts_at <= t.now
			OR available > 0 AND expires_at <= t.now AND (renewed OR source NOT IN ('allotment', 'rollover'))))`, owner).Scan(&overdue)
	if err != nil {
		return false, fmt.Errorf("the grants of %q cannot be read: %w", owner, err)
	}
	return overdue, nil
}

// Lacking says what a hold with these lines would miss just now, nothing when
// it would succeed, and how many of the missing credits are there but withheld by
// the budget. It changes nothing and promises nothing: the hold itself decides.
func (l *Ledger) Lacking(ctx context.Context, owner string, lines []Line) (missing, overBudget []Amount, err error) {
	for _, line := range lines {
		var own, shared, used int64
		err := l.pool.QueryRow(ctx, `
			SELECT coalesce(sum(available + waiting) FILTER (WHERE pool <> ''), 0)::bigint,
				coalesce(sum(available + waiting) FILTER (WHERE pool = ''), 0)::bigint,
				coalesce((SELECT used FROM credit_budget WHERE owner = $1 AND name = $4 AND type = $2), 0)
			FROM credit_grant, (SELECT `+clock.SQL("$1", "clock_timestamp()")+` AS now) t
			WHERE owner = $1 AND type = $2 AND pool = ANY ($3) AND (expires_at IS NULL OR expires_at > t.now)
				AND (waiting = 0 OR starts_at <= t.now)`,
			owner, line.Type, line.Pools, line.Budget.Name).Scan(&own, &shared, &used)
		if err != nil {
			return nil, nil, fmt.Errorf("the balances of %q cannot be read: %w", owner, err)
		}
		wanted := max(0, line.Amount-own)
		open := min(wanted, shared)
		allowed := open
		if line.Budget.Name != "" {
			allowed = min(open, max(0, line.Budget.Cap-used))
		}
		if wanted > allowed {
			missing = append(missing, Amount{line.Type, wanted - allowed})
		}
		if open > allowed {
			overBudget = append(overBudget, Amount{line.Type, open - allowed})
		}
	}
	return missing, overBudget, nil
}
