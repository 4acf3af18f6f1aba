package ledger

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Balance is what an account holds at the database's time.
type Balance struct {
	Pool      string
	Type      string
	Available int64     // can be spent now
	Held      int64     // reserved by open holds
	Captured  int64     // charged and not reversed, over all time
	Allotment int64     // size of the allotments that are valid now
	Used      int64     // of those allotments, charged or held
	ExpiresAt time.Time // soonest expiry of available credits; zero = none
}

// Balances returns the accounts of an organization, by pool and type. An
// organization unknown to the ledger has none.
//
// They are added up once per journal entry: the head of an organization's chain
// stands for everything that was ever booked, so as long as it is the same, and
// no credits have expired since, so are the balances.
func (l *Ledger) Balances(ctx context.Context, owner string) ([]Balance, error) {
	balances, _, err := l.BalancesNow(ctx, owner)
	return balances, err
}

// BalancesNow is Balances, together with the organization's time.
func (l *Ledger) BalancesNow(ctx context.Context, owner string) ([]Balance, time.Time, error) {
	var head []byte
	var now time.Time
	err := l.pool.QueryRow(ctx, `
		SELECT o.head, coalesce(o.clock, clock_timestamp()) FROM (VALUES ($1::text)) k (owner) LEFT JOIN credit_owner o USING (owner)`, owner).Scan(&head, &now)
	if err != nil {
		return nil, now, fmt.Errorf("the balances of %q cannot be read: %w", owner, err)
	}
	if head == nil {
		return nil, now, nil
	}
	balances, err := l.balances(ctx, owner, head, now)
	return balances, now, err
}

func (l *Ledger) balances(ctx context.Context, owner string, head []byte, now time.Time) ([]Balance, error) {
	if known, ok := l.sums.get(owner); ok && bytes.Equal(known.head, head) && (known.until.IsZero() || now.Before(known.until)) {
		return slices.Clone(known.balances), nil
	}
	rows, _ := l.pool.Query(ctx, selectBalances, owner, now)
	read, err := pgx.CollectRows(rows, pgx.RowToStructByName[struct {
		Balance

		Until time.Time // when the first of the grants starts or expires; zero = never
		Head  []byte
	}])
	if err != nil {
		return nil, fmt.Errorf("the balances of %q cannot be read: %w", owner, err)
	}
	sum := sum{balances: make([]Balance, len(read))}
	for i, r := range read {
		sum.balances[i], sum.head = r.Balance, r.Head
		sum.balances[i].ExpiresAt = r.ExpiresAt.UTC()
		if !r.Until.IsZero() && (sum.until.IsZero() || r.Until.Before(sum.until)) {
			sum.until = r.Until
		}
	}
	l.sums.put(owner, sum)
	return slices.Clone(sum.balances), nil
}

// selectBalances adds up the accounts of the organization $1 at the time $2 in one
// pass over its grants: a look-up for each account would read them again and again.
const selectBalances = `
	SELECT a.pool, a.type, a.held, coalesce(g.available, 0) AS available, coalesce(g.captured, 0) AS captured,
		coalesce(g.allotment, 0) AS allotment, coalesce(g.used, 0) AS used,
		coalesce(g.expires_at, '0001-01-01Z') AS expires_at, coalesce(g.until, '0001-01-01Z') AS until, o.head
	FROM credit_owner o
	JOIN credit_account a ON a.owner = o.owner
	LEFT JOIN (
		SELECT pool, type,
			coalesce(sum(available + waiting) FILTER (WHERE valid), 0)::bigint AS available,
			coalesce(sum(captured), 0)::bigint AS captured,
			coalesce(sum(amount) FILTER (WHERE valid AND allotted), 0)::bigint AS allotment,
			coalesce(sum(captured + held) FILTER (WHERE valid AND allotted), 0)::bigint AS used,
			min(expires_at) FILTER (WHERE valid AND available + waiting > 0) AS expires_at,
			least(min(expires_at) FILTER (WHERE valid), min(starts_at) FILTER (WHERE waits)) AS until
		FROM (
			SELECT *, NOT waits AND NOT over AS valid, source = 'allotment' AND NOT renewed AS allotted
			FROM (
				SELECT *, waiting > 0 AND starts_at > $2 AS waits,
					coalesce(expires_at <= $2, false) AS over
				FROM credit_grant WHERE owner = $1) g) g
		GROUP BY pool, type) g ON g.pool = a.pool AND g.type = a.type
	WHERE o.owner = $1
	ORDER BY a.pool, a.type`

// sum is what an organization's balances were at a place in its journal.
type sum struct {
	head     []byte
	until    time.Time // some credits start or expire then; zero = never
	balances []Balance
}

// sums keeps the balances of the organizations that were asked for.
type sums struct {
	mu    sync.Mutex
	known map[string]sum
}

// maxSums bounds the memory; beyond it everything is added up again.
const maxSums = 10_000

func (s *sums) get(owner string) (sum, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.known[owner]
	return known, ok
}

func (s *sums) put(owner string, known sum) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || len(s.known) >= maxSums {
		s.known = map[string]sum{}
	}
	s.known[owner] = known
}
