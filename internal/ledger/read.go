package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// SameReason is ErrKeyReused where the operation with a key was given another
// reason: the ledger takes reasons for no part of a request, those who are asked
// for one by a person do.
func (l *Ledger) SameReason(ctx context.Context, owner, key, reason string) error {
	var same bool
	err := l.pool.QueryRow(ctx, `SELECT reason = $3 FROM credit_entry WHERE owner = $1 AND key = $2`, owner, key, reason).Scan(&same)
	switch {
	case err != nil:
		return fmt.Errorf("the operation %q of %q cannot be read: %w", key, owner, err)
	case !same:
		return fmt.Errorf("%w: it was given another reason", ErrKeyReused)
	}
	return nil
}

// Renewed returns what was booked under the key of a renewal, ErrKeyReused where
// the key stands for another kind of operation.
func (l *Ledger) Renewed(ctx context.Context, owner, key string) (RenewResult, error) {
	var result RenewResult
	var of kind
	var text []byte
	err := l.pool.QueryRow(ctx, `SELECT kind, result FROM credit_entry WHERE owner = $1 AND key = $2`, owner, key).Scan(&of, &text)
	switch {
	case err != nil:
		return result, fmt.Errorf("the renewal %q of %q cannot be read: %w", key, owner, err)
	case of != kindRenew:
		return result, fmt.Errorf("%w: %q", ErrKeyReused, key)
	}
	if err := json.Unmarshal(text, &result); err != nil {
		return result, fmt.Errorf("the renewal %q of %q cannot be read, run the audit: %w", key, owner, err)
	}
	return result, nil
}

// HoldLine is what became of the credits of one type in a hold. Amount −
// Captured − Released is still reserved.
type HoldLine struct {
	Type     string
	Amount   int64 // reserved at first
	Captured int64 // charged, including what was reversed later
	Released int64
	Reversed int64
}

// HoldState returns the lines of a hold, or ErrUnknownHold.
func (l *Ledger) HoldState(ctx context.Context, owner, holdID string) ([]HoldLine, error) {
	states, err := l.HoldStates(ctx, owner, []string{holdID})
	if err != nil {
		return nil, err
	}
	lines, known := states[holdID]
	if !known {
		return nil, fmt.Errorf("%w: %q", ErrUnknownHold, holdID)
	}
	return lines, nil
}

// Known says whether a key of an organization stands for an operation already.
func (l *Ledger) Known(ctx context.Context, owner, key string) (bool, error) {
	var known bool
	err := l.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM credit_entry WHERE owner = $1 AND key = $2)`, owner, key).Scan(&known)
	if err != nil {
		return false, fmt.Errorf("the journal of %q cannot be read: %w", owner, err)
	}
	return known, nil
}

// BudgetUse returns what was drawn under a budget and not given back, by type.
func (l *Ledger) BudgetUse(ctx context.Context, owner, name string) (map[string]int64, error) {
	rows, _ := l.pool.Query(ctx, `SELECT type, used FROM credit_budget WHERE owner = $1 AND name = $2`, owner, name)
	use := map[string]int64{}
	var kind string
	var used int64
	if _, err := pgx.ForEachRow(rows, []any{&kind, &used}, func() error { use[kind] = used; return nil }); err != nil {
		return nil, fmt.Errorf("the budget %q of %q cannot be read: %w", name, owner, err)
	}
	return use, nil
}

// Usage is what was charged under one member's name from one pool.
type Usage struct {
	Member   string
	Pool     string
	Type     string
	Captured int64
	Reversed int64
}

// UsageBetween adds up charges by member, pool and type for from ≤ at < to. A
// zero time leaves that end open.
func (l *Ledger) UsageBetween(ctx context.Context, owner string, from, to time.Time) ([]Usage, error) {
	parts, err := l.usage(ctx, owner, from, to, nil)
	if err != nil {
		return nil, err
	}
	return parts[0], nil
}

// UsageWithin is UsageBetween for each interval between neighbouring bounds, which
// ascend, in one reading of the journal.
func (l *Ledger) UsageWithin(ctx context.Context, owner string, bounds []time.Time) ([][]Usage, error) {
	if len(bounds) < 2 {
		return nil, invalid("an interval needs two bounds")
	}
	last := len(bounds) - 1
	return l.usage(ctx, owner, bounds[0], bounds[last], bounds[1:last])
}

// usage adds up charges from ≤ at < to, in parts that are divided at the inner
// bounds.
func (l *Ledger) usage(ctx context.Context, owner string, from, to time.Time, inner []time.Time) ([][]Usage, error) {
	first, last, err := l.between(ctx, owner, from, to)
	if err != nil {
		return nil, err
	}
	rows, _ := l.pool.Query(ctx, `
		SELECT CASE WHEN cardinality($4::timestamptz[]) = 0 THEN 0 ELSE width_bucket(e.at, $4::timestamptz[]) END,
			e.member, coalesce(p.pool, ''), p.type,
			coalesce(sum(p.amount) FILTER (WHERE p.move IN ('capture', 'charge')), 0)::bigint,
			coalesce(sum(p.amount) FILTER (WHERE p.move IN ('reverse', 'restore')), 0)::bigint
		FROM credit_entry e
		CROSS JOIN LATERAL json_to_recordset(e.postings) AS p (move text, pool text, type text, amount bigint)
		WHERE e.owner = $1 AND e.seq BETWEEN $2 AND $3 AND e.kind IN ('capture', 'charge', 'reverse')
		GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4`, owner, first, last, append([]time.Time{}, inner...))
	parts := make([][]Usage, len(inner)+1)
	for i := range parts {
		parts[i] = []Usage{}
	}
	var part int
	var u Usage
	if _, err := pgx.ForEachRow(rows, []any{&part, &u.Member, &u.Pool, &u.Type, &u.Captured, &u.Reversed}, func() error {
		parts[part] = append(parts[part], u)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("the usage of %q cannot be read: %w", owner, err)
	}
	return parts, nil
}

// between finds the first and last journal entry with from ≤ at < to.
func (l *Ledger) between(ctx context.Context, owner string, from, to time.Time) (first, last int64, err error) {
	err = l.pool.QueryRow(ctx, `SELECT coalesce(max(seq), 0) FROM credit_entry WHERE owner = $1`, owner).Scan(&last)
	if err == nil && !to.IsZero() {
		last, err = l.firstAt(ctx, owner, to, last)
		last--
	}
	if err == nil {
		first, err = l.firstAt(ctx, owner, from, last)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("the journal of %q cannot be read: %w", owner, err)
	}
	return first, last, nil
}

// firstAt finds the first entry at or after a time, last + 1 where there is
// none. A lane's time never runs backwards, so halving the journal needs no
// index on time: two dozen look-ups for ten million entries.
func (l *Ledger) firstAt(ctx context.Context, owner string, at time.Time, last int64) (int64, error) {
	lo, hi := int64(1), last+1
	if at.IsZero() {
		return lo, nil
	}
	for lo < hi {
		mid := lo + (hi-lo)/2
		var found time.Time
		err := l.pool.QueryRow(ctx, `SELECT at FROM credit_entry WHERE owner = $1 AND seq = $2`, owner, mid).Scan(&found)
		if err != nil {
			return 0, err
		}
		if found.Before(at) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}
