package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/clock"
)

// BalancesAt returns what the accounts of an organization held at a past time,
// by pool and type: every entry up to that time has happened, and grants start
// and expire by it. It follows the journal from its beginning, so the time it
// takes grows with the number of entries before that time. A time that is still
// to come is ErrInvalid.
func (l *Ledger) BalancesAt(ctx context.Context, owner string, at time.Time) ([]Balance, error) {
	var now time.Time
	if err := l.pool.QueryRow(ctx, `SELECT `+clock.SQL("$1", "clock_timestamp()"), owner).Scan(&now); err != nil {
		return nil, fmt.Errorf("the organization's time cannot be read: %w", err)
	}
	if at.After(now) {
		return nil, invalid("the time %s is in the future; balances are known up to now", at.UTC().Format(time.RFC3339))
	}
	_, last, err := l.between(ctx, owner, time.Time{}, at.Truncate(time.Microsecond).Add(time.Microsecond))
	if err != nil {
		return nil, err
	}
	r := newReplay(owner, func(string, string, string, string) {}) // contradictions are the audit's matter
	r.holds = nil
	rows, _ := l.pool.Query(ctx, `SELECT seq, kind, at, convert_to(postings::text, 'UTF8') FROM credit_entry
		WHERE owner = $1 AND seq <= $2 ORDER BY seq`, owner, last)
	var e entry
	if _, err := pgx.ForEachRow(rows, []any{&e.seq, &e.kind, &e.at, &e.postingsJSON}, func() error {
		if err := e.parsePostings(); err != nil {
			return fmt.Errorf("entry %d, run the audit: %w", e.seq, err)
		}
		r.carryOut(&e)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("the journal of %q cannot be read: %w", owner, err)
	}
	return r.balances(at), nil
}

// parsePostings reads the postings from their JSON.
func (e *entry) parsePostings() error {
	clear(e.postings) // decoding leaves fields alone that the text does not name
	e.postings = e.postings[:0]
	return json.Unmarshal(e.postingsJSON, &e.postings)
}

// balances adds up the accounts at a time after the last entry followed, as
// selectBalances does now.
func (r *replay) balances(at time.Time) []Balance {
	sums := map[accountID]*Balance{}
	for id, a := range r.accounts {
		sums[id] = &Balance{Pool: id.pool, Type: id.kind, Held: a.held}
	}
	for _, l := range r.lots {
		b := sums[l.accountID]
		b.Captured += l.bucket[captured]
		if l.expiredAt(at) || l.bucket[waiting] > 0 && !l.startedAt(at) {
			continue
		}
		left := l.bucket[available] + l.bucket[waiting]
		b.Available += left
		if l.source == SourceAllotment && !l.renewed {
			b.Allotment += l.amount
			b.Used += l.bucket[captured] + l.bucket[held]
		}
		if left > 0 && !l.expiresAt.IsZero() && (b.ExpiresAt.IsZero() || l.expiresAt.Before(b.ExpiresAt)) {
			b.ExpiresAt = l.expiresAt.UTC()
		}
	}
	balances := make([]Balance, 0, len(sums))
	for b := range maps.Values(sums) {
		balances = append(balances, *b)
	}
	slices.SortFunc(balances, func(a, b Balance) int {
		return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Type, b.Type))
	})
	return balances
}
